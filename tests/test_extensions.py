"""What users add is imported by name, in worker processes too, and its errors are shown as the user's own."""

import pickle
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest

from metagan_rl import load_extension
from metagan_rl.agents import make_scheduler, scheduler_names
from metagan_rl.envs import make_sb3_vec_env
from metagan_rl.errors import ExtensionError, InvalidValueError, UnknownNameError
from metagan_rl.extensions import VARIABLE
from metagan_rl.loop import SCHEDULERS, Controls, drive
from metagan_rl.losses import LOSSES
from metagan_rl.populations import Population
from metagan_rl.populations.settings import Settings
from metagan_rl.tasks import FAMILIES, SUITES, Base, get_suite, sample_task

PARTS = """
import numpy as np
from dataclasses import replace
from metagan_rl.agents import Scheduler
from metagan_rl.losses import LOSSES
from metagan_rl.tasks import Family, Suite, get_suite

class Halving(Scheduler):
    source = "a test"
    def __init__(self, factor=0.5):
        self.factor = factor
    def propose(self, situation):
        return situation.base.replace(generator_lr_factor=self.factor * situation.base.generator_lr_factor)

def made(factor=0.25):
    return Halving(factor)

def none():
    return 3

class Square(Family):
    def parameters(self, rng):
        return {}
    def points(self, parameters, count, rng):
        return rng.uniform(-1, 1, (count, 2))

square = Square()
soft = replace(LOSSES["hinge"])
number = 7

def suite():
    tasks = get_suite("planar")
    return Suite("few", 1, "a few tasks", {split: tuple(tasks.split(split)[:2]) for split in ("train", "val")})

few = suite()
"""
REGISTERING = (
    PARTS
    + """
from metagan_rl.agents import register_scheduler
from metagan_rl.tasks import register_suite
register_scheduler("{name}", Halving)
register_suite(suite, name="{name}-suite")
"""
)


@pytest.fixture(autouse=True)
def clean(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    """Nothing of a test is imported by the workers of another."""
    monkeypatch.setenv(VARIABLE, "")
    monkeypatch.chdir(tmp_path)
    monkeypatch.setattr(sys, "path", list(sys.path))


def registering(path: Path, name: str) -> Path:
    path.write_text(REGISTERING.replace("{name}", name))
    return path


def forget(name: str) -> None:
    SCHEDULERS.remove(name)
    SUITES.remove(f"{name}-suite")


# --- load_extension --------------------------------------------------------------------------------------------------


def test_a_file_is_imported_once_and_what_it_registers_is_there(tmp_path: Path) -> None:
    path = registering(tmp_path / "things.py", "halving-of-a-file")
    try:
        module = load_extension(path)
        assert load_extension(str(path)) is module is load_extension("things.py")
        assert "halving-of-a-file" in scheduler_names()
        assert isinstance(make_scheduler("halving-of-a-file", factor=0.1), module.Halving)
        assert len(get_suite("halving-of-a-file-suite").split("val")) == 2
    finally:
        forget("halving-of-a-file")


def test_a_module_of_the_working_directory_is_imported_by_its_name(tmp_path: Path) -> None:
    (tmp_path / "my_package").mkdir()
    (tmp_path / "my_package/__init__.py").write_text("")
    registering(tmp_path / "my_package/things.py", "halving-of-a-module")
    try:
        assert load_extension("my_package.things") is sys.modules["my_package.things"]
        assert "halving-of-a-module" in SCHEDULERS
    finally:
        forget("halving-of-a-module")


def test_what_a_file_defines_can_be_pickled(tmp_path: Path) -> None:
    (tmp_path / "picklable.py").write_text(PARTS)
    module = load_extension("picklable.py")
    assert pickle.loads(pickle.dumps(module.Halving(0.3))).factor == 0.3


def test_files_of_one_name_in_two_folders_are_two_modules(tmp_path: Path) -> None:
    modules = []
    for folder in ("one", "two"):
        (tmp_path / folder).mkdir()
        (tmp_path / folder / "things.py").write_text("class Thing: ...\n")
        modules.append(load_extension(tmp_path / folder / "things.py"))
    for module in modules:
        assert pickle.loads(pickle.dumps(module.Thing)) is module.Thing


@pytest.mark.parametrize(
    ("what", "words"),
    [
        ("missing.py", "there is no file missing.py to import"),
        ("missing", "there is no module 'missing' to import; give a file"),
        ("missing.things", "there is no module 'missing.things' to import"),
        ("numpy.missing", "there is no module 'numpy.missing' to import"),
        ("notes.txt", "notes.txt is not a Python file; give one that ends in .py"),
    ],
)
def test_what_is_not_there_is_told_in_a_line(what: str, words: str, tmp_path: Path) -> None:
    (tmp_path / "notes.txt").write_text("notes")
    with pytest.raises(ExtensionError, match=words) as caught:
        load_extension(what)
    assert "\n" not in str(caught.value) and "Traceback" not in str(caught.value)


RAISING = """
def helper():
    return 1 / 0

helper()
"""


@pytest.mark.parametrize("what", ["raising.py", "raising_module"])
def test_the_message_of_one_that_raises_holds_the_users_traceback_and_no_frame_of_ours(
    what: str, tmp_path: Path
) -> None:
    path = tmp_path / (what if what.endswith(".py") else f"{what}.py")
    path.write_text(RAISING)
    with pytest.raises(ExtensionError, match=f"importing {what} failed") as caught:
        load_extension(what)
    message = str(caught.value)
    assert "ZeroDivisionError: division by zero" in message and "in helper" in message and "return 1 / 0" in message
    frames = [line for line in message.splitlines() if line.lstrip().startswith("File ")]
    assert len(frames) == 2 and all(path.name in frame for frame in frames), message
    assert caught.value.__cause__ is None and caught.value.__suppress_context__
    path.write_text("x = 1\n")
    assert load_extension(what).x == 1, "once it is mended it can be imported"


def test_a_file_that_is_no_python_shows_its_line(tmp_path: Path) -> None:
    (tmp_path / "odd.py").write_text("x = = 1\n")
    with pytest.raises(ExtensionError, match=r"(?s)importing odd.py failed.*x = = 1.*SyntaxError"):
        load_extension("odd.py")


def test_an_import_that_fails_inside_is_not_taken_for_a_missing_extension(tmp_path: Path) -> None:
    (tmp_path / "needs.py").write_text("import no_such_library\n")
    for what in ("needs.py", "needs"):
        with pytest.raises(ExtensionError, match=r"(?s)importing .*No module named 'no_such_library'"):
            load_extension(what)


# --- module:attribute ------------------------------------------------------------------------------------------------


@pytest.fixture
def parts(tmp_path: Path) -> str:
    """A module with one of each, of a name of its own."""
    name = f"parts_of_{tmp_path.name}".replace("-", "_")
    (tmp_path / f"{name}.py").write_text(PARTS)
    return name


@pytest.mark.parametrize("attribute", ["Halving", "made"])
def test_a_scheduler_may_be_named_by_module_and_attribute(attribute: str, parts: str) -> None:
    scheduler = make_scheduler(f"{parts}:{attribute}", factor=0.2)
    assert type(scheduler).__name__ == "Halving"
    _, trace = drive(scheduler, get_suite("planar").split("val")[:1], [0], horizon=1, interval_updates=12)
    assert trace.controls[0].generator_lr_factor.tolist() == [0.2]


@pytest.mark.parametrize("attribute", ["suite", "few"])
def test_a_suite_may_be_named_by_module_and_attribute(attribute: str, parts: str) -> None:
    assert len(get_suite(f"{parts}:{attribute}").split("train")) == 2
    assert get_suite(f"{parts}:{attribute}") is get_suite(f"{parts}:{attribute}"), "it is made once"
    env = make_sb3_vec_env(f"{parts}:{attribute}", 2, horizon=1, interval_updates=12)
    assert env.reset().shape[0] == 2
    env.close()


def test_a_family_may_be_named_by_module_and_attribute(parts: str) -> None:
    task = sample_task(f"{parts}:square", np.random.default_rng(0), name="mine/0")
    assert task.data().train.shape[1] == 2 and type(FAMILIES[task.family]).__name__ == "Square"


def test_a_loss_may_be_named_by_module_and_attribute(parts: str) -> None:
    task = get_suite("planar").split("train")[0]
    tasks = [task.with_base(loss=f"{parts}:soft"), task.with_base(loss="hinge")]
    bases = [each.base for each in tasks]
    try:
        assert Controls.base(bases).describe(0)["loss"] == f"{parts}:soft"
        population = Population(tasks, [1, 1])
        measured = population.train(Settings.of(bases), 12)
        assert measured.discriminator_loss[0] == pytest.approx(measured.discriminator_loss[1], rel=1e-5)
    finally:
        LOSSES.remove(f"{parts}:soft")


@pytest.mark.parametrize(
    ("name", "words"),
    [
        ("{parts}:nothing", "scheduler '.*:nothing' cannot be imported: .*has no attribute 'nothing'"),
        ("no_such_module:Halving", "cannot be imported: there is no module 'no_such_module'"),
        ("{parts}:none", "made 3, which is not a metagan_rl.agents.Scheduler"),
        (":Halving", "cannot be imported"),
        ("{parts}:", "cannot be imported"),
    ],
)
def test_what_cannot_be_imported_is_told(name: str, words: str, parts: str) -> None:
    with pytest.raises(InvalidValueError, match=words):
        make_scheduler(name.replace("{parts}", parts))


def test_a_module_that_raises_shows_its_own_traceback_there_too(tmp_path: Path) -> None:
    (tmp_path / "raising_parts.py").write_text(RAISING)
    with pytest.raises(InvalidValueError, match=r"(?s)cannot be imported.*return 1 / 0.*ZeroDivisionError") as caught:
        make_scheduler("raising_parts:Halving")
    assert "importlib" not in str(caught.value) and "registry" not in str(caught.value)


def test_a_name_that_nobody_has_is_still_unknown() -> None:
    with pytest.raises(UnknownNameError, match="did you mean cosine"):
        make_scheduler("cosin")
    with pytest.raises(UnknownNameError, match="unknown ratio 'math:pi'"):
        Controls.base([Base(ratio="math:pi")])


# --- worker processes ------------------------------------------------------------------------------------------------


def test_worker_processes_import_it_too(tmp_path: Path) -> None:
    load_extension(registering(tmp_path / "for_workers.py", "halving-of-workers"))
    try:
        env = make_sb3_vec_env("halving-of-workers-suite", 2, shards=2, horizon=1, interval_updates=12)
        try:
            env.reset()
            assert {info["task"] for info in env.reset_infos} <= {
                task.name for task in get_suite("halving-of-workers-suite").split("train")
            }
        finally:
            env.close()
    finally:
        forget("halving-of-workers")


def test_a_process_learns_of_files_and_modules_from_the_environment_variable(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    file = registering(tmp_path / "first.py", "halving-of-the-first")
    (tmp_path / "second.py").write_text("x = 1\n")
    try:
        load_extension("first.py")
        load_extension("second")
        load_extension("second")
        import os

        assert os.environ[VARIABLE].split(os.pathsep) == [str(file), "second"]
        code = """
import sys
from metagan_rl.runtime import prepare_process
prepare_process()
from metagan_rl.loop import SCHEDULERS
assert "halving-of-the-first" in SCHEDULERS and sys.modules["second"].x == 1
"""
        done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=False)
        assert done.returncode == 0, done.stderr
    finally:
        forget("halving-of-the-first")
