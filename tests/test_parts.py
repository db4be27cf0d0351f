"""Intervals that are trained part by part."""

import numpy as np
import pytest

from metagan_rl.loop import Runs
from metagan_rl.loop.parts import Parts
from metagan_rl.tasks import Event, Hidden, sample_task


def made(budget: int = 192, decisions: int = 2, hidden: Hidden | None = None) -> Runs:
    task = sample_task("ring", np.random.default_rng(0), budget=budget, hidden=hidden)
    return Runs([task, task], [3, 3], decisions=decisions)


def test_an_interval_of_parts_is_recorded_once_when_it_is_over():
    runs = made()
    parts, controls = Parts(runs), runs.base_controls()
    assert [parts.train(controls, 36) for _ in range(2)] == [None, None] and runs.done_intervals.tolist() == [0, 0]
    outcome = parts.train(controls, 36)  # 24 are left
    assert outcome is not None and runs.done_intervals.tolist() == [1, 1] and parts.left == 96
    assert runs.population.trained_intervals.tolist() == [3, 3]


def test_one_part_is_the_whole_interval():
    """To rounding: moves are worked out anew from the weights."""
    whole, part = made(), made()
    controls = whole.base_controls()
    whole.advance(controls)
    Parts(part).train(controls, 10_000)
    assert part.quality.distance.tolist() == whole.quality.distance.tolist()
    for name, values in whole.signals().items():
        assert part.signals()[name] == pytest.approx(values, abs=1e-5), name


def test_signals_of_an_interval_in_parts_are_those_of_a_whole_one():
    """The noise is another, so they agree as two seeds do; moves would be several times too long if they added up."""
    whole, part = made(3072, 4), made(3072, 4)
    controls, parts = whole.base_controls(), Parts(part)
    for _ in range(2):
        whole.advance(controls)
        while parts.train(controls, 24) is None:
            pass
    for name in ("generator_move", "discriminator_move", "real_accuracy", "logit_deviation"):
        assert part.signals().get(name, 0) == pytest.approx(whole.signals().get(name, 0), abs=0.15), name


def test_knobs_may_be_turned_within_an_interval():
    still, turned = made(), made()
    controls = still.base_controls()
    for runs, second in ((still, 1.0), (turned, 30.0)):
        parts = Parts(runs)
        parts.train(controls, 48)
        parts.train(controls.replace(generator_lr_factor=np.full(2, second)), 48)
    assert (turned.ledger.signals()["generator_move"] > still.ledger.signals()["generator_move"]).all()
    assert turned.controls.generator_lr_factor.tolist() == [30.0, 30.0]


def test_a_run_continues_from_another_in_the_midst_of_an_interval():
    runs = made()
    parts, base = Parts(runs), runs.base_controls()
    parts.train(base.replace(generator_lr_factor=np.array([1.0, 30.0])), 48)
    assert not np.array_equal(runs.evaluate().distance[0], runs.evaluate().distance[1])
    parts.copy(np.array([0, 0]))
    parts.train(base, 48)
    distance, moves = runs.quality.distance, runs.signals()["generator_move"]
    assert distance[0] == distance[1] and moves[0] == moves[1]


def test_what_is_hidden_happens_once_an_interval():
    """A reset at the begin of the second interval is not repeated with each of its parts."""
    runs = made(hidden=Hidden(events=(Event(0.5, reset="generator"),)))
    parts, controls = Parts(runs), runs.base_controls()
    for updates in (96, 48, 24):
        parts.train(controls, updates)
    ((population, _),) = runs.population.groups()
    assert population.state.generator_steps.tolist() == [36, 36], "half of the 72 updates since the reset are G's"
    assert population.state.discriminator_steps.tolist() == [84, 84]
