"""What is available, line by line: the work of ``metagan-rl list``."""

from collections.abc import Callable
from typing import Any

from metagan_rl.extensions import load_entry_points


def listing(what: str) -> list[str]:
    """A line for each thing of a kind in ``KINDS``, those of users too."""
    load_entry_points()
    return KINDS[what]()


def _environments() -> list[str]:
    from metagan_rl.envs.registration import ENVIRONMENTS

    return [f"{name}  (suite {suite})" for name, suite in ENVIRONMENTS.items()]


def _suites() -> list[str]:
    from metagan_rl.tasks import SUITES, get_suite

    suites = [get_suite(name) for name in SUITES]
    sizes = [", ".join(f"{split} {len(tasks)}" for split, tasks in suite.splits.items()) for suite in suites]
    return [f"{s.name}  v{s.version}  {size}: {s.description}" for s, size in zip(suites, sizes, strict=True)]


def _schedulers() -> list[str]:
    from metagan_rl.agents.catalogue import kind_of, scheduler_names
    from metagan_rl.loop import SCHEDULERS

    return [f"{name}  ({kind_of(name)}) {_first_line(SCHEDULERS[name])}" for name in scheduler_names()]


def _policies() -> list[str]:
    from metagan_rl.agents.learners.shipped import shipped_policies

    return shipped_policies() or ["no policy is shipped yet; metagan-rl train makes one"]


def _algorithms() -> list[str]:
    from metagan_rl.agents.learners.catalogue import learner_names
    from metagan_rl.agents.learners.learner import LEARNERS

    return [f"{name}  {_first_line(LEARNERS[name])}" for name in learner_names()]


def _knobs() -> list[str]:
    from metagan_rl.loop import KNOBS

    return [
        f"{knob.name}  {knob.meaning}; {len(knob.levels)} levels{'' if knob.default else '; off by default'}"
        for knob in KNOBS.values()
    ]


def _signals() -> list[str]:
    from metagan_rl.loop import choose_signals

    return [f"{signal.name}  ({signal.needs}) {signal.meaning}" for signal in choose_signals("all")]


def _losses() -> list[str]:
    from metagan_rl.losses import LOSSES

    return [
        f"{name}  penalty {loss.penalty}; {loss.source}" for name, loss in zip(LOSSES, LOSSES.values(), strict=True)
    ]


def _metrics() -> list[str]:
    from metagan_rl.metrics import METRICS

    return [
        f"{metric.name}  {metric.label}; {metric.better or 'neither way'} is better; a diverged run gets "
        f"{metric.worst:g}"
        for metric in METRICS.values()
    ]


def _networks() -> list[str]:
    from metagan_rl.networks.base import NETWORKS, find_networks

    find_networks("mlp")
    return list(NETWORKS)


def _families() -> list[str]:
    from metagan_rl.tasks import FAMILIES

    return [f"{name}  {_first_line(type(FAMILIES[name]))}" for name in FAMILIES]


def _first_line(thing: Any) -> str:
    return ((thing.__doc__ or "").strip().splitlines() or [""])[0]


KINDS: dict[str, Callable[[], list[str]]] = {
    "environments": _environments,
    "suites": _suites,
    "schedulers": _schedulers,
    "policies": _policies,
    "knobs": _knobs,
    "losses": _losses,
    "metrics": _metrics,
    "signals": _signals,
    "algorithms": _algorithms,
    "networks": _networks,
    "families": _families,
}
"""What can be listed."""
