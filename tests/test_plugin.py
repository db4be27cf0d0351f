import copy
import math
import random
import subprocess
import sys
import warnings
from pathlib import Path

import numpy as np
import pytest
import torch
from own_loops import RATES, Loop, Twofold, feed, healthy, logits, policy
from torch import nn

from metagan_rl import GANScheduler
from metagan_rl.agents import Scheduler, make_scheduler, save_policy, scheduler_names
from metagan_rl.agents.plugin.health import PATIENCE
from metagan_rl.agents.plugin.meter import LoopMeter
from metagan_rl.agents.plugin.quality import QUALITY_PARTS, evaluation_of
from metagan_rl.errors import InvalidValueError, SchedulerError, UnknownNameError
from metagan_rl.loop import Controls, Ledger, Runs, Situation, choose_signals
from metagan_rl.loop.signals import as_matrix
from metagan_rl.losses import LOSSES
from metagan_rl.populations import MixedPopulation
from metagan_rl.populations.measurements import Recorder
from metagan_rl.tasks import Base, get_suite

ROOT = Path(__file__).resolve().parent.parent
NEED_QUALITY = ("default", "recurrent-ppo", "ppo", "dqn", "autoloss", "fsco", "ucb")
LOOP = choose_signals("loop")
ALONE = [name for name in scheduler_names() if name not in (*NEED_QUALITY, "pbt", "mf-pbt", "identified-rule")]


# The contract of torch.optim.lr_scheduler


def test_rates_are_written_at_once_and_after_every_interval():
    loop = Loop()
    scheduler = loop.scheduler("cosine", total_steps=4, interval=2)
    assert scheduler.get_last_lr() == [1e-2, 2e-2]
    scheduler.step()
    assert scheduler.get_last_lr() == [1e-2, 2e-2]
    controls = scheduler.step()
    assert controls.generator_lr_factor == pytest.approx(0.5)
    assert loop.g.param_groups[0]["lr"] == pytest.approx(5e-3) and loop.d.param_groups[0]["lr"] == pytest.approx(1e-2)
    assert Loop().scheduler("warm-up").get_last_lr() == pytest.approx([1e-2 / 30, 2e-2 / 30])


def test_groups_keep_their_ratios_and_nothing_of_the_optimizer_is_patched():
    loop = Loop()
    loop.g.add_param_group({"params": [nn.Parameter(torch.zeros(2))], "lr": 1e-3})
    before = set(vars(loop.g)), loop.g.step.__func__
    loop.scheduler("linear", total_steps=2, interval=1).step()
    assert [group["lr"] for group in loop.g.param_groups] == pytest.approx([5e-3, 5e-4])
    assert [group["initial_lr"] for group in loop.g.param_groups] == [1e-2, 1e-3]
    assert (set(vars(loop.g)), loop.g.step.__func__) == before


def test_an_initial_rate_that_is_there_already_is_the_base_if_it_replaces():
    loop = Loop()
    loop.g.param_groups[0]["initial_lr"] = 1.0
    assert loop.scheduler("constant").get_last_lr()[0] == 1e-2
    assert loop.scheduler("constant", replace=True).get_last_lr()[0] == 1.0


def test_rates_that_are_tensors_are_filled_in_place():
    loop = Loop()
    rate = torch.tensor(1e-2)
    loop.g.param_groups[0]["lr"] = rate
    loop.scheduler("linear", total_steps=2, interval=1).step()
    assert loop.g.param_groups[0]["lr"] is rate and float(rate) == pytest.approx(5e-3)
    assert float(loop.g.param_groups[0]["initial_lr"]) == pytest.approx(1e-2)


@pytest.mark.parametrize("optimizer", [torch.optim.SGD, torch.optim.RMSprop, torch.optim.AdamW])
def test_other_optimizers_do_as_well(optimizer):
    loop = Loop(optimizer)
    scheduler = loop.scheduler("linear")
    for _ in range(6):
        scheduler.step(**loop.round())
    assert scheduler.get_last_lr() == pytest.approx([5e-3, 1e-2])


def test_rates_stay_within_bounds():
    class Wild(Scheduler):
        def propose(self, situation):
            return situation.base.replace(
                generator_lr_factor=np.array([30.0]), discriminator_lr_factor=np.array([1 / 30])
            )

    assert Loop().scheduler(Wild()).get_last_lr() == pytest.approx([1.1e-2, 2e-2 / 1.1])
    assert Loop().scheduler(Wild(), change=math.inf).get_last_lr() == pytest.approx([3e-2, 2e-2 / 3])
    assert Loop().scheduler(Wild(), change=math.inf, bounds=(0.5, 2)).get_last_lr() == pytest.approx([2e-2, 1e-2])


# Signals


def test_signals_are_those_of_the_environments():
    torch.manual_seed(0)
    updates, batch = 4, 6
    recorder = Recorder(torch.zeros(1, 1), torch.tensor([[True], [False]] * 2), batch)
    meter = LoopMeter("hinge")
    for update in range(0, updates, 2):
        real, fake = torch.randn(1, batch) + 1, torch.randn(1, batch)
        loss = [formula(real, fake) for formula in (LOSSES["hinge"].discriminator, LOSSES["hinge"].generator)]
        recorder.discriminator(update, None, real, fake, loss[0], torch.full((1, 1), 3.0))
        recorder.generator(update + 1, None, loss[1], torch.full((1, 1), 2.0))
        meter.logits(real[0], fake[0].reshape(2, 3))
        meter.scalar("discriminator_loss", 123.0)  # what logits tell counts
        meter.scalar("discriminator_gradient", torch.tensor([3.0]))
        meter.scalar("generator_gradient", 2)
    controls, unmeasured = Controls.base([Base(loss="hinge")]), evaluation_of({})[0]
    move = torch.full((1,), float("nan"))
    measured = recorder.measurements(move, move, torch.zeros(1)), meter.read()[0]
    ledgers = [Ledger(controls, np.array([48.0])) for _ in measured]
    for ledger, each in zip(ledgers, measured, strict=True):
        ledger.record(each, controls, 4, unmeasured)
    theirs, ours = (ledger.seen() for ledger in ledgers)
    assert len(theirs) >= 12 and set(ours) == set(theirs)
    for name, value in theirs.items():
        np.testing.assert_allclose(ours[name], value, rtol=1e-6, err_msg=name)


def test_a_run_tells_the_signals_that_an_environment_tells(monkeypatch):
    seen = []
    train = MixedPopulation.train
    monkeypatch.setattr(MixedPopulation, "train", lambda *args: seen.append(train(*args)) or seen[-1])
    theirs = Runs([get_suite("planar").split("train")[0]], [0], interval_updates=12, horizon=4)
    ours = Ledger(theirs.base_controls(), np.ones(1), setup=theirs.ledger.setup)
    floor = theirs.ledger.floor  # a loop's first quality is not that before training
    ours.begin(np.array([0]), theirs.base_controls(), np.array([48.0]), theirs.quality, floor)
    controls = make_scheduler("ttur").propose(Situation(theirs.signals(), theirs.base_controls(), None, None))
    for _ in range(4):
        reward = theirs.advance(controls).reward
        quality = {**vars(theirs.quality), "floor": floor}
        told = {name: float(quality[name][0]) for name in QUALITY_PARTS}
        outcome = ours.record(seen[-1], controls, 12, *evaluation_of(told))
        wanted, got = theirs.signals(), ours.signals()
        assert set(got) == set(wanted)
        for name, value in wanted.items():
            np.testing.assert_array_equal(got[name], value, err_msg=name)
        np.testing.assert_array_equal(outcome.reward, reward)


def test_what_is_not_given_is_unknown():
    loop = Loop()
    scheduler = loop.scheduler("constant", measure_moves=False)
    for _ in range(2):
        scheduler.step(discriminator_loss=torch.tensor(1.0))
    known = scheduler.ledger.seen()
    assert set(known) == {"discriminator_loss", "discriminator_loss_slope"}
    assert not np.isnan(as_matrix(scheduler.ledger.signals(), LOOP, 1)).any()


@pytest.mark.parametrize("loss", LOSSES)
def test_every_loss_and_shape_of_logits(loss):
    loop = Loop()
    scheduler = loop.scheduler(policy(), loss=loss, strict=True)
    shapes = [(16,), (16, 1), (4, 1, 3, 3), (1,), ()]  # the last two have no deviation
    for shape in [*shapes, shapes[1]]:
        scheduler.step(real_logits=torch.randn(shape), fake_logits=torch.randn(shape).bfloat16())
    assert "pair_accuracy" in scheduler.ledger.seen()
    assert scheduler.controls.loss == loss


def test_a_batch_that_is_not_finite_is_left_out_and_counted():
    with_nan, without = LoopMeter("non-saturating"), LoopMeter("non-saturating")
    for meter in (with_nan, without):
        meter.logits(logits(1.0), logits(0.0))
        meter.scalar("discriminator_loss", torch.tensor(1.0))
    with_nan.logits(torch.cat([logits(1.0), torch.tensor([float("nan")])]), logits(0.0, count=33))
    with_nan.scalar("discriminator_loss", torch.tensor(float("inf")))
    (measured, told), (expected, _) = with_nan.read(), without.read()
    for name, value in vars(expected).items():
        np.testing.assert_array_equal(getattr(measured, name), value, err_msg=name)
    assert told["bad"] == 0.5


def test_several_discriminators_are_averaged():
    meter = LoopMeter("non-saturating")
    scales = [logits(1.0), logits(3.0, count=8).reshape(2, 1, 2, 2)]
    meter.logits(scales, [logits(-1.0), logits(-1.0, count=6)])
    meter.scalar("discriminator_loss", [torch.tensor(1.0), 2.0])
    measured, _ = meter.read()
    assert measured.real_logit[0] == pytest.approx((1 + float(scales[1].flatten()[:6].mean())) / 2)
    assert LoopMeter("hinge").read()[1]["bad"] == 0
    meter.scalar("discriminator_loss", [torch.tensor(1.0), 2.0])
    assert meter.read()[0].discriminator_loss[0] == 1.5


def test_policies_without_quality_signals_are_driven_and_moves_measured_if_seen():
    loop = Loop()
    scheduler = loop.scheduler(policy(), knobs=(*RATES, "penalty_weight"))
    for _ in range(6):
        scheduler.step(**loop.round(), generator_gradient_norm=1.0, discriminator_gradient_norm=torch.tensor(2.0))
    known = scheduler.ledger.seen()
    assert {signal.name for signal in LOOP} <= set(scheduler.ledger.signals())
    assert -1 < known["generator_move"][0] < 1
    assert scheduler.controls.penalty_weight == float(scheduler.proposed.penalty_weight[0])
    assert not loop.scheduler("constant", measure_moves=False).state_dict()["moves"]


def test_quality_gives_its_signals_and_a_reward():
    loop = Loop()
    parts = ("distance", "floor", "precision", "coverage", "sliced_wasserstein")
    for name in NEED_QUALITY:
        scheduler = loop.scheduler(name, quality=parts, knobs=(*RATES, "ratio"))
        for step in range(4):
            told = {
                "distance": 1 / (1 + step),
                "floor": 0.1,
                "precision": 0.5,
                "coverage": 0.5,
                "sliced_wasserstein": 1,
            }
            scheduler.step(**loop.round(), quality=told)
        assert scheduler.state_dict()["reward"][0] == pytest.approx(np.log(2.0), abs=0.02)
        assert scheduler.ledger.seen()["distance_from_start"][0] == pytest.approx(np.log(0.5) / 3)


# Which schedulers can work


@pytest.mark.parametrize("name", ALONE)
def test_every_scheduler_by_name_that_needs_no_quality(name):
    loop = Loop()
    scheduler = loop.scheduler(name, knobs=(*RATES, "ratio", "loss", "penalty_weight"))
    seen = []
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", UserWarning)  # a random scheduler may well make it worse
        warnings.filterwarnings("ignore", "what step was given does not fit")  # the loop does not follow the loss
        for _ in range(12):
            controls = scheduler.step(**loop.round())
            seen.append((controls.generator_lr_factor, controls.discriminator_lr_factor))
    assert np.isfinite(seen).all() and np.all(np.array(seen) <= 10) and np.all(np.array(seen) >= 1 / 30 - 1e-9)


def test_tuned_schedules_take_the_same_course_from_the_loops_own_rates():
    loop = Loop()
    scheduler = loop.scheduler("tuned-decay", bounds=(1 / 30, 3), total_steps=64, interval=1)
    assert scheduler.get_last_lr() == [1e-2, 2e-2]
    for _ in range(63):
        scheduler.step()
    wanted = make_scheduler("tuned-decay").schedule
    share = (63 / 64 - wanted.hold) / (1 - wanted.hold)
    for rate, (start, end) in zip((1e-2, 2e-2), (wanted.generator_lr, wanted.discriminator_lr), strict=True):
        assert min(scheduler.get_last_lr(), key=lambda x: abs(math.log(x / rate / (end / start) ** share))) == (
            pytest.approx(rate * max((end / start) ** share, 1 / 30))
        )


@pytest.mark.parametrize(
    ("name", "options", "error", "words"),
    [
        ("pbt", {}, InvalidValueError, "8 GANs side by side"),
        ("default", {}, InvalidValueError, r"quality metric .*coverage.*quality=\("),
        ("default", {"quality": ("distance",)}, InvalidValueError, "distance_to_floor"),
        ("ucb", {}, InvalidValueError, "distance_change"),
        ("gap-awar", {}, UnknownNameError, "gap-aware"),
        ("constant", {"loss": "hing"}, UnknownNameError, "hinge"),
        ("constant", {"ratio": "4:1"}, UnknownNameError, "ratio"),
        ("constant", {"mode": "on"}, UnknownNameError, "mode"),
        ("constant", {"knobs": ("lr",)}, UnknownNameError, "knob"),
        ("constant", {"quality": ("fid",)}, UnknownNameError, "quality"),
        ("constant", {"total_steps": 0}, InvalidValueError, "total_steps is 0"),
        ("constant", {"interval": 1.5}, InvalidValueError, "interval is 1.5"),
        ("constant", {"bounds": (2, 3)}, InvalidValueError, "bounds"),
        ("constant", {"interval": 1000}, InvalidValueError, "interval is 1000, more than total_steps"),
        ("constant", {"knobs": None}, InvalidValueError, "knobs is None; give names"),
        ("constant", {"quality": None}, InvalidValueError, "quality is None; give names"),
        ("constant", {"bounds": 2.0}, InvalidValueError, "bounds are 2.0"),
        ("constant", {"bounds": (None, 3)}, InvalidValueError, "bounds are .None, 3."),
        ("constant", {"margin": "a"}, InvalidValueError, "margin is 'a'"),
        ("constant", {"penalty_weight": "10"}, InvalidValueError, "penalty_weight is '10'"),
        ("constant", {"knobs": ("adversarial_weight",)}, InvalidValueError, "mode"),
        (3, {}, InvalidValueError, "give a name"),
    ],
)
def test_what_cannot_work_is_refused_when_it_is_made(name, options, error, words):
    with pytest.raises(error, match=words):
        Loop().scheduler(name, **options)


def test_optimizers_that_are_none_are_refused():
    loop = Loop()
    with pytest.raises(InvalidValueError, match="its own"):
        GANScheduler("constant", loop.g, loop.g, total_steps=1)
    with pytest.raises(InvalidValueError, match="no param_groups"):
        GANScheduler("constant", loop.generator, loop.d, total_steps=1)
    loop = Loop()
    loop.g.param_groups[0]["lr"] = 0.0
    with pytest.raises(InvalidValueError, match="above 0"):
        loop.scheduler("constant")


# Modes, knobs


def test_log_mode_changes_nothing():
    loop = Loop()
    before = copy.deepcopy(loop.g.state_dict()), copy.deepcopy(loop.d.state_dict())
    scheduler = loop.scheduler(Twofold(), mode="log")
    controls = scheduler.step()
    controls = scheduler.step(real_logits=logits(1.0), fake_logits=logits(0.0))
    assert (loop.g.state_dict(), loop.d.state_dict()) == before
    assert (controls.generator_lr_factor, controls.discriminator_lr_factor) == (1.0, 1.0)
    assert scheduler.proposed.discriminator_lr_factor[0] == 2.0


def test_discriminator_mode_leaves_the_generator_alone():
    loop = Loop()
    knobs = (*RATES[::-1], "adversarial_weight", "ratio")
    scheduler = loop.scheduler(Twofold(), mode="discriminator", knobs=knobs, change=math.inf)
    assert scheduler.get_last_lr() == pytest.approx([1e-2, 4e-2]) and "initial_lr" not in loop.g.param_groups[0]
    assert scheduler.controls.adversarial_weight == 0.5 and scheduler.controls.generator_lr_factor == 1.0
    assert Loop().scheduler(Twofold(), mode="discriminator").controls.adversarial_weight == 1.0


def test_only_what_the_loop_follows_is_changed_and_told():
    controls = Loop().scheduler("r3gan").controls
    assert (controls.discriminator_steps, controls.loss, controls.penalty_weight) == (1, "non-saturating", 0.0)
    controls = Loop().scheduler("wgan-gp", knobs=("ratio", "penalty_weight", "loss")).controls
    assert (controls.discriminator_steps, controls.loss, controls.penalty_weight) == (5, "wgan", 0.1)


def test_penalty_weights_beyond_the_range_of_controls_are_kept():
    scheduler = Loop().scheduler("ada", penalty_weight=150.0, knobs=("penalty_weight",))
    assert scheduler.controls.penalty_weight == pytest.approx(150)


# Health, safeguard


def long(name=None, loop=None, **options):
    return (loop or Loop()).scheduler(name or Twofold(), **{"total_steps": 100, "change": math.inf, **options})


def test_divergence_is_told_and_rates_that_were_raised_return():
    scheduler = long()
    assert healthy(scheduler).advice.status == "ok"
    with pytest.warns(UserWarning, match="no rate is above your own.*since step 24 is not undone"):
        controls = feed(scheduler, 1, discriminator_loss=float("nan"), generator_loss=torch.tensor(float("inf")))
    assert controls.advice.status == "diverged" and controls.advice.roll_back_to == 24 and controls.fallen_back
    assert scheduler.get_last_lr() == [5e-3, 2e-2]
    assert healthy(scheduler, 1).fallen_back
    scheduler.rearm()
    assert not healthy(scheduler, 1).fallen_back and scheduler.get_last_lr() == pytest.approx([5e-3, 4e-2])


def test_weights_that_are_not_finite_are_told_if_they_are_measured():
    loop = Loop()
    scheduler = long(loop=loop, measure_moves=True)
    healthy(scheduler, 1)
    with torch.no_grad():
        loop.generator[0].weight[0, 0] = float("nan")
    with pytest.warns(UserWarning, match="diverged"):
        assert healthy(scheduler, 1).advice.status == "diverged"


def test_a_skipped_step_of_mixed_precision_is_no_divergence():
    scheduler = long(strict=True)
    for step in range(20):
        inf = float("inf") if step == 5 else 1.0
        controls = scheduler.step(generator_gradient_norm=inf, discriminator_gradient_norm=torch.tensor(inf))
        assert controls.advice.status == "ok"
    assert scheduler.ledger.seen()["gradient_ratio"][0] == 0


def test_saturation_is_told_and_falls_back_only_if_it_was_better_once():
    apart = {"real_logits": logits(5.0), "fake_logits": logits(-5.0)}
    from_the_start = long()
    controls = feed(from_the_start, PATIENCE, **apart)
    assert controls.advice.status == "saturated" and not controls.fallen_back
    scheduler = long()
    healthy(scheduler)
    assert feed(scheduler, PATIENCE - 1, **apart).advice.status == "ok"
    with pytest.warns(UserWarning, match="saturated"):
        assert feed(scheduler, 1, **apart).fallen_back
    assert feed(long(loss="wgan"), 5, **apart).advice.status != "saturated"


def test_a_loss_alone_tells_saturation_too():
    assert feed(long(), PATIENCE, discriminator_loss=0.01).advice.status == "saturated"


def test_samples_that_are_all_alike_are_told():
    scheduler = long()
    healthy(scheduler)
    alike = {"real_logits": logits(0.1), "fake_logits": logits(0.1, spread=0.01)}
    with pytest.warns(UserWarning, match="all alike"):
        controls = feed(scheduler, PATIENCE, **alike)
    assert controls.advice.status == "collapsing" and controls.advice.roll_back_to == 24


def test_networks_that_chase_each_other_are_told():
    scheduler = long()
    right, wrong = ((logits(gap), logits(-gap).flip(0)) for gap in (0.4, -0.6))
    for interval in range(22):
        real, fake = wrong if interval in (0, 1, 2, 3, 12, 18, 19) else right
        assert feed(scheduler, 1, real_logits=real, fake_logits=fake).advice.status == "ok"
        if interval == 18:
            break
    with pytest.warns(UserWarning, match="wrongly in 3 of the last 10"):
        controls = feed(scheduler, 2, real_logits=wrong[0], fake_logits=wrong[1])
    assert (controls.advice.status, controls.advice.cause) == ("unstable", "running in circles")


def test_quality_that_gets_worse_is_told_by_the_stated_margin():
    scheduler = long(quality=("distance",), margin=2.0)
    feed(scheduler, 2, quality=1.0)
    assert feed(scheduler, 5, quality=1.9).advice.status == "ok"
    with pytest.warns(UserWarning, match="2.5 times its best"):
        assert feed(scheduler, PATIENCE, quality=2.5).advice.status == "collapsing"


def test_without_safeguard_there_is_only_advice():
    scheduler = long(safeguard=False)
    controls = feed(scheduler, 1, discriminator_loss=float("nan"))
    assert controls.advice.status == "diverged" and not controls.fallen_back and controls.discriminator_lr_factor == 2.0


# Bad input


@pytest.mark.parametrize(
    "given",
    [
        {"real_logits": torch.ones(3)},
        {"real_logits": "many", "fake_logits": torch.ones(3)},
        {"real_logits": torch.zeros(0), "fake_logits": torch.zeros(0)},
        {"real_logits": [torch.ones(3)], "fake_logits": [torch.ones(3)] * 2},
        {"real_logits": torch.ones(3, dtype=torch.complex64), "fake_logits": torch.ones(3)},
        {"discriminator_loss": "low"},
        {"generator_loss": []},
        {"logit_differences": "many"},
        {"quality": -1.0},
        {"quality": {"fid": 3.0}},
        {"quality": float("nan")},
    ],
)
def test_what_cannot_be_used_is_left_out_with_one_warning_or_an_error_if_strict(given):
    scheduler = long()
    with pytest.warns(RuntimeWarning, match="step was given") as caught:
        for _ in range(4):
            scheduler.step(**given)
    assert len(caught) == 1 and scheduler.controls.advice.status == "ok"
    with pytest.raises(InvalidValueError, match="step was given"):
        long(strict=True).step(**given)


def test_more_steps_than_there_are_keep_the_last_controls():
    scheduler = Loop().scheduler("cosine", total_steps=4)
    feed(scheduler, 2)
    last = scheduler.get_last_lr()
    with pytest.warns(RuntimeWarning, match="once a round"):
        scheduler.step()
    assert scheduler.get_last_lr() == last
    with pytest.raises(InvalidValueError, match="total_steps=2 "):
        feed(Loop().scheduler("cosine", total_steps=2, strict=True), 2)


def test_a_scheduler_that_fails_gives_the_run_back():
    class Failing(Scheduler):
        def propose(self, situation):
            if situation.progress[0] > 0:
                raise ZeroDivisionError("by a test")
            return situation.base.replace(generator_lr_factor=np.array([2.0]))

    class FailingAtOnce(Scheduler):
        def propose(self, situation):
            return situation.signals["nothing"]

    scheduler = Loop().scheduler(Failing())
    with pytest.warns(RuntimeWarning, match="by a test"):
        controls = feed(scheduler, 1)
    assert controls.fallen_back and scheduler.get_last_lr() == [1e-2, 2e-2] and "by a test" in controls.advice.message
    assert feed(scheduler, 1).advice.message.endswith("; no rate is above your own")
    with pytest.raises(SchedulerError, match="failed at step 0"):
        Loop().scheduler(FailingAtOnce())
    with pytest.raises(SchedulerError, match="by a test"):
        feed(Loop().scheduler(Failing(), strict=True), 1)


# Resuming


@pytest.mark.parametrize("stop", [0, 4, 5])
@pytest.mark.parametrize("name", [*ALONE, "policy", "moves", "ucb", "default"])
def test_a_run_that_is_resumed_goes_on_exactly(name, stop, tmp_path):
    made = {"policy": policy(), "moves": policy(actions="moves", hidden=0)}.get(name, name)
    knobs = (*RATES, "penalty_weight", "ratio")
    parts = ("distance", "floor", "precision", "coverage", "sliced_wasserstein") if name in NEED_QUALITY else ()
    options = {"knobs": knobs, "seed": 3, "quality": parts, "safeguard": False}

    def go_on(loop, scheduler, steps):
        for step in steps:
            quality = {part: 1 / (1 + step) for part in parts} or None
            controls = scheduler.step(**loop.round(), generator_gradient_norm=1.0, quality=quality)
            yield controls, scheduler.ledger.seen()

    loop = Loop()
    scheduler = loop.scheduler(made, **options)
    seen = list(go_on(loop, scheduler, range(stop)))
    state = {"loop": loop, "scheduler": scheduler.state_dict(), "g": loop.g.state_dict(), "d": loop.d.state_dict()}
    torch.save({key: value for key, value in state.items() if key != "loop"}, tmp_path / "state.pt")
    resumed = copy.deepcopy(loop)
    seen += list(go_on(loop, scheduler, range(stop, 12)))

    kept = torch.load(tmp_path / "state.pt", weights_only=True)
    for optimizer, own in ((resumed.g, "g"), (resumed.d, "d")):
        optimizer.param_groups[0].pop("initial_lr")
        optimizer.param_groups[0]["lr"] = 1e-2 if own == "g" else 2e-2  # as a new process would make it
    again = resumed.scheduler(made, **{**options, "seed": 9})
    resumed.g.load_state_dict(kept["g"])
    resumed.d.load_state_dict(kept["d"])
    again.load_state_dict(kept["scheduler"])
    assert list(go_on(resumed, again, range(stop, 12))) == seen[stop:]


def test_a_state_of_another_scheduler_or_run_is_refused_and_changes_nothing():
    scheduler = Loop().scheduler("gap-aware")
    healthy(scheduler, 2)
    before = repr(scheduler.state_dict())
    for other in (
        Loop().scheduler("plateau"),
        Loop().scheduler("gap-aware", loss="hinge"),
        Loop().scheduler("gap-aware", ratio="5:1"),
    ):
        with pytest.raises(InvalidValueError, match="state is of another"):
            scheduler.load_state_dict(other.state_dict())
    good = scheduler.state_dict()
    with pytest.raises(InvalidValueError, match="state is of another"):
        Loop().scheduler(policy(seed=1)).load_state_dict(Loop().scheduler(policy(seed=2)).state_dict())
    for key in good:
        with pytest.raises(InvalidValueError):
            scheduler.load_state_dict({name: value for name, value in good.items() if name != key})
        with pytest.raises(InvalidValueError):
            scheduler.load_state_dict({**good, key: "damaged"})
    for *way, last in (
        ["decisions", "controls", 1],
        ["scheduler", "_average"],
        ["ledger", "monitor"],
        ["ledger", "best"],
    ):
        damaged = place = copy.deepcopy(good)
        for key in way:
            place = place[key]
        place[last] = {"object": {"x": 1}}
        with pytest.raises(InvalidValueError):
            scheduler.load_state_dict(damaged)
    assert repr(scheduler.state_dict()) == before


def test_a_scheduler_whose_state_is_unknown_says_so():
    class Odd(Scheduler):
        remembers = ("seen",)

        def begin(self, seeds):
            self.seen = {1, 2}

        def propose(self, situation):
            return situation.base

    with pytest.raises(InvalidValueError, match=r"Odd.seen is a set"):
        Loop().scheduler(Odd()).state_dict()


def test_a_scheduler_that_forgets_to_say_what_it_remembers_is_told_once():
    class Forgetful(Scheduler):
        def begin(self, seeds):
            self.count = 0

        def propose(self, situation):
            self.count += 1
            return situation.base

    scheduler = Loop().scheduler(Forgetful())
    with pytest.warns(RuntimeWarning, match=r"Forgetful has begin\(\), but remembers names no attribute"):
        scheduler.state_dict()
    scheduler.state_dict()  # warnings are errors: none comes again


def test_a_state_may_have_been_loaded_to_any_device():
    class Keeping(Scheduler):
        remembers = ("array", "tensor")

        def begin(self, seeds):
            self.array, self.tensor = np.arange(3.0), torch.arange(3.0)

        def propose(self, situation):
            return situation.base

    scheduler = Loop().scheduler(Keeping())
    state = scheduler.state_dict()

    class Elsewhere(torch.Tensor):  # as a tensor on another device, it has no NumPy view before it is copied
        def cpu(self):
            return self.as_subclass(torch.Tensor)

        def numpy(self):
            raise TypeError("can't convert cuda tensor to numpy")

    held = state["scheduler"]
    held["array"]["array"] = held["array"]["array"].as_subclass(Elsewhere)
    held["tensor"]["tensor"] = held["tensor"]["tensor"].as_subclass(Elsewhere)
    scheduler.load_state_dict(state)
    assert scheduler.scheduler.array.tolist() == [0, 1, 2]
    assert type(scheduler.scheduler.tensor) is torch.Tensor


def test_what_python_draws_with_cannot_be_saved():
    class Drawing(Scheduler):
        remembers = ("random",)

        def begin(self, seeds):
            self.random = random.Random(0)

        def propose(self, situation):
            return situation.base

    with pytest.raises(InvalidValueError, match=r"Drawing.random is a Random"):
        Loop().scheduler(Drawing()).state_dict()


def test_a_state_of_another_penalty_is_refused():
    state = Loop().scheduler("constant", penalty_weight=150.0).state_dict()
    with pytest.raises(InvalidValueError, match="penalty_weight was"):
        Loop().scheduler("constant").load_state_dict(state)


@pytest.mark.parametrize("stop", [39, 40, 43, 47])
def test_a_run_whose_health_is_watched_goes_on_exactly(stop):
    """Past the ten intervals after which something is usual; the logits narrow at step 40, and the run falls back."""

    def told(step):
        return {"real_logits": logits(1.0), "fake_logits": logits(0.0) * (1 if step < 40 else 1e-3)}

    def go_on(scheduler, steps):
        return [scheduler.step(**told(step)) for step in steps]

    with warnings.catch_warnings():
        warnings.simplefilter("ignore", UserWarning)
        scheduler = Loop().scheduler("cosine", total_steps=60, interval=2)
        go_on(scheduler, range(stop))
        state = copy.deepcopy(scheduler.state_dict())
        after = go_on(scheduler, range(stop, 60))
        again = Loop().scheduler("cosine", total_steps=60, interval=2)
        again.load_state_dict(state)
        assert go_on(again, range(stop, 60)) == after
    assert after[-1].fallen_back


# What goes wrong on the way


def test_a_step_that_is_not_finite_is_nothing_to_roll_back_to():
    scheduler = Loop().scheduler("constant", total_steps=100, interval=10)
    with pytest.warns(UserWarning, match="is not undone"):
        for step in range(1, 41):
            loss = 1.3 if step < 27 else float("nan")
            given = {"real_logits": logits(0.1), "fake_logits": logits(0.0).flip(0)}
            controls = scheduler.step(**given, discriminator_loss=loss)
    assert (controls.advice.status, controls.advice.roll_back_to) == ("diverged", 20)


def test_what_cannot_be_used_takes_nothing_else_with_it():
    scheduler = Loop().scheduler("constant", quality=("distance",), safeguard=False)
    with pytest.warns(RuntimeWarning) as caught:
        for _ in range(2):
            scheduler.step(real_logits=logits(1.0), discriminator_loss=float("nan"), generator_loss="x", quality=1.0)
    kinds = sorted(str(each.message).split(" that")[0] for each in caught if each.category is RuntimeWarning)
    assert kinds == ["step was given generator_loss", "step was given logits"]
    assert scheduler.controls.advice.status == "diverged" and "distance_from_best" in scheduler.ledger.seen()


def test_after_a_roll_back_moves_are_measured_anew():
    loop = Loop()
    scheduler = loop.scheduler("constant", measure_moves=True)
    weight = next(loop.generator.parameters())
    before = weight.detach().clone()
    with torch.no_grad():
        weight.fill_(float("nan"))
    with pytest.warns(UserWarning, match="is not undone"):
        feed(scheduler, 2, discriminator_loss=1.3)
    with torch.no_grad():
        weight.copy_(before)
    scheduler.rearm()
    assert feed(scheduler, 2, discriminator_loss=1.3).advice.status == "ok" and not scheduler.controls.fallen_back


def test_quality_measured_now_and_then_counts():
    scheduler = Loop().scheduler("constant", total_steps=40, interval=1, quality=("distance",))
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        for step in range(30):
            given = (1.0 if step < 12 else 50.0) if step % 3 == 0 else None
            controls = scheduler.step(discriminator_loss=1.3, quality=given)
            if controls.advice.status == "collapsing":
                break
    assert step == 18 and "times its best" in controls.advice.message  # the third bad one


def test_accuracies_and_advice_are_those_of_the_loss_in_force():
    class Switching(Scheduler):
        def propose(self, situation):
            return situation.base.replace(loss=np.array([LOSSES.index(self.name)]))

    switching = Switching()
    switching.name = "lsgan"  # its boundary is one half
    scheduler = Loop().scheduler(switching, knobs=("loss",))
    feed(scheduler, 2, real_logits=torch.full((8,), 0.9), fake_logits=torch.full((8,), 0.1))
    assert scheduler.ledger.seen()["fake_accuracy"][0] == 1.0
    switching.name = "wgan"  # a critic, which may order all pairs
    scheduler = Loop().scheduler(switching, knobs=("loss",), total_steps=20)
    assert feed(scheduler, 10, real_logits=logits(50.0), fake_logits=logits(0.0)).advice.status == "ok"


# Around the loop


def test_gradient_scaling_and_autocast():
    loop = Loop()
    scaler = torch.amp.GradScaler("cpu")
    scheduler = loop.scheduler(policy(), total_steps=8, strict=True)
    for step in range(8):
        with torch.autocast("cpu", dtype=torch.bfloat16):
            real, fake = loop.discriminator(torch.randn(16, 2)), loop.discriminator(torch.randn(16, 2))
            loss = torch.nn.functional.softplus(-real).mean() + torch.nn.functional.softplus(fake).mean()
            loop.d.zero_grad()
            scaler.scale(loss * (float("inf") if step == 3 else 1)).backward()
            scaler.step(loop.d)  # the fourth is left out
            scaler.update()
            controls = scheduler.step(real_logits=real, fake_logits=fake, discriminator_loss=loss)
    assert controls.advice.cause == "generator stands still" and "pair_accuracy" in scheduler.ledger.seen()


def test_schedulers_decide_in_full_precision_whatever_the_loop_uses():
    class Watching(Scheduler):
        def propose(self, situation):
            self.mixed = torch.is_autocast_enabled("cpu")
            return situation.base

    with torch.autocast("cpu", dtype=torch.bfloat16):
        scheduler = Loop().scheduler(Watching())
        assert torch.is_autocast_enabled("cpu") and not scheduler.scheduler.mixed


def test_gradient_accumulation_is_one_step_a_round():
    loop = Loop()
    scheduler = loop.scheduler("constant", interval=1)
    loop.d.zero_grad()
    reals, fakes = [], []
    for _ in range(4):
        reals.append(loop.discriminator(torch.randn(4, 2)))
        fakes.append(loop.discriminator(torch.randn(4, 2)))
        (fakes[-1].mean() - reals[-1].mean()).backward()
    loop.d.step()
    scheduler.step(real_logits=torch.cat(reals), fake_logits=torch.cat(fakes))
    assert scheduler.last_step == 1 and "logit_gap" in scheduler.ledger.seen()


def test_compiled_networks_and_inference_mode():
    loop = Loop()
    compiled = torch.compile(loop.discriminator, backend="eager")
    scheduler = loop.scheduler("gap-aware", strict=True)
    for step in range(4):
        with torch.inference_mode(step % 2 == 0):
            scheduler.step(real_logits=compiled(torch.randn(8, 2)), fake_logits=compiled(torch.randn(8, 2)))
    assert "pair_accuracy" in scheduler.ledger.seen()


def test_nothing_is_kept_of_what_is_given():
    import gc
    import weakref

    scheduler = Loop().scheduler("constant", interval=4)
    given = torch.randn(8, requires_grad=True) * 2
    held = weakref.ref(given)
    scheduler.step(real_logits=given, fake_logits=given, discriminator_loss=given.mean())
    del given
    gc.collect()
    assert held() is None


def test_nothing_is_read_back_between_decisions():
    """Reading a meta tensor back fails, as there is nothing in it: what works on them never waits for a device."""
    scheduler = Loop().scheduler("constant", interval=3, strict=True)
    there = torch.ones(8, 1, device="meta")
    for _ in range(2):
        scheduler.step(
            real_logits=there, fake_logits=there, discriminator_loss=there.mean(), generator_loss=there.mean()
        )
    with pytest.raises((RuntimeError, NotImplementedError)):
        scheduler.step(real_logits=there, fake_logits=there)


def test_an_interval_that_cannot_be_judged_does_not_end_the_run():
    scheduler = Loop().scheduler("gap-aware", interval=3)
    there = torch.ones(8, 1, device="meta")
    with pytest.warns(RuntimeWarning, match="an interval cannot be judged"):
        for _ in range(3):
            scheduler.step(real_logits=there, fake_logits=there)
    assert scheduler.get_last_lr() == [1e-2, 2e-2]
    assert feed(scheduler, 1, discriminator_loss=0.1).advice.status == "ok"


def test_quality_that_is_announced_and_missing_is_noticed():
    scheduler = Loop().scheduler("ucb", quality=("distance",))
    with pytest.warns(RuntimeWarning, match="without: distance") as caught:
        feed(scheduler, 3, discriminator_loss=1.3)
    assert len(caught) == 1


def test_a_writer_that_fails_does_not_end_the_run():
    class Full:
        def add_scalar(self, name, value, step):
            raise OSError("no space left")

    with pytest.warns(RuntimeWarning, match="no space left"):
        scheduler = Loop().scheduler("linear", writer=Full(), total_steps=4)
    assert feed(scheduler, 1).discriminator_lr_factor == 0.5


def test_tensorboard_takes_it(tmp_path):
    from torch.utils.tensorboard import SummaryWriter

    with SummaryWriter(tmp_path) as writer:
        feed(Loop().scheduler("cosine", writer=writer), 2, discriminator_loss=torch.tensor(1.3))
    assert list(tmp_path.glob("events*"))


def test_the_writer_gets_controls_advice_and_signals():
    class Writer(list):
        def add_scalar(self, name, value, step):
            self.append((name, value, step))

    writer = Writer()
    scheduler = Loop().scheduler(Twofold(), writer=writer, change=math.inf)
    feed(scheduler, 1, real_logits=logits(1.0), fake_logits=logits(0.0))
    assert ("gan_scheduler/discriminator_lr_factor", 2.0, 0) in writer and ("gan_scheduler/status", 0, 2) in writer
    assert "gan_scheduler/signals/pair_accuracy" in {name for name, _, step in writer if step == 2}


# Importing


def test_the_plug_in_needs_torch_and_numpy_only():
    code = """
import sys
class Refuse:
    def find_spec(self, name, path=None, target=None):
        if name in ("gymnasium", "stable_baselines3", "sb3_contrib", "scipy", "sklearn", "safetensors", "tensorboard",
                    "tyro", "rich", "jinja2", "matplotlib"):
            raise ModuleNotFoundError(name + " is refused by a test", name=name)
import torch
g, d = (torch.optim.Adam(torch.nn.Linear(2, 2).parameters(), 1e-2) for _ in range(2))
sys.meta_path.insert(0, Refuse())
from metagan_rl import GANScheduler
GANScheduler("cosine", g, d, total_steps=4).step()
assert "gymnasium" not in sys.modules
"""
    done = subprocess.run([sys.executable, "-c", code], cwd=ROOT, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr


@pytest.mark.parametrize("order", ["metagan_rl, gymnasium", "gymnasium, metagan_rl"])
def test_environments_are_known_as_soon_as_both_are_imported_and_torch_waits(order):
    code = f"""
import {order}, sys
assert "torch" not in sys.modules
assert "MetaGAN/Planar-v2" in gymnasium.registry
"""
    done = subprocess.run([sys.executable, "-c", code], cwd=ROOT, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr


def test_a_policy_file_is_found_by_its_path(tmp_path):
    save_policy(tmp_path / "mine.safetensors", policy())
    loop = Loop()
    assert loop.scheduler(tmp_path / "mine.safetensors").name == "mine"
    assert loop.scheduler(str(tmp_path / "mine.safetensors")).proposed.generator_lr_factor == pytest.approx(
        loop.scheduler(policy()).proposed.generator_lr_factor
    )
