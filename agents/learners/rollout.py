"""Summarises a rollout: returns, quality by family, the chosen controls, and what the reward was made of."""

from collections import defaultdict
from collections.abc import Iterable, Mapping
from typing import Any

import numpy as np


class Rollout:
    """What happened in one rollout, as the infos of its steps tell it."""

    def __init__(self) -> None:
        self._returns: list[float] = []
        self._ends: list[Mapping[str, Any]] = []
        self._controls: dict[str, list[float]] = defaultdict(list)
        self._terms: dict[str, float] = defaultdict(float)
        self._steps = 0

    def add(self, infos: Iterable[Mapping[str, Any]]) -> None:
        """Takes the infos of members after a step, as ``SB3VecEnv`` gives them."""
        for info in infos:
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

    def summary(self) -> dict[str, float]:
        """The numbers to log."""
        distances = np.log([max(info["distance"], 1e-12) for info in self._ends] or [0.0])
        record = {
            "rollout/return": float(np.mean(self._returns or [0.0])),
            "rollout/distance": float(np.exp(np.mean(distances))),
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
