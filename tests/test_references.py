"""References: what a score is, and plain words about files that are damaged or of other tasks."""

from dataclasses import asdict
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from metagan_rl.agents.searches.tuned import tuned_constant
from metagan_rl.errors import FileFormatError, InvalidValueError
from metagan_rl.experiments.benchmark.references import (
    FOLDER,
    LEAST_ROOM,
    Room,
    load_references,
    save_references,
    share_of_room,
)
from metagan_rl.tasks import get_suite
from metagan_rl.tasks.suites import BUILT_IN, SPLITS


def write(folder: Path, **changes: Any) -> Path:
    tasks = get_suite("ring8").split("test")[:2]
    schedule = asdict(tuned_constant().schedule)
    entry = {"untuned": 1.0, "oracle": 0.25, "schedule": schedule, "curve": [[1, 1.0], [2, 0.7], [4, 0.5]]}
    record = {
        "suite": "ring8", "split": "test", "suite_sha256": get_suite("ring8").sha256,
        "interval_updates": 48, "runs": 8, "version": "0", "command": "made up",
        "tasks": {task.name: entry for task in tasks},
    }  # fmt: skip
    path = folder / "ring8-test.json"
    save_references(path, {**record, **changes})
    return path


def test_the_score_is_the_share_of_the_room() -> None:
    room = Room(untuned=0.8, oracle=0.2)
    assert [share_of_room(d, room) for d in (0.8, 0.4, 0.2, 0.1, 1.6)] == pytest.approx([0, 0.5, 1, 1.5, -0.5])
    assert share_of_room(0.05, Room(0.4, 0.1)) == share_of_room(0.1, room)  # units of distance do not matter


def test_only_tasks_with_room_are_scored() -> None:
    assert Room(LEAST_ROOM, 1.0).enough and not Room(LEAST_ROOM - 1e-9, 1.0).enough
    assert not Room(0.5, 0.6).enough
    with pytest.raises(InvalidValueError, match="no room"):
        share_of_room(0.5, Room(0.5, 0.5))
    for bad in (0.0, -1.0, float("nan"), float("inf")):
        with pytest.raises(InvalidValueError, match="positive"):
            share_of_room(bad, Room(1.0, 0.5))
        with pytest.raises(InvalidValueError, match="oracle"):
            Room(1.0, bad)


def test_references_are_read_and_may_be_absent(tmp_path: Path) -> None:
    assert not load_references("ring8", "test", tmp_path).rooms
    assert not load_references("a-users-own", "test", tmp_path).sha256
    write(tmp_path)
    found = load_references("ring8", "test", tmp_path)
    assert found.sha256 == get_suite("ring8").sha256
    assert len(found.rooms) == 2 < len(get_suite("ring8").split("test"))  # fewer tasks than the split has are fine
    assert set(found.rooms.values()) == {Room(1.0, 0.25)}
    assert np.array_equal(next(iter(found.curves.values())), [[1, 1.0], [2, 0.7], [4, 0.5]])
    assert set(found.schedules.values()) == {tuned_constant().schedule} and found.runs == 8
    assert not load_references("ring8", "val", tmp_path).rooms


@pytest.mark.parametrize(
    "changes",
    [
        {"split": "val"},
        {"tasks": None},
        {"tasks": {"ring/test/9999": {}}},
        {"tasks": {"ring8/test/0000": {"untuned": 1.0, "curve": [[1, 1.0]]}}},
        {"tasks": {"ring8/test/0000": {"untuned": 1.0, "oracle": 0.0, "curve": [[1, 1.0]]}}},
        {"tasks": {"ring8/test/0000": {"untuned": float("nan"), "oracle": 0.5, "curve": [[1, 1.0]]}}},
        {"tasks": {"ring8/test/0000": {"untuned": 1.0, "oracle": 0.5, "curve": []}}},
        {"tasks": {"ring8/test/0000": {"untuned": 1.0, "oracle": 0.5, "curve": [1, 2]}}},
        {"tasks": {"ring8/test/0000": {"untuned": 1.0, "oracle": 0.5, "curve": [[2, 1.0]]}}},
        {"tasks": {"ring8/test/0000": {"untuned": 1.0, "oracle": 0.5, "curve": [[1, 1.0], [1, 0.5]]}}},
        {"tasks": {"ring8/test/0000": {"untuned": 1.0, "oracle": 0.5, "curve": [[1, -1.0]]}}},
    ],
)
def test_damage_is_named(tmp_path: Path, changes: dict[str, Any]) -> None:
    write(tmp_path, **changes)
    with pytest.raises(FileFormatError, match=r"ring8-test\.json is damaged"):
        load_references("ring8", "test", tmp_path)


def test_broken_json_and_other_tasks_are_refused(tmp_path: Path) -> None:
    path = write(tmp_path)
    text = path.read_text()
    for wrong, words in (
        (text[:-20], "damaged"),
        (text.replace("0.25", "0.35", 1), "was changed after it was written"),
        (text.replace("references", "schedule"), "not of kind"),
    ):
        path.write_text(wrong)
        with pytest.raises(FileFormatError, match=words):
            load_references("ring8", "test", tmp_path)
    write(tmp_path, suite_sha256="0f" * 32)
    with pytest.raises(FileFormatError, match="measure the references again"):
        load_references("ring8", "test", tmp_path)


def test_committed_references_are_of_the_tasks_there_are() -> None:
    names = {path.name for path in FOLDER.glob("*.json")}
    assert names <= {f"{suite}-{split}.json" for suite in BUILT_IN for split in SPLITS}
    for name in names:
        suite, split = name.removesuffix(".json").rsplit("-", 1)
        assert load_references(suite, split).rooms
