"""The measurement of speed: every kind of row can be asked for, and what was measured can be turned into the docs."""

import itertools
import json
import os
import sys
from dataclasses import fields
from functools import partial
from pathlib import Path
from typing import Any, get_args

import pytest
import torch
from elsewhere import needs
from torch.utils.flop_counter import FlopCounterMode

from metagan_rl.engine.library import VARIABLE
from metagan_rl.experiments.report.tables import DASH
from metagan_rl.experiments.studies import command, throughput
from metagan_rl.experiments.studies.separate import SeparateGAN
from metagan_rl.experiments.studies.throughput import engines, measuring, page, parts, training
from metagan_rl.experiments.studies.throughput.measuring import Kind, Throughput, sections, write_rows
from metagan_rl.experiments.studies.throughput.turns import LEAST_SECONDS, Side, per_second, ratios, take_turns
from metagan_rl.tasks import get_suite

TASK = get_suite("planar").split("train")[0]
SMALL = training.reshaped(TASK, width=8, batch=8)


class Clock:
    """Time that passes only when a side says so."""

    def __init__(self) -> None:
        self.now = 0.0

    def __call__(self) -> float:
        return self.now

    def side(self, name: str, work: float, seconds: list[float], preparing: float = 0.0) -> Side:
        """A side that takes these seconds, call by call, over and over."""
        each = itertools.cycle(seconds)

        def run() -> float:
            self.now += next(each)
            return work

        def prepare() -> None:
            self.now += preparing

        return Side(name, run, prepare)


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
    monkeypatch.setattr(command, "prepare_process", lambda: None)
    with pytest.raises(SystemExit) as stop:
        command.run_command(Throughput, write_rows)
    told = "".join(capsys.readouterr())
    assert stop.value.code == 2 and "convolutional" in told


def test_a_ratio_is_the_median_over_turns_and_a_short_call_is_repeated() -> None:
    clock = Clock()
    slow = clock.side("slow", 6.0, [1.0, 1.0, 2.0, 4.0], preparing=100.0)  # the first call warms up
    brief = clock.side("brief", 1.0, [LEAST_SECONDS / 4])
    rates = take_turns([slow, brief], 3, clock)
    assert rates["slow"] == pytest.approx([6.0, 3.0, 1.5])
    assert rates["brief"] == pytest.approx([4 / LEAST_SECONDS] * 3)
    assert clock.now == pytest.approx(400 + 8 + (1 + 3 * 4) * LEAST_SECONDS / 4)
    assert per_second(rates) == {"slow": 3, "brief": round(4 / LEAST_SECONDS)}
    assert ratios(rates)["brief/slow"] == pytest.approx(4 / LEAST_SECONDS / 3, rel=1e-3)


def test_the_operations_of_an_update_are_those_that_torch_counts() -> None:
    gan = SeparateGAN(TASK)
    with FlopCounterMode(display=False) as counter:
        gan.train(2, (1, 1))
    assert training.flops_per_update(TASK) == counter.get_total_flops() / 2


def test_a_row_of_updates_compares_the_sides_at_hand() -> None:
    row = training.updates(SMALL, 2, "one-centred", 1)
    assert set(row["updates_per_second"]) == {*engines.engines(), "separate", "jax"} - set(engines.missing())
    assert all(rate > 0 for rate in row["updates_per_second"].values())
    assert row["ratios"]["torch/separate"] == pytest.approx(1 / row["ratios"]["separate/torch"], rel=0.05, abs=0.002)


def test_random_controls_are_measured_by_each_engine() -> None:
    row = training.under_random_controls(SMALL, 2, 1)
    assert set(row["updates_per_second"]) == set(engines.engines()) and row["updates_per_second"]["torch"] > 0


@pytest.mark.parametrize("engine", engines.engines())
def test_shares_of_a_step_add_up_to_one(engine: str) -> None:
    row = parts.profile(engine, members=2, steps=1)
    assert ("native engine" in row["shares"]) == (engine == "native")
    assert sum(row["shares"].values()) == pytest.approx(1, abs=0.01)
    assert all(-0.01 <= share < 1 for share in row["shares"].values())


def test_an_engine_that_refuses_a_shape_is_left_out_and_torch_is_not(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    from metagan_rl.errors import InvalidValueError

    def make(engine: str) -> Side:
        if engine == "native":
            raise InvalidValueError("the native engine has no convolutions of this size")
        return Side(engine, lambda: 1.0)

    monkeypatch.setattr(engines, "missing", lambda: {})
    assert [side.name for side in engines.by_each(make)] == ["torch"]
    assert "left out: native: the native engine has no convolutions" in capsys.readouterr().out
    monkeypatch.setattr(engines, "missing", lambda: {"native": "no compiler was there"})
    assert engines.engines() == ["torch"]


def test_populations_are_trained_by_the_object_that_is_named(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv(VARIABLE, raising=False)
    with engines.variant("none"):
        assert engines.engines() == ["torch"] and "switched off" in engines.missing()["native"]
        assert engines.peak() == []
    assert VARIABLE not in os.environ
    row = training.by_variants(SMALL, 2, 1)
    assert set(row["updates_per_second"]) == {"torch", *engines.variants()}


def test_a_share_of_the_peak_is_of_the_peak_in_the_same_turn() -> None:
    rates = {"torch": [10.0, 20.0, 30.0], "native": [40.0, 40.0, 40.0], "peak": [1e4, 1e4, 2e4]}
    assert training.peak_shares(rates, flops=200.0) == {"torch": 0.3, "native": 0.8}
    assert training.peak_shares({"torch": [10.0]}, flops=200.0) == {}


@pytest.mark.skipif("native" in engines.missing(), reason="for want of the native engine")
def test_the_peak_is_measured_by_the_native_engine() -> None:
    (side,) = engines.peak()
    operations = side.run()
    assert operations >= 2 * engines.FMA_ROUNDS and operations % engines.FMA_ROUNDS == 0
    row = training.updates(SMALL, 2, "none", 1)
    assert "peak" not in row["updates_per_second"] and row["peak_gigaflops"] > 0
    assert set(row["peak_share"]) == set(row["updates_per_second"])


def test_rows_of_one_kind_replace_theirs_and_become_a_picture_and_a_table(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    pytest.importorskip("matplotlib")
    from metagan_rl.experiments.studies import pictures

    out = tmp_path / "throughput.jsonl"
    committed = (pictures.RESULTS / "throughput.jsonl").read_text(encoding="utf-8").splitlines()
    others = [line for line in committed if json.loads(line)["kind"] != "noise"]
    out.write_text("\n".join([*others, json.dumps({"kind": "noise"})]) + "\n", encoding="utf-8")
    measured = parts.noise(SMALL, 2, 1)
    monkeypatch.setattr(measuring.parts, "noise", lambda *args: measured)
    write_rows(Throughput(out=out, quick=True, only="noise"))
    rows = [json.loads(line) for line in out.read_text(encoding="utf-8").splitlines()]
    assert len(rows) == len(others) + 1 and rows[-1]["milliseconds"] == measured["milliseconds"]
    told = capsys.readouterr().out
    assert all(f"left out: {side}: {reason}" in told for side, reason in engines.missing().items())
    monkeypatch.setattr(pictures, "RESULTS", tmp_path)
    assert pictures.throughput(tmp_path).stat().st_size > 1000
    line = f"| torch | host | {measured['milliseconds']['torch, host']} |"
    assert any(line in table for table in pictures.throughput_tables())


def updates_row(**rates: int) -> dict[str, Any]:
    names = list(rates)
    return {
        "kind": "updates",
        **page.DEFAULT,
        "machine": "a machine",
        "torch": "2",
        "updates_per_second": rates,
        "ratios": {f"{a}/{b}": rates[a] / rates[b] for a in names for b in names if a != b},
        "peak_share": {"native": 0.71} if "native" in rates else {},
    }


def test_the_tables_hold_every_side_and_say_which_were_not_at_hand() -> None:
    summary = page.tables({"updates": [updates_row(separate=1000, jax=9000, torch=6000, native=24000)]})[0]
    assert "| default shape | 1,000 | 9,000 | 6,000 | 24,000 | 4.0 | 2.7 | 24.0 | 6.0 | 71% |" in summary
    assert "Not at hand" not in summary
    summary, *others = page.tables({"updates": [updates_row(separate=1000, torch=6000)]})
    assert "Measured on a machine, torch 2. Not at hand: JAX, native." in summary
    assert f"| {DASH} | 6,000 | {DASH} |" in summary and "Not measured." in others


@pytest.mark.parametrize("penalty", training.PENALTIES)
@needs("jax")
def test_a_pair_of_updates_in_jax_is_that_of_separate_modules(penalty: str, monkeypatch: pytest.MonkeyPatch) -> None:
    import jax

    from metagan_rl.experiments.studies.throughput import jax_twin

    batch, latent = SMALL.base.batch_size, SMALL.networks.latent_dim
    loss, weight = training.PENALTIES[penalty]
    gan = SeparateGAN(SMALL, loss, weight)
    state = jax.jit(partial(jax_twin.start, SMALL))(jax.random.key(0))
    for network in ("generator", "discriminator"):
        layers = [layer for layer in getattr(gan, network) if isinstance(layer, torch.nn.Linear)]
        for (matrix, bias), layer in zip(state[network][0], layers, strict=True):
            layer.weight.data, layer.bias.data = torch.tensor(matrix.T.tolist()), torch.tensor(bias.tolist())
    rows, share = torch.arange(batch), torch.rand(batch, 1)
    noises = [torch.randn(batch, latent), torch.randn(batch, latent)]
    drawn = tuple(each.numpy() for each in (gan.data[rows], *noises, share))
    after = jax.jit(partial(jax_twin.pair, SMALL, loss, weight))(state, drawn)
    with monkeypatch.context() as patch:
        patch.setattr(torch, "randint", lambda *args: rows)
        patch.setattr(torch, "randn", lambda *args: noises.pop(0))
        patch.setattr(torch, "rand", lambda *args: share)
        gan.train(2, (1, 1))
    for network in ("generator", "discriminator"):
        moments = getattr(gan, f"{network}_adam").state
        layers = [layer for layer in getattr(gan, network) if isinstance(layer, torch.nn.Linear)]
        for (matrix, bias), layer in zip(after[network][1], layers, strict=True):
            for ours, theirs in ((matrix.T, layer.weight), (bias, layer.bias)):
                expected = moments[theirs]["exp_avg"]
                torch.testing.assert_close(torch.tensor(ours.tolist()), expected, rtol=1e-4, atol=1e-6)


@needs("jax")
def test_the_twins_in_jax_all_train_and_differ() -> None:
    from metagan_rl.experiments.studies.throughput.jax_twin import JaxTwins

    twins = JaxTwins(SMALL, 3)
    twins.train()
    twins.train()
    weights = torch.tensor(twins.states["average"][0][0].tolist())
    assert twins.states["steps"].tolist() == [48.0] * 3
    assert weights.isfinite().all() and not torch.equal(weights[0], weights[1])
