"""On top of the loop's own rates: whatever sets them, what was written is read back, and multiplied."""

import copy
import math
import pickle
import warnings

import numpy as np
import pytest
import torch
from torch import nn

from metagan_rl import GANScheduler
from metagan_rl.agents import Scheduler
from metagan_rl.errors import InvalidValueError


class Fixed(Scheduler):
    """Always the same two factors."""

    def __init__(self, generator=2.0, discriminator=0.5):
        self.factors = generator, discriminator

    def propose(self, situation):
        generator, discriminator = self.factors
        return situation.base.replace(
            generator_lr_factor=np.array([generator]), discriminator_lr_factor=np.array([discriminator])
        )


class Later(Scheduler):
    """Two and a half times the base from the fifth decision on."""

    remembers = ("decided",)
    decided = 0

    def propose(self, situation):
        self.decided += 1
        factor = np.array([2.5 if self.decided >= 5 else 1.0])
        return situation.base.replace(generator_lr_factor=factor, discriminator_lr_factor=factor)


def optimizer(rate=1e-2, **options):
    weight = nn.Parameter(torch.ones(2))
    weight.grad = torch.zeros(2)
    return torch.optim.SGD([weight], lr=rate, **options)


class Spy(torch.optim.SGD):
    """Notes the rate that each step is made with."""

    def __init__(self, rate=1e-2):
        weight = nn.Parameter(torch.ones(2))
        weight.grad = torch.zeros(2)
        super().__init__([weight], lr=rate)
        self.used = []

    def step(self, closure=None):
        self.used.append(float(self.param_groups[0]["lr"]))
        return super().step(closure)


def scheduled(g, d, scheduler=None, **options):
    return GANScheduler(
        scheduler or Fixed(), g, d, **{"total_steps": 100, "interval": 1, "change": math.inf, **options}
    )


OWN = {
    "ConstantLR": lambda each: torch.optim.lr_scheduler.ConstantLR(each, 1.0),
    "LambdaLR": lambda each: torch.optim.lr_scheduler.LambdaLR(each, lambda step: 1 / (1 + step)),
    "LinearLR": lambda each: torch.optim.lr_scheduler.LinearLR(each, 0.1, 1.0, 8),
    "CosineAnnealingLR": lambda each: torch.optim.lr_scheduler.CosineAnnealingLR(each, 10, eta_min=1e-3),
    "ExponentialLR": lambda each: torch.optim.lr_scheduler.ExponentialLR(each, 0.8),
    "MultiStepLR": lambda each: torch.optim.lr_scheduler.MultiStepLR(each, [3, 6]),
    "CosineAnnealingWarmRestarts": lambda each: torch.optim.lr_scheduler.CosineAnnealingWarmRestarts(each, 4),
    "SequentialLR": lambda each: torch.optim.lr_scheduler.SequentialLR(
        each,
        [torch.optim.lr_scheduler.ConstantLR(each, 0.1, 3), torch.optim.lr_scheduler.ExponentialLR(each, 0.5)],
        [4],
    ),
}


@pytest.mark.parametrize("first", ["theirs", "ours"])
@pytest.mark.parametrize("own", OWN)
def test_a_scheduler_of_torch_is_multiplied_exactly(own, first):
    alone, together, d = Spy(), Spy(), optimizer()
    theirs = OWN[own](alone)
    if first == "theirs":
        beside, ours = OWN[own](together), scheduled(together, d)
    else:
        ours = scheduled(together, d, total_steps=100)
        beside = OWN[own](together)
    for _ in range(10):
        for each, its in ((alone, theirs), (together, beside)):
            each.step()
            its.step()
        ours.step()
    assert together.used == pytest.approx([2 * rate for rate in alone.used])
    assert beside.get_last_lr() == pytest.approx(theirs.get_last_lr())


def test_a_loop_that_writes_its_rates_each_round_is_multiplied_and_told_once():
    g, d = Spy(), Spy()
    ours = scheduled(g, d)
    with pytest.warns(RuntimeWarning, match="something else changes the learning rates too") as caught:
        for step in range(10):
            for each in (g, d):
                each.param_groups[0]["lr"] = 1e-2 * math.cos(step / 10)
                each.step()
            ours.step()
    assert len(caught) == 2  # one for each network
    for used, factor in ((g.used, 2.0), (d.used, 0.5)):  # the first rate that they set is taken as it is
        factors = [factor, 1.0, *[factor] * 8]
        assert used == pytest.approx([each * 1e-2 * math.cos(step / 10) for step, each in enumerate(factors)])


def test_reducing_on_a_plateau_beside_it_is_multiplied():
    g, d = Spy(), optimizer()
    theirs = torch.optim.lr_scheduler.ReduceLROnPlateau(g, factor=0.1, patience=1)
    ours = scheduled(g, d, Fixed(1.5, 1.0))
    with pytest.warns(RuntimeWarning, match="something else"):
        for _ in range(6):
            g.step()
            theirs.step(1.0)
            ours.step()
    assert g.used[0] == pytest.approx(1.5e-2) and g.used[-1] == pytest.approx(1.5e-4)


@pytest.mark.parametrize(("factor", "cut"), [(3.0, 0.1), (10.0, 0.1), (1.8, 0.5), (2.0, 0.5), (1 / 3, 0.3)])
def test_a_rate_that_others_cut_in_place_is_multiplied_once(factor, cut):
    g, d = Spy(), optimizer()
    ours = scheduled(g, d, Fixed(factor, 1.0), bounds=(1 / 30, 30.0))
    with pytest.warns(RuntimeWarning, match="something else"):
        for step in range(6):
            g.step()
            ours.step()
            if step in (2, 4):
                g.param_groups[0]["lr"] *= cut
    assert g.used == pytest.approx([1e-2 * factor * cut**power for power in (0, 0, 0, 1, 1, 2)])


@pytest.mark.parametrize("replace", [False, True])
def test_a_run_that_is_resumed_is_not_taken_for_disturbed(replace):
    g, d = Spy(), optimizer()
    ours = scheduled(g, d, replace=replace)
    g.step()
    ours.step()
    saved, again = copy.deepcopy((g.state_dict(), ours.state_dict())), Spy()
    resumed = scheduled(again, optimizer(), replace=replace)
    again.load_state_dict(saved[0])
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        resumed.load_state_dict(saved[1])
        again.step()
        resumed.step()
    assert again.used == [2e-2]


def test_a_run_that_is_resumed_to_be_watched_only_trains_with_its_own_rates():
    g, d = Spy(), optimizer()
    ours = scheduled(g, d)
    g.step()
    ours.step()
    saved, again = copy.deepcopy((g.state_dict(), ours.state_dict())), Spy()
    watching = scheduled(again, optimizer(), mode="log")
    again.load_state_dict(saved[0])
    watching.load_state_dict(saved[1])
    again.step()
    watching.step()
    assert again.used == [1e-2] and watching.get_last_lr()[0] == 1e-2


@pytest.mark.parametrize("before", [False, True])
def test_a_roll_back_to_a_checkpoint_keeps_the_factor_once(before):
    """``before``: the checkpoint was made before the factor held; the rates in it are the loop's own."""
    g, d = Spy(), Spy()
    scheduler = scheduled(g, d, Later())
    saved = None
    for step in range(12):
        for each in (g, d):
            each.step()
        scheduler.step()
        if step == (1 if before else 7):
            saved = copy.deepcopy([each.state_dict() for each in (g, d)])
        if step == 9:
            for each, state in zip((g, d), saved, strict=True):
                each.load_state_dict(state)
    assert g.used[-2:] == pytest.approx([2.5e-2] * 2) and d.used[-2:] == pytest.approx([2.5e-2] * 2)
    assert scheduler.get_last_lr() == pytest.approx([2.5e-2] * 2)


def test_rates_that_somebody_wrote_are_not_taken_for_loaded_ones():
    g, d = Spy(), Spy()
    scheduler = scheduled(g, d, Fixed(2.0, 2.0))
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        for step in range(6):
            for each in (g, d):
                each.step()
            scheduler.step()
            if step == 3:
                g.param_groups[0]["lr"] = 1e-2  # halved in place; it was the rate that the run began with
    assert g.used[-1] == pytest.approx(1e-2)


def test_after_rearming_controls_say_so_at_once():
    g, d = optimizer(), optimizer()
    scheduler = scheduled(g, d, interval=2)
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        for _ in range(4):
            controls = scheduler.step(discriminator_loss=float("nan"))
    assert controls.fallen_back
    scheduler.rearm()
    assert not scheduler.controls.fallen_back and not scheduler.step().fallen_back


def test_replacing_is_an_option():
    g, d = Spy(), optimizer()
    beside, ours = OWN["ExponentialLR"](g), scheduled(g, d, replace=True)
    with pytest.warns(RuntimeWarning, match="overrules"):
        for _ in range(3):
            g.step()
            beside.step()
            ours.step()
    assert ours.get_last_lr()[0] == 2e-2 and g.param_groups[0]["lr"] == 2e-2


@pytest.mark.parametrize("tensor", [False, True])
def test_groups_that_are_added_later_follow(tensor):
    g, d = optimizer(torch.tensor(1e-2) if tensor else 1e-2), optimizer()
    ours = scheduled(g, d)
    ours.step()
    g.add_param_group({"params": [nn.Parameter(torch.zeros(2))], "lr": torch.tensor(1e-3) if tensor else 1e-3})
    ours.step()
    assert [float(group["lr"]) for group in g.param_groups] == pytest.approx([2e-2, 2e-3])
    assert ours.get_last_lr() == pytest.approx([2e-2, 2e-3, 5e-3])


def test_several_optimizers_of_one_network():
    g, one, other = optimizer(), optimizer(1e-2), optimizer(4e-2)
    ours = scheduled(g, [one, other])
    ours.step()
    assert [each.param_groups[0]["lr"] for each in (one, other)] == [5e-3, 2e-2]
    assert ours.get_last_lr() == [2e-2, 5e-3, 2e-2]
    state = ours.state_dict()
    again = scheduled(optimizer(), [optimizer(1e-2), optimizer(4e-2)], "constant")
    with pytest.raises(InvalidValueError, match="scheduler was"):
        again.load_state_dict(state)
    for wrong, words in (([], "is empty"), ([one, one], "twice"), ([g, one], "same optimizer")):
        with pytest.raises(InvalidValueError, match=words):
            scheduled(g, wrong)


def test_a_tensor_that_both_optimizers_share_is_split_and_told():
    rate = torch.tensor(1e-2)
    g, d = optimizer(rate), optimizer(rate)
    with pytest.warns(RuntimeWarning, match="share one tensor"):
        ours = scheduled(g, d)
    ours.step()
    assert ours.get_last_lr() == pytest.approx([2e-2, 5e-3])
    assert float(g.param_groups[0]["lr"]) == pytest.approx(2e-2) and float(d.param_groups[0]["lr"]) == pytest.approx(
        5e-3
    )


def test_wrappers_are_written_through_and_copies_refused():
    class Joined:
        def __init__(self, *each):
            self.each = each

        @property
        def param_groups(self):
            return [group for one in self.each for group in one.param_groups]

    class Copying:
        def __init__(self, optimizer):
            self.optimizer = optimizer

        @property
        def param_groups(self):
            return [dict(group) for group in self.optimizer.param_groups]

    class CopiedOnce(Copying):
        param_groups = None

        def __init__(self, optimizer):
            self.optimizer, self.param_groups = optimizer, [dict(group) for group in optimizer.param_groups]

    one, other = optimizer(), optimizer(2e-2)
    ours = scheduled(optimizer(), Joined(one, other))
    assert [each.param_groups[0]["lr"] for each in (one, other)] == [5e-3, 1e-2]
    one.param_groups[0]["lr"] = 4e-2
    with pytest.warns(RuntimeWarning, match="no hooks"):
        ours.step()
    assert one.param_groups[0]["lr"] == 2e-2
    for wrapper in (Copying, CopiedOnce):
        with pytest.raises(InvalidValueError, match="give the optimizer inside it"):
            scheduled(optimizer(), wrapper(optimizer()))
        scheduled(optimizer(), wrapper(optimizer()), mode="log")


def test_a_second_scheduler_takes_over_and_the_first_only_watches():
    g, d = Spy(), Spy()
    first = scheduled(g, d)
    second = scheduled(g, d, Fixed(3.0, 1.0))
    g.step()
    assert g.used == pytest.approx([3e-2])
    with pytest.warns(RuntimeWarning, match="another GANScheduler has taken over"):
        first.step()
    g.step()
    assert g.used == pytest.approx([3e-2, 3e-2]) and second.get_last_lr() == pytest.approx([3e-2, 1e-2])


@pytest.mark.parametrize("copied", [copy.deepcopy, lambda loop: pickle.loads(pickle.dumps(loop))])
def test_a_copied_loop_goes_on_by_itself(copied):
    g, d = optimizer(), optimizer()
    ours = scheduled(g, d, "linear")
    OWN["ConstantLR"](g)
    other_g, other_d, others = copied((g, d, ours))
    for _ in range(3):
        others.step()
    assert others.get_last_lr()[1] == pytest.approx(0.97e-2) and ours.get_last_lr()[1] == 1e-2
    assert other_d.param_groups[0]["lr"] == pytest.approx(0.97e-2) and d.param_groups[0]["lr"] == 1e-2
    used = []
    other_g.register_step_pre_hook(lambda *_: used.append(other_g.param_groups[0]["lr"]))
    other_g.step()
    assert used == pytest.approx([0.97e-2])


def test_of_sharded_weights_only_the_own_part_is_looked_at():
    class Sharded(torch.Tensor):
        """As DTensor: whatever is done with the whole waits for other processes."""

        def to_local(self):
            return torch.ones(2)

        def reshape(self, *shape):
            raise AssertionError("this would wait")

    class Sharding:
        param_groups = [{"lr": 1e-2, "params": [torch.ones(4).as_subclass(Sharded)]}]

    ours = scheduled(Sharding(), optimizer(), "constant")
    assert ours.step(discriminator_loss=1.3).advice.status == "ok"
    assert [each.shape for each in ours.state_dict()["moves"][0]] == [(2,)]


def test_a_rate_of_zero_stays_zero_and_may_come_back():
    g, d = Spy(), optimizer()
    g.add_param_group({"params": [nn.Parameter(torch.zeros(2))], "lr": 0.0})
    warmed = torch.optim.lr_scheduler.LambdaLR(g, lambda step: step / 4)
    ours = scheduled(g, d)
    for _ in range(3):
        g.step()
        warmed.step()
        ours.step()
    assert g.used == pytest.approx([0, 0.5e-2, 1e-2]) and ours.get_last_lr()[1] == 0
