"""A linear layer from the observation straight to the action, by which a fresh agent keeps the controls in force."""

from typing import Any

import numpy as np
import torch
from stable_baselines3.common.policies import ActorCriticPolicy
from torch import Tensor, nn

from metagan_rl.envs.actions import ActionCodec
from metagan_rl.loop.knobs import Knob
from metagan_rl.loop.signals import Signal

COARSE = 8
"""Steps that a knob's range is thought of in, however many levels it has."""


class DirectLayer:
    """Makes observations also reach a policy's logits by a linear layer of their own; to be mixed into SB3's policies.

    By that layer a fresh agent can be made to keep the controls in force (:func:`keep_controls`). Its exploration is
    then a walk that starts at the user's base: whole stretches of training under other controls, whose effects can be
    told, where controls drawn anew in every interval would only shake the GAN.
    """

    features_dim: int
    action_net: Any
    action_dist: Any
    optimizer: Any
    pi_features_extractor: Any

    def __init__(self, *args: Any, **options: Any) -> None:
        super().__init__(*args, **options)
        self.direct = nn.Linear(self.features_dim, self.action_net.out_features, bias=False)
        nn.init.zeros_(self.direct.weight)
        self.optimizer.add_param_group({"params": list(self.direct.parameters())})

    def extract_features(self, obs: Any, features_extractor: Any = None) -> Any:
        """As the parent; the features are kept for the direct layer."""
        parent: Any = super()
        self._features = parent.extract_features(obs, features_extractor)
        return self._features

    def get_distribution(self, obs: Any, *memory: Any) -> Any:
        """As the parent, which goes round :meth:`extract_features` here."""
        self._features = self.extract_features(obs, self.pi_features_extractor)
        parent: Any = super()
        return parent.get_distribution(obs, *memory)

    def _get_action_dist_from_latent(self, latent_pi: Tensor) -> Any:
        logits = self.action_net(latent_pi) + self.direct(self._features)
        return self.action_dist.proba_distribution(action_logits=logits)


class MemorylessPolicy(DirectLayer, ActorCriticPolicy):
    """The policy memoryless schedulers are trained with."""


def keep_controls(policy: Any, codec: ActionCodec, which: tuple[Signal, ...], stickiness: float) -> None:
    """Sets a fresh policy up to keep the controls in force, and to leave them for neighbouring levels now and then.

    A level's logit becomes -k |s - x|^2, up to what all levels share: s are the signals that tell the level, x those of
    the controls in force, and k is such that a neighbouring level loses ``stickiness`` in log-probability; where levels
    are finer than an eighth of the knob's range, a level that far away does. Levels of a knob that the policy cannot
    see the state of are drawn alike.

    Args:
        policy: one with a :class:`DirectLayer`, changed in place.
        codec: its knobs and levels.
        which: signals it sees, in order.
        stickiness: 0 draws all levels alike.
    """
    columns = {signal.name: column for column, signal in enumerate(which)}
    with torch.no_grad():
        policy.action_net.weight.mul_(0.1)
        start = 0
        for knob, count in zip(codec.knobs, codec.levels.tolist(), strict=True):
            told = _signals_of_levels(knob)
            names = [name for name in told if np.ptp(told[name]) > 0]
            if not columns.keys() >= set(names):
                policy.action_net.bias[start : start + count] = 0.0
                start += count
                continue
            levels = torch.tensor(np.stack([told[name] for name in names], axis=1), dtype=torch.float32)  # [levels, S]
            apart = (levels[1:] - levels[:-1]).square().sum(dim=1).mean()
            finer = 1.0 if knob.cyclic else max(1.0, (count - 1) / COARSE)
            k = stickiness / (float(apart) * finer**2)
            policy.action_net.bias[start : start + count] = -k * levels.square().sum(dim=1)
            for place, name in enumerate(names):
                policy.direct.weight[start : start + count, columns[name]] = 2 * k * levels[:, place]
            start += count


def _signals_of_levels(knob: Knob) -> dict[str, np.ndarray]:
    levels = knob.at_level(np.arange(len(knob.levels)))
    return {signal.name: signal.tell(levels) for signal in knob.signals}
