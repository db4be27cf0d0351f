"""Recurrent policy for RL² trials: sb3-contrib's, with a single LSTM call and a direct layer to the action."""

from typing import Any

import gymnasium as gym
from sb3_contrib.common.recurrent.policies import RecurrentActorCriticPolicy
from stable_baselines3.common.distributions import MultiCategoricalDistribution
from stable_baselines3.common.torch_layers import FlattenExtractor
from torch import Tensor, nn

from metagan_rl.agents.learners.sb3.direct_layer import DirectLayer
from metagan_rl.agents.learners.sb3.fast_recurrent_ppo import FastMultiCategorical


class FastLstmPolicy(RecurrentActorCriticPolicy):
    """Gives the same numbers as sb3-contrib's policy, several times faster in training.

    The rollout buffer cuts sequences at episode starts, so only a sequence's first step can be such a start. Zeroing
    the state there allows a single LSTM call. The parent loops over time in Python. See sb3-contrib issue 113.
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


class PublicFeatures(FlattenExtractor):
    """Passes on an observation, but zeros in place of the numbers at its end that an actor must not see.

    Args:
        observation_space: of the environment.
        hidden: how many numbers that is. A critic's own extractor has it set to 0.
    """

    def __init__(self, observation_space: gym.Space[Any], hidden: int = 0) -> None:
        super().__init__(observation_space)
        self.hidden = hidden

    def forward(self, observations: Tensor) -> Tensor:
        """Observations ``[N, O]``, the last ``hidden`` columns of which are 0."""
        seen = super().forward(observations)
        return nn.functional.pad(seen[:, : seen.shape[1] - self.hidden], (0, self.hidden)) if self.hidden else seen


class SchedulerPolicy(DirectLayer, FastLstmPolicy):
    """The policy that recurrent schedulers are trained with.

    Args:
        hidden: numbers at the end of the observation that only the critic sees.
    """

    def __init__(self, *args: Any, hidden: int = 0, **options: Any) -> None:
        if hidden:
            options |= {"features_extractor_class": PublicFeatures, "features_extractor_kwargs": {"hidden": hidden}}
            options["share_features_extractor"] = False
        super().__init__(*args, **options)
        if hidden:
            extractor: Any = self.vf_features_extractor
            extractor.hidden = 0
