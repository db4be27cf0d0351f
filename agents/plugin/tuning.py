"""``tune_gan``: searches the knobs of a user's own loop with Optuna, and stops bad runs early."""

import math
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from metagan_rl.errors import InvalidValueError, MissingDependencyError
from metagan_rl.files import write_whole
from metagan_rl.records import line_of

Range = tuple[float, float] | Sequence[Any]
"""A tuple of the lowest and the highest number, searched on a logarithmic scale; or a list of choices."""
KNOBS: Mapping[str, Range] = {
    "generator_lr_factor": (1 / 30, 30.0),
    "discriminator_lr_factor": (1 / 30, 30.0),
    "decay": (1.0, 30.0),
}
"""Knobs that are searched by default. ``decay`` is what both rates are divided by at the end of the run."""
PRIOR: tuple[Mapping[str, float], ...] = (
    {"generator_lr_factor": 1.0, "discriminator_lr_factor": 1.0, "decay": 1.0},
    {"generator_lr_factor": 1.0, "discriminator_lr_factor": 1.0, "decay": 3.0},
    {"generator_lr_factor": 3.0, "discriminator_lr_factor": 3.0, "decay": 3.0},
    {"generator_lr_factor": 1 / 3, "discriminator_lr_factor": 1 / 3, "decay": 3.0},
    {"generator_lr_factor": 1.0, "discriminator_lr_factor": 2.5, "decay": 3.0},
)
"""What is tried first: the loop as it is, then the tuned decay of this package at three rates, and its faster D. These
are shares of a tuned schedule that carry over; its absolute rates do not."""
STARTUP = 3
"""Runs that are finished before any is stopped early."""
FAILED = 1e30
"""The distance of a run that failed."""

MakeRun = Callable[[dict[str, Any]], Iterable[float]]


@dataclass(frozen=True)
class TunedGAN:
    """What a search found.

    Attributes:
        knobs: the best values, by name.
        distance: the last distance of the run with them.
        rows: one for each run: its knobs, its distances, whether it was stopped early, and its error if it failed.
        spent: how many whole runs all runs together were worth.
    """

    knobs: dict[str, Any]
    distance: float
    rows: list[dict[str, Any]] = field(repr=False)
    spent: float


def tune_gan(
    make_run: MakeRun,
    budget: float,
    *,
    knobs: Mapping[str, Range] = KNOBS,
    prior: Sequence[Mapping[str, Any]] = PRIOR,
    seed: int = 0,
    out: "str | Path | None" = None,
    show: Callable[[str], None] = lambda line: None,
) -> TunedGAN:
    """Searches the knobs of a loop of your own.

    Optuna proposes values. A run is stopped early if its distance is worse than the median of the earlier runs at the
    same point. What is left of the budget then goes to other runs.

    Args:
        make_run: gets the knobs' values by name, and returns an iterable that trains while it is iterated over, and
            gives a distance (lower is better, for instance a :class:`QualityMeter`'s) now and then: a generator
            function. All runs must give equally many distances.
        budget: how many whole runs the search may cost, at least 1.
        knobs: what is searched: a tuple is a range of positive numbers, a list holds choices. Names are yours.
        prior: values to try first, those of them that are in ``knobs``. Entries with a value that a range or the
            choices do not allow are left out.
        seed: of the search.
        out: a file for the rows, as JSON lines, written after each run; ``None`` for none.
        show: gets a line after each run.

    Raises:
        MissingDependencyError: Optuna is not installed.
        InvalidValueError: a range or the budget is not one, or the first run gave no distance.
        Exception: whatever the first run raised. Later runs that raise count as failed.
    """
    _check(knobs, budget)
    try:
        import optuna
    except ImportError:
        raise MissingDependencyError("optuna", "tune", "tune_gan") from None
    optuna.logging.set_verbosity(optuna.logging.WARNING)
    study = optuna.create_study(
        sampler=optuna.samplers.TPESampler(seed=seed, n_startup_trials=max(5, len(prior))),
        pruner=optuna.pruners.MedianPruner(n_startup_trials=STARTUP),
    )
    for values in prior:
        own = {name: value for name, value in values.items() if name in knobs}
        if own and all(_allows(knobs[name], value) for name, value in own.items()):
            study.enqueue_trial(own, skip_if_exists=True)
    rows: list[dict[str, Any]] = []
    length = spent = 0
    while not length or spent < budget * length:
        trial = study.ask()
        values = {name: _suggest(trial, name, among) for name, among in knobs.items()}
        left = math.inf if not length else math.floor(budget * length) - spent
        row = _run(make_run, values, trial, left, first=not rows)
        distances = row["distances"]
        length, spent = length or len(distances), spent + max(1, len(distances))
        if row["stopped"]:
            study.tell(trial, state=optuna.trial.TrialState.PRUNED)
        else:
            study.tell(trial, distances[-1] if distances and not row["error"] else FAILED)
        rows.append(row)
        if out is not None:
            write_whole(out, "".join(map(line_of, rows)))
        best = _best(rows)
        least = best["distances"][-1]
        show(f"run {len(rows)}, {spent / length:.1f} of {budget:g}: best {least:.4g} with {best['knobs']}")
    best = _best(rows)
    return TunedGAN(dict(best["knobs"]), best["distances"][-1], rows, spent / length)


def _run(make_run: MakeRun, values: dict[str, Any], trial: Any, left: float, *, first: bool) -> dict[str, Any]:
    """One run, until its end, until it is stopped, or until nothing is left of the budget."""
    row: dict[str, Any] = {"knobs": values, "distances": [], "stopped": False, "error": ""}
    try:
        distances = make_run(dict(values))
        if not isinstance(distances, Iterable):
            raise InvalidValueError(
                f"make_run returned {distances!r}; it must return an iterable of distances: write yield in it"
            )
        for distance in distances:
            number = _number(distance)
            row["distances"].append(number if math.isfinite(number) else FAILED)
            trial.report(row["distances"][-1], len(row["distances"]))
            if trial.should_prune() or len(row["distances"]) >= left:
                row["stopped"] = True
                break
    except Exception as error:
        if first:
            raise
        row["error"] = f"{type(error).__name__}: {error}"
    if first and not row["distances"]:
        raise InvalidValueError("the first run gave no distance; make_run must return an iterable that yields some")
    return row


def _number(distance: Any) -> float:
    try:
        return float(distance)
    except (TypeError, ValueError):
        raise InvalidValueError(
            f'make_run yielded {distance!r:.80}; it must yield one number at a time, such as meter(samples)["distance"]'
        ) from None


def _best(rows: Sequence[dict[str, Any]]) -> dict[str, Any]:
    """The best run that went to its end."""
    whole = max(len(row["distances"]) for row in rows)
    ended = [row for row in rows if len(row["distances"]) == whole and not row["error"]]
    return min(ended or rows[:1], key=lambda row: row["distances"][-1])


def _suggest(trial: Any, name: str, among: Range) -> Any:
    if isinstance(among, tuple):
        return trial.suggest_float(name, *among, log=True)
    return trial.suggest_categorical(name, list(among))


def _allows(among: Range, value: Any) -> bool:
    return among[0] <= value <= among[1] if isinstance(among, tuple) else value in list(among)


def _check(knobs: Mapping[str, Range], budget: float) -> None:
    if not (isinstance(budget, int | float) and budget >= 1):
        raise InvalidValueError(f"budget is {budget!r}; it must be at least 1 whole run")
    if not isinstance(knobs, Mapping):
        raise InvalidValueError(f"knobs are {knobs!r}; give a range or choices for each name, as {{name: (low, high)}}")
    if not knobs:
        raise InvalidValueError("knobs are empty; name at least one")
    for name, among in knobs.items():
        is_range = isinstance(among, tuple)
        if is_range and not (len(among) == 2 and 0 < among[0] < among[1] < math.inf):
            raise InvalidValueError(
                f"knob {name!r} has the range {among}; give two positive numbers, or a list of choices"
            )
        if not is_range and not list(among):
            raise InvalidValueError(f"knob {name!r} has no choices")
