"""What the stability terms of the reward are worth: ``python -m metagan_rl.experiments.studies.reward_weights``.

Nothing is trained. It reads the committed runs of the full comparison: 35 schedules, 39 tasks, 16 seeds. For each task
it chooses the schedule with the best mean return on half of the seeds, and judges it on the other half. It does so for
several weights of the stability terms.
"""

from collections import defaultdict
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from metagan_rl.experiments.benchmark.records import read_rows
from metagan_rl.experiments.studies.command import show_line
from metagan_rl.experiments.studies.full_form import RESULTS
from metagan_rl.loop.reward import STABILITY
from metagan_rl.metrics import STABILITY_TERMS, WORST_DISTANCE

WEIGHTS = (0.0, 0.32, STABILITY, 2.0, 4.0)
"""0.32 is what 64 intervals cost by the reward ``"quality"``."""


@dataclass(frozen=True)
class Run:
    """A run of a schedule on a task: log(start / end) of its distance, and the sum of its mean stability terms."""

    task: str
    scheduler: str
    seed: int
    gain: float
    instability: float

    def value(self, weight: float) -> float:
        """Its return."""
        return self.gain - weight * self.instability


def runs(directory: Path = RESULTS / "full") -> list[Run]:
    """The runs of a comparison that have all that is needed."""
    found = []
    for row in read_rows(directory):
        terms = [row.stability.get(name) for name in STABILITY_TERMS]
        known = [term for term in terms if term is not None]
        if row.start is None or len(known) < len(terms):
            continue
        distance = WORST_DISTANCE if row.diverged or row.distance is None else row.distance
        gain, instability = float(np.log(row.start / distance)), sum(known)
        found.append(Run(f"{row.key.suite}/{row.key.task}", row.key.scheduler, row.key.seed, gain, instability))
    return found


def chosen(every: Sequence[Run], weight: float) -> tuple[float, float]:
    """Mean gain and instability, on odd seeds, of the schedules that are best on even seeds for this weight."""
    by_task: dict[str, dict[str, list[Run]]] = defaultdict(lambda: defaultdict(list))
    for run in every:
        by_task[run.task][run.scheduler].append(run)
    kept = []
    for schedules in by_task.values():
        best = max(
            schedules,
            key=lambda name: np.mean([run.value(weight) for run in schedules[name] if run.seed % 2 == 0]),
        )
        kept += [run for run in schedules[best] if run.seed % 2]
    return float(np.mean([run.gain for run in kept])), float(np.mean([run.instability for run in kept]))


def correlation(every: Sequence[Run], weight: float) -> float:
    """Correlation of return and final quality over all runs."""
    return float(np.corrcoef([run.value(weight) for run in every], [run.gain for run in every])[0, 1])


def table(every: Sequence[Run]) -> str:
    """A line for each weight, as Markdown."""
    lines = [
        "| weight | log(start / end) of the chosen | their instability | correlation of return and quality |",
        "|--:|--:|--:|--:|",
    ]
    for weight in WEIGHTS:
        gain, instability = chosen(every, weight)
        lines.append(f"| {weight:g} | {gain:.3f} | {instability:.4f} | {correlation(every, weight):.3f} |")
    return "\n".join(lines)


if __name__ == "__main__":
    show_line(table(runs()))
