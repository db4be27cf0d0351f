"""What must hold of every family, and of the data of every task."""

import json
import subprocess
import sys
from collections.abc import Iterator
from typing import Any

import numpy as np
import pytest
import torch

from metagan_rl.errors import DataError, InvalidValueError, MissingDependencyError, UnknownNameError
from metagan_rl.tasks import FAMILIES, Family, Modes, Task, register_family, sample_task, table_from_array
from metagan_rl.tasks.planar import HELD_OUT_FAMILIES, TRAIN_FAMILIES
from metagan_rl.tasks.real import TABLES, ArrayTable, _load
from metagan_rl.testing import ConformanceError, check_family

MIXTURES = ("ring", "grid", "gaussian-mixture", "ring8", "grid25")


def rng(seed: int = 0) -> np.random.Generator:
    return np.random.default_rng(seed)


@pytest.fixture
def registered() -> Iterator[None]:
    """Takes out again what a test registers."""
    before = set(FAMILIES)
    yield
    for name in set(FAMILIES) - before:
        FAMILIES.remove(name)


class Blob(Family):
    """A sound family that tests spoil in one way each."""

    def parameters(self, rng: np.random.Generator) -> dict[str, Any]:
        return {"shift": float(rng.uniform())}

    def points(self, parameters: Any, count: int, rng: np.random.Generator) -> np.ndarray:
        return parameters["shift"] + rng.standard_normal((count, 2))

    def modes(self, parameters: Any) -> Modes | None:
        return Modes(np.full((1, 2), parameters["shift"]), np.eye(2)[None], np.ones(1))


# --- every family ----------------------------------------------------------------------------------------------------


@pytest.mark.usefixtures("data_there")
@pytest.mark.parametrize("name", FAMILIES)
def test_family_conforms(name: str) -> None:
    check_family(name)


def test_all_families_are_there() -> None:
    assert {*TRAIN_FAMILIES, *HELD_OUT_FAMILIES, "ring8", "grid25", "dirac", "table", "digits"} <= set(FAMILIES)
    assert {"mnist", "fashion-mnist"} <= set(FAMILIES)


@pytest.mark.usefixtures("data_there")
@pytest.mark.parametrize("name", FAMILIES)
def test_same_generator_gives_same_task_and_data(name: str) -> None:
    first, second = sample_task(name, rng(5)), sample_task(name, rng(5))
    assert first == second
    through_json = Task.from_dict(json.loads(json.dumps(first.to_dict())))
    assert through_json == first
    kept = first.data()
    again = sample_task(name, rng(5)).data()
    assert torch.equal(kept.train, again.train)
    if name not in ("ring8", "grid25", "dirac"):
        assert (
            sample_task(name, rng(6)).parameters != first.parameters
            or FAMILIES[name].rows(first.parameters) is not None
        )


@pytest.mark.usefixtures("data_there")
@pytest.mark.parametrize("name", FAMILIES)
def test_data_are_standardised_float32_and_apart(name: str) -> None:
    task = sample_task(name, rng(1))
    data = task.data()
    for points in (data.train, data.reward_reference, data.report_reference):
        assert points.dtype == torch.float32 and points.shape[1] == task.dim and torch.isfinite(points).all()
    if FAMILIES[name].standardise == "columns":
        assert data.train.mean(dim=0).abs().max() < 1e-3
        assert (data.train.std(dim=0, correction=0) - 1).abs().max() < 1e-3
    if FAMILIES[name].rows(task.parameters) is None and name != "dirac":
        assert not (data.train[:, None, 0] == data.reward_reference[None, :, 0]).all(dim=1).any()
        assert not torch.equal(data.reward_reference, data.report_reference[: len(data.reward_reference)])


@pytest.mark.parametrize("seed", range(3))
@pytest.mark.parametrize("name", MIXTURES)
def test_modes_hold_the_share_of_a_gaussian(name: str, seed: int) -> None:
    data = sample_task(name, rng(seed)).data()
    assert data.modes is not None
    offset = data.train.numpy()[:, None] - data.modes.centres[None]
    squared = np.einsum("nki,kij,nkj->nk", offset, np.linalg.inv(data.modes.covariances), offset)
    nearest = squared.argmin(axis=1)
    # In two dimensions 1 - exp(-9/2) = 98.9 % lie within 3 sigma; overlapping ellipses may hold a little more.
    assert (squared.min(axis=1) < 9).mean() == pytest.approx(0.989, abs=0.008)
    share = np.bincount(nearest, minlength=len(data.modes.weights)) / len(nearest)
    assert share == pytest.approx(data.modes.weights, abs=0.03)


@pytest.mark.parametrize("name", ["ring", "grid", "ring8", "grid25"])
def test_modes_are_exact_in_mean_and_covariance(name: str) -> None:
    parameters = FAMILIES[name].parameters(rng(3))
    points, modes = FAMILIES[name].points(parameters, 40_000, rng(4)), FAMILIES[name].modes(parameters)
    assert modes is not None
    nearest = np.linalg.norm(points[:, None] - modes.centres[None], axis=-1).argmin(axis=1)
    for mode, (centre, covariance) in enumerate(zip(modes.centres, modes.covariances, strict=True)):
        own = points[nearest == mode]
        width = np.sqrt(np.trace(covariance))
        assert own.mean(axis=0) == pytest.approx(centre, abs=0.2 * width)
        assert np.cov(own.T) == pytest.approx(covariance, abs=0.2 * width**2)


@pytest.mark.parametrize(("name", "count"), [("ring8", 8), ("grid25", 25)])
def test_classics_have_their_modes(name: str, count: int) -> None:
    modes = FAMILIES[name].modes({})
    assert modes is not None
    assert len(np.unique(modes.centres.round(6), axis=0)) == len(modes.centres) == count
    assert modes.weights == pytest.approx(1 / count)


def test_classics_are_as_published() -> None:
    ring, grid = FAMILIES["ring8"].modes({}), FAMILIES["grid25"].modes({})
    assert ring is not None and grid is not None
    assert np.linalg.norm(ring.centres, axis=1) == pytest.approx(1.0)
    assert set(grid.centres.ravel()) == {-4.0, -2.0, 0.0, 2.0, 4.0}
    assert np.sqrt(ring.covariances[0, 0, 0]) == pytest.approx(0.01)
    assert np.sqrt(grid.covariances[0, 0, 0]) == pytest.approx(0.05)


def test_dirac_starts_away_from_its_equilibrium() -> None:
    starts = np.array([FAMILIES["dirac"].parameters(rng(seed))["start"] for seed in range(200)])
    radius, angle = np.linalg.norm(starts, axis=1), np.arctan2(*starts.T)
    assert radius.min() >= 0.499 and radius.max() <= 1.501
    assert np.histogram(angle, bins=4, range=(-np.pi, np.pi))[0].min() > 20
    assert not sample_task("dirac", rng()).data().train.any()


# --- real rows -------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("table", TABLES)
def test_tables_have_the_columns_they_say(table: str) -> None:
    rows = FAMILIES["table"].rows({"name": table})
    assert rows is not None and rows.shape[1] == TABLES[table]
    seeds = [Task(table, "table", TABLES[table], {"name": table}, seed=seed).data().train for seed in (0, 1)]
    assert not torch.equal(*seeds)


def test_digits_are_of_the_chosen_classes() -> None:
    all_rows = FAMILIES["digits"].rows({"classes": list(range(10))})
    parts = [FAMILIES["digits"].rows({"classes": [digit]}) for digit in range(10)]
    assert all_rows is not None and all_rows.shape == (1797, 64)
    assert sum(len(part) for part in parts if part is not None) == 1797


@pytest.mark.parametrize("classes", [[], [10], [-1], [3, 3], ["3"]])
def test_digits_refuse_other_classes(classes: list[Any]) -> None:
    with pytest.raises(InvalidValueError, match="digits from 0 to 9"):
        FAMILIES["digits"].rows({"classes": classes})


def test_an_unknown_table_offers_the_nearest() -> None:
    with pytest.raises(UnknownNameError, match="did you mean wine"):
        Task("x", "table", 13, {"name": "wines"}).data()


def test_without_scikit_learn_the_extra_is_named(monkeypatch: pytest.MonkeyPatch) -> None:
    for module in ("sklearn", "sklearn.datasets"):
        monkeypatch.setitem(sys.modules, module, None)
    _load.cache_clear()
    with pytest.raises(MissingDependencyError, match=r"pip install 'scikit-learn>=\d.*' 'mlxtend"):
        FAMILIES["table"].rows({"name": "wine"})
    with pytest.raises(MissingDependencyError):
        check_family("table")


def test_neither_importing_tasks_nor_reading_its_tables_imports_scikit_learn() -> None:
    rows = "[tasks.FAMILIES['table'].rows({'name': name}) for name in tasks.real.TABLES]"
    code = f"import sys; from metagan_rl import tasks; {rows}; sys.exit('sklearn' in sys.modules)"
    assert subprocess.run([sys.executable, "-c", code], check=False).returncode == 0


@pytest.mark.parametrize("name", [*TABLES, "digits"])
def test_files_hold_what_scikit_learn_loads(name: str, monkeypatch: pytest.MonkeyPatch) -> None:
    datasets = pytest.importorskip("sklearn.datasets")
    rows, target = getattr(datasets, f"load_{name.replace('-', '_')}")(return_X_y=True)
    _load.cache_clear()
    read, classes = _load(name)
    np.testing.assert_array_equal(read, rows)
    assert name == "diabetes" or np.array_equal(classes, target)
    monkeypatch.setattr("metagan_rl.tasks.real.packaged_file", lambda package, path: None)  # where files lie elsewhere
    _load.cache_clear()
    np.testing.assert_array_equal(_load(name)[0], rows)


def test_a_users_array_becomes_a_family(registered: None) -> None:
    rows = rng().normal(3.0, 2.0, (100, 5))
    table_from_array("my-rows", rows)
    check_family("my-rows")
    before = sample_task("my-rows", rng()).data()
    rows[:] = 0.0  # the family keeps a copy
    assert before.train.shape == (50, 5) and torch.equal(sample_task("my-rows", rng()).data().train, before.train)
    with pytest.raises(InvalidValueError, match="registered already"):
        table_from_array("my-rows", rng().normal(size=(100, 5)))


@pytest.mark.parametrize(
    ("rows", "message"),
    [
        (np.zeros((0, 3)), "is empty"),
        (np.zeros((20, 0)), "is empty"),
        (np.zeros(20), r"shape \[20\]"),
        (np.zeros((4, 4, 4)), r"shape \[4, 4, 4\]"),
        (np.ones((1, 3)), "has 1 row;"),
        (np.ones((7, 3)), "has 7 rows"),
        (np.column_stack([np.arange(20.0), np.ones(20)]), "column 1 is constant"),
        (np.where(np.eye(20, 3) > 0, np.nan, np.arange(60.0).reshape(20, 3)), "3 rows with NaN"),
        (np.where(np.eye(20, 3) > 0, np.inf, np.arange(60.0).reshape(20, 3)), "infinite"),
        ([["a", "b"]] * 20, "not an array of numbers"),
        ([[1.0], [1.0, 2.0]], "not an array of numbers"),
        (None, r"shape \[\]"),
    ],
)
def test_a_users_array_is_checked(registered: None, rows: Any, message: str) -> None:
    with pytest.raises(DataError, match=message):
        table_from_array("my-rows", rows)
    assert "my-rows" not in FAMILIES


def test_rows_registered_anew_replace_the_old(registered: None) -> None:
    table_from_array("my-rows", rng(0).normal(size=(40, 2)))
    old = Task("x", "my-rows", 2).data().train
    FAMILIES.remove("my-rows")
    table_from_array("my-rows", rng(1).normal(size=(40, 2)))
    assert not torch.equal(Task("x", "my-rows", 2).data().train, old)


# --- a user's own family ---------------------------------------------------------------------------------------------


def test_a_family_can_be_registered_as_a_decorator(registered: None) -> None:
    decorated = register_family("my-blob")(Blob)
    assert decorated is Blob
    check_family("my-blob")
    assert sample_task("my-blob", rng(), tag="real").tag == "real"


@pytest.mark.parametrize("name", ["Blob", "my blob", "my_blob", "", "ring", 3])
def test_bad_names_are_refused(name: Any) -> None:
    with pytest.raises(InvalidValueError):
        register_family(name, Blob)


def test_other_objects_are_no_families() -> None:
    with pytest.raises(InvalidValueError, match="derive it from"):
        register_family("my-blob", dict)  # type: ignore[arg-type]
    with pytest.raises(InvalidValueError, match="not a family"):
        check_family(3)  # type: ignore[arg-type]

    class Needy(ArrayTable):
        """Cannot be made without an array, and nobody has registered one."""

    with pytest.raises(InvalidValueError, match="give an instance"):
        check_family(Needy)


def test_unknown_families_offer_the_nearest() -> None:
    with pytest.raises(UnknownNameError, match="did you mean spiral"):
        sample_task("spirral", rng())
    with pytest.raises(UnknownNameError, match="did you mean pinwheel"):
        check_family("pinwheels")


def test_an_unregistered_family_or_class_can_be_checked() -> None:
    before = set(FAMILIES)
    check_family(Blob())
    check_family(Blob)
    assert set(FAMILIES) == before


def spoilt(**changes: Any) -> Family:
    return type("Spoilt", (Blob,), changes)()


def bad_points(change: Any) -> Any:
    return lambda self, parameters, count, rng: change(Blob().points(parameters, count, rng))


def bad_modes(**changes: Any) -> Any:
    good = {"centres": np.zeros((1, 2)), "covariances": np.eye(2)[None], "weights": np.ones(1)}
    return lambda self, parameters: Modes(**{**good, **changes})


def with_nan(points: np.ndarray) -> np.ndarray:
    points[3, 0] = np.nan
    return points


SPOILT: dict[str, tuple[dict[str, Any], str]] = {
    "nan": ({"points": bad_points(with_nan)}, "1 of 2047 rows with NaN"),
    "constant": ({"points": bad_points(lambda x: x * [1.0, 0.0])}, "column 1 of .* is constant"),
    "one-row": ({"rows": lambda self, parameters: np.ones((1, 2))}, "gave 1 row;"),
    "too-few-points": ({"points": bad_points(lambda x: x[:-1])}, r"shape \[2046, 2\]; expected \[2047, 2\]"),
    "too-wide": ({"points": bad_points(lambda x: np.hstack([x, x]))}, r"shape \[2047, 4\]"),
    "flat": ({"points": bad_points(np.ravel)}, r"shape \[4094\]"),
    "text": ({"points": bad_points(lambda x: x.astype(str).astype(object) + "?")}, "no array of numbers"),
    "other-dim": ({"dim": 3}, r"expected \[2047, 3\]"),
    "no-dim": ({"dim": 0}, "dimension is 0"),
    "unsteady-points": ({"points": lambda *a: np.random.default_rng().normal(size=(a[2], 2))}, "the second time"),
    "unsteady-parameters": ({"parameters": lambda *a: {"shift": np.random.default_rng().random()}}, "from rng only"),
    "array-parameters": ({"parameters": lambda *a: {"shift": np.ones(2)}}, "not JSON-able"),
    "nan-parameters": ({"parameters": lambda *a: {"shift": float("nan")}}, "not JSON-able"),
    "tuple-parameters": ({"parameters": lambda *a: {"shift": (0.0, 0.0)}}, "lists for tuples"),
    "no-parameters": ({"parameters": lambda *a: None}, "returned a NoneType"),
    "raises": ({"parameters": lambda *a: {"size": 1}}, "raised KeyError: 'shift'"),
    "sorted": ({"points": bad_points(lambda x: np.sort(x, axis=0))}, "unlike the last ones"),
    "standardise": ({"standardise": "column"}, "standardise is 'column'"),
    "weights": ({"modes": bad_modes(weights=np.array([0.5]))}, "sum to 0.5"),
    "covariance": ({"modes": bad_modes(covariances=-np.eye(2)[None])}, "smallest eigenvalue -1"),
    "asymmetric": ({"modes": bad_modes(covariances=np.array([[[1.0, 0.5], [0.0, 1.0]]]))}, "not all are symmetric"),
    "far": ({"modes": bad_modes(centres=np.full((1, 2), 9.0))}, "0 % of the points lie within 4 sigma"),
    "empty-mode": (
        {"modes": bad_modes(centres=np.array([[0, 0], [99.0, 0]]), covariances=np.stack([np.eye(2)] * 2),
                            weights=np.array([0.5, 0.5]))},
        "mode 1 has weight 0.5",
    ),
    "mode-shape": ({"modes": bad_modes(centres=np.zeros((2, 2)))}, r"shape \[2, 2\]; expected \[1, 2\]"),
    "no-modes-object": ({"modes": lambda *a: [1]}, "returned a list"),
}  # fmt: skip


@pytest.mark.parametrize("kind", SPOILT)
def test_each_defect_of_a_family_is_named(kind: str) -> None:
    changes, message = SPOILT[kind]
    with pytest.raises(ConformanceError, match=message) as caught:
        check_family(spoilt(**changes), draws=3)
    assert len(caught.value.problems) == 1


def test_all_defects_are_told_at_once(registered: None) -> None:
    FAMILIES.register("my.blob", spoilt(standardise="rows", points=bad_points(with_nan)))
    with pytest.raises(ConformanceError) as caught:
        check_family("my.blob", draws=2)
    assert len(caught.value.problems) == 3
    for part in ("'my.blob' has 3 problems", "malformed", "standardise is 'rows'", "NaN", "in 2 of 2 draws"):
        assert part in str(caught.value)


@pytest.mark.parametrize(
    ("change", "message"),
    [
        (with_nan, "1 rows with NaN or infinite"),
        (lambda x: x * [1.0, 0.0], "column 1 is constant"),
        (lambda x: x[:1], r"shape \[1, 2\]; expected \[6656, 2\]"),
        (lambda x: x[:, :1], r"shape \[6656, 1\]"),
    ],
)
def test_a_task_of_bad_data_says_why(registered: None, change: Any, message: str) -> None:
    register_family("my-blob", spoilt(points=bad_points(change)))
    with pytest.raises(DataError, match=message):
        sample_task("my-blob", rng()).data()


def test_a_task_of_one_row_says_why(registered: None) -> None:
    register_family("my-blob", spoilt(rows=lambda self, parameters: np.ones((1, 2))))
    with pytest.raises(DataError, match="1 rows"):
        sample_task("my-blob", rng()).data()
