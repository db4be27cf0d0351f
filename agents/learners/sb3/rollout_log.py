"""Listens to a learner of Stable-Baselines3 while it collects a rollout."""

import time
from collections.abc import Callable
from typing import Any

from stable_baselines3.common.callbacks import BaseCallback

from metagan_rl.agents.learners.rollout import Rollout


class RolloutLog(BaseCallback):
    """Collects the finished runs of one rollout, and where the time went.

    Args:
        on_interval: called after every interval, for a progress bar.
    """

    def __init__(self, on_interval: Callable[[], object] = lambda: None) -> None:
        super().__init__()
        self._on_interval = on_interval
        self._rollout = Rollout()
        self._agent_share = 0.0

    def _on_training_start(self) -> None:
        self._seconds_before, self._began = self._env_seconds(), time.monotonic()

    def _on_training_end(self) -> None:
        seconds = max(time.monotonic() - self._began, 1e-9)
        self._agent_share = 1 - (self._env_seconds() - self._seconds_before) / seconds

    def _env_seconds(self) -> float:
        """Seconds spent in the environment's steps so far; the remaining time is the agent's."""
        env: Any = self.model.get_env()
        return float(env.seconds)

    def _on_step(self) -> bool:
        self._on_interval()
        self._rollout.add(self.locals["infos"])
        return True

    def summary(self) -> dict[str, float]:
        """The numbers to log."""
        return {**self._rollout.summary(), "time/agent_share": self._agent_share}
