"""A match: two GANs that begin alike and train on the same task, each under its own scheduler or a person's hand."""

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any

import numpy as np

from metagan_rl.errors import InvalidValueError
from metagan_rl.experiments.watch.setting import Setting
from metagan_rl.loop import KNOBS, Controls, Parts, Runs, Scheduler
from metagan_rl.loop.drive import ask, situation_of

FRAME = 24
"""Updates of each GAN, of D and G together, that one frame covers."""
TURNED = ("generator_lr_factor", "discriminator_lr_factor", "penalty_weight", "ratio", "loss")
"""Knobs that the page shows and a hand can turn."""
SIDES = 2


@dataclass
class Side:
    """Who sets the controls of one of the GANs.

    Attributes:
        name: the scheduler's name.
        scheduler: decides as long as no hand holds the side, and goes on proposing while one does.
        proposed: what the scheduler wants now, all knobs of one run.
        hand: the values of knobs that a person has set, described as :meth:`Controls.describe` does; ``None`` if the
            scheduler decides.
        reward: what the last interval earned.
    """

    name: str
    scheduler: Scheduler
    proposed: Controls
    hand: dict[str, Any] | None = None
    reward: float = 0.0

    @property
    def controls(self) -> Controls:
        """What the side trains with now."""
        if self.hand is None:
            return self.proposed
        return Controls.described({**self.proposed.describe(0), **self.hand})


class Match:
    """Two GANs on one task. They start from the same weights and see the same noise.

    Args:
        setting: what was picked.
        find: makes a scheduler from its name.
        engine: what trains, as in :class:`metagan_rl.loop.RunOptions`.

    Raises:
        UnknownNameError: there is no such scheduler.
        InvalidValueError: a scheduler trains several GANs for each run.
        SchedulerError: a scheduler fails at its first decision.
    """

    def __init__(self, setting: Setting, find: Callable[[str], Scheduler], engine: str = "auto") -> None:
        self.setting = setting
        task = setting.task()
        self.runs = Runs([task] * SIDES, [setting.seed] * SIDES, engine=engine, decisions=setting.decisions)
        self._parts = Parts(self.runs)
        base = self.runs.base_controls()[:1]
        self.sides = [Side(name, _single(name, find), base) for name in (setting.left, setting.right)]
        self.history: list[list[Any]] = []
        """For the start and each frame: updates, and for each side what :meth:`entry` gives."""
        self.rewritten = 0
        """How often the history, or the data, changed other than by going on."""
        self._stage = 0
        for place in range(SIDES):
            self._ask(place, begins=True)
        self._note()

    @property
    def updates(self) -> int:
        """Updates of each GAN so far."""
        return int(self.runs.updates[0]) + self._parts.done

    @property
    def finished(self) -> bool:
        """Whether the budget is spent."""
        return bool(self.runs.done_intervals[0] >= self.runs.horizons[0])

    def step(self) -> None:
        """Trains both GANs for one frame.

        Raises:
            SchedulerError: a scheduler failed; nothing more was trained.
        """
        if self.finished:
            return
        controls = [side.controls for side in self.sides]
        both = {name: np.concatenate([getattr(each, name) for each in controls]) for name in KNOBS}
        outcome = self._parts.train(Controls(**both), FRAME)
        stage = max(task.parameters.get("turn", 0.0) for task in self.runs.population.tasks)
        self.rewritten += stage != self._stage
        self._stage = stage
        self._note()
        if outcome is not None and not self.finished:
            for place, side in enumerate(self.sides):
                side.reward = float(outcome.reward[place])
                self._ask(place)

    def take(self, place: int, values: Mapping[str, Any]) -> None:
        """Lets a hand hold a side: it keeps what is in force now, apart from the values that are given.

        Args:
            place: 0 for the left side, 1 for the right one.
            values: values of knobs, described as :meth:`Controls.describe` does.

        Raises:
            UnknownNameError: a knob or a choice does not exist.
            InvalidValueError: a value is out of range.
        """
        side = self.sides[place]
        now = side.controls.describe(0)
        wanted = {name: now[name] for name in TURNED} | dict(values)
        Controls.described({**now, **wanted})
        side.hand = wanted

    def give(self, place: int) -> None:
        """Gives a side back to its scheduler."""
        self.sides[place].hand = None

    def branch(self, source: int) -> None:
        """Lets the other side go on from a copy of this one, its history with it, under its own scheduler.

        That scheduler begins anew, as it has never seen this GAN.

        Raises:
            InvalidValueError: the run is over.
        """
        if self.finished:
            raise InvalidValueError("the run is over, so there is nothing to branch; start it again")
        other = 1 - source
        self._parts.copy(np.array([source] * SIDES))
        self.history = [[entry[0], entry[1 + source], entry[1 + source]] for entry in self.history]
        self.sides[other].reward = self.sides[source].reward
        self._ask(other, begins=True)
        self.rewritten += 1

    def _ask(self, place: int, *, begins: bool = False) -> None:
        side, seeds = self.sides[place], [self.setting.seed] if begins else None
        rewards = np.array([each.reward for each in self.sides])
        situation = situation_of(self.runs, rewards).of(place)
        given = ask(side.scheduler, situation, int(self.runs.done_intervals[0]), begins=seeds)
        side.proposed = situation.base.replace(**{name: getattr(given, name) for name in given.knobs})

    def _note(self) -> None:
        distance = self.runs.evaluate().distance if self._parts.done else self.runs.quality.distance
        self.history.append([self.updates, *(self.entry(place, float(distance[place])) for place in range(SIDES))])

    def entry(self, place: int, distance: float) -> list[Any]:
        """What is kept of a side: distance, values of the knobs in the order of ``TURNED``, whether a hand holds it."""
        side = self.sides[place]
        now = side.controls.describe(0)
        values = [now[name] for name in TURNED]
        return [
            _short(distance),
            *(_short(each) if isinstance(each, float) else each for each in values),
            side.hand is not None,
        ]


def _short(number: float) -> float:
    return float(f"{number:.4g}")


def _single(name: str, find: Callable[[str], Scheduler]) -> Scheduler:
    scheduler = find(name)
    if scheduler.members > 1:
        raise InvalidValueError(
            f"scheduler {name!r} trains {scheduler.members} GANs for each run; take one that trains one"
        )
    return scheduler
