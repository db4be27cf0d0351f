"""Suites of one's own data: arrays, files, folders of images; what cannot be trained on is told in a line."""

from dataclasses import replace
from pathlib import Path
from typing import Any

import gymnasium as gym
import numpy as np
import pytest

import metagan_rl  # noqa: F401  (registers the environments)
from metagan_rl.envs import make_sb3_vec_env
from metagan_rl.errors import DataError, InvalidValueError, MetaGANError, UnknownNameError
from metagan_rl.loop import Runs
from metagan_rl.tasks import FAMILIES, SUITES, Base, Family, Networks, Suite, get_suite, register_family
from metagan_rl.tasks.own import suite_from_array, suite_from_csv, suite_from_images, suite_from_npy

SHORT: dict[str, Any] = {"horizon": 1, "interval_updates": 12}


def rows(count: int = 100, columns: int = 3, seed: int = 0) -> np.ndarray:
    return np.random.default_rng(seed).normal(size=(count, columns))


def as_csv(path: Path, table: np.ndarray, header: str = "") -> Path:
    path.write_text(header + "".join(",".join(map(repr, row)) + "\n" for row in table.tolist()))
    return path


def rows_of(suite: Suite, split: str) -> np.ndarray:
    """The rows that the tasks of a split are of."""
    families = {task.family for task in suite.split(split)}
    assert len(families) == 1
    family = FAMILIES[families.pop()]
    return np.asarray(family.rows(suite.split(split)[0].parameters))


def spoilt(**changes: Any) -> Any:
    table: Any = rows()
    if "masked" in changes:
        return np.ma.masked_greater(table, 2.0)
    if "complex" in changes:
        return table + 1j
    table[3, 1] = changes.get("value", table[3, 1])
    if "rare" in changes:
        table[:, 1] = 0.0
        table[3, 1] = 1.0
    return table


@pytest.mark.parametrize(
    ("table", "words"),
    [
        (spoilt(masked=True), "masked values; fill them"),
        (spoilt(complex=True), "complex numbers"),
        (spoilt(value=1e200), r"has 1e\+200 in row 3, column 1"),
        (spoilt(value=-1e150), r"has -1e\+150 in row 3"),
        (spoilt(rare=True), "column 1 differs in so few rows that it is constant in the"),
    ],
)
def test_data_that_would_fail_later_are_refused_where_they_enter(table: Any, words: str) -> None:
    with pytest.raises(DataError, match=words):
        suite_from_array("spoilt", table, register=False)


def test_a_column_that_seldom_differs_works_with_every_seed() -> None:
    table = rows(400)
    table[:, 1] = np.arange(400) % 20 == 0
    suite = suite_from_array("seldom", table, register=False)
    for task in suite.split("train"):
        for seed in range(40):
            data = replace(task, seed=seed).data()
            assert np.isfinite(data.train.numpy()).all() and np.isfinite(data.report_reference.numpy()).all()


@pytest.mark.parametrize(
    "changes", [{"dim": 0}, {"budget": 0}, {"budget": 1.5}, {"seed": -1}, {"seed": True}, {"name": ""}, {"tag": "a|b"}]
)
def test_fields_of_a_task_are_checked(changes: dict[str, Any]) -> None:
    task = get_suite("ring8").split("val")[0]
    with pytest.raises(InvalidValueError, match=f"{next(iter(changes))} of a task is"):
        replace(task, **changes)


def test_a_family_that_is_standardised_in_an_unknown_way_is_refused() -> None:
    class Odd(Family):
        standardise = "column"

    with pytest.raises(InvalidValueError, match="standardise 'column'; it must be one of columns, whole, none"):
        register_family("odd", Odd)
    assert "odd" not in FAMILIES
    for name in ("a/b", "a\\b", "a\nb"):
        with pytest.raises(InvalidValueError, match="lower-case words"):
            FAMILIES.register(name, FAMILIES["ring"])


def images(folder: Path, count: int = 100, shape: tuple[int, int] = (8, 8)) -> Path:
    image = pytest.importorskip("PIL.Image")
    folder.mkdir(exist_ok=True)
    rng = np.random.default_rng(0)
    for place in range(count):
        image.fromarray(rng.integers(256, size=shape, dtype=np.uint8)).save(folder / f"{place:03d}.png")
    return folder


# --- arrays ----------------------------------------------------------------------------------------------------------


def test_splits_share_no_row_and_leave_none_out() -> None:
    table = rows(203)
    suite = suite_from_array("own-disjoint", table, register=False)
    parts = {split: {tuple(row) for row in rows_of(suite, split)} for split in ("train", "val", "test")}
    assert {split: len(part) for split, part in parts.items()} == {"train": 101, "val": 41, "test": 61}
    assert set().union(*parts.values()) == {tuple(row) for row in table}


def test_tasks_have_the_tag_own_names_of_their_split_and_base_rates_up_to_ten_times_off() -> None:
    suite = suite_from_array("own-tags", rows(), tasks=20, base=Base(loss="hinge"), budget=480, register=False)
    tasks = [task for split in ("train", "val", "test") for task in suite.split(split)]
    assert len(tasks) == 60 and {task.tag for task in tasks} == {"own"} and {task.budget for task in tasks} == {480}
    assert suite.split("val")[3].name == "own-tags/val/0003"
    factors = np.array([[task.base.generator_lr, task.base.discriminator_lr] for task in tasks])
    factors = np.log10(factors / [Base().generator_lr, Base().discriminator_lr])
    assert np.abs(factors).max() <= 1 and np.ptp(factors, axis=0).min() > 1
    assert {task.base.loss for task in tasks} == {"hinge"}


def test_the_same_data_make_the_same_suite_and_the_array_stays_the_users() -> None:
    table = rows()
    first = suite_from_array("own-again", table, register=False)
    kept = rows_of(first, "train").copy()
    again = suite_from_array("own-again", table, register=False)
    assert first.sha256 == again.sha256
    table[:] = 0
    np.testing.assert_array_equal(rows_of(again, "train"), kept)


def test_a_registered_suite_is_found_by_name_and_trained_on() -> None:
    suite_from_array("own-registered", rows(120, 2), tasks=2)
    try:
        assert get_suite("own-registered").split("train")[0].dim == 2
        runs = Runs(list(get_suite("own-registered").split("test")), [0, 1], **SHORT)
        runs.advance(runs.base_controls())
        assert np.isfinite(runs.quality.distance).all()
        with pytest.raises(InvalidValueError, match="registered already"):
            suite_from_array("own-registered", rows())
        assert len(rows_of(get_suite("own-registered"), "train")) == 60, "the suite that is registered is unharmed"
    finally:
        SUITES.remove("own-registered")


def test_two_files_of_one_name_keep_to_their_own_rows(tmp_path: Path) -> None:
    suites = []
    for seed in (0, 1):
        (tmp_path / str(seed)).mkdir()
        suites.append(get_suite(str(as_csv(tmp_path / str(seed) / "twin.csv", rows(seed=seed)))))
    assert [suite.name for suite in suites] == ["twin", "twin"] and suites[0].sha256 != suites[1].sha256
    for seed, suite in enumerate(suites):
        assert {tuple(row) for row in rows_of(suite, "test")} <= {tuple(row) for row in rows(seed=seed)}


def test_arrays_of_images_are_standardised_as_a_whole_and_large_ones_get_convolutions() -> None:
    flat = suite_from_array("own-flat", np.random.default_rng(0).uniform(size=(100, 8, 8)), register=False)
    assert flat.split("train")[0].dim == 64 and flat.split("train")[0].networks.kind == "mlp"
    large = suite_from_array("own-large", np.random.default_rng(0).uniform(size=(100, 12, 12)), register=False)
    task = large.split("train")[0]
    assert task.dim == 144 and task.networks.kind == "conv"
    assert task.data().train.std().item() == pytest.approx(1, abs=1e-3)
    chosen = Networks(latent_dim=4, width=8)
    assert suite_from_array("own-mine", rows(), networks=chosen, register=False).split("val")[0].networks == chosen


@pytest.mark.parametrize(
    ("table", "words"),
    [
        (rows(79), "has 79 rows; at least 80"),
        (np.where(np.arange(100)[:, None] == 7, np.nan, rows()), "NaN|nan"),
        (np.where(np.arange(100)[:, None] == 7, np.inf, rows()), "inf"),
        (np.full((100, 3), "a"), "number"),
        (np.hstack([rows(), np.ones((100, 1))]), "constant"),
        (np.zeros(100), "shape|dimension|row"),
        (np.zeros((100, 2, 2, 2)), "shape|dimension|row"),
        ([[1.0, 2.0], [3.0]] * 50, "shape|number|row"),
    ],
)
def test_arrays_that_cannot_be_trained_on_are_refused(table: Any, words: str) -> None:
    with pytest.raises(DataError, match=words):
        suite_from_array("own-bad", table, register=False)
    assert not any(name.startswith("own-bad") for name in FAMILIES)


@pytest.mark.parametrize("shape", [(100, 8, 9), (100, 9, 9)])
def test_arrays_of_images_that_no_network_takes_are_refused(shape: tuple[int, ...]) -> None:
    with pytest.raises(DataError, match=f"{shape[2]}x{shape[1]} pixels"):
        suite_from_array("own-bad", np.random.default_rng(0).uniform(size=shape), register=False)


@pytest.mark.parametrize(
    ("name", "options", "words"), [("Own Data", {}, "must be lower-case"), ("own-none", {"tasks": 0}, "tasks is 0")]
)
def test_bad_names_and_numbers_are_refused(name: str, options: dict[str, Any], words: str) -> None:
    with pytest.raises(InvalidValueError, match=words):
        suite_from_array(name, rows(), **options)
    assert name not in SUITES and not any(family.startswith(name) for family in FAMILIES)


# --- files -----------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("header", ["", "height,width,age\n", "\ufeffheight,width,age\n"])
def test_a_csv_file_is_a_suite_with_and_without_names_of_columns(header: str, tmp_path: Path) -> None:
    table = rows()
    suite = suite_from_csv(as_csv(tmp_path / "My Table.csv", table, header))
    assert suite.name == "my-table" and "my-table" not in SUITES
    together = np.concatenate([rows_of(suite, split) for split in ("train", "val", "test")])
    np.testing.assert_allclose(np.sort(together, axis=0), np.sort(table, axis=0))
    assert {task.tag for task in suite.split("train")} == {"own"}


@pytest.mark.parametrize(
    ("change", "words"),
    [
        (lambda lines: lines[:50], "has 50 rows; at least 80"),
        (lambda lines: [], "has no rows"),
        (lambda lines: ["a,b,c"], "has no rows"),
        (
            lambda lines: ["a,b,c", *lines[:9], "1.0,tall,3.0", *lines[9:]],
            r"line 11, column 'b': 'tall' is not a number",
        ),
        (lambda lines: [*lines[:9], "1.0,,3.0", *lines[9:]], r"line 10, column '2': '' is not a number"),
        (lambda lines: [*lines[:9], "1.0,2.0", *lines[9:]], "line 10 has 2 cells, the first has 3"),
        (lambda lines: [*lines[:9], "1.0,2.0,3.0,4.0", *lines[9:]], "line 10 has 4 cells"),
        (lambda lines: [*lines[:9], "1.0,nan,3.0", *lines[9:]], r"line 10, column '2': 'nan' is not finite"),
        (lambda lines: [*lines[:9], "1.0,2.0,-inf", *lines[9:]], r"line 10, column '3': '-inf' is not finite"),
    ],
)
def test_csv_files_that_cannot_be_trained_on_are_refused_with_line_and_column(
    change: Any, words: str, tmp_path: Path
) -> None:
    path = as_csv(tmp_path / "table.csv", rows())
    path.write_text("".join(f"{line}\n" for line in change(path.read_text().splitlines())))
    with pytest.raises(DataError, match=words) as caught:
        suite_from_csv(path)
    assert "\n" not in str(caught.value)


def test_a_csv_file_that_is_not_there_or_no_text_is_refused(tmp_path: Path) -> None:
    with pytest.raises(DataError, match=r"cannot read .*missing.csv"):
        suite_from_csv(tmp_path / "missing.csv")
    (tmp_path / "bytes.csv").write_bytes(bytes(range(256)))
    with pytest.raises(DataError, match=r"cannot read .*bytes.csv"):
        suite_from_csv(tmp_path / "bytes.csv")


def test_a_numpy_file_is_a_suite(tmp_path: Path) -> None:
    np.save(tmp_path / "points.npy", rows(90, 4))
    suite = suite_from_npy(tmp_path / "points.npy", tasks=3)
    assert suite.name == "points" and len(suite.split("val")) == 3 and suite.split("val")[0].dim == 4


def test_numpy_files_that_cannot_be_trained_on_are_refused(tmp_path: Path) -> None:
    np.save(tmp_path / "pickled.npy", np.array([{"a": 1}] * 100, dtype=object), allow_pickle=True)
    np.savez(tmp_path / "several.npy.npz", a=rows(), b=rows())
    (tmp_path / "several.npz").write_bytes((tmp_path / "several.npy.npz").read_bytes())
    np.save(tmp_path / "whole.npy", rows())
    (tmp_path / "half.npy").write_bytes((tmp_path / "whole.npy").read_bytes()[:300])
    (tmp_path / "empty.npy").write_bytes(b"")
    for name in ("pickled.npy", "half.npy", "empty.npy", "missing.npy", "several.npz"):
        with pytest.raises(DataError, match=name):
            suite_from_npy(tmp_path / name)


# --- images ----------------------------------------------------------------------------------------------------------


def test_a_folder_of_images_is_a_suite(tmp_path: Path) -> None:
    folder = images(tmp_path / "Faces", 90)
    images(folder / "more", 10)
    (folder / "notes.txt").write_text("notes")
    suite = suite_from_images(folder)
    assert suite.name == "faces" and suite.split("train")[0].dim == 64
    assert sum(len(rows_of(suite, split)) for split in ("train", "val", "test")) == 100
    large = suite_from_images(images(tmp_path / "large", 80, (12, 12)))
    assert large.split("train")[0].networks.kind == "conv"


def test_folders_that_cannot_be_trained_on_are_refused(tmp_path: Path) -> None:
    (tmp_path / "empty").mkdir()
    with pytest.raises(DataError, match="holds no images"):
        suite_from_images(tmp_path / "empty")
    with pytest.raises(DataError, match=r"000.png is of 9x8 pixels; all must be square"):
        suite_from_images(images(tmp_path / "wide", 3, (8, 9)))
    with pytest.raises(DataError, match=r"of 9x9 pixels"):
        suite_from_images(images(tmp_path / "odd", 3, (9, 9)))
    mixed = images(tmp_path / "mixed", 5, (8, 8))
    images(mixed / "z", 1, (12, 12))
    with pytest.raises(DataError, match=r"000.png is of 12x12 pixels"):
        suite_from_images(mixed)
    broken = images(tmp_path / "broken", 1)
    (broken / "zzz.png").write_bytes(b"no picture")
    with pytest.raises(DataError, match=r"cannot read .*zzz\.png as an image"):
        suite_from_images(broken)
    with pytest.raises(DataError, match="at least 80"):
        suite_from_images(images(tmp_path / "few", 20))


# --- by their names --------------------------------------------------------------------------------------------------


def test_files_and_folders_are_suites_wherever_a_suite_may_be_named(tmp_path: Path, monkeypatch: Any) -> None:
    monkeypatch.chdir(tmp_path)
    as_csv(tmp_path / "wares.csv", rows())
    np.save(tmp_path / "wares2.npy", rows())
    assert get_suite("wares.csv").name == "wares" and get_suite("wares.csv") is get_suite(str(tmp_path / "wares.csv"))
    assert get_suite("wares2.npy").split("test")[0].tag == "own"
    assert get_suite(str(images(tmp_path / "pictures"))).name == "pictures"
    env = gym.make("MetaGAN/Suite-v1", suite="wares.csv", **SHORT)
    assert env.reset(seed=0)[1]["task"].startswith("wares/train/")
    env.close()


@pytest.mark.parametrize("shards", [1, 2])
def test_stable_baselines_trains_on_a_file(shards: int, tmp_path: Path, monkeypatch: Any) -> None:
    monkeypatch.chdir(tmp_path)
    as_csv(tmp_path / "goods.csv", rows())
    env = make_sb3_vec_env("goods.csv", 2, shards=shards, **SHORT)
    try:
        env.seed(0)
        assert env.reset().shape[0] == 2
        assert all(info["task"].startswith("goods/train/") for info in env.reset_infos)
        _, rewards, dones, _ = env.step(np.array([env.action_space.sample() for _ in range(2)]))
        assert np.isfinite(rewards).all() and dones.all()
    finally:
        env.close()


@pytest.mark.parametrize(
    ("name", "words"),
    [
        ("missing.csv", "there is no such file or folder"),
        ("missing.npy", "there is no such file or folder"),
        ("missing.json", "there is no such file or folder"),
        ("missing/", "there is no such file or folder"),
        ("notes.txt", "must end in .json, .csv, .npy"),
        ("no-such-suite", "known: "),
        ("planr", "did you mean planar"),
    ],
)
def test_a_file_that_is_not_there_or_of_another_kind_is_an_unknown_suite(
    name: str, words: str, tmp_path: Path, monkeypatch: Any
) -> None:
    monkeypatch.chdir(tmp_path)
    (tmp_path / "notes.txt").write_text("notes")
    with pytest.raises(UnknownNameError, match=f"unknown suite '{name}'; .*{words}"):
        get_suite(name)
    with pytest.raises(MetaGANError, match="unknown environment or suite"):
        make_sb3_vec_env(name, 2)


def test_an_empty_name_is_no_folder() -> None:
    with pytest.raises(UnknownNameError, match="unknown suite ''"):
        get_suite("")
