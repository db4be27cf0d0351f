"""The conditions under which schedulers are compared: what differs from the tasks that they were trained on."""

from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from typing import Any

from metagan_rl.tasks import Event, Hidden, Task, get_suite

TUNED: dict[str, Any] = {"generator_lr": 1.6e-3, "discriminator_lr": 4e-3}
"""Base rates of all tasks, so that every schedule can reach the same rates."""


def under(base: dict[str, Any] | None = None, networks: dict[str, Any] | None = None, **changes: Any) -> "Change":
    """A change of tasks: of their base, their networks, or other fields."""

    def change(task: Task) -> Task:
        return replace(
            task,
            base=replace(task.base, **TUNED, **(base or {})),
            networks=replace(task.networks, **(networks or {})),
            **changes,
        )

    return change


Change = Callable[[Task], Task]
AT_TUNED_RATES: Change = under()


def hiding(hidden: Hidden | None) -> "Change":
    """Tasks at their own rates, with something else hidden in them."""
    return lambda task: replace(task, hidden=hidden)


@dataclass(frozen=True)
class Condition:
    """Some tasks of a suite, changed.

    Attributes:
        name: of its rows.
        suite: of its tasks.
        tag: only tasks with this tag; ``None`` for all.
        change: what is different.
        only_test: whether its tasks are in the test split alone; when others are chosen from, it is left out.
    """

    name: str
    suite: str = "planar"
    tag: str | None = None
    change: Change = AT_TUNED_RATES
    only_test: bool = False

    def tasks(self, split: str, count: int) -> list[Task]:
        """At most ``count`` tasks, spread over the split."""
        found = [task for task in get_suite(self.suite).split(split) if self.tag in (None, task.tag)]
        chosen = [found[place * len(found) // count] for place in range(count)] if len(found) > count else found
        return [self.change(task) for task in chosen]


def _hidden(generator: float = 1.0, discriminator: float = 1.0, **events: Any) -> Hidden:
    return Hidden(generator, discriminator, (Event(**events),) if events else ())


KNOWN = "known-family"
CONDITIONS: tuple[Condition, ...] = (
    Condition("as trained", tag=KNOWN),
    Condition("held-out families", tag="held-out-family", only_test=True),
    Condition("G's rate x8, hidden", tag=KNOWN, change=under(hidden=_hidden(generator=8.0))),
    Condition("D's rate x8, hidden", tag=KNOWN, change=under(hidden=_hidden(discriminator=8.0))),
    Condition("both rates x8, hidden", tag=KNOWN, change=under(hidden=_hidden(8.0, 8.0))),
    Condition("both rates /8, hidden", tag=KNOWN, change=under(hidden=_hidden(1 / 8, 1 / 8))),
    Condition("G's rate jumps x15", tag=KNOWN, change=under(hidden=_hidden(at=0.5, generator_lr=15.0))),
    Condition("beta1 .9", tag=KNOWN, change=under({"beta1": 0.9})),
    Condition("beta1 .9, batch 32, 768 updates", tag=KNOWN, change=under({"beta1": 0.9, "batch_size": 32}, budget=768)),
    Condition(
        "all of these, G's rate x8",
        tag=KNOWN,
        change=under({"beta1": 0.9, "batch_size": 32}, budget=768, hidden=_hidden(generator=8.0)),
    ),
    Condition("768 updates", tag=KNOWN, change=under(budget=768)),
    Condition("12,288 updates", tag=KNOWN, change=under(budget=12288)),
    Condition("batch 32", tag=KNOWN, change=under({"batch_size": 32})),
    Condition("batch 512", tag=KNOWN, change=under({"batch_size": 512})),
    Condition("width 128", tag=KNOWN, change=under(networks={"width": 128})),
    Condition("depth 4", tag=KNOWN, change=under(networks={"depth": 4})),
    Condition("64 rows", tag=KNOWN, change=under(shots=64)),
    Condition("tables", "tabular"),
    Condition("digits", "digits"),
    Condition("digits, G's rate x8, hidden", "digits", change=under(hidden=_hidden(generator=8.0))),
    Condition("MNIST, convolutions", "mnist"),
    Condition("Fashion-MNIST, convolutions", "fashion-mnist"),
    *(
        Condition(f"wide: {tag}", "wide", tag, only_test=tag != KNOWN)
        for tag in (
            KNOWN, "held-out-family", "other-width", "other-depth", "other-activation", "other-batch", "other-beta",
            "other-budget", "few-rows",
        )
    ),
    Condition("own loops: as they come", "wide-loops", change=lambda task: task),
    Condition("own loops: well set", "wide-loops", change=hiding(None)),
    Condition("own loops: both rates /10", "wide-loops", change=hiding(_hidden(0.1, 0.1))),
    Condition("own loops: both rates x10", "wide-loops", change=hiding(_hidden(10.0, 10.0))),
    Condition("own loops: G's rate x10", "wide-loops", change=hiding(_hidden(generator=10.0))),
)  # fmt: skip
"""All conditions. "As trained" is what ``tuned-decay`` was tuned on; tags of ``wide`` name whole values held out. "Own
loops" have losses, ratios, penalties and schedules of their own; their reference is ``users-own``."""
OWN_LOOPS = "own loops"
"""How the names of these begin."""


def find_condition(name: str) -> Condition:
    """The condition of that name."""
    return next(each for each in CONDITIONS if each.name == name)


def find_conditions(split: str, names: Sequence[str] = ()) -> list[Condition]:
    """The conditions that a split has, but for own loops; or those whose names contain one of these."""
    there = [each for each in CONDITIONS if split == "test" or not each.only_test]
    if not names:
        return [each for each in there if not each.name.startswith(OWN_LOOPS)]
    return [each for each in there if any(name in each.name for name in names)]
