"""Knobs, signals and learned schedulers can be copied and pickled: other processes and checkpoints need that."""

import copy
import pickle

import numpy as np
import pytest

from metagan_rl.agents import make_scheduler
from metagan_rl.loop import KNOBS, choose_knobs, choose_signals
from metagan_rl.loop.drive import drive
from metagan_rl.tasks import get_suite


@pytest.mark.parametrize("again", [copy.deepcopy, lambda each: pickle.loads(pickle.dumps(each))])
def test_knobs_and_signals_come_back_equal_and_work(again):
    fewer = choose_knobs({"ratio": ["1:1", "2:1"], "generator_lr_factor": None})
    for knob in (*KNOBS.values(), *fewer):
        assert again(knob) == knob and again(knob).apply is knob.apply
    for signal in choose_signals("all+setup+generator_loss", fewer):
        assert again(signal) == signal and (again(signal).low, again(signal).meaning) == (signal.low, signal.meaning)


@pytest.mark.parametrize("name", ["loop", "default"])
def test_a_learned_scheduler_goes_on_alike_after_pickling(name):
    task, short = get_suite("planar").split("val")[0], {"horizon": 3, "interval_updates": 12}
    scheduler = make_scheduler(name)
    again = pickle.loads(pickle.dumps(scheduler))
    ends = [drive(each, [task], [4], **short)[0].quality.distance for each in (scheduler, again)]
    np.testing.assert_array_equal(*ends)
