"""The tables of docs/suite.md are what the committed rows say, and the study of random agents gives such rows."""

from pathlib import Path

from metagan_rl.experiments.benchmark.records import read_lines
from metagan_rl.experiments.studies import exploration, reward_weights, room
from metagan_rl.experiments.studies.full_form import RESULTS

PAGE = (Path(__file__).parent.parent / "docs" / "suite.md").read_text(encoding="utf-8")


def test_the_tables_are_made_from_the_committed_rows():
    rows = read_lines(RESULTS / "suite" / "exploration.jsonl")
    assert exploration.table(rows) in PAGE
    assert room.table(read_lines(RESULTS / "suite" / "room" / "rows.jsonl")) in PAGE
    assert reward_weights.table(reward_weights.runs()) in PAGE


def test_a_row_tells_how_agents_fared():
    short = {"horizon": 2, "interval_updates": 12, "actions": "moves", "reference": "constant"}
    row = exploration.explore("MetaGAN/Ring8-v2", 2, 0, **short)
    still = exploration.explore("MetaGAN/Ring8-v2", 2, 0, still=True, **short)
    assert row["runs"] == 2 and row["diverged"] == 0 and row["distance"] > 0
    assert row["return"] != still["return"] and still["agent"] == "still"
    assert "| `constant` | random `moves` | 0% |" in exploration.table([row])
