"""What a benchmark comes to, in one sentence and one picture: which scheduler to use, and how sure that is.

Schedulers are compared in pairs, on the tasks that all of them have. "Clearly" means that the 95 % interval of the
ratio of distances, over tasks, excludes 1. What others are held against is the best *fixed* schedule, whose course is
settled before a run begins. That is what a user can have without any of this.
"""

from collections.abc import Collection, Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

from metagan_rl.experiments.benchmark.references import ORACLE
from metagan_rl.experiments.benchmark.row import Cell, Row
from metagan_rl.experiments.report.ranking import Ranking
from metagan_rl.experiments.report.statistics import UNKNOWN, Estimate, geometric, paired_ratio
from metagan_rl.experiments.report.summary import by_scheduler, distances_of, in_order, known

NAMED = 3
"""Most names in a list; of the others only the number is told."""
Distances = Mapping[Cell, float]


@dataclass(frozen=True)
class Conclusion:
    """What to use, and how sure that is.

    Attributes:
        sentence: the conclusion in words.
        reference: the scheduler that all others are compared with; empty if nothing can be compared.
        settled: whether the reference is a fixed schedule. If there is none, it is the one with the lowest distance.
        ratios: each scheduler's ratio of distances to the reference's, lowest distance first; the reference's own is
            unknown.
        tasks: number of tasks that are compared on.
        pair: the two schedulers that the sentence is about, the better one first; empty if it is about none.
        tiers: the ratio of these two by tag, with the number of tasks.
    """

    sentence: str
    reference: str = ""
    settled: bool = False
    ratios: Mapping[str, Estimate] = field(default_factory=dict)
    tasks: int = 0
    pair: tuple[str, ...] = ()
    tiers: Mapping[str, tuple[Estimate, int]] = field(default_factory=dict)


def unfinished(config: Mapping[str, Any], rows: Iterable[Row]) -> str:
    """A sentence on the runs that are missing if a benchmark was stopped or some of its runs failed; ``""`` if none.

    Args:
        config: what :func:`metagan_rl.experiments.benchmark.records.read_config` gives.
        rows: the rows that are there.
    """
    begun = config.get("runs") or {"there": 0, "missing": 0}
    there = len({row.key for row in rows if row.error is None})
    wanted = begun["there"] + begun["missing"]
    if there >= wanted:
        return ""
    return f"Unfinished: {there} of {wanted} runs are there. Run the command again to go on."


def conclude(rows: Iterable[Row], ranking: Ranking, fixed: Collection[str]) -> Conclusion:
    """Draws the conclusion.

    Args:
        rows: as ``read_rows`` gives them.
        ranking: made of the same rows; schedulers that it lists apart are left out.
        fixed: names of the schedulers whose course is settled before a run begins.
    """
    rows = list(rows)
    distances = _comparable(rows, ranking)
    if not distances:
        if any(standing.runs for standing in ranking.standings):
            return Conclusion("Nothing can be concluded: these schedulers have no task in common.")
        return Conclusion("Nothing can be concluded: no run ended without an error.")
    order = sorted(distances, key=lambda name: (geometric(distances[name]), name))
    usable = [name for name in order if name != ORACLE]
    tasks = len({task for task, _ in distances[order[0]]})
    if len(usable) < 2:
        return Conclusion(f"Only {[*usable, ORACLE][0]} was run, so there is nothing to compare it with.", tasks=tasks)
    settled = next((name for name in usable if name in fixed), None)
    reference = settled or usable[0]
    ratios = {name: _ratio(distances[name], distances[reference]) for name in order}
    if not any(known(ratios[name].value) for name in usable if name != reference):
        return Conclusion("Nothing can be concluded: these schedulers have no run in common.")
    sentence, pair = _sentence(usable, reference, settled is not None, ratios, distances, tasks)
    tags = {row.cell: row.tag for row in rows}
    return Conclusion(
        sentence,
        reference,
        settled is not None,
        {**ratios, reference: UNKNOWN},
        tasks,
        pair,
        _by_tag(distances[pair[0]], distances[pair[1]], tags),
    )


def _comparable(rows: Sequence[Row], ranking: Ranking) -> dict[str, Distances]:
    """The distances of the ranked schedulers, on the tasks that all of them have."""
    sound, _ = by_scheduler(rows)
    names = [standing.scheduler for standing in ranking.standings if standing.runs and not standing.apart]
    common = set.intersection(*({task for task, _ in sound[name]} for name in names)) if names else set()
    return {
        name: {cell: distance for cell, distance in distances_of(sound[name]).items() if cell[0] in common}
        for name in names
    }


def _sentence(
    usable: Sequence[str],
    reference: str,
    settled: bool,
    ratios: Mapping[str, Estimate],
    distances: Mapping[str, Distances],
    tasks: int,
) -> tuple[str, tuple[str, str]]:
    """The conclusion in words, and the two schedulers that it is about."""
    over = f"over {tasks} task{'' if tasks == 1 else 's'}"
    what = "the best fixed schedule" if settled else "which has the lowest distance"
    others = [name for name in usable if name != reference and known(ratios[name].value)]
    better = [name for name in others if ratios[name].high < 1]
    if better:
        best = better[0]
        rivals = [each for each in usable if each != best and not _ratio(distances[best], distances[each]).high < 1]
        told = f"Use {best}: its final distance is {_brief(ratios[best])} of that of {reference}, {what}, {over}."
        return f"{told} {_rivals(rivals)}", (best, reference)
    rivals = [name for name in others if not ratios[name].low > 1]
    if not rivals:
        ratio = _ratio(distances[reference], distances[others[0]])
        kind = ", a fixed schedule" if settled else ""
        told = f"Use {reference}{kind}: its final distance is {_brief(ratio)} of that of {others[0]}, the next best, "
        return f"{told}{over}. {_rivals([])}", (reference, others[0])
    first = rivals[0]
    if len(rivals) == len(others):
        told = f"These schedulers cannot be told apart {over}. {first} comes to {_brief(ratios[first])} of the distance"
        return f"{told} of {reference}, {what}.", (first, reference)
    told = f"Use {reference}, {what}, {over}: nothing is clearly better. {_listed(rivals)} cannot be told from it; "
    return f"{told}{first} comes to {_brief(ratios[first])} of its distance.", (first, reference)


def _rivals(names: Sequence[str]) -> str:
    if not names:
        return "It is clearly better than everything else."
    return f"{_listed(names)} {'is' if len(names) == 1 else 'are'} not clearly worse; everything else is."


def _listed(names: Sequence[str]) -> str:
    if len(names) > NAMED:
        return f"{', '.join(names[:NAMED])} and {len(names) - NAMED} more"
    return " and ".join(filter(None, [", ".join(names[:-1]), names[-1]]))


def _brief(ratio: Estimate) -> str:
    return f"{ratio.value:.2f}" + (f" [{ratio.low:.2f}, {ratio.high:.2f}]" if known(ratio.low) else "")


def _ratio(own: Distances, other: Distances) -> Estimate:
    return paired_ratio(own, other) if own.keys() & other.keys() else UNKNOWN


def _by_tag(own: Distances, other: Distances, tags: Mapping[Cell, str]) -> dict[str, tuple[Estimate, int]]:
    both = [cell for cell in own if cell in other]
    by_tag = {tag: {cell: own[cell] for cell in both if tags[cell] == tag} for tag in in_order(tags.values())}
    return {tag: (paired_ratio(some, other), len({task for task, _ in some})) for tag, some in by_tag.items() if some}
