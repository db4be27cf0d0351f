"""One scheduler over another, on what both have run; and the files of rows that such studies leave."""

import json

import pytest

from metagan_rl.errors import FileFormatError, InvalidValueError, OutputError, UnknownNameError
from metagan_rl.experiments.benchmark.records import append_lines, read_lines
from metagan_rl.experiments.benchmark.row import Row
from metagan_rl.experiments.report.compare import compare
from metagan_rl.experiments.studies.command import called_as


def row(scheduler, task, distance, seed=0, tag="known-family"):
    names = {"suite": "planar", "split": "test", "task": task, "seed": seed, "scheduler": scheduler, "tag": tag}
    return Row.from_dict({**names, "family": "ring", "distance": distance})


def test_ratios_are_of_the_runs_that_both_have():
    rows = [row("a", f"ring/{place}", 1.0 + place) for place in range(4)]
    rows += [row("b", f"ring/{place}", 2.0 * (1.0 + place)) for place in range(3)]
    rows += [row("a", "spiral/0", 3.0, tag="held-out-family"), row("b", "spiral/0", 1.0, tag="held-out-family")]
    found = compare(rows, "a", "b")
    assert list(found) == ["all", "planar, known-family", "planar, held-out-family"]
    assert [ratio.value for ratio in found.values()] == pytest.approx([(3 / 8) ** 0.25, 0.5, 3.0])
    with pytest.raises(UnknownNameError, match="unknown scheduler of this benchmark 'c'"):
        compare(rows, "a", "c")
    with pytest.raises(InvalidValueError, match="no run in common"):
        compare([*rows, row("c", "rose/0", 1.0)], "a", "c")


def test_half_a_line_of_a_stopped_run_is_not_read_and_cut_off_before_more_is_added(tmp_path):
    path = tmp_path / "rows.jsonl"
    assert read_lines(path, ()) == []
    append_lines(path, [{"a": 1}, {"a": 2}])
    whole = path.read_bytes()
    for half in (b'{"a": 3', b"{", b'{"a": "\xc3'):
        path.write_bytes(whole + half)
        assert read_lines(path, ("a",)) == [{"a": 1}, {"a": 2}]
        append_lines(path, [{"a": 4}])
        kept = path.read_bytes()
        assert kept.startswith(whole + b'{"a": 4') and kept.endswith(b"}\n") and kept.count(b"\n") == 3
        assert read_lines(path, ("a",)) == [{"a": 1}, {"a": 2}, {"a": 4}]
    path.write_bytes(b'{"a": 3')  # nothing else
    append_lines(path, [])
    assert path.read_bytes() == b""
    path.write_text('{"b": 1}\n')
    with pytest.raises(FileFormatError, match=r"line 1 is not a record of its kind; missing: a"):
        read_lines(path, ("a",))
    with pytest.raises(OutputError, match=r"cannot write .*what is there stays usable"):
        append_lines(tmp_path, [json.loads("{}")])


def test_a_command_is_told_without_what_changes_no_result(monkeypatch):
    monkeypatch.setattr("sys.argv", ["x", "--seeds", "2", "--out", "/somewhere/else", "--workers=4", "--data", "a b"])
    assert called_as("recipe_study") == "python -m metagan_rl.experiments.studies.recipe_study --seeds 2 --data 'a b'"
