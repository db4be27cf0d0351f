"""Trials: K runs on one task in one episode, with what an agent needs to learn from the earlier ones.

RL² (Duan et al. 2016, arXiv:1611.02779): previous action, previous reward and a run-boundary flag join the
observation, and a recurrent agent keeps its memory over the whole trial.
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

    remembers = ("_actions", "_rewards", "_boundary", "run")

    def __init__(self, members: int, codec: ActionCodec, runs: int) -> None:
        self.runs = runs
        self._codec = codec
        self._actions = np.zeros((members, len(codec.knobs)), dtype=np.float32)
        self._rewards = np.zeros((members, 1), dtype=np.float32)
        self._boundary = np.ones((members, 1), dtype=np.float32)
        self.run = np.zeros(members, dtype=np.int64)
        """Runs of the trial that are over, ``[B]``."""

    @property
    def low(self) -> np.ndarray:
        """Lower ends of the added numbers: actions, reward, boundary."""
        return np.array([-1.0] * len(self._codec.knobs) + [-1.0, 0.0], dtype=np.float32)

    @property
    def high(self) -> np.ndarray:
        """Upper ends of the added numbers."""
        return np.ones(len(self._codec.knobs) + 2, dtype=np.float32)

    @property
    def trial_over(self) -> np.ndarray:
        """Bool ``[B]``: all runs of the trial are done."""
        return self.run >= self.runs

    def restart(self, members: np.ndarray) -> None:
        """Some members begin a new trial."""
        self._actions[members], self._rewards[members], self._boundary[members] = 0.0, 0.0, 1.0
        self.run[members] = 0

    def note(self, actions: np.ndarray, rewards: np.ndarray, run_over: np.ndarray) -> None:
        """Remembers a step: actions ``[B, K]``, rewards ``[B]`` and which runs ended with it."""
        self._actions = self._codec.normalised(actions)
        self._rewards = np.tanh(rewards)[:, None].astype(np.float32)
        self._boundary = run_over[:, None].astype(np.float32)
        self.run = self.run + run_over

    def observation(self) -> np.ndarray:
        """The added numbers, float32 ``[B, knobs + 2]``."""
        return np.concatenate([self._actions, self._rewards, self._boundary], axis=1)
