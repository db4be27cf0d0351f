"""Optimizers: each steps as its paper says, a member does not notice its company, and what is kept is all there is."""

import math
from dataclasses import replace
from typing import Any

import numpy as np
import pytest
import torch
from elsewhere import needs
from torch import Tensor

from metagan_rl.errors import InvalidValueError
from metagan_rl.loop import RunOptions, Runs, load_snapshot, save_snapshot
from metagan_rl.optimizers import OPTIMIZERS, SGD, Adam, Beginning, OptimizerKind, Prodigy
from metagan_rl.populations import Population, Settings
from metagan_rl.populations.engines import engine_of
from metagan_rl.populations.interval import per_member_norm
from metagan_rl.tasks import Base, Networks, Task

RATES = {
    "adam": 2e-3,
    "sgd": 0.05,
    "rmsprop": 1e-3,
    "prodigy": 0.1,
    "d-adaptation": 0.1,
    "schedule-free": 2e-3,
    "tiada": 2e-3,
}
STEPS, SIZE = 120, 6


def draw(*shape: int, seed: int = 0) -> Tensor:
    return torch.randn(*shape, generator=torch.Generator().manual_seed(seed), dtype=torch.float64)


# --- one step after another ------------------------------------------------------------------------------------------


def test_adam_equals_torch_step_by_step_with_each_members_own_settings() -> None:
    members, numbers, lengths = 4, 6, (3, 5)
    lr, beta1, beta2 = (0.1, 1e-3, 3e-2, 0.5), (0.0, 0.5, 0.9, 0.5), (0.9, 0.99, 0.999, 0.5)
    weights, first, second = draw(members, numbers), *torch.zeros(2, members, numbers, dtype=torch.float64)
    rows = [weights[member].clone().requires_grad_() for member in range(members)]
    theirs = [torch.optim.Adam([row], lr=a, betas=(b, c)) for row, a, b, c in zip(rows, lr, beta1, beta2, strict=True)]
    columns = [torch.tensor(values, dtype=torch.float64)[:, None] for values in (lr, beta1, beta2)]
    done = 0
    for length in lengths:  # the second interval goes on where the first ended
        adam = Adam(torch.arange(done + 1, done + length + 1)[:, None].expand(-1, members), *columns)
        for step in range(length):
            gradient = draw(members, numbers, seed=100 + done + step) * torch.logspace(-9, 3, members)[:, None]
            adam.step(step, weights, gradient, [first, second])
            for row, optimizer, g in zip(rows, theirs, gradient, strict=True):
                row.grad = g.clone()
                optimizer.step()
            torch.testing.assert_close(weights, torch.stack([row.detach() for row in rows]), rtol=1e-10, atol=1e-12)
        done += length


def test_adam_of_members_with_different_histories_uses_each_ones_own_step_count() -> None:
    lr, beta1, beta2 = (torch.full((2, 1), value, dtype=torch.float64) for value in (0.1, 0.5, 0.99))
    weights, first, second = torch.zeros(3, 2, 1, dtype=torch.float64)
    adam = Adam(torch.tensor([[1, 1001]]), lr, beta1, beta2)
    adam.step(0, weights, torch.ones(2, 1).double(), [first, second])
    assert weights[0].item() == pytest.approx(-0.1)  # the very first step is one learning rate long
    assert weights[1].item() == pytest.approx(-0.1 * 0.5 / 0.01**0.5, rel=1e-3)


def test_sgd_steps_against_the_gradient_at_each_members_rate() -> None:
    weights = torch.ones(2, 2)
    gradient, unused = torch.tensor([[1.0, -1.0], [2.0, 0.0]]), torch.zeros(2, 2)
    SGD(torch.tensor([[0.1], [0.5]])).step(0, weights, gradient, [unused, unused])
    torch.testing.assert_close(weights, torch.tensor([[0.9, 1.1], [0.0, 1.0]]))
    assert per_member_norm(torch.tensor([[3.0, 4.0], [0.0, 2.0]])).tolist() == [5.0, 2.0]


def slopes(weights: Tensor, step: int) -> Tensor:
    """Gradients of a valley that is not the same at every step, of very different sizes."""
    return (weights - 3) * torch.logspace(-3, 1, SIZE, dtype=torch.float64) + 0.1 * draw(SIZE, seed=step)


def column(value: float) -> Tensor:
    return torch.tensor([[value]], dtype=torch.float64)


def stepped(kind: OptimizerKind, lr: Any, **opponent: Tensor) -> tuple[Tensor, Tensor]:
    """Weights after each step ``[STEPS, SIZE]`` of a lone member, in intervals of five steps, and what is judged."""
    weights = draw(1, SIZE)
    kept = [torch.zeros_like(weights), torch.zeros_like(weights), kind.extra(weights)]
    path, judged, average = [], [], weights.clone()
    for step in range(STEPS):
        if step % 5 == 0:
            numbers = torch.arange(step + 1, step + 6)[:, None]
            rate = column(lr(step) if callable(lr) else lr)
            optimizer = kind.make(Beginning(numbers, rate, column(0.9), column(0.99), **opponent))
        optimizer.step(step % 5, weights, slopes(weights[0], step)[None], kept if kind.rows else kept[:2])
        optimizer.judge(average, weights, kept, column(0.1))
        path.append(weights[0].clone())
        judged.append(average[0].clone())
    return torch.stack(path), torch.stack(judged)


def falling(step: int) -> float:
    return 1.0 if step < 5 else 0.4


def test_rmsprop_is_that_of_torch() -> None:
    row = draw(1, SIZE)[0].requires_grad_()
    theirs, path = torch.optim.RMSprop([row], lr=0.02, alpha=0.99), []
    for step in range(STEPS):
        row.grad = slopes(row.detach(), step)
        theirs.step()
        path.append(row.detach().clone())
    torch.testing.assert_close(stepped(OPTIMIZERS["rmsprop"], 0.02)[0], torch.stack(path), rtol=1e-12, atol=1e-12)


def prodigy(corrects: bool = False, safeguard: bool = False, growth: float = math.inf) -> Tensor:
    """Algorithm 4 of the paper, with the options of its authors' code, in plain numbers."""
    x = first = draw(1, SIZE)[0]
    beta1, beta2, beta3, d0 = 0.9, 0.99, math.sqrt(0.99), 1e-6
    d = most = d0
    m, v, s, r, path = 0.0, 0.0, 0.0, 0.0, []
    for step in range(STEPS):
        g, rate = slopes(x, step), falling(5 * (step // 5))
        if corrects:
            rate *= math.sqrt(1 - beta2 ** (step + 1)) / (1 - beta1 ** (step + 1))
        m, v = beta1 * m + (1 - beta1) * d * g, beta2 * v + (1 - beta2) * (d * g) ** 2
        r = beta3 * r + d * rate * (d / d0) * float(g @ (first - x))
        s = beta3 * s + d * (1 if safeguard else rate) * (d / d0) * g
        found = r / float(s.abs().sum())
        most, grown = max(most, found), max(d, found) if d == d0 else d
        x = x - d * rate * m / (v.sqrt() + 1e-8 * min(most, grown * growth))
        d = min(most, grown * growth)
        path.append(x)
    return torch.stack(path)


@pytest.mark.parametrize("options", [{}, {"corrects": True, "safeguard": True}, {"growth": 1.3}])
def test_prodigy_is_that_of_its_paper(options: dict[str, Any]) -> None:
    names = {"corrects": "bias_correction", "safeguard": "safeguard_warmup", "growth": "growth"}
    given = {names[name]: value for name, value in options.items()}
    kind = replace(OPTIMIZERS["prodigy"], make=lambda told: Prodigy(told, **given))
    path, _ = stepped(kind, falling)
    torch.testing.assert_close(path, prodigy(**options), rtol=1e-9, atol=1e-12)
    assert (path[-1] - path[0]).abs().max() > 1e-3  # d has left its beginning


def test_d_adaptation_is_that_of_its_paper() -> None:
    x, m, v, s, r, d, path = (
        draw(1, SIZE)[0],
        0.0,
        torch.zeros(SIZE).double(),
        torch.zeros(SIZE).double(),
        0.0,
        1e-6,
        [],
    )
    beta = math.sqrt(0.99)
    for step in range(STEPS):
        g, rate = slopes(x, step), d * falling(5 * (step // 5))
        r = beta * r + (1 - beta) * rate * float(g @ (s / (v.sqrt() + 1e-8)))
        m, v, s = 0.9 * m + 0.1 * rate * g, 0.99 * v + 0.01 * g**2, beta * s + (1 - beta) * rate * g
        d = max(d, r / ((1 - beta) * float(s.abs().sum())))
        x = x - m / (v.sqrt() + 1e-8)
        path.append(x)
    torch.testing.assert_close(
        stepped(OPTIMIZERS["d-adaptation"], falling)[0], torch.stack(path), rtol=1e-9, atol=1e-12
    )
    assert d > 1e-4  # it has left its beginning


def test_schedule_free_is_that_of_its_authors_code() -> None:
    y = draw(1, SIZE)[0]
    z, v, total, most, path, judged = y, 0.0, 0.0, 0.0, [], []
    for step in range(STEPS):
        g, lr = slopes(y, step), 0.05 * falling(5 * (step // 5))
        v = 0.99 * v + 0.01 * g**2
        direction, most = g / ((v / (1 - 0.99 ** (step + 1))).sqrt() + 1e-8), max(most, lr)
        total += most**2
        c = most**2 / total
        y = y.lerp(z, c) + direction * (lr * (0.9 * (1 - c) - 1))  # z is that before the step, and x is nowhere
        z = z - lr * direction
        path.append(y)
        judged.append(y.lerp(z, 1 - 1 / 0.9))
    ours = stepped(OPTIMIZERS["schedule-free"], lambda step: 0.05 * falling(step))
    torch.testing.assert_close(ours[0], torch.stack(path), rtol=1e-10, atol=1e-12)
    torch.testing.assert_close(ours[1], torch.stack(judged), rtol=1e-10, atol=1e-12)


@needs("prodigyopt", "schedulefree", "dadaptation")
@pytest.mark.parametrize("name", ["prodigy", "d-adaptation", "schedule-free"])
def test_all_are_those_of_their_authors_libraries(name: str) -> None:
    from dadaptation import DAdaptAdam
    from prodigyopt import Prodigy as TheirProdigy
    from schedulefree import AdamWScheduleFree

    kinds = {"prodigy": TheirProdigy, "d-adaptation": DAdaptAdam, "schedule-free": AdamWScheduleFree}
    rate, row = {"schedule-free": 0.05}.get(name, 1.0), draw(1, SIZE)[0].requires_grad_()
    theirs = kinds[name]([row], lr=rate, betas=(0.9, 0.99))
    getattr(theirs, "train", list)()
    path = []
    for step in range(STEPS):
        theirs.param_groups[0]["lr"] = rate * falling(5 * (step // 5))
        row.grad = slopes(row.detach(), step)
        theirs.step()
        path.append(row.detach().clone())
    ours, _ = stepped(OPTIMIZERS[name], lambda step: rate * falling(step))
    torch.testing.assert_close(ours, torch.stack(path), rtol=1e-9, atol=1e-12)


@pytest.mark.parametrize("opponent", [None, 1e-4, 1e3])
def test_tiada_holds_g_back_where_d_has_the_larger_gradients(opponent: float | None) -> None:
    x, m, v, path = draw(1, SIZE)[0], 0.0, 0.0, []
    power = 0.4 if opponent is None else 0.6
    for step in range(STEPS):
        g = slopes(x, step)
        m, v = 0.9 * m + 0.1 * g, 0.99 * v + 0.01 * g**2
        own = float(v.sum())
        ratio = 1.0 if opponent is None else own**power / max(own, 4 * opponent) ** power
        denominator = v**power / math.sqrt(1 - 0.99 ** (step + 1)) + 1e-8
        x = x - 0.02 / (1 - 0.9 ** (step + 1)) * m / (denominator / ratio)
        path.append(x)
    told = {} if opponent is None else {"opponent": torch.full((1, 4), opponent).double()}
    torch.testing.assert_close(stepped(OPTIMIZERS["tiada"], 0.02, **told)[0], torch.stack(path), rtol=1e-10, atol=1e-12)


# --- in a population -------------------------------------------------------------------------------------------------


def tasks(optimizer: str, count: int = 3, **base: Any) -> list[Task]:
    lr = RATES[optimizer]
    chosen = Base(generator_lr=lr, discriminator_lr=lr, batch_size=16, optimizer=optimizer, **base)
    return [Task(f"t/{seed}", "ring8", 2, networks=Networks(3, 8), base=chosen, seed=seed) for seed in range(count)]


def under(of: list[Task]) -> Settings:
    """Settings that differ from member to member, ratios too, so that not all step at once."""
    settings = Settings.of([task.base for task in of])
    some = np.arange(len(of))
    return settings.replace(ratio=some % 3, generator_lr=settings.generator_lr * 0.7**some, beta1=0.3 * (some % 4))


@pytest.mark.parametrize("optimizer", OPTIMIZERS)
def test_a_member_does_not_notice_its_company(optimizer: str) -> None:
    of = tasks(optimizer, 4)
    together = Population(of, range(4), engine="torch")
    for _ in range(3):
        together.train(under(of), 24)
    assert not together.state.diverged.any()
    for member in range(4):
        alone = Population([of[member]], [member], engine="torch")
        for _ in range(3):
            alone.train(under(of)[[member]], 24)
        for name, values in alone.state.to_dict().items():
            torch.testing.assert_close(values, getattr(together.state, name)[[member]], rtol=1e-3, atol=1e-4, msg=name)
        assert (alone.state.generator - Population([of[member]], [member]).state.generator).abs().max() > 1e-6


@pytest.mark.parametrize("optimizer", OPTIMIZERS)
def test_a_run_goes_on_from_a_file_and_branches_as_if_nothing_had_been(optimizer: str, tmp_path: Any) -> None:
    of, options = tasks(optimizer, 2), RunOptions(interval_updates=12, engine="torch")
    runs = Runs(of, [0, 1], options)
    for _ in range(2):
        runs.advance(runs.base_controls())
    save_snapshot(tmp_path / "state", runs.state_dict())
    resumed = Runs(of, [7, 8], options)
    resumed.load_state_dict(load_snapshot(tmp_path / "state"))
    resumed.copy([0, 1])
    for each in (runs, resumed):
        each.advance(each.base_controls())
    ((ours, _), (theirs, _)) = (next(iter(each.population.groups())) for each in (runs, resumed))
    for name, values in ours.state.to_dict().items():
        assert torch.equal(values, getattr(theirs.state, name)), name
    assert ours.bytes_per_member() * 2 == sum(v.nbytes for v in ours.state.to_dict().values() if v.is_floating_point())


def test_what_an_optimizer_keeps_begins_anew_with_a_member() -> None:
    for optimizer in ("prodigy", "d-adaptation", "schedule-free"):
        of = tasks(optimizer)
        population, fresh = Population(of, range(3)), Population(of, range(3))
        population.train(under(of), 12)
        assert not torch.equal(population.state.generator_extra, fresh.state.generator_extra)
        population.restart([1], [of[1]], [1])
        for name, values in population.state.to_dict().items():
            assert torch.equal(values[1], getattr(fresh.state, name)[1]), name


def test_schedule_free_is_judged_by_the_mean_of_its_weights() -> None:
    of = tasks("schedule-free", ema_decay=0.0)
    population = Population(of, range(3))
    population.train(under(of), 24)
    size = population.state.generator.shape[1]
    assert torch.equal(population.state.average, population.state.generator_extra[:, size : 2 * size])
    assert not torch.equal(population.state.average, population.state.generator)


# --- names -----------------------------------------------------------------------------------------------------------


def test_a_name_that_is_none_is_refused_and_all_are_listed() -> None:
    with pytest.raises(InvalidValueError, match=f"optimizer is 'adm'; it must be one of {', '.join(OPTIMIZERS)}"):
        Base(optimizer="adm")


def test_torch_trains_what_the_native_engine_has_not(caplog: pytest.LogCaptureFixture) -> None:
    for optimizer in ("prodigy", "d-adaptation", "schedule-free", "tiada"):
        of = tasks(optimizer, 1)
        assert Population(of, [0]).engines == ["torch"] == [engine_of(of[0].networks, optimizer=optimizer)]
    assert not caplog.records


@pytest.mark.skipif(engine_of(Networks()) == "torch", reason="for want of the native engine")
def test_the_native_engine_says_which_optimizers_it_has() -> None:
    with pytest.raises(InvalidValueError, match="no optimizer 'prodigy', only adam, sgd, rmsprop; use 'auto'"):
        Population(tasks("prodigy", 1), [0], engine="native")
