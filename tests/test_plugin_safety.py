"""What keeps a good run good: nothing without a reason, nothing sudden, nothing raised when it goes wrong."""

import copy
import io
import itertools
import math
import warnings

import numpy as np
import pytest
import torch
from own_loops import RATES, Loop, feed, healthy, logits, policy
from torch import nn
from torch.nn.functional import softplus

from metagan_rl import GANScheduler
from metagan_rl.agents import PolicyScheduler, Scheduler, make_scheduler, scheduler_names
from metagan_rl.agents.learners.policy import PolicyConfig, PolicyNetwork
from metagan_rl.errors import InvalidValueError
from metagan_rl.loop import choose_knobs, choose_signals

REACTING = ("loop", "gap-aware", "accuracy-gate", "began")


def steps(scheduler, count, given=None):
    return [scheduler.step(**(given or {})) for _ in range(count)]


def factors(controls):
    return controls.generator_lr_factor, controls.discriminator_lr_factor


@pytest.fixture
def told_to_act():
    """What makes most schedulers want something else: D is far ahead."""
    return {"real_logits": logits(2.0), "fake_logits": logits(-2.0).flip(0), "discriminator_loss": 0.4}


# Nothing without a reason


@pytest.mark.parametrize("name", REACTING)
def test_without_input_nothing_changes_and_one_warning_names_what_is_missing(name):
    loop = Loop()
    scheduler = loop.scheduler(name, total_steps=640, interval=10)
    with pytest.warns(RuntimeWarning, match=r"nothing to act on: .*real_logits and fake_logits") as caught:
        steps(scheduler, 640)
    assert len(caught) == 1 and scheduler.get_last_lr() == [1e-2, 2e-2]


def test_a_discriminator_that_starts_late_is_waited_for(told_to_act):
    scheduler = Loop().scheduler("loop", total_steps=64, interval=1)
    with pytest.warns(RuntimeWarning, match="nothing to act on"):
        assert factors(steps(scheduler, 20)[-1]) == (1, 1)
    assert factors(steps(scheduler, 8, told_to_act)[-1]) != (1, 1)


def test_losses_alone_are_not_enough_for_a_policy_that_looks_at_logits():
    scheduler = Loop().scheduler("loop", total_steps=64, interval=1)
    with pytest.warns(RuntimeWarning, match="not given real_logits and fake_logits"):
        steps(scheduler, 10, {"discriminator_loss": 1.3, "generator_loss": 0.7})
    assert scheduler.get_last_lr() == [1e-2, 2e-2]


# Nothing by chance, nothing sudden


def test_policies_decide_alike_whatever_the_seed(told_to_act):
    def path(seed, **options):
        scheduler = Loop().scheduler("loop", total_steps=64, interval=1, seed=seed, **options)
        return [factors(controls) for controls in steps(scheduler, 64, told_to_act)]

    assert path(0) == path(1)
    assert path(0, deterministic=False) != path(1, deterministic=False)


@pytest.mark.parametrize("name", [*REACTING, "random", "plateau", "policy", "moves"])
def test_a_decision_changes_a_factor_by_a_tenth_at_most_and_stays_within_bounds(name, told_to_act):
    made = {"policy": policy(), "moves": policy(actions="moves", hidden=0)}.get(name, name)
    loop = Loop()
    scheduler = loop.scheduler(made, total_steps=64, interval=1, safeguard=False)
    calm = {"real_logits": logits(0.1), "fake_logits": logits(0.0).flip(0), "discriminator_loss": 1.4}
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        path = [factors(scheduler.controls)]
        path += [factors(scheduler.step(**(told_to_act if step // 16 % 2 else calm))) for step in range(64)]
    for one, other in itertools.pairwise([(1.0, 1.0), *path]):
        assert all(1 / 1.1 - 1e-9 <= b / a <= 1.1 + 1e-9 for a, b in zip(one, other, strict=True))
    assert np.all(np.array(path) <= 3 + 1e-9)
    assert np.all(np.array(path[:42]) >= 1 / 3 - 1e-9)  # a learned policy decays in the last third


def test_a_learned_policy_ends_in_a_decay(told_to_act):
    scheduler = Loop().scheduler("loop", total_steps=64, interval=1)
    path = np.array([factors(c) for c in steps(scheduler, 64, told_to_act)])
    assert np.all(path[-1] <= 0.25 * path[42])


@pytest.mark.parametrize("deterministic", [True, False])
def test_a_policy_around_a_tuned_schedule_begins_at_the_loops_own_rates(deterministic, told_to_act):
    """Its weights are 0, so it follows the reference, whose absolute rates are those of other networks."""
    knobs = choose_knobs(RATES)
    config = PolicyConfig(
        knobs=knobs, signals=choose_signals("outputs"), trial_memory=False, hidden=0, layers=(8,),
        actions="continuous-moves", reference="tuned-decay",
    )  # fmt: skip
    network = PolicyNetwork(len(config.signals) + len(knobs), config, config.outputs)
    around = PolicyScheduler(config, {name: 0 * each for name, each in network.state_dict().items()}, {})
    scheduler = Loop().scheduler(around, total_steps=64, interval=1, deterministic=deterministic)
    path = [scheduler.controls, *steps(scheduler, 40, told_to_act)]
    assert np.array([factors(controls) for controls in path[:20]]) == pytest.approx(1.0)
    assert all(1 / 3 <= factor < 1 for factor in factors(path[-1]))


def test_schedules_by_the_clock_keep_their_course():
    scheduler = Loop().scheduler("step", total_steps=64, interval=1)
    path = [factors(c)[0] for c in steps(scheduler, 64)]
    assert path[31] == pytest.approx(0.1) and path[30] == 1 and path[-1] == pytest.approx(1 / 30)


# The safeguard


@pytest.mark.parametrize("name", ["cosine", "loop"])
def test_the_safeguard_never_raises_a_rate(name):
    scheduler = Loop().scheduler(name, total_steps=100, interval=1)
    good = {"real_logits": logits(0.1), "fake_logits": logits(0.0).flip(0)}
    before = factors(steps(scheduler, 88, good)[-1])
    assert max(before) < 0.5
    with pytest.warns(UserWarning, match="since step 88 is not undone"):
        after = [factors(c) for c in steps(scheduler, 11, {"discriminator_loss": float("nan")})]
    assert scheduler.controls.fallen_back
    for one, other in itertools.pairwise([before, *after]):
        assert all(b <= a for a, b in zip(one, other, strict=True))


def test_the_safeguard_takes_back_what_was_raised():
    class Up(Scheduler):
        def propose(self, situation):
            return situation.base.replace(**{rate: np.array([3.0]) for rate in RATES})

    scheduler = Loop().scheduler(Up(), total_steps=100, interval=1)
    assert factors(healthy(scheduler, 12)) == pytest.approx((3, 3))
    with pytest.warns(UserWarning, match="no rate is above your own"):
        assert factors(feed(scheduler, 1, discriminator_loss=float("nan"))) == (1, 1)


# Mode "log"


def test_mode_log_tells_what_acting_would_do(told_to_act):
    acting, watching = Loop(), Loop()
    options = {"total_steps": 64, "interval": 1}
    one, other = acting.scheduler("loop", **options), watching.scheduler("loop", mode="log", **options)
    for _ in range(40):
        acts, watches = one.step(**told_to_act), other.step(**told_to_act)
        assert watches.would_be == acts.would_be == factors(acts) and factors(watches) == (1, 1)
    assert max(abs(math.log(factor)) for factor in acts.would_be) > 0.3
    assert other.get_last_lr() == [1e-2, 2e-2] and "initial_lr" not in watching.g.param_groups[0]


# Resuming


def test_a_run_may_become_longer_and_get_other_bounds_intervals_and_modes(told_to_act):
    scheduler = Loop().scheduler("loop", total_steps=64, interval=1)
    last = steps(scheduler, 30, told_to_act)[-1]
    state = scheduler.state_dict()
    for options in ({"total_steps": 128}, {"interval": 7}, {"bounds": (0.2, 4.0)}, {"knobs": (*RATES, "ratio")}):
        other = Loop().scheduler("loop", **{"total_steps": 64, "interval": 1, **options})
        other.load_state_dict(state)
        assert factors(other.controls) == factors(last) and other.last_step == 30
        steps(other, 14, told_to_act)
    assert other.ledger.signals()["progress"][0] == pytest.approx(44 / 64)
    longer = Loop().scheduler("loop", total_steps=128, interval=1)
    longer.load_state_dict(state)
    assert longer.ledger.signals()["progress"][0] == pytest.approx(30 / 128)


def test_from_watching_to_acting(told_to_act):
    scheduler = Loop().scheduler("loop", total_steps=64, interval=1, mode="log")
    watched = steps(scheduler, 20, told_to_act)[-1]
    other = Loop().scheduler("loop", total_steps=64, interval=1)
    other.load_state_dict(scheduler.state_dict())
    assert factors(other.controls) == watched.would_be


def test_a_second_stage_with_rates_of_its_own_is_multiplied():
    loop = Loop()
    scheduler = loop.scheduler("linear", total_steps=4, interval=1)
    steps(scheduler, 2)
    state = scheduler.state_dict()
    again = Loop()
    again.g.param_groups[0]["lr"] = 1e-3
    other = again.scheduler("linear", total_steps=8, interval=1)
    other.load_state_dict(state)
    assert other.get_last_lr() == pytest.approx([0.5e-3, 1e-2])


@pytest.mark.parametrize("order", ["optimizers first", "scheduler first"])
def test_the_order_in_which_states_are_loaded_does_not_matter(order):
    loop = Loop()
    theirs = torch.optim.lr_scheduler.ExponentialLR(loop.g, 0.5)
    scheduler = loop.scheduler("linear", total_steps=8, interval=1)
    for _ in range(2):
        scheduler.step(**loop.round())
        theirs.step()
    states = [loop.g.state_dict(), loop.d.state_dict(), scheduler.state_dict()]
    again = Loop()
    other = again.scheduler("linear", total_steps=8, interval=1)
    if order == "scheduler first":
        other.load_state_dict(states[2])
    again.g.load_state_dict(states[0])
    again.d.load_state_dict(states[1])
    if order == "optimizers first":
        other.load_state_dict(states[2])
    for each in (loop, again):
        each.used = []
        for optimizer in (each.g, each.d):
            optimizer.register_step_pre_hook(lambda opt, *_, to=each.used: to.append(opt.param_groups[0]["lr"]))
    scheduler.step(**loop.round())
    other.step(**again.round())
    assert again.used == pytest.approx(loop.used)
    assert other.get_last_lr() == pytest.approx(scheduler.get_last_lr())


def test_a_state_in_memory_is_not_changed_by_what_follows(told_to_act):
    scheduler = Loop().scheduler("loop", total_steps=64, interval=3, measure_moves=True)
    steps(scheduler, 20, told_to_act)
    state = scheduler.state_dict()
    kept = io.BytesIO()
    torch.save(state, kept)
    before = repr(state)
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        steps(scheduler, 20, {"real_logits": logits(0.0), "fake_logits": logits(0.0, spread=1e-3)})
        scheduler.load_state_dict(state)
        steps(scheduler, 20, {"discriminator_loss": float("nan")})
    assert repr(state) == before


def test_a_state_is_small_whatever_the_network():
    networks = [nn.Sequential(*(nn.Linear(256, 256) for _ in range(8))) for _ in range(2)]
    g, d = (torch.optim.SGD(network.parameters(), lr=0.1) for network in networks)
    scheduler = GANScheduler("loop", g, d, total_steps=64)
    kept = io.BytesIO()
    torch.save(scheduler.state_dict(), kept)
    assert kept.tell() < 300_000  # the weights are 4 MB


def test_moves_of_a_large_network_are_measured_from_a_sample():
    loop = Loop()
    loop.generator = nn.Linear(300, 300)
    loop.g = torch.optim.SGD(loop.generator.parameters(), lr=1e-2)
    scheduler = loop.scheduler("constant", measure_moves=True, safeguard=False)
    with torch.no_grad():
        loop.generator.weight.mul_(1.01)
        loop.generator.bias.mul_(1.01)
    feed(scheduler, 1, discriminator_loss=1.3)
    assert scheduler.ledger.seen()["generator_move"][0] == pytest.approx(0.0, abs=1e-4)  # log10 .01 = -2
    with torch.no_grad():
        loop.generator.weight[0, 1] = float("nan")
    assert feed(scheduler, 1, discriminator_loss=1.3).advice.status == "diverged"


# What contradicts itself


def as_given(change, loss="non-saturating", real=None, fake=None, **more):
    real = logits(1.0, 2.0) if real is None else real
    fake = logits(-1.0, 2.0).flip(0) if fake is None else fake
    given = {
        "real_logits": real,
        "fake_logits": fake,
        "discriminator_loss": softplus(-real).mean() + softplus(fake).mean(),
    }
    return {**given, **change(given), **more}


def probabilities(given, share):
    """What a D that ends in a sigmoid gives at its start, and its cross-entropy times a share."""
    real, fake = (0.1 * given[name] for name in ("real_logits", "fake_logits"))
    loss = softplus(-real).mean() + softplus(fake).mean()
    return {"real_logits": real.sigmoid(), "fake_logits": fake.sigmoid(), "discriminator_loss": share * loss}


@pytest.mark.parametrize(
    ("change", "options", "words", "acts"),
    [
        (lambda g: {key: g[key].sigmoid() for key in ("real_logits", "fake_logits")}, {}, "probabilities", False),
        (lambda g: probabilities(g, 0.5), {}, "probabilities", False),
        (lambda g: {"discriminator_loss": g["discriminator_loss"] / 2}, {}, "half of what the logits say", True),
        (lambda g: {"discriminator_loss": g["discriminator_loss"] * 2}, {}, "twice what the logits say", True),
        (lambda g: {"real_logits": -g["real_logits"], "fake_logits": -g["fake_logits"]}, {}, "the other sign", False),
        (lambda g: {"discriminator_loss": g["discriminator_loss"] * 65536}, {}, "not scaled", True),
        (lambda g: {"discriminator_loss": (g["fake_logits"] - g["real_logits"]).mean()}, {}, "loss='wgan'", False),
        (lambda g: {}, {"loss": "hinge"}, "loss='non-saturating', not of 'hinge'", False),
        (lambda g: {"discriminator_loss": g["discriminator_loss"] + 10}, {}, "without penalty", True),
    ],
)
def test_what_contradicts_itself_is_told_at_the_first_interval(change, options, words, acts):
    scheduler = Loop().scheduler("loop", total_steps=64, interval=1, **options)
    with pytest.warns(RuntimeWarning, match=words) as caught:
        scheduler.step(**as_given(change))
    assert len(caught) == 1
    assert (factors(steps(scheduler, 8, as_given(change))[-1]) != (1, 1)) is acts


def test_a_loss_that_was_halved_or_scaled_changes_nothing():
    paths = []
    for scale in (1.0, 0.5, 65536.0):
        scheduler = Loop().scheduler("gap-aware", total_steps=64, interval=1)
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            given = as_given(lambda g, scale=scale: {"discriminator_loss": scale * g["discriminator_loss"]})
            paths.append([factors(c) for c in steps(scheduler, 20, given)])
    assert paths[0] == paths[1] == paths[2] and paths[0][-1][1] < 0.6


@pytest.mark.parametrize("dtype", [torch.float32, torch.bfloat16])
@pytest.mark.parametrize("loss", ["non-saturating", "hinge", "lsgan", "wgan", "rpgan"])
def test_what_fits_is_not_complained_of(loss, dtype):
    from metagan_rl.losses import LOSSES

    scheduler = Loop().scheduler("gap-aware", total_steps=64, interval=1, loss=loss)
    real, fake = logits(0.8, 0.5).to(dtype), logits(0.2, 0.5).flip(0).to(dtype)
    value = LOSSES[loss].discriminator(real[None], fake[None])[0]
    steps(scheduler, 5, {"real_logits": real, "fake_logits": fake, "discriminator_loss": value})


def test_losses_without_logits_are_looked_at_too():
    for value, words in ((-3.0, "never negative; say loss='wgan'"), (9e4, "not scaled")):
        with pytest.warns(RuntimeWarning, match=words):
            steps(Loop().scheduler("gap-aware", total_steps=64, interval=1), 2, {"discriminator_loss": value})


def test_logits_without_a_loss_are_looked_at_too():
    sure = {"real_logits": torch.linspace(0.5, 0.99, 32), "fake_logits": torch.linspace(0.01, 0.6, 32)}
    with pytest.warns(RuntimeWarning, match="as probabilities are"):
        steps(Loop().scheduler("loop", total_steps=64, interval=1), 5, sure)
    with pytest.warns(RuntimeWarning, match="say which loss"):
        steps(
            Loop().scheduler("loop", total_steps=64, interval=1),
            2,
            {"real_logits": logits(-30.0), "fake_logits": logits(-35.0)},
        )


def test_nothing_changes_while_logits_may_be_probabilities():
    even = {"real_logits": torch.linspace(0.4, 0.6, 32), "fake_logits": torch.linspace(0.4, 0.6, 32)}
    sure = {"real_logits": torch.linspace(0.5, 0.99, 32), "fake_logits": torch.linspace(0.01, 0.6, 32)}
    scheduler = Loop().scheduler("accuracy-gate", total_steps=64, interval=1)
    held = [factors(each) for given in (even, even, sure) for each in steps(scheduler, 1, given)]
    assert held == [(1.0, 1.0)] * 3
    with pytest.warns(RuntimeWarning, match="as probabilities are"):
        held = [factors(each) for each in steps(scheduler, 20, sure)]
    assert held == [(1.0, 1.0)] * 20
    going_on = Loop().scheduler("accuracy-gate", total_steps=64, interval=1)
    first = Loop().scheduler("accuracy-gate", total_steps=64, interval=1)
    steps(first, 2, even)
    going_on.load_state_dict(first.state_dict())
    with pytest.warns(RuntimeWarning, match="as probabilities are"):  # a run that was resumed is as careful
        assert [factors(each) for each in steps(going_on, 20, sure)] == [(1.0, 1.0)] * 20
    real = {"real_logits": logits(2.0), "fake_logits": logits(-2.0)}
    acting = Loop().scheduler("accuracy-gate", total_steps=64, interval=1)
    assert factors(steps(acting, 3, real)[-1]) != (1.0, 1.0)


@pytest.mark.parametrize(("given", "wanted"), [("bce", "non-saturating"), ("MSELoss", "lsgan"), ("wgan-gp", "wgan")])
def test_what_others_call_a_loss_is_told_at_once(given, wanted):
    with pytest.raises(InvalidValueError, match=f"here it is called '{wanted}'"):
        Loop().scheduler("constant", loss=given)


# Rules


def test_a_rule_that_can_do_nothing_here_is_told():
    for name, knob in (("ada", "penalty_weight"), ("loss-ratio", "ratio"), ("tuned-constant", "penalty_weight")):
        with pytest.warns(RuntimeWarning, match=f"does nothing here: it sets .*{knob}"):
            Loop().scheduler(name)
        Loop().scheduler(name, knobs=(*RATES, knob))


@pytest.mark.parametrize(("own", "wanted"), [(1.0, 4.0), (2.0, 4.0), (4.0, 4.0), (9.0, 9.0)])
def test_two_time_scales_are_not_squared(own, wanted):
    loop = Loop()
    loop.d.param_groups[0]["lr"] = own * 1e-2
    generator, discriminator = loop.scheduler("ttur").get_last_lr()
    assert discriminator / generator == pytest.approx(wanted)


def test_plateau_looks_at_one_measure_only():
    scheduler = Loop().scheduler(
        "plateau", total_steps=64, interval=1, quality=("distance",), safeguard=False, change=math.inf
    )
    for step in range(60):
        quality = 1 / (1 + step) if step % 5 == 0 else None
        controls = scheduler.step(real_logits=logits(0.1), fake_logits=logits(0.0).flip(0), quality=quality)
    assert factors(controls) == (1, 1)


def test_every_scheduler_of_the_package_is_known_to_react_or_not():
    from metagan_rl.agents.catalogue import kind_of
    from metagan_rl.agents.plugin.limits import follows_the_clock

    fixed = {name for name in scheduler_names() if kind_of(name) == "fixed"}
    by_clock = {name for name in scheduler_names() if follows_the_clock(make_scheduler(name))}
    tuned = {"rule", "tuned-constant", "tuned-decay", "tuned-decay-no-momentum"}
    assert by_clock == (fixed - {"random", "random-constant", "users-own"}) | tuned


def test_what_is_new_costs_nothing_in_copies_of_the_loop():
    loop = Loop()
    scheduler = loop.scheduler("loop", total_steps=24, interval=2)
    feed(scheduler, 3, real_logits=logits(1.0), fake_logits=logits(0.0))
    other = copy.deepcopy(scheduler)
    assert factors(feed(other, 4, real_logits=logits(1.0), fake_logits=logits(0.0))) == (
        factors(feed(scheduler, 4, real_logits=logits(1.0), fake_logits=logits(0.0)))
    )
