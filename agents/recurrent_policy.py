"""Recurrent policy for RL² trials: sb3-contrib's, with its sequences run through the LSTM in one call."""

from collections.abc import Sequence
from typing import Any

import torch
from sb3_contrib.common.recurrent.policies import RecurrentActorCriticPolicy
from torch import Tensor, nn


class FastLstmPolicy(RecurrentActorCriticPolicy):
    """Same numbers as sb3-contrib's policy, several times faster in training.

    The rollout buffer cuts sequences at episode starts, so only a sequence's first step can be one: zeroing the state
    there allows a single LSTM call, where the parent loops over time in Python. See sb3-contrib issue 113.
    """

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


PREFERRED = {"generator_lr": 4, "discriminator_lr": 4, "ratio": 2, "loss": 0, "penalty_weight": 1}
"""Levels a fresh agent prefers: the base's rates, 1:1, the non-saturating loss, the lightest penalty."""


def bias_towards(policy: Any, knobs: Sequence[str], levels: Sequence[int], strength: float) -> None:
    """Makes a fresh discrete policy prefer what a careful user would try first, so that exploration starts there.

    Levels drawn evenly would ruin every GAN in its first intervals, and nothing could be learnt about the rest.

    Args:
        policy: with a ``MultiDiscrete`` action head.
        knobs: name of each knob.
        levels: how many levels each has.
        strength: log-probability lost for each level away from the preferred one (for the loss: for any other).
    """
    with torch.no_grad():
        start = 0
        policy.action_net.weight.mul_(0.1)
        for knob, count in zip(knobs, levels, strict=True):
            away = (torch.arange(count) - PREFERRED[knob]).abs().float()
            if knob == "loss":
                away = 2 * away.clamp_max(1)
            policy.action_net.bias[start : start + count] = -strength * away
            start += count
