"""The study of the example loop: its runs, and its table."""

from metagan_rl.experiments.benchmark.records import read_lines
from metagan_rl.experiments.studies.own_loop import ARMS, Job, OwnLoop, run_job, study, table


def row(scheduler, beta1, seed, share, places):
    return {"scheduler": scheduler, "beta1": beta1, "seed": seed, "share": share, "places": places}


def test_a_run_is_that_of_the_example():
    plain, bare = (run_job(Job("constant", beta1, 0, 20)) for beta1 in (0.5, 0.0))
    assert plain["rates"] == bare["rates"] == [1e-3, 1e-3]
    assert 0 <= plain["share"] <= 1 and 0 <= plain["places"] <= 8
    assert plain == run_job(Job("constant", 0.5, 0, 20))


def test_the_table_compares_with_the_plain_loop():
    rows = [row("constant", 0.5, seed, 0.5, 8) for seed in (0, 1)]
    rows += [row("rate-check", 0.0, 0, 0.9, 8), row("rate-check", 0.0, 1, 0.4, 1)]
    lines = table(rows).splitlines()
    assert lines[2] == "| `constant` | 0.5 | 2 | 0.50 | 8.0 | 2 | 0 |"
    assert lines[3] == "| `rate-check` | 0 | 2 | 0.65 | 4.5 | 1 | 1 |" and len(lines) == 4


def test_a_study_goes_on(tmp_path):
    options = OwnLoop(seeds=1, steps=10, workers=0, out=tmp_path)
    study(options)
    rows = read_lines(tmp_path / "rows.jsonl")
    assert [(each["scheduler"], each["beta1"]) for each in rows] == ARMS
    study(options)
    assert read_lines(tmp_path / "rows.jsonl") == rows
