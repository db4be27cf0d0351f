"""What must hold of every suite, and of the files that hold them."""

import json
from collections import Counter
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from metagan_rl.errors import FileFormatError, InvalidValueError, OutputError, UnknownNameError
from metagan_rl.experiments.studies.make_manifests import build, main
from metagan_rl.losses import LOSSES
from metagan_rl.tasks import FAMILIES, SUITES, Split, Suite, Task, get_suite, register_suite, sample_task
from metagan_rl.tasks.planar import HELD_OUT_FAMILIES, TRAIN_FAMILIES
from metagan_rl.tasks.suites import BUILT_IN, MANIFESTS

IMAGES = ("digits", "mnist", "fashion-mnist")


@pytest.fixture
def registered() -> Iterator[None]:
    """Takes out again what a test registers."""
    before = set(SUITES)
    yield
    for name in set(SUITES) - before:
        SUITES.remove(name)


def small(name: str = "small", **changes: Any) -> Suite:
    rng = np.random.default_rng(0)
    splits = {
        split: tuple(sample_task("ring", rng, name=f"ring/{split}/{index}") for index in range(2))
        for split in ("train", "val", "test")
    }
    return Suite(**{"name": name, "version": 1, "description": "for tests", "splits": splits, **changes})


def identity(task: Task) -> str:
    return json.dumps([task.family, task.parameters, task.seed], sort_keys=True)


# --- every suite -----------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("name", SUITES)
def test_splits_are_there_and_disjoint(name: str) -> None:
    suite = get_suite(name)
    assert suite.name == name and list(suite.splits) == ["train", "val", "test"]
    per_split = [{identity(task) for task in suite.split(split)} for split in suite.splits]
    assert sum(map(len, per_split)) == len(set.union(*per_split))
    names = [task.name for split in suite.splits for task in suite.split(split)]
    assert len(set(names)) == len(names)


@pytest.mark.usefixtures("data_there")
@pytest.mark.parametrize("name", SUITES)
def test_tasks_can_be_drawn(name: str) -> None:
    for split in get_suite(name).splits:
        task = get_suite(name).split(split).sample(np.random.default_rng(0))
        assert task.data().train.shape[1] == task.dim == FAMILIES[task.family].dimension(task.parameters)


@pytest.mark.parametrize("name", SUITES)
def test_base_rates_lie_around_the_recipe(name: str) -> None:
    recipe, factor = {"dirac": (0.1, 3.0), "wide-loops": (5e-3, 30.0)}.get(name, (1e-3, 10.0))
    suite = get_suite(name)
    rates = np.array(
        [(t.base.generator_lr, t.base.discriminator_lr) for split in suite.splits for t in suite.split(split)]
    )
    assert (rates >= recipe / factor * 0.999).all() and (rates <= recipe * factor * 1.001).all()
    others = {"dirac": {960}, "planar-mixed": {1536, 3072, 12288}, "wide": {768, 1536, 2304, 3072, 6144, 12288}}
    budgets = others.get(name.removesuffix("-loops") if name.startswith("wide") else name, {3072})
    assert {task.budget for split in suite.splits for task in suite.split(split)} == budgets


@pytest.mark.parametrize("name", BUILT_IN)
def test_manifests_are_made_again_bit_for_bit(name: str, tmp_path: Path) -> None:
    build(name).save(tmp_path / "again.json")
    assert (tmp_path / "again.json").read_bytes() == (MANIFESTS / f"{name}.json").read_bytes()


@pytest.mark.parametrize("name", BUILT_IN)
def test_manifests_are_read_back_whole(name: str) -> None:
    assert get_suite(name) == build(name)
    stated = json.loads((MANIFESTS / f"{name}.json").read_text())["sha256"]
    assert get_suite(name).sha256 == stated


def test_the_folder_holds_the_built_in_suites_and_nothing_else() -> None:
    assert {path.stem for path in MANIFESTS.iterdir()} == set(BUILT_IN)
    assert set(BUILT_IN) <= set(SUITES)


def test_the_script_writes_all_manifests(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert main([str(tmp_path / "new")]) == 0
    assert {path.name for path in (tmp_path / "new").iterdir()} == {f"{name}.json" for name in BUILT_IN}
    assert "planar.json: 520 tasks" in capsys.readouterr().out


# --- what each suite holds -------------------------------------------------------------------------------------------


def families(suite: str, split: str) -> Counter[str]:
    return Counter(task.family for task in get_suite(suite).split(split))


def test_planar_holds_out_its_families() -> None:
    assert families("planar", "train") == dict.fromkeys(TRAIN_FAMILIES, 64)
    assert families("planar", "val") == dict.fromkeys(TRAIN_FAMILIES, 8)
    assert families("planar", "test") == dict.fromkeys((*TRAIN_FAMILIES, *HELD_OUT_FAMILIES), 8)
    for task in get_suite("planar").split("test"):
        assert task.tag == ("held-out-family" if task.family in HELD_OUT_FAMILIES else "known-family")


@pytest.mark.parametrize("name", BUILT_IN)
def test_no_suite_trains_on_a_held_out_family(name: str) -> None:
    for split in ("train", "val"):
        assert not {task.family for task in get_suite(name).split(split)} & set(HELD_OUT_FAMILIES)
        assert "held-out-family" not in {task.tag for task in get_suite(name).split(split)}


def test_known_families_are_tested_on_new_parameters() -> None:
    planar = get_suite("planar")
    seen = {json.dumps(task.parameters) for split in ("train", "val") for task in planar.split(split)}
    assert not seen & {json.dumps(task.parameters) for task in planar.split("test")}


@pytest.mark.parametrize("name", ["ring8", "grid25", "dirac"])
def test_classics_have_one_family(name: str) -> None:
    assert [families(name, split) for split in ("train", "val", "test")] == [{name: 32}, {name: 8}, {name: 16}]


def test_dirac_tasks_are_analytic() -> None:
    for task in get_suite("dirac").split("train"):
        assert (task.networks.kind, task.networks.latent_dim, task.base.optimizer) == ("dirac", 1, "sgd")
        assert (task.base.batch_size, task.base.ema_decay) == (2, 0.0)


def test_real_suites_are_tagged_real() -> None:
    for name, sizes in (("tabular", (16, 4, 8)), *((images, (16, 4, 6)) for images in IMAGES)):
        suite = get_suite(name)
        assert tuple(len(suite.split(split)) for split in suite.splits) == sizes
        assert {task.tag for split in suite.splits for task in suite.split(split)} == {"real"}


@pytest.mark.parametrize("name", IMAGES)
def test_no_subset_of_classes_is_in_two_splits(name: str) -> None:
    suite = get_suite(name)
    subsets = [
        {tuple(task.parameters["classes"]) for task in suite.split(split)} - {tuple(range(10))}
        for split in suite.splits
    ]
    assert sum(map(len, subsets)) == len(set.union(*subsets)) == 14 + 3 + 5
    assert all(any(len(task.parameters["classes"]) == 10 for task in suite.split(split)) for split in suite.splits)


# --- looking things up -----------------------------------------------------------------------------------------------


def test_a_split_is_a_sequence_of_tasks() -> None:
    split = get_suite("planar").split("train")
    assert isinstance(split, Split) and len(split) == 384 == len(list(split)) == len(split.tasks)
    assert split["ring/train/0007"] is split[7]
    assert split[-1] is split.tasks[-1] and len(split[:3]) == 3
    rng = np.random.default_rng(0)
    assert len({split.sample(rng).name for _ in range(50)}) > 30


def test_unknown_names_offer_the_nearest() -> None:
    with pytest.raises(UnknownNameError, match="did you mean planar"):
        get_suite("plannar")
    with pytest.raises(UnknownNameError, match="did you mean train"):
        get_suite("ring8").split("training")
    with pytest.raises(UnknownNameError, match="did you mean ring8/train/00"):
        get_suite("ring8").split("train")["ring8/train/001"]
    with pytest.raises(IndexError):
        get_suite("ring8").split("train")[32]


# --- a user's own suite ----------------------------------------------------------------------------------------------


def test_a_suite_or_a_function_can_be_registered(registered: None) -> None:
    register_suite(small())
    assert get_suite("small") == small()
    calls: list[int] = []

    def make() -> Suite:
        calls.append(1)
        return small("other")

    register_suite(make, name="mine")
    assert not calls
    assert get_suite("mine") is get_suite("mine")
    assert get_suite("mine").name == "mine" and len(calls) == 1


def test_what_is_no_suite_is_refused(registered: None) -> None:
    with pytest.raises(InvalidValueError, match="give a Suite"):
        register_suite("small")  # type: ignore[arg-type]
    with pytest.raises(InvalidValueError, match="needs a name"):
        register_suite(small)
    with pytest.raises(InvalidValueError, match="registered already"):
        register_suite(small(), name="planar")
    with pytest.raises(InvalidValueError, match="lower-case"):
        register_suite(small("My Suite"))
    register_suite(lambda: None, name="mine")  # type: ignore[arg-type, return-value]
    with pytest.raises(InvalidValueError, match="must return a Suite"):
        get_suite("mine")


def test_splits_that_share_data_are_refused() -> None:
    splits = dict(small().splits)
    splits["test"] = (replace(splits["train"][0], name="ring/test/9", budget=100),)
    with pytest.raises(InvalidValueError, match=r"'ring/test/9' \(test\) and 'ring/train/0' \(train\).* another seed"):
        small(splits=splits)


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"splits": {}}, "has no splits"),
        ({"splits": {"train": ()}}, "is empty"),
        ({"splits": {"dev": small().splits["val"]}}, "a split 'dev'"),
        ({"splits": {"train": small().splits["val"] * 2}}, "two tasks named"),
        ({"splits": {"train": (3,)}}, "which is not a Task"),
        ({"splits": {"train": (Task("x", "ring", 2, {"a": np.ones(2)}),)}}, "JSON cannot hold"),
        ({"splits": {"train": (Task("x", "ring", 2, {"a": float("nan")}),)}}, "JSON cannot hold"),
        ({"version": 0}, "version 0"),
    ],
)
def test_a_bad_suite_says_why(changes: dict[str, Any], message: str) -> None:
    with pytest.raises(InvalidValueError, match=message):
        small(**changes)


# --- manifests -------------------------------------------------------------------------------------------------------


def test_a_suite_comes_back_from_its_file(tmp_path: Path) -> None:
    path = tmp_path / "deep" / "small.json"
    small().save(path)
    small().save(path)  # replaces what is there
    assert Suite.load(path) == small() and Suite.load(path).sha256 == small().sha256
    assert [entry.name for entry in path.parent.iterdir()] == ["small.json"]


def test_a_file_holds_one_task_per_line(tmp_path: Path) -> None:
    small().save(tmp_path / "small.json")
    lines = [line for line in (tmp_path / "small.json").read_text().splitlines() if line.startswith('{"name":')]
    assert len(lines) == 6 and all(json.loads(line.rstrip(",")) for line in lines)


def test_the_hash_tells_tasks_apart() -> None:
    splits = dict(small().splits)
    splits["val"] = tuple(task.with_base(generator_lr=0.002) for task in splits["val"])
    assert small(splits=splits).sha256 != small().sha256
    assert small("renamed").sha256 == small().sha256


@pytest.mark.parametrize("kept", [0.0, 0.2, 0.5, 0.99])
def test_a_truncated_file_is_told(tmp_path: Path, kept: float) -> None:
    path = tmp_path / "small.json"
    small().save(path)
    text = path.read_text()
    path.write_text(text[: int(kept * len(text))])
    with pytest.raises(FileFormatError, match=r"small\.json is not a suite manifest, or it is damaged"):
        Suite.load(path)


def edited(**changes: Any) -> Any:
    return lambda text: json.dumps({**json.loads(text), **changes})


@pytest.mark.parametrize(
    ("change", "message"),
    [
        (lambda text: text.replace('"seed":', '"seed":1', 1), "changed after it was made"),
        (lambda text: text.replace('"dim":2', '"dim":3', 1), "changed after it was made"),
        (lambda text: text.replace('"seed":', '"sead":', 1), "not a valid suite manifest"),
        (lambda text: text.replace('"width":64', '"width":0', 1), "width is 0"),
        (edited(sha256="0"), "changed after it was made"),
        (edited(format="policy"), "it does not say"),
        (edited(format_version=2), "format version 2; this release reads 1"),
        (edited(splits=[]), "not a valid suite manifest"),
        (edited(splits={"train": [1]}), "not a valid suite manifest"),
        (edited(shared=None), "not a valid suite manifest"),
        (lambda text: json.dumps({"format": "metagan-rl suite", "format_version": 1}), "there is no 'splits' in it"),
        (lambda text: "[1, 2]", "not a suite manifest"),
        (lambda text: "[" * 100_000, "not a suite manifest"),
    ],
)
def test_a_damaged_file_is_told(tmp_path: Path, change: Any, message: str) -> None:
    path = tmp_path / "small.json"
    small().save(path)
    path.write_text(change(path.read_text()))
    with pytest.raises(FileFormatError, match=message) as caught:
        Suite.load(path)
    assert str(path) in str(caught.value)


def test_other_files_are_told(tmp_path: Path) -> None:
    (tmp_path / "image.json").write_bytes(b"\x89PNG\xff\x00")
    for name in ("image.json", "missing.json", "."):
        with pytest.raises(FileFormatError):
            Suite.load(tmp_path / name)


def test_a_place_that_cannot_be_written_is_told(tmp_path: Path) -> None:
    (tmp_path / "file").write_text("kept")
    for path in (tmp_path, tmp_path / "file" / "small.json"):
        with pytest.raises(OutputError, match="cannot write"):
            small().save(path)
    assert [entry.name for entry in tmp_path.iterdir()] == ["file"]


def test_the_mixed_suite_trains_on_five_shapes_and_tests_three_more() -> None:
    suite = get_suite("planar-mixed")
    shapes = {
        split: {(task.networks, task.base.batch_size) for task in suite.split(split) if task.tag != "other-network"}
        for split in suite.splits
    }
    assert len(shapes["train"]) == 5 and shapes["train"] == shapes["val"] == shapes["test"]
    others = {(task.networks, task.base.batch_size) for task in suite.split("test") if task.tag == "other-network"}
    assert len(others) == 3 and not others & shapes["train"]


def test_the_suite_for_loops_has_every_recipe_under_every_shape() -> None:
    for split, count in (("train", 50), ("val", 5), ("test", 5)):
        tasks = get_suite("planar-loops").split(split)
        assert set(Counter(task.family for task in tasks).values()) == {count}
        recipes = {(task.base.loss, task.base.ratio, task.base.beta1, task.base.penalty_weight) for task in tasks}
        assert len(recipes) == len(LOSSES) and {loss for loss, *_ in recipes} == set(LOSSES)
        assert len({(task.networks, task.base.batch_size) for task in tasks}) == 5
        assert {task.base.ema_decay for task in tasks} == {0.0}
    pairs = {(task.networks, task.base.loss) for task in get_suite("planar-loops").split("train")}
    assert len(pairs) == 25
