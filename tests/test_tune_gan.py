import math

import pytest

from metagan_rl import tune_gan
from metagan_rl.errors import InvalidValueError
from metagan_rl.experiments.benchmark.records import read_lines

pytest.importorskip("optuna")


class Runs:
    """Runs whose distance is least at factors of 3 and 0.5 and a decay of 10, and falls on the way."""

    def __init__(self, length=10):
        self.length, self.steps, self.tried = length, 0, []

    def __call__(self, knobs):
        self.tried.append(knobs)
        wanted = {"generator_lr_factor": 3, "discriminator_lr_factor": 0.5, "decay": 10}
        worse = sum(abs(math.log(knobs[name] / value)) for name, value in wanted.items())
        for step in range(self.length):
            self.steps += 1
            yield 0.1 + worse + 1 / (1 + step)


def test_it_finds_better_knobs_than_a_sweep_of_three_rates_and_keeps_to_its_budget():
    runs = Runs()
    found = tune_gan(runs, 20)
    sweep = [row for row in found.rows if row["knobs"]["generator_lr_factor"] in (1 / 3, 1.0, 3.0)]
    assert found.distance < min(row["distances"][-1] for row in sweep if not row["stopped"])
    assert runs.steps <= 200 and found.spent == pytest.approx(runs.steps / 10)
    assert len(found.rows) > 20 and any(row["stopped"] for row in found.rows)  # stopping early pays for more runs
    assert runs.tried[0] == {"generator_lr_factor": 1, "discriminator_lr_factor": 1, "decay": 1}  # the loop as it is
    assert tune_gan(Runs(), 20).knobs == found.knobs


def test_knobs_of_a_loops_own_and_rows_in_a_file(tmp_path):
    def run(knobs):
        yield abs(math.log(knobs["weight"])) + (knobs["loss"] != "hinge")

    lines = []
    found = tune_gan(
        run,
        30,
        knobs={"weight": (0.01, 100.0), "loss": ["bce", "hinge"]},
        out=tmp_path / "rows.jsonl",
        show=lines.append,
    )
    assert found.knobs["loss"] == "hinge" and found.distance < 1
    rows = read_lines(tmp_path / "rows.jsonl")
    assert rows == found.rows and len(lines) == len(rows) == 30


def test_runs_that_fail_or_diverge_are_the_worst():
    def run(knobs):
        if knobs["rate"] > 1:
            raise RuntimeError("too fast")
        yield float("nan") if knobs["rate"] > 0.5 else 1 / knobs["rate"]

    found = tune_gan(run, 20, knobs={"rate": (0.01, 10.0)}, prior=[{"rate": 0.1}])
    assert found.knobs["rate"] <= 0.5 and any("too fast" in row["error"] for row in found.rows)


@pytest.mark.parametrize(
    ("options", "words"),
    [
        ({"budget": 0}, "budget is 0"),
        ({"knobs": {}}, "empty"),
        ({"knobs": {"rate": (0.0, 1.0)}}, "'rate' has the range"),
        ({"knobs": {"loss": []}}, "no choices"),
        ({"make_run": lambda knobs: []}, "gave no distance"),
        ({"make_run": lambda knobs: 0.3}, "returned 0.3; it must return an iterable of distances"),
        ({"budget": "20"}, "budget is '20'"),
        ({"knobs": ["rate"]}, "give a range or choices for each name"),
    ],
)
def test_what_cannot_be_searched_is_told(options, words):
    with pytest.raises(InvalidValueError, match=words):
        tune_gan(**{"make_run": Runs(), "budget": 2, **options})


def test_what_is_tried_first_keeps_to_ranges_and_choices():
    tried = []

    def run(knobs):
        tried.append(knobs)
        yield 1.0

    tune_gan(run, 3, knobs={"generator_lr_factor": (2.0, 8.0), "decay": [1, 10]})
    assert all(2.0 <= each["generator_lr_factor"] <= 8.0 and each["decay"] in (1, 10) for each in tried)
    tried.clear()
    tune_gan(run, 2, knobs={"generator_lr_factor": (0.5, 8.0)})
    assert tried[0]["generator_lr_factor"] == 1.0


def test_what_the_first_run_raises_is_raised():
    def broken(knobs):
        raise KeyError("data")
        yield

    with pytest.raises(KeyError, match="data"):
        tune_gan(broken, 3)


def test_what_is_no_number_is_told():
    with pytest.raises(InvalidValueError, match=r"make_run yielded \{'distance': 1.0\}; it must yield one number"):
        tune_gan(lambda knobs: iter([{"distance": 1.0}]), 2)
