"""Summarises a rollout: returns, quality by family, the chosen controls, and where the time went."""

import time
from collections import defaultdict
from collections.abc import Callable
from typing import Any

import numpy as np
from stable_baselines3.common.callbacks import BaseCallback


class RolloutLog(BaseCallback):
    """Collects the finished runs of one rollout.

    Args:
        on_interval: called after every interval, for a progress bar.
    """

    def __init__(self, on_interval: Callable[[], object] = lambda: None) -> None:
        super().__init__()
        self._on_interval = on_interval
        self._returns: list[float] = []
        self._ends: list[dict[str, Any]] = []
        self._controls: dict[str, list[float]] = defaultdict(list)
        self._terms: dict[str, float] = defaultdict(float)
        self._steps = 0
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
        for info in self.locals["infos"]:
            self._steps += 1
            for name, value in info["reward_terms"].items():
                self._terms[name] += value
            for name, value in info["controls"].items():
                if isinstance(value, str):
                    self._controls[f"{name}/{value.replace(':', 'to')}"].append(1.0)
                elif name.endswith("_factor"):
                    self._controls[f"{name}_log10"].append(np.log10(value))
                else:
                    self._controls[name].append(value)
            if "episode" in info:
                self._returns.append(info["episode"]["r"])
                self._ends.append(info)
        return True

    def summary(self) -> dict[str, float]:
        """The numbers to log."""
        distances = np.log([max(info["distance"], 1e-12) for info in self._ends] or [0.0])
        record = {
            "rollout/return": float(np.mean(self._returns or [0.0])),
            "rollout/distance": float(np.exp(np.mean(distances))),
            "time/agent_share": self._agent_share,
            "rollout/diverged": float(np.mean([info["diverged"] for info in self._ends] or [0.0])),
        }
        families = defaultdict(list)
        for info, distance in zip(self._ends, distances, strict=False):
            families[info["family"]].append(distance)
        for family, values in sorted(families.items()):
            record[f"families/{family}"] = float(np.exp(np.mean(values)))
        for name, values in sorted(self._controls.items()):
            kind = name.split("/")[0]
            share = kind in ("ratio", "loss")
            record[f"controls/{name.replace('/', '_')}"] = (
                len(values) / self._steps if share else float(np.mean(values))
            )
        for name, total in self._terms.items():
            record[f"reward/{name}"] = total / self._steps
        return record
