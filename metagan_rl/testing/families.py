"""The conformance check of families."""

import json
import re
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from typing import Any

import numpy as np

from metagan_rl.errors import InvalidValueError, MetaGANError, MissingDependencyError
from metagan_rl.tasks import FAMILIES, Family, Modes, Task
from metagan_rl.testing.errors import ConformanceError

# An odd number, to find families that draw two halves and lose a point.
_COUNT = 2047
_MIN_ROWS = 8
_NAME = re.compile(r"[a-z0-9]+(-[a-z0-9]+)*")


def check_family(name_or_family: str | Family | type[Family], *, draws: int = 8, seed: int = 0) -> None:
    """Checks that a GAN can be trained on a family's tasks, and measured against them.

    Draws some distributions and checks four things. Parameters must be JSON-able, and equal from the same generator.
    Points or rows must have the right shape, be finite, have no constant column, be enough, be equal from the same
    generator, and come in an order without meaning. Modes must be a proper mixture that lies where the points are.
    The standardised data of a task must be sound.

    Args:
        name_or_family: a registered name, a family (registered or not), or a family's class.
        draws: distributions to draw, at least 1.
        seed: fixes the draws.

    Raises:
        ConformanceError: there are problems. Its message and its ``problems`` list all of them with remedies.
        UnknownNameError: no family of that name is registered.
        InvalidValueError: the argument is not a family, or ``draws`` is less than 1.
        MissingDependencyError: the family needs a library that is not installed.
    """
    if draws < 1:
        raise InvalidValueError(f"draws is {draws!r}; it must be at least 1")
    family, name = _find(name_or_family)
    problems = _Problems(draws)
    if name is not None and not _NAME.fullmatch(name):
        problems.add(
            "name", f"the name {name!r} is malformed; use lower-case words joined by hyphens, like 'swiss-roll'"
        )
    if family.standardise not in ("columns", "whole", "none"):
        problems.add("standardise", f"standardise is {family.standardise!r}; it must be 'columns', 'whole' or 'none'")
    with _registered(family, name) as label:
        for draw in range(draws):
            problems.begin(draw)
            _check_draw(family, label, [seed, draw], problems)
    if problems.found:
        subject = type(family).__name__ if name is None else repr(name)
        raise ConformanceError(f"family {subject}", problems.lines())


class _Problems:
    """Problems by kind. Of each kind it keeps the first problem, and in how many draws the kind occurred."""

    def __init__(self, draws: int) -> None:
        self.draws = draws
        self.draw: int | None = None
        self.clean = True
        self.parameters: Any = None
        self.found: dict[str, tuple[str, set[int]]] = {}

    def begin(self, draw: int) -> None:
        self.draw, self.parameters, self.clean = draw, None, True

    def add(self, kind: str, message: str) -> None:
        self.clean = False
        if kind not in self.found:
            if self.parameters is not None:
                message += f"; parameters were {_short(self.parameters)}"
            self.found[kind] = (message, set())
        if self.draw is not None:
            self.found[kind][1].add(self.draw)

    def lines(self) -> list[str]:
        return [
            message + (f" (in {len(seen)} of {self.draws} draws)" if seen else "")
            for message, seen in self.found.values()
        ]

    @contextmanager
    def calling(self, what: str) -> Iterator[None]:
        """Turns an error in the family's own code into a problem, and skips the checks that depend on the call."""
        try:
            yield
        except (MissingDependencyError, _Stop):
            raise
        except Exception as error:
            self.add(f"{what} raises", f"{what} raised {type(error).__name__}: {error}")
            raise _Stop from error

    def stop(self, kind: str, message: str) -> "_Stop":
        self.add(kind, message)
        return _Stop()


class _Stop(Exception):  # noqa: N818 (it ends the checks of one draw and never leaves this module)
    pass


def _find(name_or_family: Any) -> tuple[Family, str | None]:
    if isinstance(name_or_family, str):
        return FAMILIES[name_or_family], name_or_family
    if isinstance(name_or_family, type) and issubclass(name_or_family, Family):
        registered = [name for name in FAMILIES if type(FAMILIES[name]) is name_or_family]
        if len(registered) == 1:
            return FAMILIES[registered[0]], registered[0]
        try:
            return name_or_family(), None
        except TypeError as error:
            raise InvalidValueError(f"{name_or_family.__name__} cannot be made ({error}); give an instance") from None
    if isinstance(name_or_family, Family):
        registered = [name for name in FAMILIES if FAMILIES[name] is name_or_family]
        return name_or_family, registered[0] if registered else None
    raise InvalidValueError(f"{name_or_family!r} is not a family; give a registered name or an instance of Family")


@contextmanager
def _registered(family: Family, name: str | None) -> Iterator[str]:
    """The family's name. A family without one gets one during the check, because tasks find families by name."""
    if name is not None:
        yield name
        return
    temporary = "family-under-check"
    FAMILIES.register(temporary, family)  # register_family would refuse what is to be told here
    try:
        yield temporary
    finally:
        FAMILIES.remove(temporary)


def _check_draw(family: Family, label: str, seed: list[int], problems: _Problems) -> None:
    try:
        with problems.calling("parameters(rng)"):
            parameters = family.parameters(np.random.default_rng(seed))
            again = family.parameters(np.random.default_rng(seed))
        problems.parameters = parameters
        _check_parameters(parameters, again, problems)
        with problems.calling("dimension(parameters)"):
            dim = family.dimension(parameters)
        if not isinstance(dim, int) or dim < 1:
            raise problems.stop("dim", f"the dimension is {dim!r}; it must be a whole number of at least 1")
        points = _check_points(family, parameters, dim, problems)
        _check_modes(family, parameters, points, dim, problems)
        if problems.clean:
            _check_task(family, Task(label, label, dim, parameters, seed=seed[1]), problems)
    except _Stop:
        pass


def _check_parameters(parameters: Any, again: Any, problems: _Problems) -> None:
    if not isinstance(parameters, Mapping):
        raise problems.stop(
            "parameters", f"parameters(rng) returned a {type(parameters).__name__}; return a dict, empty if need be"
        )
    try:
        there_and_back = json.loads(json.dumps(dict(parameters), allow_nan=False))
    except (TypeError, ValueError) as error:
        raise problems.stop(
            "parameters", f"parameters are not JSON-able ({error}); use Python numbers, strings, lists and dicts"
        ) from None
    if there_and_back != parameters:
        problems.add(
            "parameters", "parameters change on their way through JSON; use lists for tuples, strings as keys of dicts"
        )
    try:
        same = json.dumps(dict(again), sort_keys=True) == json.dumps(dict(parameters), sort_keys=True)
    except (TypeError, ValueError):
        same = False
    if not same:
        problems.add(
            "parameters differ",
            f"the same generator gave other parameters the second time ({_short(again)}); draw from rng only",
        )


def _check_points(family: Family, parameters: Mapping[str, Any], dim: int, problems: _Problems) -> np.ndarray:
    with problems.calling("rows(parameters)"):
        rows, again = family.rows(parameters), family.rows(parameters)
    what, given = "rows(parameters)", rows is not None
    if rows is None:
        what = f"points(parameters, {_COUNT}, rng)"
        with problems.calling("points(parameters, count, rng)"):
            rows = family.points(parameters, _COUNT, np.random.default_rng(1))
            again = family.points(parameters, _COUNT, np.random.default_rng(1))
    try:
        points, second = np.asarray(rows, dtype=np.float64), np.asarray(again, dtype=np.float64)
    except (TypeError, ValueError) as error:
        raise problems.stop("numbers", f"{what} gave no array of numbers ({error}); encode text as numbers") from None
    expected = ("N", dim) if given else (_COUNT, dim)
    if points.ndim != 2 or points.shape[1] != dim or (not given and len(points) != _COUNT):
        raise problems.stop(
            "shape",
            f"{what} gave shape {list(points.shape)}; expected [{expected[0]}, {dim}]: "
            "return one row per point, or correct dim",
        )
    if len(points) < _MIN_ROWS:
        count = "1 row" if len(points) == 1 else f"{len(points)} rows"
        raise problems.stop("rows", f"{what} gave {count}; at least {_MIN_ROWS} are needed to train on half of them")
    if not np.isfinite(points).all():
        bad = int((~np.isfinite(points)).any(axis=1).sum())
        raise problems.stop(
            "finite", f"{what} gave {bad} of {len(points)} rows with NaN or infinite values; drop or impute them"
        )
    if not np.array_equal(points, second):
        problems.add("points differ", f"{what} gave other values the second time; draw from the given rng only")
    constant = np.flatnonzero((points == points[0]).all(axis=0))
    if len(constant) and (family.standardise == "columns" or (family.standardise == "whole" and len(constant) == dim)):
        problems.add(
            "constant",
            f"column {', '.join(map(str, constant[:8]))} of {what} is constant; drop it, or standardise as a whole",
        )
    return points


def _check_modes(
    family: Family, parameters: Mapping[str, Any], points: np.ndarray, dim: int, problems: _Problems
) -> None:
    with problems.calling("modes(parameters)"):
        modes = family.modes(parameters)
    if modes is None:
        return
    if not isinstance(modes, Modes):
        raise problems.stop(
            "modes", f"modes(parameters) returned a {type(modes).__name__}; return Modes(centres, covariances, weights)"
        )
    count = len(modes.weights)
    shapes = {"centres": (count, dim), "covariances": (count, dim, dim), "weights": (count,)}
    for key, shape in shapes.items():
        value = np.asarray(getattr(modes, key))
        if count == 0 or value.shape != shape:
            raise problems.stop(
                f"modes {key}",
                f"{key} of the modes have shape {list(value.shape)}; expected {list(shape)}, 1 mode or more",
            )
        if not np.isfinite(value).all():
            raise problems.stop(f"modes {key}", f"{key} of the modes hold NaN or infinite values; correct modes()")
    weights, covariances = np.asarray(modes.weights), np.asarray(modes.covariances)
    if (weights <= 0).any() or abs(weights.sum() - 1.0) > 1e-6:
        problems.add(
            "weights",
            f"the smallest weight of the modes is {weights.min():.4g} and they sum to {weights.sum():.6g}; "
            "leave modes of weight 0 out and divide by the sum",
        )
    smallest = np.linalg.eigvalsh(covariances).min(axis=1)
    symmetric = np.allclose(covariances, covariances.swapaxes(1, 2))
    if not symmetric or (smallest <= 0).any():
        raise problems.stop(
            "covariances",
            f"the covariance of mode {int(smallest.argmin())} has smallest eigenvalue {smallest.min():.4g}"
            f"{'' if symmetric else ', and not all are symmetric'}; covariances must be symmetric, positive definite",
        )
    _check_places(modes, points, problems)


def _check_places(modes: Modes, points: np.ndarray, problems: _Problems) -> None:
    """Checks that points lie where the modes are, and that every mode has points."""
    near = _squared_distances(modes, points) <= _limit(points.shape[1])  # [N, K]
    share = near.any(axis=1).mean()
    if share < 0.9:
        problems.add(
            "modes far",
            f"only {100 * share:.0f} % of the points lie within 4 sigma of a mode; at least 90 % should: "
            "rotate, scale and shift modes() as points() are",
        )
    weights = modes.weights / modes.weights.sum()
    # Only modes that expect 50 points or more: these never get less than half by chance.
    empty = np.flatnonzero((near.mean(axis=0) < weights / 2) & (weights * len(points) >= 50))
    if share >= 0.9 and len(empty):
        mode = int(empty[0])
        problems.add(
            "modes empty",
            f"mode {mode} has weight {weights[mode]:.3g}, but {100 * near[:, mode].mean():.2g} % of the points lie "
            "within 4 sigma of it; give modes their true weights",
        )


def _squared_distances(modes: Modes, points: np.ndarray) -> np.ndarray:
    """Squared Mahalanobis distances ``[N, K]`` of points ``[N, D]`` from the modes."""
    distances = [
        np.einsum("ni,ij,nj->n", points - centre, np.linalg.inv(covariance), points - centre)
        for centre, covariance in zip(modes.centres, modes.covariances, strict=True)
    ]
    return np.stack(distances, axis=1)


def _limit(dim: int) -> float:
    """Squared Mahalanobis distance that holds as much of a ``dim``-dimensional Gaussian as 4 sigma hold in two.

    Wilson and Hilferty's approximation of the chi-squared quantile at 0.9997.
    """
    spread = 2.0 / (9.0 * dim)
    return float(dim * (1.0 - spread + 3.4 * spread**0.5) ** 3)


def _check_task(family: Family, task: Task, problems: _Problems) -> None:
    try:
        data = task.data()
    except MetaGANError as error:
        raise problems.stop("task", f"a task of it cannot be drawn: {error}") from None
    if family.standardise == "none":
        return
    axis = 0 if family.standardise == "columns" else None
    train, reference = data.train.double().numpy(), data.report_reference.double().numpy()
    mean, deviation = np.abs(train.mean(axis=axis)).max(), np.abs(train.std(axis=axis) - 1.0).max()
    if mean > 1e-3 or deviation > 1e-3:
        problems.add(
            "standardised",
            f"standardised data have mean {mean:.2g} and a deviation {deviation:.2g} off 1; "
            "bring the columns to a sensible size and offset first",
        )
    if family.rows(task.parameters) is not None:
        return  # the task shuffles rows itself
    shift, width = np.abs(reference.mean(axis=axis)).max(), reference.std(axis=axis)
    if shift > 0.5 or np.min(width) < 0.5 or np.max(width) > 2.0:
        problems.add(
            "reference",
            f"the first points of a draw are unlike the last ones (mean off by {shift:.2g} deviations, deviation "
            f"{np.min(width):.2g} to {np.max(width):.2g} times as large); draw each point on its own, "
            "and keep tails from being too heavy",
        )


def _short(value: Any) -> str:
    text = repr(value)
    return text if len(text) <= 120 else text[:117] + "..."
