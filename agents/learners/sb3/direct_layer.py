"""A linear layer straight from the observation to the action, with which a fresh agent keeps the controls in force."""

from typing import Any

import numpy as np
import torch
from stable_baselines3.common.distributions import DiagGaussianDistribution
from stable_baselines3.common.policies import ActorCriticPolicy
from torch import Tensor, nn

from metagan_rl.envs.actions import ActionCodec
from metagan_rl.loop.knobs import Knob
from metagan_rl.loop.signals import Signal

COARSE = 8
"""Coarse steps in a knob's range, however many levels it has."""


class DirectLayer:
    """A mixin for SB3's policies: a linear layer of its own also takes the observation to the logits.

    With this layer a fresh agent can keep the controls in force (:func:`keep_controls`). Its exploration is then a walk
    that starts at the user's base. The GAN trains for whole stretches under other controls, whose effects can be seen.
    Controls drawn anew in every interval would only shake the GAN.
    """

    features_dim: int
    share_features_extractor: bool
    action_net: Any
    action_dist: Any
    log_std: Any
    optimizer: Any
    pi_features_extractor: Any

    def __init__(self, *args: Any, **options: Any) -> None:
        super().__init__(*args, **options)
        self.direct = nn.Linear(self.features_dim, self.action_net.out_features, bias=False)
        nn.init.zeros_(self.direct.weight)
        self.optimizer.add_param_group({"params": list(self.direct.parameters())})

    def extract_features(self, obs: Any, features_extractor: Any = None) -> Any:
        """As in the parent, and keeps the actor's features for the direct layer."""
        parent: Any = super()
        found = parent.extract_features(obs, features_extractor if self.share_features_extractor else None)
        self._features = found if self.share_features_extractor else found[0]
        return found

    def get_distribution(self, obs: Any, *memory: Any) -> Any:
        """As in the parent, but calls :meth:`extract_features` first, because the parent bypasses it here."""
        self.extract_features(obs, self.pi_features_extractor)
        parent: Any = super()
        return parent.get_distribution(obs, *memory)

    def _get_action_dist_from_latent(self, latent_pi: Tensor) -> Any:
        outputs = self.action_net(latent_pi) + self.direct(self._features)
        if isinstance(self.action_dist, DiagGaussianDistribution):
            return self.action_dist.proba_distribution(outputs, self.log_std)
        return self.action_dist.proba_distribution(action_logits=outputs)


class MemorylessPolicy(DirectLayer, ActorCriticPolicy):
    """The policy that schedulers without memory are trained with."""


def keep_controls(policy: Any, codec: ActionCodec, which: tuple[Signal, ...], stickiness: float) -> None:
    """Sets a fresh policy up to keep the controls in force, and to move to neighbouring levels now and then.

    A level's logit becomes -k |s - x|^2, apart from a term that all levels share. Here s are the signals that the level
    would give, and x are those of the controls in force. k is such that a neighbouring level loses ``stickiness`` in
    log-probability. If levels are finer than an eighth of the knob's range, a level that far away loses as much.
    If the policy cannot see a knob's state, all levels of that knob are equally likely.

    The same holds for levels around a reference, with departures in place of signals. Where actions are moves, keeping
    all gains ``stickiness`` over each move. Continuous actions begin near 0.

    Args:
        policy: a policy with a :class:`DirectLayer`, changed in place.
        codec: its knobs and levels.
        which: signals it sees, in order.
        stickiness: log-probability lost by one level; 0 makes all levels equally likely.
    """
    columns = {signal.name: column for column, signal in enumerate(which)}
    with torch.no_grad():
        policy.action_net.weight.mul_(0.1)
        if codec.around or codec.kind != "discrete":
            _keep_departures(policy, codec, len(which), stickiness)
            return
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


def _keep_departures(policy: Any, codec: ActionCodec, signals: int, stickiness: float) -> None:
    """As :func:`keep_controls`, for moves and for levels around a reference; departures follow the signals."""
    if "continuous" in codec.kind:
        policy.action_net.bias.zero_()
        return
    starts = np.cumsum([0, *codec.choices])[:-1]
    for place, (start, count) in enumerate(zip(starts.tolist(), codec.choices, strict=True)):
        policy.action_net.bias[start : start + count] = 0.0
        if codec.kind != "discrete" or codec.knobs[place].cyclic:
            policy.action_net.bias[start] = stickiness
            continue
        steps = np.arange(count)
        departures = torch.tensor(np.where(steps % 2, -1, 1) * ((steps + 1) // 2) / ((count - 1) / 2)).float()
        k = stickiness / max(2 / COARSE, 2 / (count - 1)) ** 2
        policy.action_net.bias[start : start + count] = -k * departures.square()
        policy.direct.weight[start : start + count, signals + place] = 2 * k * departures


def _signals_of_levels(knob: Knob) -> dict[str, np.ndarray]:
    levels = knob.at_level(np.arange(len(knob.levels)))
    return {signal.name: signal.tell(levels) for signal in knob.signals}
