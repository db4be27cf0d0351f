"""The conformance check of schedulers."""

import copy
from typing import Any

import numpy as np

from metagan_rl.agents.scheduler import Scheduler, Situation, make_scheduler
from metagan_rl.controls import Controls
from metagan_rl.envs.runs import Runs
from metagan_rl.errors import MetaGANError
from metagan_rl.tasks import get_suite
from metagan_rl.testing.errors import ConformanceError

_INTERVALS = 4


def check_scheduler(name_or_scheduler: str | Scheduler | type[Scheduler], *, seed: int = 0) -> None:
    """Checks that a scheduler does what environments, benchmark and users' loops rely on.

    Drives it for a few intervals over real GAN runs, one and three at once, and checks that it gives ``Controls``
    within their ranges for every run, gives the same ones when begun anew with the same seed, and leaves what it was
    shown as it was.

    Args:
        name_or_scheduler: a registered name, or a scheduler, or its class.
        seed: of the runs, and of a scheduler that draws at random.

    Raises:
        ConformanceError: there are problems; its message and its ``problems`` list them.
        UnknownNameError: no scheduler of that name is registered.
    """
    subject = name_or_scheduler if isinstance(name_or_scheduler, str) else _name(name_or_scheduler)
    problems: list[str] = []
    if isinstance(name_or_scheduler, str):
        scheduler: Any = make_scheduler(name_or_scheduler)
    else:
        scheduler = name_or_scheduler() if isinstance(name_or_scheduler, type) else name_or_scheduler
    if not isinstance(scheduler, Scheduler):
        raise ConformanceError(
            f"scheduler {subject}", ["it is no Scheduler; derive it from metagan_rl.agents.Scheduler"]
        )
    if not (isinstance(scheduler.source, str) and scheduler.source):
        problems.append("it has no source; say in `source` where the rule is from, if only 'folklore'")
    for count in (1, 3):
        _drive(scheduler, count, seed, problems)
    if problems:
        raise ConformanceError(f"scheduler {subject}", list(dict.fromkeys(problems)))


def _name(scheduler: Any) -> str:
    return (scheduler if isinstance(scheduler, type) else type(scheduler)).__name__


def _drive(scheduler: Scheduler, count: int, seed: int, problems: list[str]) -> None:
    traces = []
    for _ in range(2):
        runs = Runs(
            get_suite("planar").split("train")[:count], range(seed, seed + count), interval_updates=12, horizon=4
        )
        trace, reward = [], np.zeros(count)
        try:
            scheduler.begin(range(seed, seed + count))
            for interval in range(_INTERVALS):
                situation = Situation(runs.signals(), runs.base_controls(), runs.controls, reward, runs.base_rates())
                shown = copy.deepcopy(situation)
                controls = scheduler.step(situation)
                if not isinstance(controls, Controls) or len(controls) != count:
                    problems.append(
                        f"step gave {controls!r} in interval {interval}; it must give Controls for all runs"
                    )
                    return
                if not _same(shown, situation):
                    problems.append("it changed what it was shown; work on copies")
                trace.append(controls)
                reward = runs.advance(controls).reward
        except MetaGANError as error:
            problems.append(f"in interval {len(trace)} with {count} runs: {error}")
            return
        except Exception as error:  # whatever a user's code raises is a finding
            problems.append(f"in interval {len(trace)} with {count} runs it raised {type(error).__name__}: {error}")
            return
        traces.append(trace)
    for one, other in zip(*traces, strict=True):
        if not all(np.array_equal(value, getattr(other, name)) for name, value in vars(one).items()):
            problems.append("begun anew with the same seed it gave other controls; forget everything in begin(seeds)")
            return


def _same(one: Situation, other: Situation) -> bool:
    pairs = [(one.signals[name], other.signals.get(name)) for name in one.signals]
    for part in ("base", "controls"):
        pairs += [(value, vars(getattr(other, part))[name]) for name, value in vars(getattr(one, part)).items()]
    return all(np.array_equal(a, b, equal_nan=True) for a, b in pairs if b is not None)
