"""What ``docs/practice.md`` shows, made from committed rows."""

from metagan_rl.experiments.benchmark.records import read_lines
from metagan_rl.experiments.studies.full_form import RESULTS
from metagan_rl.experiments.studies.practice.running import KEY
from metagan_rl.experiments.studies.practice.table import tables


def page_tables() -> list[str]:
    """The parts of the page, in order."""
    return tables(read_lines(RESULTS / "practice" / "rows.jsonl", KEY))
