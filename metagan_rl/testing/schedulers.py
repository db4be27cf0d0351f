"""The conformance check of schedulers."""

import copy
from collections.abc import Callable
from typing import Any

import numpy as np

from metagan_rl.agents.catalogue import make_scheduler
from metagan_rl.errors import MetaGANError
from metagan_rl.loop.controls import Controls
from metagan_rl.loop.drive import member_seed, situation_of
from metagan_rl.loop.runs import Runs
from metagan_rl.loop.scheduler import Scheduler, Situation, checked_sources
from metagan_rl.tasks import get_suite
from metagan_rl.testing.errors import ConformanceError

_INTERVALS = 4
SOURCES = "sources"


def check_scheduler(name_or_scheduler: str | Scheduler | type[Scheduler], *, seed: int = 0) -> None:
    """Checks that a scheduler does what environments, the benchmark and users' loops rely on.

    Drives it for a few intervals over real GAN runs, first one and then three at once. It must return ``Controls``
    within their ranges for every run. Begun anew with the same seed, it must return the same ones. It must not change
    what it is shown. A scheduler with several members gets as many GANs for each run, and may copy only within a run.

    Args:
        name_or_scheduler: a registered name, a scheduler, or a scheduler's class.
        seed: seed of the runs, and of a scheduler that draws at random.

    Raises:
        ConformanceError: there are problems. Its message and its ``problems`` list them.
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
            f"scheduler {subject}", ["it is not a Scheduler; derive it from metagan_rl.agents.Scheduler"]
        )
    if not (isinstance(scheduler.source, str) and scheduler.source):
        problems.append("it has no source; say in `source` where the rule is from, if only 'folklore'")
    for name, least in (("members", 1), ("cost", 0)):
        value = getattr(scheduler, name)
        if isinstance(value, bool) or not isinstance(value, (int, np.integer)) or value < least:
            problems.append(f"its {name} is {value!r}; it must be a whole number, at least {least}")
    if not any(problem.startswith("its members") for problem in problems):
        for count in (1, 3):
            _drive(scheduler, count, seed, problems)
    if problems:
        raise ConformanceError(f"scheduler {subject}", list(dict.fromkeys(problems)))


def _name(scheduler: Any) -> str:
    return (scheduler if isinstance(scheduler, type) else type(scheduler)).__name__


def _drive(scheduler: Scheduler, count: int, seed: int, problems: list[str]) -> None:
    traces = []
    members = scheduler.members
    tasks = [task for task in get_suite("planar").split("train")[:count] for _ in range(members)]
    seeds = [member_seed(own, member) for own in range(seed, seed + count) for member in range(members)]
    for _ in range(2):
        runs = Runs(tasks, seeds, interval_updates=12, horizon=_INTERVALS)
        trace: list[dict[str, np.ndarray]] = []
        reward = np.zeros(len(runs))
        try:
            scheduler.begin(seeds)
            for interval in range(_INTERVALS):
                sources = np.arange(len(runs))
                if interval and members > 1:
                    given = _watched(scheduler.exploit, runs, reward, problems)
                    if given is not None:
                        sources = checked_sources(given, len(runs), members)
                        runs.copy(sources)
                        reward = reward[sources]
                controls = _watched(scheduler.step, runs, reward, problems)
                if not isinstance(controls, Controls) or len(controls) != len(runs):
                    whose = "runs" if members == 1 else f"{len(runs)} GANs of all runs"
                    problems.append(
                        f"step gave {controls!r} in interval {interval}; it must give Controls for all {whose}"
                    )
                    return
                trace.append({**_values(controls), SOURCES: sources})
                reward = runs.advance(controls).reward
        except MetaGANError as error:
            problems.append(f"in interval {len(trace)} with {count} runs: {error}")
            return
        except Exception as error:  # anything that a user's code raises is a finding
            problems.append(f"in interval {len(trace)} with {count} runs it raised {type(error).__name__}: {error}")
            return
        traces.append(trace)
    for one, other in zip(*traces, strict=True):
        changed = [name for name in one.keys() | other.keys() if not _equal(one.get(name), other.get(name))]
        if changed:
            what = "copies" if changed == [SOURCES] else "controls"
            problems.append(f"begun again with the same seed, it gave other {what}; forget everything in begin(seeds)")
            return


def _watched(ask: Callable[[Situation], Any], runs: Runs, reward: np.ndarray, problems: list[str]) -> Any:
    """The scheduler's answer to the situation. Records a problem if it changed the situation."""
    situation = situation_of(runs, reward)
    shown = copy.deepcopy(situation)
    answer = ask(situation)
    if not _same(shown, situation):
        problems.append("it changed what it was shown; work on copies")
    return answer


def _same(one: Situation, other: Situation) -> bool:
    pairs: list[tuple[Any, Any]] = [(one.reward, other.reward), (one.rates, other.rates)]
    pairs += [(one.signals[name], other.signals.get(name)) for name in one.signals]
    for part in ("base", "controls"):
        before, after = _values(getattr(one, part)), _values(getattr(other, part))
        pairs += [(value, after[name]) for name, value in before.items()]
    return all(np.array_equal(a, b, equal_nan=True) for a, b in pairs if b is not None)


def _values(controls: Controls) -> dict[str, np.ndarray]:
    return {name: getattr(controls, name) for name in controls.knobs}


def _equal(one: np.ndarray | None, other: np.ndarray | None) -> bool:
    return one is not None and other is not None and np.array_equal(one, other)
