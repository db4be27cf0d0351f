"""Trials: an episode of K runs on one task, with what an agent needs to learn from the earlier runs.

RL² (Duan et al. 2016, arXiv:1611.02779) adds the previous action, the previous reward and a run-boundary flag to the
observation. A recurrent agent keeps its memory over the whole trial.
"""

import numpy as np

from metagan_rl.envs.actions import ActionCodec
from metagan_rl.loop.memory import Remembering


class TrialMemory(Remembering):
    """What B members remember of their trials.

    Args:
        members: B.
        codec: of the environment's actions.
        runs: K, runs in a trial.
    """

    remembers = ("_actions", "_rewards", "_boundary", "run", "best")

    def __init__(self, members: int, codec: ActionCodec, runs: int) -> None:
        self.runs = runs
        self._codec = codec
        self._actions = np.zeros((members, len(codec.knobs)), dtype=np.float32)
        self._rewards = np.zeros((members, 1), dtype=np.float32)
        self._boundary = np.ones((members, 1), dtype=np.float32)
        self.run = np.zeros(members, dtype=np.int64)
        """Number of runs of the trial that have ended, ``[B]``."""
        self.best = np.full(members, np.inf)
        """The lowest distance at the end of a run of the trial, ``[B]``; infinite before one has ended."""

    @property
    def low(self) -> np.ndarray:
        """Lower bounds of the added numbers: actions, reward, boundary."""
        return np.array([-1.0] * len(self._codec.knobs) + [-1.0, 0.0], dtype=np.float32)

    @property
    def high(self) -> np.ndarray:
        """Upper bounds of the added numbers."""
        return np.ones(len(self._codec.knobs) + 2, dtype=np.float32)

    @property
    def trial_over(self) -> np.ndarray:
        """Whether all runs of the trial have ended, bool ``[B]``."""
        return self.run >= self.runs

    def restart(self, members: np.ndarray) -> None:
        """Starts a new trial for some members."""
        self._actions[members], self._rewards[members], self._boundary[members] = 0.0, 0.0, 1.0
        self.run[members], self.best[members] = 0, np.inf

    def note(
        self,
        actions: np.ndarray,
        rewards: np.ndarray,
        run_over: np.ndarray,
        distance: np.ndarray | float = np.inf,
    ) -> None:
        """Stores a step.

        Args:
            actions: ``[B, K]``.
            rewards: ``[B]``.
            run_over: which runs ended with it, bool ``[B]``.
            distance: quality distance after it, ``[B]``; infinite where nobody is told.
        """
        self._actions = self._codec.normalised(actions)
        self._rewards = np.tanh(rewards)[:, None].astype(np.float32)
        self._boundary = run_over[:, None].astype(np.float32)
        self.run = self.run + run_over
        self.best = np.where(run_over, np.fmin(self.best, distance), self.best)

    def observation(self) -> np.ndarray:
        """The numbers added to the observation, float32 ``[B, K + 2]``."""
        return np.concatenate([self._actions, self._rewards, self._boundary], axis=1)
