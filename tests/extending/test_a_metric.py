"""Add a metric: one file of your own, and every benchmark from then on has it as a column.

A metric is a function of one GAN's samples at the end of its budget. ``register_metric`` gives it a name (its column
in ``rows.jsonl`` and ``summary.csv``), a label (its heading in the report), the better direction, and ``worst``: what a
diverged run gets, so that no table can take a diverged GAN for a good one. No run gets anything worse. The function
returns ``None`` where the number cannot be known.

``samples.points`` are generated, ``[M, D]``; ``samples.reference.points`` are real ones that rewards never saw;
``samples.task`` is what the GAN was trained on; ``samples.quality`` and ``samples.modes`` were measured already. Points
are in deviations of the data. Import the file before you call ``run_benchmark``; with several workers it has to be
importable by them.

Before you trust a metric, hold it against a closed form or another library, and measure what it is blind to: the table
in ``metagan_rl/metrics/features.py`` shows how. A metric of the package itself joins the table in
``metagan_rl/metrics/metric.py``.
"""

import csv
import json
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from metagan_rl.errors import InvalidValueError, UnknownNameError
from metagan_rl.experiments import BenchmarkConfig, run_benchmark, write_report
from metagan_rl.metrics import METRICS, MemberQuality, Metric, Reference, Samples, register_metric
from metagan_rl.tasks import SUITES, Base, Suite, get_suite, register_suite, sample_task

MY_METRIC = '''
import torch

from metagan_rl.metrics import Samples, register_metric


@register_metric("energy_distance", label="energy <distance>", better="lower", worst=100.0, unit="deviations")
def energy_distance(samples: Samples) -> float:
    """Energy distance, 0 or more (Szekely and Rizzo 2013, doi:10.1016/j.jspi.2013.03.018)."""
    fake, real = samples.points, samples.reference.points
    across, within, among = (torch.cdist(*pair).mean() for pair in ((fake, real), (fake, fake), (real, real)))
    return float((2 * across - within - among).clamp_min(0))


@register_metric("ring_radius", label="radius of the ring", better=None, worst=0.0)
def ring_radius(samples: Samples) -> float | None:
    if samples.task.family != "ring":
        return None
    return float(samples.points.norm(dim=1).mean())
'''


@pytest.fixture
def my_metric(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[None]:
    """A user's file, imported as a user would."""
    (tmp_path / "my_metric.py").write_text(MY_METRIC)
    monkeypatch.syspath_prepend(str(tmp_path))
    before = set(METRICS)
    __import__("my_metric")
    yield
    for name in set(METRICS) - before:
        METRICS.remove(name)
    del sys.modules["my_metric"]


TASKS = {
    "own": Base(batch_size=16),
    "hopeless": Base(batch_size=16, generator_lr=10.0, discriminator_lr=10.0),
}
"""Tags of the user's own, and what their GANs start from; under the second every one explodes."""


@pytest.fixture
def my_suite() -> Iterator[str]:
    """Short tasks of two families under each tag."""
    rng = np.random.default_rng(0)
    tasks = [
        sample_task(family, rng, name=f"{family}/{tag}", tag=tag, budget=96, base=base)
        for tag, base in TASKS.items()
        for family in ("ring", "moons")
    ]
    register_suite(Suite("tiny", 1, "for tests", {"test": tasks}))
    yield "tiny"
    SUITES.remove("tiny")


def rows_in(directory: Path) -> list[dict[str, Any]]:
    return [json.loads(line) for line in (directory / "rows.jsonl").read_text(encoding="utf-8").splitlines()]


@pytest.mark.usefixtures("my_metric")
def test_a_metric_of_ones_own_is_in_rows_summary_and_report(my_suite: str, tmp_path: Path) -> None:
    pytest.importorskip("matplotlib")
    out = run_benchmark(BenchmarkConfig(my_suite, "test", ("constant", "linear"), seeds=1), tmp_path / "out", workers=0)
    rows = rows_in(out)
    assert len(rows) == 8
    for row in rows:
        assert row["diverged"] == (row["tag"] == "hopeless")
        assert (row["ring_radius"] is None) == (row["family"] != "ring")
        if row["diverged"]:  # whatever can be known is the worst there is
            assert row["energy_distance"] == 100.0
            assert all(row[name] in (None, METRICS[name].worst) for name in METRICS)
        else:
            assert 0 < row["energy_distance"] < 100

    page = write_report(out).read_text(encoding="utf-8")
    assert "<th>energy &lt;distance&gt; (deviations) \N{DOWNWARDS ARROW}</th>" in page
    assert "<th>radius of the ring</th>" in page
    with (out / "summary.csv").open(encoding="utf-8", newline="") as file:
        summary = {(record["tag"], record["scheduler"]): record for record in csv.DictReader(file)}
    own = [row["energy_distance"] for row in rows if (row["tag"], row["scheduler"]) == ("own", "linear")]
    assert float(summary["own", "linear"]["energy_distance"]) == pytest.approx(np.mean(own), rel=1e-4)
    assert float(summary["hopeless", "linear"]["energy_distance"]) == 100.0


def test_a_report_shows_metrics_that_nobody_registered_here(my_suite: str, tmp_path: Path, my_metric: None) -> None:
    pytest.importorskip("matplotlib")
    out = run_benchmark(BenchmarkConfig(my_suite, "test", ("constant",), seeds=1), tmp_path / "out", workers=0)
    METRICS.remove("energy_distance")
    assert "<th>energy_distance</th>" in write_report(out).read_text(encoding="utf-8")


@pytest.mark.usefixtures("my_metric")
def test_a_worker_that_does_not_know_a_metric_says_so(my_suite: str) -> None:
    from metagan_rl.experiments.benchmark.cells import run_batch
    from metagan_rl.experiments.benchmark.planning import batches_of

    batch = next(iter(batches_of(BenchmarkConfig(my_suite, "test", ("constant",), seeds=1))))
    METRICS.remove("ring_radius")
    with pytest.raises(UnknownNameError, match="unknown metric 'ring_radius'"):
        run_batch(batch)


@pytest.mark.parametrize(
    ("name", "options", "words"),
    [
        ("my-metric", {}, "'my-metric' must be lower-case words joined by underscores"),
        ("coverage", {}, "'coverage' is registered already"),
        ("mine", {"worst": float("inf")}, "worst is inf for metric 'mine'"),
        ("mine", {"better": "smaller"}, "better is 'smaller'"),
    ],
)
def test_a_metric_that_makes_no_sense_is_refused(name: str, options: dict[str, Any], words: str) -> None:
    with pytest.raises(InvalidValueError, match=words):
        register_metric(name, **{"label": "mine", "better": "lower", "worst": 1.0, **options})(lambda samples: 0.0)


def test_a_metric_never_takes_the_name_of_another_column() -> None:
    register_metric("updates", label="mine", better=None, worst=0.0)(lambda samples: 0.0)
    try:
        with pytest.raises(InvalidValueError, match="metric 'updates' has the name of another column of rows; rename"):
            BenchmarkConfig()
    finally:
        METRICS.remove("updates")


def test_numbers_that_are_none_are_the_worst_and_failures_name_the_metric(my_suite: str) -> None:
    task = get_suite(my_suite).split("test")[0]
    reference = Reference.of(task, report=True)
    samples = Samples(reference.points, reference, task, MemberQuality(0.1, 0.1, 1.0, 1.0))
    assert Metric("mine", "mine", "lower", 7.0, lambda samples: float("nan")).of(samples) == 7.0
    assert Metric("mine", "mine", "lower", 7.0, lambda samples: 9.0).of(samples) == 7.0  # none is worse than diverged
    assert Metric("mine", "mine", "higher", 0.5, lambda samples: 0.25).of(samples) == 0.5
    assert Metric("mine", "mine", None, 0.5, lambda samples: 0.25).of(samples) == 0.25
    broken = Metric("mine", "mine", "lower", 7.0, lambda samples: 1 / 0)
    assert broken.of(samples, diverged=True) == 7.0  # its points may be anything
    with pytest.raises(InvalidValueError, match=r"metric 'mine' failed on task 'ring/own' \(ZeroDivisionError"):
        broken.of(samples)
