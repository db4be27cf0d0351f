"""Privileged facts: what is hidden from schedulers, shown beside the observation to a critic that trains them.

A critic is only there in training, so it may know what the actor must find out. It then predicts returns better, and
the actor learns from less noise (asymmetric actor-critic, Pinto et al. 2017, arXiv:1710.06542).
"""

from collections.abc import Sequence

import numpy as np

from metagan_rl.loop.runs import Runs
from metagan_rl.loop.signals import Signal, choose_signals
from metagan_rl.tasks import Task
from metagan_rl.tasks.hidden import NETWORKS

TIMES = ("at", "generator_lr", "discriminator_lr", *(f"reset_{network}" for network in NETWORKS))


class Privileged:
    """Facts that no scheduler sees, of B runs.

    They are logarithms of the hidden factors now; the next event: the share of the budget until it, its factors and
    what it resets; how far the data will turn and shift; logarithms of the distance before training and of the floor;
    a 1 at the place of the task's family; and all signals that the agent is not shown, such as quality.

    Args:
        tasks: of the split; their families get a place each.
        shown: signals that the agent is shown.
    """

    def __init__(self, tasks: Sequence[Task], shown: Sequence[Signal]) -> None:
        self.families = sorted({task.family for task in tasks})
        known = {signal.name for signal in shown}
        self._signals = tuple(signal for signal in choose_signals("all+setup") if signal.name not in known)

    def __len__(self) -> int:
        return 2 + len(TIMES) + 2 + 2 + len(self.families) + len(self._signals)

    @property
    def low(self) -> np.ndarray:
        """Lower bounds, float32."""
        return np.full(len(self), -3.0, dtype=np.float32)

    @property
    def high(self) -> np.ndarray:
        """Upper bounds, float32."""
        return np.full(len(self), 3.0, dtype=np.float32)

    def observation(self, runs: Runs) -> np.ndarray:
        """The facts, float32 ``[B, len(self)]``."""
        ledger = runs.ledger
        facts = np.concatenate(
            [
                np.log(runs.hidden_factors),
                [_to_come(task, now) for task, now in zip(runs.tasks, runs.progress.tolist(), strict=True)],
                np.log(np.stack([ledger.start, ledger.floor], axis=1)) / 2,
                [[float(task.family == family) for family in self.families] for task in runs.tasks],
                runs.observe(self._signals),
            ],
            axis=1,
        )
        return np.clip(facts, self.low, self.high).astype(np.float32)


def _to_come(task: Task, now: float) -> list[float]:
    """The next event and the drift of a task at a share of the budget."""
    if task.hidden is None:
        return [1.0, *[0.0] * (len(TIMES) + 1)]
    coming = [event for event in task.hidden.events if event.at > now]
    drift = [task.hidden.turn, task.hidden.shift]
    if not coming:
        return [1.0, *[0.0] * (len(TIMES) - 1), *drift]
    event = min(coming, key=lambda each: each.at)
    rates = np.log([event.generator_lr, event.discriminator_lr]).tolist()
    return [event.at - now, *rates, *(float(event.reset == network) for network in NETWORKS), *drift]
