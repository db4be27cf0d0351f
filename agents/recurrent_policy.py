"""Recurrent policy for RL² trials: sb3-contrib's, run through the LSTM in one call, with a direct way to the action."""

from typing import Any

import numpy as np
import torch
from sb3_contrib.common.recurrent.policies import RecurrentActorCriticPolicy
from stable_baselines3.common.distributions import MultiCategoricalDistribution
from torch import Tensor, nn

from metagan_rl.agents.recurrent_ppo import FastMultiCategorical
from metagan_rl.controls import Controls
from metagan_rl.envs.actions import ActionCodec
from metagan_rl.signals import Signal, control_signals
from metagan_rl.tasks.task import Base


class FastLstmPolicy(RecurrentActorCriticPolicy):
    """Same numbers as sb3-contrib's policy, several times faster in training.

    The rollout buffer cuts sequences at episode starts, so only a sequence's first step can be one: zeroing the state
    there allows a single LSTM call, where the parent loops over time in Python. See sb3-contrib issue 113.
    """

    def __init__(self, *args: Any, **options: Any) -> None:
        if {"optimizer_kwargs", "optimizer_class"}.isdisjoint(options):
            options["optimizer_kwargs"] = {"eps": 1e-5, "fused": True}  # the parent's, and all weights in one call
        super().__init__(*args, **options)
        if isinstance(self.action_dist, MultiCategoricalDistribution):
            self.action_dist = FastMultiCategorical(self.action_dist.action_dims)

    @staticmethod
    def _process_sequence(  # type: ignore[override]  # the parent's annotation leaves out that states are pairs
        features: Tensor, lstm_states: tuple[Tensor, Tensor], episode_starts: Tensor, lstm: nn.LSTM
    ) -> tuple[Tensor, tuple[Tensor, Tensor]]:
        sequences = lstm_states[0].shape[1]
        starts = episode_starts.reshape(sequences, -1)
        if starts.shape[1] > 1 and bool(starts[:, 1:].any()):
            parent: Any = RecurrentActorCriticPolicy._process_sequence
            return parent(features, lstm_states, episode_starts, lstm)
        keep = (1 - starts[:, 0]).view(1, sequences, 1)
        states = (lstm_states[0] * keep, lstm_states[1] * keep)
        inputs = features.reshape(sequences, -1, lstm.input_size).swapaxes(0, 1)
        output, states = lstm(inputs, states)
        return output.transpose(0, 1).flatten(end_dim=1), states


class SchedulerPolicy(FastLstmPolicy):
    """The policy schedulers are trained with: observations also reach the logits by a linear layer of their own.

    By that layer a fresh agent can be made to keep the controls in force (:func:`keep_controls`). Its exploration is
    then a walk that starts at the user's base: whole stretches of training under other controls, whose effects can be
    told, where controls drawn anew in every interval would only shake the GAN.
    """

    def __init__(self, *args: Any, **options: Any) -> None:
        super().__init__(*args, **options)
        head: Any = self.action_net
        self.direct = nn.Linear(self.features_dim, head.out_features, bias=False)
        nn.init.zeros_(self.direct.weight)
        self.optimizer.add_param_group({"params": list(self.direct.parameters())})

    def extract_features(self, obs: Any, features_extractor: Any = None) -> Any:
        """As the parent; the features are kept for the direct layer."""
        features = super().extract_features(obs, features_extractor)
        self._features = features
        return features

    def get_distribution(self, obs: Any, lstm_states: Any, episode_starts: Any) -> Any:  # type: ignore[override]
        """As the parent, which goes round :meth:`extract_features` here."""
        self._features = self.extract_features(obs, self.pi_features_extractor)
        return super().get_distribution(obs, lstm_states, episode_starts)

    def _get_action_dist_from_latent(self, latent_pi: Tensor) -> Any:
        logits = self.action_net(latent_pi) + self.direct(self._features)
        return self.action_dist.proba_distribution(action_logits=logits)


def keep_controls(policy: Any, codec: ActionCodec, which: tuple[Signal, ...], stickiness: float) -> None:
    """Sets a fresh policy up to keep the controls in force, and to leave them for neighbouring levels now and then.

    A level's logit becomes -k |s - x|^2, up to what all levels share: s are the signals that tell the level, x those of
    the controls in force, and k is such that a neighbouring level loses ``stickiness`` in log-probability.

    Args:
        policy: a :class:`SchedulerPolicy`, changed in place.
        codec: its knobs and levels.
        which: signals it sees, in order.
        stickiness: 0 draws all levels alike.
    """
    columns = {signal.name: column for column, signal in enumerate(which)}
    with torch.no_grad():
        policy.action_net.weight.mul_(0.1)
        start = 0
        for knob, count in zip(codec.knobs, codec.levels.tolist(), strict=True):
            told = _signals_of_levels(codec, knob, count)
            names = [name for name in told if np.ptp(told[name]) > 0]
            levels = torch.tensor(np.stack([told[name] for name in names], axis=1), dtype=torch.float32)  # [levels, S]
            apart = (levels[1:] - levels[:-1]).square().sum(dim=1).mean()
            k = stickiness / float(apart)
            policy.action_net.bias[start : start + count] = -k * levels.square().sum(dim=1)
            for place, name in enumerate(names):
                policy.direct.weight[start : start + count, columns[name]] = 2 * k * levels[:, place]
            start += count


def _signals_of_levels(codec: ActionCodec, knob: str, count: int) -> dict[str, np.ndarray]:
    actions = np.zeros((count, len(codec.knobs)), dtype=np.int64)
    actions[:, codec.knobs.index(knob)] = np.arange(count)
    return control_signals(codec.decode(actions, Controls.base([Base()] * count)))
