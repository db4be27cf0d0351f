"""sb3-contrib's RecurrentPPO, made faster around its networks, with the same numbers and the same options.

On trial-shaped data, a third of a stock update is neither LSTM nor gradient. It goes into padding sequences one by one,
softmaxes over a handful of columns, and Adam weight by weight.
"""

from typing import Any

import numpy as np
import torch
from sb3_contrib import RecurrentPPO
from sb3_contrib.common.recurrent.buffers import RecurrentRolloutBuffer
from sb3_contrib.common.recurrent.type_aliases import RecurrentRolloutBufferSamples, RNNStates
from stable_baselines3.common.distributions import MultiCategoricalDistribution
from torch import Tensor


class FastRecurrentPPO(RecurrentPPO):
    """RecurrentPPO that pads all sequences of a minibatch at once, for observations that are arrays."""

    def _setup_model(self) -> None:
        super()._setup_model()
        stock = self.rollout_buffer
        if isinstance(stock, RecurrentRolloutBuffer):  # not the buffer for dictionaries
            self.rollout_buffer = FastRolloutBuffer(
                stock.buffer_size,
                stock.observation_space,
                stock.action_space,
                stock.hidden_state_shape,
                device=stock.device,
                gae_lambda=stock.gae_lambda,
                gamma=stock.gamma,
                n_envs=stock.n_envs,
            )


class FastRolloutBuffer(RecurrentRolloutBuffer):
    """Gives the same minibatches, but gathers them with one table of rows instead of sequence by sequence."""

    def _get_samples(  # type: ignore[override]  # as the parent's
        self, batch_inds: np.ndarray, env_change: np.ndarray, env: Any = None
    ) -> RecurrentRolloutBufferSamples:
        starts = np.logical_or(self.episode_starts[batch_inds], env_change[batch_inds]).ravel()
        starts[0] = True
        first = np.flatnonzero(starts)  # [S]
        lengths = np.diff(first, append=len(batch_inds))
        steps = np.arange(lengths.max())
        within = steps < lengths[:, None]  # [S, T]
        rows = batch_inds[np.where(within, first[:, None] + steps, 0)].ravel()
        outside = ~within.ravel()

        def padded(values: np.ndarray) -> Tensor:
            """Turns ``[N, ...]`` into ``[S * T, ...]``, zero beyond each sequence's end."""
            taken = values[rows]
            taken[outside] = 0
            return torch.as_tensor(taken, device=self.device)

        def state(values: np.ndarray) -> Tensor:
            """Turns ``[N, layers, H]`` into ``[layers, S, H]``."""
            return torch.as_tensor(values[batch_inds[first]].swapaxes(0, 1).copy(), device=self.device)

        return RecurrentRolloutBufferSamples(
            observations=padded(self.observations).reshape(len(rows), *self.obs_shape),
            actions=padded(self.actions),
            old_values=padded(self.values).flatten(),
            old_log_prob=padded(self.log_probs).flatten(),
            advantages=padded(self.advantages).flatten(),
            returns=padded(self.returns).flatten(),
            lstm_states=RNNStates(
                (state(self.hidden_states_pi), state(self.cell_states_pi)),
                (state(self.hidden_states_vf), state(self.cell_states_vf)),
            ),
            episode_starts=padded(self.episode_starts).flatten(),
            mask=torch.as_tensor(within.ravel().astype(np.float32), device=self.device),
        )


class FastMultiCategorical(MultiCategoricalDistribution):
    """Stable-Baselines3's distribution over several choices, but without objects for log-probabilities and entropy.

    Torch's softmax over a few columns does not use the processor's vector instructions. Over equally many rows it does.
    """

    def proba_distribution(self, action_logits: Tensor) -> "FastMultiCategorical":
        """Takes the logits of all choices, ``[N, all levels]``."""
        self.logits = action_logits
        parts = action_logits.t().contiguous().split(list(self.action_dims))
        self._log_probabilities = [part.log_softmax(dim=0) for part in parts]  # [levels, N] for each choice
        return self

    def log_prob(self, actions: Tensor) -> Tensor:
        """Log-probability ``[N]`` of actions ``[N, choices]``."""
        chosen = actions.t().long().unsqueeze(1)  # [choices, 1, N]
        pairs = zip(self._log_probabilities, chosen, strict=True)
        return torch.cat([values.gather(0, choice) for values, choice in pairs]).sum(dim=0)

    def entropy(self) -> Tensor:
        """Entropy ``[N]``."""
        return -torch.stack([(values.exp() * values).sum(dim=0) for values in self._log_probabilities]).sum(dim=0)

    def sample(self) -> Tensor:
        """As in the parent, which also refuses NaN."""
        super().proba_distribution(self.logits)
        return super().sample()

    def mode(self) -> Tensor:
        """As in the parent."""
        super().proba_distribution(self.logits)
        return super().mode()
