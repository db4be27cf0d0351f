"""What a loop knows of itself: its facts are signals, and those that it does not know are taken for usual ones."""

from dataclasses import replace

import numpy as np
import pytest

from metagan_rl.errors import UnknownNameError
from metagan_rl.loop import Controls, Runs, choose_signals
from metagan_rl.loop.ledger import Ledger
from metagan_rl.loop.setup import Setup
from metagan_rl.tasks import get_suite

SHORT = {"horizon": 2, "interval_updates": 12}
NAMES = ("momentum", "batch", "size", "columns", "rows")


def task(**changes):
    usual = get_suite("planar").split("val")[0]
    networks = replace(usual.networks, **changes.pop("networks", {}))
    shots = changes.pop("shots", None)
    return replace(usual.with_base(**changes), networks=networks, shots=shots)


def told(*tasks):
    runs = Runs(list(tasks), [0] * len(tasks), **SHORT)
    return runs, {name: runs.signals()[name] for name in NAMES}


def test_facts_are_those_of_the_task():
    _, signals = told(task(beta1=0.9, batch_size=128), task(beta1=0.0, batch_size=32, shots=64))
    np.testing.assert_allclose(signals["momentum"], [0.5, 0.0], atol=1e-12)
    np.testing.assert_allclose(signals["batch"], [0.0, np.log10(0.25)])
    np.testing.assert_allclose(signals["rows"], [0.0, np.log10(64 / 4096) / 3])
    np.testing.assert_allclose(signals["columns"], 0.0)
    # G: 8-64-64-2, D: 2-64-64-1, with biases
    weights = (8 * 64 + 64) + (64 * 64 + 64) + (64 * 2 + 2) + (2 * 64 + 64) + (64 * 64 + 64) + (64 + 1)
    np.testing.assert_allclose(signals["size"], np.log10(weights / 1e4) / 3)


def test_facts_of_new_runs_take_the_places_of_old_ones():
    runs, before = told(task(batch_size=128), task(batch_size=128))
    runs.restart([1], [task(batch_size=32, networks={"width": 32})], [3])
    after = runs.signals()
    assert after["batch"][0] == before["batch"][0] == 0 and after["batch"][1] == pytest.approx(np.log10(0.25))
    assert after["size"][1] < before["size"][1] and after["size"][0] == before["size"][0]


def test_facts_follow_their_runs_and_come_back_with_a_state():
    runs, _ = told(task(batch_size=128), task(batch_size=32))
    again, _ = told(task(batch_size=64), task(batch_size=64))
    again.load_state_dict(runs.state_dict())
    np.testing.assert_array_equal(again.signals()["batch"], runs.signals()["batch"])
    runs.keep([1])
    assert runs.signals()["batch"].tolist() == pytest.approx([np.log10(0.25)])


def test_what_a_loop_does_not_know_is_no_signal():
    base = get_suite("planar").split("val")[0].base
    ledger = Ledger(Controls.base([base]), np.array([3072.0]))
    assert not set(NAMES) & set(ledger.signals())
    half = Setup(np.array([0.9]), *(np.array([np.nan]) for _ in range(4)))
    signals = Ledger(Controls.base([base]), np.array([3072.0]), setup=half).signals()
    assert set(NAMES) & set(signals) == {"momentum"}


def test_sets_of_signals_can_be_joined():
    loop, joined = choose_signals("loop"), choose_signals("loop+setup")
    assert [each.name for each in joined] == [*(each.name for each in loop), *NAMES]
    named = choose_signals("outputs+momentum+progress")
    assert [each.name for each in named] == [*(each.name for each in choose_signals("outputs")), "momentum"]
    assert not any(each.needs == "setup" for each in choose_signals("all"))
    with pytest.raises(UnknownNameError, match="momentun"):
        choose_signals("loop+momentun")
