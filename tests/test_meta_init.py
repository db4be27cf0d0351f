"""What must hold of meta-initialisation: gradients are right, runs go on, files are safe, GANs start from them."""

import json
from dataclasses import replace
from itertools import pairwise
from pathlib import Path
from typing import Any

import gymnasium as gym
import numpy as np
import pytest
import safetensors.torch
import torch
from torch import Tensor
from torch.nn import functional

from metagan_rl.agents.learners.shipped import shipped_policy
from metagan_rl.cli import main
from metagan_rl.envs import MetaGANVectorEnv, Runs
from metagan_rl.errors import DataError, FileFormatError, InvalidValueError, MetaGANError, UnknownNameError
from metagan_rl.experiments.benchmark import BenchmarkConfig, run_benchmark
from metagan_rl.losses import LOSSES
from metagan_rl.meta_init import (
    MetaDiscriminator,
    MetaGenerator,
    MetaInit,
    MetaSettings,
    MetaStep,
    RunOptions,
    load_meta_init,
    loop,
    save_meta_init,
    train_joint_gan,
    train_maml_gan,
    train_reptile_gan,
)
from metagan_rl.meta_init.batch import draw_tasks
from metagan_rl.meta_init.differentiable import check_differentiable
from metagan_rl.meta_init.fomaml import FirstOrderMAML, split_batches
from metagan_rl.meta_init.game import Game
from metagan_rl.meta_init.maml import SecondOrderMAML, adapt, outer_losses
from metagan_rl.meta_init.outer import OuterOptimizer
from metagan_rl.meta_init.validation import adaptation
from metagan_rl.networks.mlp import ACTIVATIONS
from metagan_rl.penalties import PENALTIES, Penalty
from metagan_rl.populations import MixedPopulation, Population
from metagan_rl.populations.settings import Settings
from metagan_rl.tasks import Base, Networks, Suite, Task, get_suite, register_suite
from metagan_rl.tasks.suites import SUITES

SMALL = Networks(latent_dim=2, width=8, depth=2)
SMOOTH = Networks(latent_dim=2, width=3, depth=1, activation="softplus")


def ring(seed: int = 0, networks: Networks = SMALL, budget: int = 96, **base: Any) -> Task:
    parameters = {"modes": 4, "sigma": 0.1, "weights": [1.0] * 4, "rotation": 0.4 * seed, "stretch": 1.0}
    base = {"batch_size": 16, **base}
    return Task(f"ring/{seed}", "ring", 2, parameters, networks=networks, base=Base(**base), budget=budget, seed=seed)


def digit() -> Task:
    networks = Networks(4, 2, 2, kind="conv")
    return Task("digits/3", "digits", 64, {"classes": [3]}, networks=networks, base=Base(batch_size=8))


def dirac() -> Task:
    return Task("dirac/0", "dirac", 1, {"start": [0.5, 0.5]}, networks=Networks(1, 1, 1, kind="dirac"))


class Rings:
    """A user's own distribution: two rings, turned against each other."""

    def __init__(self, **options: Any) -> None:
        self.tasks = [ring(seed, **options) for seed in range(2)]

    def sample(self, rng: np.random.Generator) -> Task:
        return self.tasks[rng.integers(2)]


def start(task: Task, seed: int = 0) -> MetaInit:
    return MetaInit(MetaGenerator.of(task, seed=seed), MetaDiscriminator.of(task, seed=seed))


def pair(task: Task, seed: int = 0) -> tuple[MetaGenerator, MetaDiscriminator]:
    return MetaGenerator.of(task, seed=seed), MetaDiscriminator.of(task, seed=seed)


def settings(method: str = "maml", **values: Any) -> MetaSettings:
    return MetaSettings.of(
        method, **{"inner_steps": 2, "outer_steps": 1, "inner_lr": 0.1, "outer_lr": 1e-3, "meta_batch": 3, **values}
    )


def in_double(chosen: MetaSettings, distribution: Any) -> tuple[Game, tuple[Tensor, Tensor], tuple[Any, Any]]:
    """The losses, the rows of meta-weights and the batches of a meta-step, in double precision."""
    meta = start(distribution.tasks[0])
    tasks, seeds = draw_tasks(distribution, meta, chosen, 0)
    batches = split_batches(meta, tasks, seeds)
    plans, inputs = [], []
    for batch, extra in zip(batches, (0, chosen.inner_updates), strict=True):
        batch.dtype = torch.float64
        plan, drawn = batch.prepared(chosen.inner_updates + extra)
        plans.append(plan)
        inputs.append(replace(drawn, points=drawn.points.double()))
    rows = (batches[0].state.generator.double(), batches[0].state.discriminator.double())
    return Game(batches[0].generator, batches[0].discriminator, plans[0]), rows, (inputs[0], inputs[1])


# MAML's gradients


@pytest.mark.parametrize("options", [{}, {"ratio": "2:1"}, {"simultaneous": True}])
@pytest.mark.parametrize(("loss", "penalty_weight"), [("non-saturating", 0.0), ("rpgan", 0.3), ("wgan", 0.5)])
def test_second_order_gradients_agree_with_finite_differences(
    options: dict[str, Any], loss: str, penalty_weight: float
) -> None:
    chosen = settings(loss=loss, penalty_weight=penalty_weight, meta_batch=2, **options)
    game, rows, inputs = in_double(chosen, Rings(networks=SMOOTH, batch_size=4))

    def losses(phi_g: Tensor, phi_d: Tensor) -> tuple[Tensor, Tensor]:
        updates = chosen.inner_updates
        return outer_losses(game, adapt(game, phi_g, phi_d, *inputs, updates), inputs[1], updates)

    for which in (0, 1):  # G's loss by G's weights, D's loss by D's
        leaves = [row.clone().requires_grad_() for row in rows]
        (ours,) = torch.autograd.grad(losses(*leaves)[which].sum(), leaves[which])
        numeric = torch.zeros_like(ours)
        for place in range(ours.shape[1]):
            sides = []
            for sign in (1, -1):
                moved = [row.clone().requires_grad_() for row in rows]
                with torch.no_grad():
                    moved[which][:, place] += sign * 1e-5
                sides.append(losses(*moved)[which].detach())
            numeric[:, place] = (sides[0] - sides[1]) / 2e-5
        torch.testing.assert_close(ours, numeric, rtol=1e-5, atol=1e-8)
        assert ours.abs().max() > 1e-3


def linear_layers(row: Tensor, sizes: list[int], inputs: Tensor) -> Tensor:
    """The default network as anyone would write it, of one flat row of weights."""
    place, values = 0, inputs
    for layer, (a, b) in enumerate(pairwise(sizes)):
        weight, bias = row[place : place + a * b].view(a, b), row[place + a * b : place + a * b + b]
        place += a * b + b
        values = values @ weight + bias
        if layer + 2 < len(sizes):
            values = functional.leaky_relu(values, 0.2)
    return values


def test_second_order_gradients_agree_with_torch_func_on_the_default_networks() -> None:
    default, lr = Networks(), 0.1
    sizes_g, sizes_d = [default.latent_dim, 64, 64, 2], [2, 64, 64, 1]
    chosen = settings(inner_lr=lr)
    distribution = Rings(networks=default, batch_size=8)
    meta = start(distribution.tasks[0])
    tasks, seeds = draw_tasks(distribution, meta, chosen, 0)
    gradients = SecondOrderMAML(chosen).member_gradients(meta, tasks, seeds)
    assert gradients is not None
    inputs = [batch.prepared(count)[1] for batch, count in zip(split_batches(meta, tasks, seeds), (4, 6), strict=True)]

    def loss_d(theta_d: Tensor, theta_g: Tensor, real: Tensor, noise: Tensor) -> Tensor:
        fake = linear_layers(theta_g, sizes_g, noise)
        real_logits, fake_logits = (linear_layers(theta_d, sizes_d, points) for points in (real, fake))
        return functional.softplus(-real_logits).mean() + functional.softplus(fake_logits).mean()

    def loss_g(theta_g: Tensor, theta_d: Tensor, noise: Tensor) -> Tensor:
        return functional.softplus(-linear_layers(theta_d, sizes_d, linear_layers(theta_g, sizes_g, noise))).mean()

    def outer(phi_g: Tensor, phi_d: Tensor, member: int) -> tuple[Tensor, Tensor]:
        real = [each.points[each.rows[member]].double() for each in inputs]
        noise = [each.noise[member].double() for each in inputs]
        theta_g, theta_d, theta_q = phi_g, phi_d, phi_d
        for step in (0, 2):
            theta_d, theta_q = (
                theta - lr * torch.func.grad(loss_d)(theta, theta_g, real[half][step], noise[half][step])
                for half, theta in enumerate((theta_d, theta_q))
            )
            theta_g = theta_g - lr * torch.func.grad(loss_g)(theta_g, theta_d, noise[0][step + 1])
        return loss_g(theta_g, theta_q, noise[1][5]), loss_d(theta_d, theta_g, real[1][4], noise[1][4])

    phi_g, phi_d = meta.generator.weights.double(), meta.discriminator.weights.double()
    for member in range(len(tasks)):
        for which in (0, 1):
            theirs = torch.func.grad(lambda *phi, k=which, m=member: outer(*phi, m)[k], argnums=which)(phi_g, phi_d)
            torch.testing.assert_close(gradients[which][member].double(), theirs, rtol=1e-3, atol=1e-6)


@pytest.mark.parametrize(
    "options",
    [
        {},
        {"ratio": "3:1"},
        {"ratio": "1:2"},
        {"simultaneous": True},
        {"loss": "wgan", "penalty_weight": 1.0},
        {"loss": "rpgan", "penalty_weight": 0.1},
    ],
)
def test_first_order_is_the_detached_formula_and_not_second_order(options: dict[str, Any]) -> None:
    chosen = settings("fomaml", **options)
    distribution = Rings()
    meta = start(distribution.tasks[0])
    tasks, seeds = draw_tasks(distribution, meta, chosen, 0)
    ours = FirstOrderMAML(chosen).member_gradients(meta, tasks, seeds)
    assert ours is not None

    support, query = split_batches(meta, tasks, seeds)
    updates, (d, g) = chosen.inner_updates, [int(part) for part in chosen.ratio.split(":")]
    plan, on_support = support.prepared(updates)
    _, on_query = query.prepared(updates + d + g)
    game = Game(support.generator, support.discriminator, plan)
    theta_g, theta_d = (
        rows.detach().requires_grad_() for rows in (support.state.generator, support.state.discriminator)
    )
    theta_q = theta_d

    def slope(loss: Tensor, by: Tensor) -> Tensor:
        return torch.autograd.grad(loss.sum(), by)[0]

    def stepped(theta: Tensor, gradient: Tensor) -> Tensor:
        return (theta - 0.1 * gradient).detach().requires_grad_()

    for update in range(updates):
        if update % (d + g) < d:
            before = theta_d
            theta_d = stepped(theta_d, slope(game.discriminator_loss(theta_d, theta_g, on_support, update), theta_d))
            theta_q = stepped(theta_q, slope(game.discriminator_loss(theta_q, theta_g, on_query, update), theta_q))
        else:
            against = before if chosen.simultaneous else theta_d
            theta_g = stepped(theta_g, slope(game.generator_loss(theta_g, against, on_support, update), theta_g))
    torch.testing.assert_close(
        ours[0], slope(game.generator_loss(theta_g, theta_q, on_query, updates + 1), theta_g), rtol=2e-4, atol=1e-6
    )
    torch.testing.assert_close(
        ours[1], slope(game.discriminator_loss(theta_d, theta_g, on_query, updates), theta_d), rtol=2e-4, atol=1e-6
    )
    second = SecondOrderMAML(replace(chosen, method="maml")).member_gradients(meta, tasks, seeds)
    assert second is not None
    for first_order, second_order in zip(ours, second, strict=True):
        assert (first_order - second_order).norm() > 1e-2 * second_order.norm()


@pytest.mark.parametrize("method", [FirstOrderMAML, SecondOrderMAML])
def test_a_task_has_its_own_gradient_whatever_loss_the_others_have(method: type[FirstOrderMAML]) -> None:
    own = [("rpgan", 0.2), ("non-saturating", 0.0), ("wgan", 1.0), ("rpgan", 0.0), ("non-saturating", 0.5)]
    given = Giving(*(ring(seed, loss=loss, penalty_weight=weight) for seed, (loss, weight) in enumerate(own)))
    chosen = settings("fomaml", meta_batch=5)
    meta = start(ring())
    tasks, seeds = draw_tasks(given, meta, chosen, 0)
    assert sorted((task.base.loss, task.base.penalty_weight) for task in tasks) == sorted(own)
    together = method(chosen).member_gradients(meta, tasks, seeds)
    assert together is not None
    for member, (task, seed) in enumerate(zip(tasks, seeds, strict=True)):
        alone = method(chosen).member_gradients(meta, [task], [seed])
        assert alone is not None
        for which in (0, 1):
            torch.testing.assert_close(together[which][member], alone[which][0], rtol=1e-3, atol=1e-6)


def test_support_and_query_data_share_no_row() -> None:
    halves = [batch.prepared(600)[1] for batch in split_batches(start(ring()), [ring()], [0])]
    seen = [{tuple(point) for point in half.points[half.rows.unique()].tolist()} for half in halves]
    assert all(len(half) > 1500 for half in seen)
    assert not seen[0] & seen[1]


# Reptile and joint training


@pytest.mark.parametrize("loss", ["non-saturating", "wgan"])
@pytest.mark.parametrize("outer_lr", [1.0, 0.25])
def test_reptile_with_one_inner_step_is_joint_training_with_the_mean_gradient(loss: str, outer_lr: float) -> None:
    distribution = Rings(loss=loss, penalty_weight=0.5)
    shared = {"inner_steps": 1, "outer_steps": 5, "outer_lr": outer_lr, "inner_optimizer": "sgd"}
    shared |= {"simultaneous": True, "meta_batch": 4, "inner_lr": 0.2}
    reptile = train_reptile_gan(*pair(distribution.tasks[0]), distribution, **shared)
    joint = train_joint_gan(*pair(distribution.tasks[0]), distribution, **shared)
    for one, other in ((reptile.generator, joint.generator), (reptile.discriminator, joint.discriminator)):
        torch.testing.assert_close(one.weights, other.weights, rtol=1e-5, atol=1e-6)
        assert (one.weights - type(one).of(distribution.tasks[0]).weights).norm() > 1e-3
    longer = {**shared, "inner_steps": 5, "outer_steps": 1}
    apart = train_reptile_gan(*pair(distribution.tasks[0]), distribution, **longer)
    together = train_joint_gan(*pair(distribution.tasks[0]), distribution, **longer)
    assert not torch.allclose(apart.generator.weights, together.generator.weights, rtol=1e-5, atol=1e-6)


def test_on_the_dirac_gan_the_two_agree_to_rounding() -> None:
    task = dirac()
    shared = {"inner_steps": 1, "outer_steps": 7, "outer_lr": 0.5, "inner_optimizer": "sgd", "inner_lr": 0.3}
    weights = [
        method(*pair(task), Giving(*[task] * 112), **shared, simultaneous=True).generator.weights
        for method in (train_reptile_gan, train_joint_gan)
    ]
    torch.testing.assert_close(weights[0], weights[1], rtol=1e-13, atol=1e-13)


def test_reptile_goes_a_part_of_the_way_to_where_populations_lead() -> None:
    distribution = Rings()
    chosen = settings("reptile", outer_lr=0.25, outer_optimizer="sgd", inner_steps=6, inner_optimizer="adam")
    meta = start(distribution.tasks[0])
    learned = train_reptile_gan(
        *pair(distribution.tasks[0]),
        distribution,
        inner_steps=6,
        outer_steps=1,
        inner_lr=0.1,
        outer_lr=0.25,
        inner_optimizer="adam",
        meta_batch=3,
    )
    tasks, seeds = draw_tasks(distribution, meta, chosen, 0)
    population = Population(tasks, seeds, initial_weights=meta)
    population.train(Settings.of([task.base for task in tasks]), 12)
    expected = meta.generator.weights + 0.25 * (population.state.generator - meta.generator.weights).mean(dim=0)
    torch.testing.assert_close(learned.generator.weights, expected)


def test_a_short_run_makes_adaptation_faster() -> None:
    distribution = Rings(networks=Networks(latent_dim=2, width=32, depth=2))
    learned = train_reptile_gan(
        *pair(distribution.tasks[0]),
        distribution,
        inner_steps=12,
        outer_steps=40,
        inner_lr=2e-3,
        outer_lr=0.5,
        inner_optimizer="adam",
        meta_batch=2,
    )
    fresh, adapted = adaptation(None, distribution.tasks, 24), adaptation(learned, distribution.tasks, 24)
    assert adapted[1] < 0.7 * fresh[1]
    assert adapted[1] < adaptation(None, distribution.tasks, 96)[1]


# Runs


METHODS = {
    "reptile": (train_reptile_gan, {"outer_optimizer": "adam"}),
    "maml": (train_maml_gan, {}),
    "fomaml": (train_maml_gan, {"order": 1}),
    "joint": (train_joint_gan, {}),
}
COMMON = {"inner_steps": 2, "inner_lr": 0.01, "outer_lr": 0.1, "meta_batch": 2}


@pytest.mark.parametrize("name", METHODS)
def test_a_resumed_run_ends_where_an_unbroken_one_does(name: str, tmp_path: Path) -> None:
    method, options = METHODS[name]
    distribution = Rings()
    whole = method(*pair(distribution.tasks[0]), distribution, outer_steps=5, **COMMON, **options)
    seen: list[MetaStep] = []

    def stop(done: MetaStep) -> None:
        seen.append(done)
        if done.step == 3:
            raise KeyboardInterrupt

    file = tmp_path / "run.safetensors"
    with pytest.raises(KeyboardInterrupt):
        run = RunOptions(checkpoint=file, on_step=stop, validation=distribution.tasks, validate_every=2)
        method(*pair(distribution.tasks[0]), distribution, outer_steps=5, run=run, **COMMON, **options)
    assert [done.step for done in seen] == [0, 1, 2, 3]
    assert [done.before is not None for done in seen] == [True, False, True, False]
    run = RunOptions(checkpoint=file, resume=True)
    resumed = method(*pair(distribution.tasks[0], seed=9), distribution, outer_steps=5, run=run, **COMMON, **options)
    assert torch.equal(resumed.generator.weights, whole.generator.weights)
    assert torch.equal(resumed.discriminator.weights, whole.discriminator.weights)
    assert resumed.metadata["steps"] == 5
    assert [entry[0] for entry in resumed.metadata["validations"]] == [seen[0].gan_updates, seen[2].gan_updates]
    with pytest.raises(InvalidValueError, match="meta_batch 2, not 3"):
        other = {**COMMON, "meta_batch": 3}
        method(*pair(distribution.tasks[0]), distribution, outer_steps=5, run=run, **other, **options)


@pytest.mark.parametrize("stopped_at", [0, 1, 2])
def test_a_validation_that_was_stopped_is_made_when_the_run_goes_on(
    stopped_at: int, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    distribution = Rings()
    method, options = METHODS["reptile"]
    validated = {"validation": distribution.tasks, "validate_every": 2}
    start = pair(distribution.tasks[0])
    whole = method(*start, distribution, outer_steps=4, run=RunOptions(**validated), **COMMON, **options)
    calls: list[None] = []

    def stopped(*arguments: Any) -> Any:
        calls.append(None)
        if len(calls) == stopped_at + 1:
            raise KeyboardInterrupt
        return adaptation(*arguments)

    file = tmp_path / "run.safetensors"
    with monkeypatch.context() as patched, pytest.raises(KeyboardInterrupt):
        patched.setattr(loop, "adaptation", stopped)
        method(*start, distribution, outer_steps=4, run=RunOptions(checkpoint=file, **validated), **COMMON, **options)
    run = RunOptions(checkpoint=file, resume=True, **validated)
    resumed = method(*start, distribution, outer_steps=4, run=run, **COMMON, **options)
    assert resumed.generator == whole.generator
    assert resumed.metadata["validations"] == whole.metadata["validations"] and len(whole.metadata["validations"]) == 3


@pytest.mark.parametrize("name", ["reptile", "joint"])
def test_a_run_stopped_within_a_meta_step_goes_on_from_the_last_whole_one(
    name: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    method, options = METHODS[name]
    distribution = Rings()
    whole = method(*pair(distribution.tasks[0]), distribution, outer_steps=4, **COMMON, **options)
    step, calls = OuterOptimizer.step, []

    def stopped(self: OuterOptimizer, *arguments: Any) -> MetaInit:
        calls.append(step(self, *arguments))
        if len(calls) == 3:
            raise KeyboardInterrupt
        return calls[-1]

    file = tmp_path / "run.safetensors"
    with monkeypatch.context() as patched, pytest.raises(KeyboardInterrupt):
        patched.setattr(OuterOptimizer, "step", stopped)
        run = RunOptions(checkpoint=file)
        method(*pair(distribution.tasks[0]), distribution, outer_steps=4, run=run, **COMMON, **options)
    run = RunOptions(checkpoint=file, resume=True)
    resumed = method(*pair(distribution.tasks[0]), distribution, outer_steps=4, run=run, **COMMON, **options)
    assert resumed.generator == whole.generator and resumed.discriminator == whole.discriminator


@pytest.mark.parametrize("name", METHODS)
def test_meta_steps_that_diverge_are_skipped_and_counted(name: str) -> None:
    method, options = METHODS[name]
    distribution = Rings(loss="wgan")
    seen: list[MetaStep] = []
    values = {**COMMON, "inner_lr": 10.0, "inner_steps": 8, "inner_optimizer": "sgd"}
    before = pair(distribution.tasks[0])
    after = method(*before, distribution, outer_steps=2, run=RunOptions(on_step=seen.append), **values, **options)
    assert [(done.skipped, done.total_skipped, done.generator_move) for done in seen] == [
        (True, 1, 0.0),
        (True, 2, 0.0),
    ]
    assert after.metadata["skipped"] == 2
    assert after.generator == before[0] and after.discriminator == before[1]


@pytest.mark.parametrize("name", METHODS)
@pytest.mark.parametrize("outer_lr", [1e6, 1e36])
def test_an_outer_rate_that_diverges_is_skipped_and_undone(name: str, outer_lr: float) -> None:
    method, options = METHODS[name]
    distribution = Rings()
    before = pair(distribution.tasks[0])
    after = method(*before, distribution, outer_steps=2, **{**COMMON, "outer_lr": outer_lr}, **options)
    assert after.metadata["skipped"] == 2
    assert after.generator == before[0] and after.discriminator == before[1]


def test_updates_are_counted_as_they_are_made() -> None:
    assert settings("reptile", inner_steps=3, ratio="2:1", meta_batch=5).updates_per_step == 5 * 9
    assert settings("maml", inner_steps=3, ratio="2:1", meta_batch=5).updates_per_step == 5 * (9 + 6 + 2)


def test_tensorboard_gets_validation(tmp_path: Path) -> None:
    distribution = Rings()
    run = RunOptions(tensorboard=tmp_path / "events", validation=distribution.tasks[:1], validate_every=1)
    train_reptile_gan(*pair(distribution.tasks[0]), distribution, outer_steps=1, run=run, **COMMON)
    content = b"".join(path.read_bytes() for path in (tmp_path / "events").iterdir())
    assert b"validation/after_adaptation" in content and b"meta/skipped" in content


def reptile(distribution: Any, **values: Any) -> MetaInit:
    return train_reptile_gan(*pair(ring()), distribution, **{"outer_steps": 3, **COMMON, **values})


class Giving:
    """A distribution that gives what it is told, and then runs dry."""

    def __init__(self, *given: Any) -> None:
        self.given = iter(given)

    def sample(self, rng: np.random.Generator) -> Any:
        return next(self.given)


@pytest.mark.parametrize(
    ("distribution", "kind", "words"),
    [
        (Giving(ring(), ring(), ring()), InvalidValueError, "ran dry at meta-step 1"),
        (Giving(ring(), None), InvalidValueError, "ran dry at meta-step 0"),
        (Giving("ring"), InvalidValueError, "'ring', which is not a Task"),
        (Giving(float("nan")), InvalidValueError, "nan, which is not a Task"),
        ([ring()], InvalidValueError, r"no sample\(rng\)"),
        (
            Giving(ring(networks=replace(SMALL, width=9))),
            InvalidValueError,
            r"generator.*weight 0 is \[2, 8\].*\[2, 9\]",
        ),
        (Giving(replace(ring(), dim=3)), InvalidValueError, r"weight 4 is \[8, 2\], the task needs \[8, 3\]"),
        (Giving(ring(networks=replace(SMALL, depth=1))), InvalidValueError, "has 6 weights, the task's has 4"),
        (Giving(ring(networks=replace(SMALL, activation="relu"))), InvalidValueError, "activation is 'leaky-relu'"),
        (Giving(ring(), ring(batch_size=8)), InvalidValueError, "batch sizes of 8 to 16"),
    ],
)
def test_a_bad_distribution_is_told(distribution: Any, kind: type[Exception], words: str) -> None:
    with pytest.raises(kind, match=words):
        reptile(distribution)


def test_what_was_learned_before_a_distribution_ran_dry_is_kept(tmp_path: Path) -> None:
    run = RunOptions(checkpoint=tmp_path / "run.safetensors")
    with pytest.raises(InvalidValueError, match="ran dry at meta-step 1"):
        reptile(Giving(ring(), ring(), ring()), run=run)
    one = reptile(Giving(ring(), ring()), outer_steps=1)
    resumed = reptile(Giving(), outer_steps=1, run=replace(run, resume=True))
    assert resumed.generator == one.generator
    with pytest.raises(InvalidValueError, match="ran dry at meta-step 0"):
        reptile(Giving(), run=RunOptions(checkpoint=tmp_path / "other"))
    assert not (tmp_path / "other").exists()


def test_a_fault_of_a_distribution_is_not_taken_for_its_end() -> None:
    class Faulty:
        def sample(self, rng: np.random.Generator) -> Task:
            return [ring()][3]

    with pytest.raises(IndexError):
        reptile(Faulty())


def test_a_checkpoint_that_is_there_is_not_overwritten(tmp_path: Path) -> None:
    run = RunOptions(checkpoint=tmp_path / "run.safetensors")
    reptile(Rings(), run=run)
    before = (tmp_path / "run.safetensors").read_bytes()
    with pytest.raises(InvalidValueError, match="exists already; continue with resume=True"):
        reptile(Rings(), run=run)
    (tmp_path / "run.safetensors").write_bytes(before[: len(before) // 2])
    with pytest.raises(FileFormatError, match=r"run\.safetensors"):
        reptile(Rings(), run=replace(run, resume=True))


def test_a_run_goes_on_with_the_same_tasks_alone(tmp_path: Path) -> None:
    split = get_suite("planar").split("train")
    run = RunOptions(checkpoint=tmp_path / "run.safetensors")
    options = {"inner_steps": 1, "outer_steps": 1, "inner_lr": 0.01, "outer_lr": 0.1, "meta_batch": 2}
    whole = train_reptile_gan(*pair(split[0]), split, run=run, **options)
    assert (whole.metadata["suite"], whole.metadata["split"]) == ("planar", "train")
    with pytest.raises(InvalidValueError, match="holds a run with split train, not none; suite planar, not none"):
        train_reptile_gan(*pair(split[0]), split[:3], run=replace(run, resume=True), **options)
    part = train_reptile_gan(*pair(split[0]), split[:3], **options)
    assert part.metadata["suite"] is None and len(part.metadata["tasks_sha256"]) == 64


@pytest.mark.parametrize("order", [1, 2])
def test_maml_needs_two_rows(order: int) -> None:
    one = replace(digit(), shots=1)
    with pytest.raises(InvalidValueError, match="has 1 row, which cannot be split into support and query"):
        train_maml_gan(*pair(one), Giving(one, one), outer_steps=1, order=order, **COMMON)


def test_joint_training_has_one_pair_of_betas() -> None:
    given = Giving(ring(), ring(beta1=0.9))
    with pytest.raises(InvalidValueError, match="betas of"):
        train_joint_gan(*pair(ring()), given, outer_steps=1, **COMMON)


def test_nan_data_are_told() -> None:
    class Broken(Task):
        def data(self) -> Any:
            data = super().data()
            return replace(data, train=data.train.clone().fill_(torch.nan))

    task = ring()
    with pytest.raises(DataError, match="4096 rows with NaN"):
        reptile(Giving(Broken(**vars(task))))


@pytest.mark.parametrize(
    ("values", "kind", "words"),
    [
        ({"inner_steps": 0}, InvalidValueError, "inner_steps is 0"),
        ({"outer_steps": 0}, InvalidValueError, "outer_steps is 0"),
        ({"meta_batch": 0}, InvalidValueError, "meta_batch is 0"),
        ({"inner_lr": 0.0}, InvalidValueError, "inner_lr is 0.0"),
        ({"inner_lr": float("nan")}, InvalidValueError, "inner_lr is nan"),
        ({"outer_lr": float("inf")}, InvalidValueError, "outer_lr is inf"),
        ({"ratio": "1:4"}, UnknownNameError, "unknown ratio '1:4'"),
        ({"ratio": "2:1", "simultaneous": True}, InvalidValueError, "ratio '1:1', not '2:1'"),
        ({"loss": "hing"}, UnknownNameError, "did you mean hinge"),
        ({"penalty_weight": -1.0}, InvalidValueError, "penalty_weight is -1"),
        ({"batch_size": 1}, InvalidValueError, "batch_size is 1"),
        ({"inner_optimizer": "adm"}, UnknownNameError, "did you mean adam"),
        ({"meta_bach": 4}, UnknownNameError, "did you mean meta_batch"),
        ({"seed": -1}, InvalidValueError, "seed is -1"),
    ],
)
def test_a_bad_setting_is_told(values: dict[str, Any], kind: type[Exception], words: str) -> None:
    with pytest.raises(kind, match=words):
        reptile(Rings(), **values)


def test_maml_has_an_order_and_differentiates_gradient_descent() -> None:
    with pytest.raises(InvalidValueError, match="order is 3"):
        train_maml_gan(*pair(ring()), Rings(), outer_steps=1, order=3, **COMMON)
    with pytest.raises(InvalidValueError, match="plain gradient descent"):
        train_maml_gan(*pair(ring()), Rings(), outer_steps=1, inner_optimizer="adam", **COMMON)
    with pytest.raises(InvalidValueError, match="for the same task"):
        MetaInit(MetaGenerator.of(ring()), MetaDiscriminator.of(ring(networks=SMOOTH)))


class OnceDifferentiable(torch.autograd.Function):
    @staticmethod
    def forward(ctx: Any, values: Tensor) -> Tensor:
        ctx.save_for_backward(values)
        return values.square()

    @staticmethod
    @torch.autograd.function.once_differentiable
    def backward(ctx: Any, gradient: Tensor) -> Tensor:
        return 2 * ctx.saved_tensors[0] * gradient


def test_a_penalty_that_cannot_be_differentiated_twice_is_told() -> None:
    PENALTIES.register(
        "once",
        Penalty(lambda real, fake, mix: real, lambda gradient: OnceDifferentiable.apply(gradient).sum(dim=(1, 2))),
    )
    LOSSES.register("odd", replace(LOSSES["non-saturating"], penalty="once"))
    try:
        distribution = Rings(loss="odd", penalty_weight=1.0)
        with pytest.raises(InvalidValueError, match="cannot differentiate loss 'odd' with its penalty 'once'"):
            train_maml_gan(*pair(ring()), distribution, outer_steps=1, **COMMON)
        train_maml_gan(*pair(ring()), distribution, outer_steps=1, order=1, **COMMON)
        later = Giving(ring(), ring(), ring(), ring(loss="odd", penalty_weight=1.0))  # it first comes up at step 1
        with pytest.raises(InvalidValueError, match="cannot differentiate loss 'odd'"):
            train_maml_gan(*pair(ring()), later, outer_steps=2, **COMMON)
    finally:
        LOSSES.remove("odd")
        PENALTIES.remove("once")


@pytest.mark.parametrize("penalty", ["r1", "r2", "zero-centred", "one-centred"])
@pytest.mark.parametrize("kind", [*ACTIVATIONS, "conv"])
def test_second_order_takes_every_penalty(penalty: str, kind: str) -> None:
    task = digit() if kind == "conv" else ring(networks=replace(SMOOTH, activation=kind))
    LOSSES.register("probe", replace(LOSSES["non-saturating"], penalty=penalty))
    try:
        check_differentiable(start(task), [task.with_base(loss="probe", penalty_weight=1.0)])
    finally:
        LOSSES.remove("probe")


@pytest.mark.parametrize("task", [digit(), dirac()], ids=["conv", "dirac"])
def test_every_method_takes_every_kind_of_network(task: Task) -> None:
    for method, options in METHODS.values():
        given = Giving(task, task)
        learned = method(*pair(task), given, outer_steps=1, loss="wgan", penalty_weight=0.1, **COMMON, **options)
        assert learned.metadata["skipped"] == 0
        assert not torch.equal(learned.generator.weights, MetaGenerator.of(task).weights)


# Files


def test_a_file_gives_back_what_was_saved(tmp_path: Path) -> None:
    generator, discriminator = pair(ring(), seed=3)
    save_meta_init(tmp_path / "init.safetensors", generator, discriminator, {"method": "by hand"})
    loaded = load_meta_init(tmp_path / "init.safetensors")
    assert (loaded.generator, loaded.discriminator) == (generator, discriminator)
    assert loaded.metadata == {"method": "by hand"}


def test_a_damaged_file_is_told(tmp_path: Path) -> None:
    file, other = tmp_path / "init.safetensors", tmp_path / "other.safetensors"
    save_meta_init(file, *pair(ring()))
    content = file.read_bytes()
    cases = {
        "not a complete": content[:-10],
        "changed after it was made": content[:-1] + bytes([content[-1] ^ 1]),
        "changed": content.replace(b'\\"width\\": 8', b'\\"width\\": 9'),
    }
    for words, damaged in cases.items():
        assert damaged != content
        other.write_bytes(damaged)
        with pytest.raises(FileFormatError, match=words):
            load_meta_init(other)
    with pytest.raises(FileFormatError, match="no metagan-rl meta-initialisation file"):
        load_meta_init(shipped_policy())
    with pytest.raises(FileFormatError, match="there is no"):
        load_meta_init(tmp_path / "nowhere")
    with safetensors.safe_open(str(file), framework="pt") as opened:
        head = json.loads(opened.metadata()["metagan_rl"])
    head["version"] = 99
    tensors = safetensors.torch.load_file(file)
    other.write_bytes(safetensors.torch.save(tensors, metadata={"metagan_rl": json.dumps(head)}))
    with pytest.raises(FileFormatError, match="format 99"):
        load_meta_init(other)


def test_weights_that_are_not_finite_or_too_few_are_refused() -> None:
    with pytest.raises(InvalidValueError, match="not all finite"):
        MetaGenerator(SMALL, 2, weights=MetaGenerator(SMALL, 2).weights * torch.nan)
    with pytest.raises(InvalidValueError, match=r"shape \[3\]"):
        MetaDiscriminator(SMALL, 2, weights=torch.zeros(3))


# Whoever starts from them


@pytest.fixture
def file(tmp_path: Path) -> Path:
    save_meta_init(tmp_path / "init.safetensors", *pair(ring(), seed=5))
    return tmp_path / "init.safetensors"


@pytest.fixture
def rings() -> Any:
    splits = {"train": (ring(0), ring(1)), "test": (ring(2), ring(3))}
    register_suite(Suite("rings", 1, "for tests", splits))
    yield "rings"
    SUITES.remove("rings")


def test_fresh_weights_are_those_of_a_population() -> None:
    population = Population([ring()], [7])
    generator, discriminator = pair(ring(), seed=7)
    assert torch.equal(population.state.generator[0], generator.weights)
    assert torch.equal(population.state.discriminator[0], discriminator.weights)


def test_members_start_from_the_file_and_part_by_their_seeds(file: Path) -> None:
    init = load_meta_init(file)
    for kind in (Population, MixedPopulation):
        population = kind([ring(), ring()], [0, 1], initial_weights=file)
        noise = torch.randn(2, 5, 2)
        first, second = population.sample(noise[[0, 0]], members=[0, 1])
        assert torch.equal(first, second)
        population.train(Settings.of([ring().base] * 2), 12)
        first, second = population.sample(noise[[0, 0]], members=[0, 1], average=False)
        assert not torch.allclose(first, second)
        population.restart([1], [ring(3)], [4])
        group = next(population.groups())[0] if isinstance(population, MixedPopulation) else population
        assert torch.equal(group.state.generator[1], init.generator.weights)
        with pytest.raises(InvalidValueError, match="does not fit task 'ring/0'"):
            population.restart([1], [ring(networks=replace(SMALL, width=5))], [4])


def test_environments_start_from_the_file(rings: str, file: Path) -> None:
    env = MetaGANVectorEnv(rings, 2, initial_weights=file, interval_updates=12)
    _, info = env.reset(seed=0, options={"tasks": [ring(0), ring(0)]})
    assert info["distance"][0] == info["distance"][1]
    _, info = env.reset(seed=0, options={"tasks": [ring(0), ring(0)]})
    fresh = MetaGANVectorEnv(rings, 2, interval_updates=12).reset(seed=0, options={"tasks": [ring(0), ring(0)]})[1]
    assert fresh["distance"][0] != fresh["distance"][1]
    single = gym.make("MetaGAN/Planar-v2", initial_weights=None)
    single.close()
    with pytest.raises(InvalidValueError, match="generator of the initial weights does not fit"):
        gym.make("MetaGAN/Planar-v2", initial_weights=file)
    with pytest.raises(FileFormatError, match="there is no"):
        MetaGANVectorEnv(rings, 1, initial_weights="nowhere")
    with pytest.raises(InvalidValueError, match="initial_weights is 3"):
        Runs([ring()], [0], initial_weights=3)  # type: ignore[arg-type]


def test_benchmark_rows_tell_where_they_start_and_are_not_mixed(rings: str, file: Path, tmp_path: Path) -> None:
    config = BenchmarkConfig(rings, "test", ("constant",), seeds=2, initial_weights=str(file))
    out = run_benchmark(config, tmp_path / "with", workers=0)
    rows = [json.loads(line) for line in (out / "rows.jsonl").read_text().splitlines()]
    assert len({row["initial_weights"] for row in rows}) == 1
    assert len({row["start"] for row in rows if row["task"] == "ring/2"}) == 1
    assert str(tmp_path) not in (out / "benchmark.json").read_text()
    without = replace(config, initial_weights=None)
    with pytest.raises(InvalidValueError, match=r"initial_weights .*never mixed"):
        run_benchmark(without, out, workers=0)
    save_meta_init(tmp_path / "second.safetensors", *pair(ring(), seed=6))
    with pytest.raises(InvalidValueError, match=r"initial_weights .*never mixed"):
        run_benchmark(replace(config, initial_weights=str(tmp_path / "second.safetensors")), out, workers=0)
    plain = run_benchmark(without, tmp_path / "without", workers=0)
    assert "initial_weights" not in json.loads((plain / "rows.jsonl").read_text().splitlines()[0])
    with pytest.raises(InvalidValueError, match=r"initial_weights .*never mixed"):
        run_benchmark(config, plain, workers=0)
    with pytest.raises(InvalidValueError, match="does not fit"):
        BenchmarkConfig("planar", "test", ("constant",), initial_weights=str(file))


def test_the_command_makes_a_file_the_benchmark_takes(
    rings: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.chdir(tmp_path)
    command = ["meta-init", "--suite", rings, "--out", "init.safetensors", "--inner-steps", "2", "--meta-batch", "2"]
    for method in ("reptile", "maml", "fomaml", "joint"):
        own = [word.replace("init.s", f"{method}.s") for word in command]
        assert main([*own, "--method", method, "--updates", "20"]) == 0
        assert "GAN updates" in capsys.readouterr().out
        assert load_meta_init(f"{method}.safetensors").metadata["settings"]["method"] == method
    command = [word.replace("init.s", "reptile.s") for word in command]
    assert main([*command, "--method", "reptile"]) == 2
    assert "--resume" in capsys.readouterr().err
    assert main([*command, "--method", "reptile", "--updates", "40", "--resume"]) == 0
    assert load_meta_init("reptile.safetensors").metadata["gan_updates"] == 40
    benchmark = ["benchmark", "--suite", rings, "--split", "test", "--seeds", "1", "--workers", "0"]
    assert main([*benchmark, "--schedulers", "constant,linear", "--initial-weights", "reptile.safetensors"]) == 0
    capsys.readouterr()
    for wrong, words in (
        (["meta-init", "--method", "reptle", "--suite", rings, "--out", "x"], "reptle"),
        (["meta-init", "--method", "reptile", "--suite", "planer", "--out", "x"], "did you mean planar"),
        (["meta-init", "--method", "reptile", "--suite", "planar-mixed", "--out", "x"], "several shapes"),
        (["meta-init", "--method", "reptile", "--suite", rings, "--out", "x", "--resume"], "there is no"),
        ([*benchmark, "--initial-weights", "nowhere"], "nowhere"),
    ):
        assert main(wrong) == 2
        error = capsys.readouterr().err
        assert words in error and error.count("\n") == 1


def test_a_command_that_is_stopped_while_it_validates_goes_on(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    from metagan_rl.meta_init import loop

    monkeypatch.chdir(tmp_path)
    command = ["meta-init", "--suite", "ring8", "--method", "reptile", "--inner-steps", "1", "--meta-batch", "2"]
    command += ["--updates", "16", "--validate-every", "2", "--validation-tasks", "1", "--out"]
    assert main([*command, "whole.safetensors"]) == 0
    adaptation, left = loop.adaptation, iter([True, False, True, False])

    def stopped(*arguments: Any) -> tuple[float, float]:
        if next(left):
            return adaptation(*arguments)
        raise KeyboardInterrupt

    monkeypatch.setattr(loop, "adaptation", stopped)
    assert main([*command, "stopped.safetensors"]) == 130
    assert main([*command, "stopped.safetensors", "--resume"]) == 130
    monkeypatch.setattr(loop, "adaptation", adaptation)
    capsys.readouterr()
    for option, words in (
        ("--validate-every=1", "validate_every 2, not 1"),
        ("--validation-tasks=0", "validation_tasks 1, not 0"),
        ("--seed=1", "seed 0, not 1"),
        ("--meta-batch=3", "meta_batch 2, not 3"),
        ("--updates=4", "ask for at least 16 updates"),
    ):
        assert main([*command, "stopped.safetensors", "--resume", option]) == 2
        error = capsys.readouterr().err
        assert words in error and error.count("\n") == 1
    assert main([*command, "stopped.safetensors", "--resume"]) == 0
    whole, again = (load_meta_init(f"{name}.safetensors") for name in ("whole", "stopped"))
    assert again.generator == whole.generator and again.discriminator == whole.discriminator
    assert again.metadata["validations"] == whole.metadata["validations"]


def test_errors_are_of_the_library() -> None:
    with pytest.raises(MetaGANError):
        reptile(Giving())
