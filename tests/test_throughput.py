"""The measurement of speed: every kind of row can be asked for, and what was measured can be turned into the docs."""

import json
import sys
from dataclasses import fields
from pathlib import Path
from typing import get_args

import pytest

from metagan_rl.experiments.studies import throughput
from metagan_rl.experiments.studies.throughput import Kind, Throughput, sections
from metagan_rl.tasks import get_suite

pytest.importorskip("matplotlib")


def test_every_kind_of_row_that_can_be_asked_for_is_measured_and_explained() -> None:
    assert set(get_args(Kind)) == set(sections(Throughput()))
    for kind in get_args(Kind):
        assert f"* ``{kind}``:" in str(throughput.__doc__)
    (only,) = (field for field in fields(Throughput) if field.name == "only")
    assert only.type == Kind | None


def test_an_unknown_kind_is_refused_with_those_there_are(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setattr(sys, "argv", ["throughput", "--only", "compil"])
    monkeypatch.setattr(throughput, "prepare_process", lambda: None)
    with pytest.raises(SystemExit) as stop:
        throughput.main()
    told = "".join(capsys.readouterr())
    assert stop.value.code == 2 and "convolutional" in told


def test_rows_of_one_kind_replace_theirs_and_become_a_picture_and_a_table(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    from metagan_rl.experiments.studies import pictures

    task = get_suite("planar").split("train")[0]
    out = tmp_path / "throughput.jsonl"
    committed = (pictures.RESULTS / "throughput.jsonl").read_text(encoding="utf-8").splitlines()
    others = [line for line in committed if json.loads(line)["kind"] != "noise"]
    out.write_text("\n".join([*others, json.dumps({"kind": "noise"})]) + "\n", encoding="utf-8")
    measured = throughput._noise(task, 2, 1)
    monkeypatch.setattr(throughput, "_noise", lambda *args: measured)
    monkeypatch.setattr(throughput, "prepare_process", lambda: None)
    monkeypatch.setattr(sys, "argv", ["throughput", "--only", "noise", "--quick", "--out", str(out)])
    throughput.main()
    rows = [json.loads(line) for line in out.read_text(encoding="utf-8").splitlines()]
    assert len(rows) == len(others) + 1 and rows[-1]["milliseconds"] == measured["milliseconds"]
    monkeypatch.setattr(pictures, "RESULTS", tmp_path)
    assert pictures.throughput(tmp_path).stat().st_size > 1000
    assert any(f"| host | {measured['milliseconds']['host']} |" in table for table in pictures.throughput_tables())
