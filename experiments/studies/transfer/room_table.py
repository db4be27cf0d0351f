"""How much of the room for reacting a policy takes: its gain on the tuned decay beside that of the oracle."""

from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np

from metagan_rl.experiments.studies.transfer.table import REFERENCE, cell, ratio_of_logs

LEAST = 0.9
"""A share is told where the oracle's ratio is below this; elsewhere there is hardly anything to share."""


def room_table(
    oracle: Sequence[Mapping[str, Any]], rows: Sequence[Mapping[str, Any]], schedulers: Sequence[str]
) -> str:
    """Ratios to the tuned decay of the oracle and of schedulers on the same tasks, with 95 % intervals, as Markdown.

    Args:
        oracle: rows of the study :mod:`..room`, whose suites are conditions: logarithms of final distances.
        rows: rows of the study of transfer.
        schedulers: names of those to compare. Behind each ratio stands its share of the oracle's gain, in logarithms.
    """
    lines = ["| condition | tasks | oracle | " + " | ".join(f"`{name}`, its share" for name in schedulers) + " |"]
    lines.append("|---|--:|--:|" + "--:|" * len(schedulers))
    for condition in dict.fromkeys(row["suite"] for row in oracle):
        gains = {row["task"]: row["oracle"] - row["tuned-decay"] for row in oracle if row["suite"] == condition}
        most = float(np.mean(list(gains.values())))
        cells = [str(len(gains)), cell(ratio_of_logs(np.array(list(gains.values()))))]
        for name in schedulers:
            own = _gains(rows, name, condition, gains)
            share = f", {own.mean() / most:.0%}" if np.exp(most) < LEAST else ""
            cells.append(cell(ratio_of_logs(own)) + share)
        lines.append(f"| {condition} | " + " | ".join(cells) + " |")
    return "\n".join(lines)


def _gains(rows: Sequence[Mapping[str, Any]], name: str, condition: str, tasks: Mapping[str, float]) -> np.ndarray:
    """log(distance / tuned decay's) of a scheduler on each task, the mean over seeds."""
    logs: dict[tuple[str, str], list[float]] = {}
    for row in rows:
        if row["condition"] == condition and row["scheduler"] in (name, REFERENCE):
            logs.setdefault((row["scheduler"], row["task"]), []).append(float(np.log(row["distance"])))
    return np.array([np.mean(logs[name, task]) - np.mean(logs[REFERENCE, task]) for task in tasks])
