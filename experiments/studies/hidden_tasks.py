"""Tasks with hidden conditions: what is wrong with a run, and what differs between users' problems.

:mod:`.make_manifests` writes them, with all others.
"""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import replace
from functools import cache
from typing import Any

import numpy as np

from metagan_rl.agents.searches.rule import Formula, Rule
from metagan_rl.experiments.benchmark.records import read_lines
from metagan_rl.experiments.studies.full_form import RESULTS
from metagan_rl.loop import Controls, Situation
from metagan_rl.loop.ledger import Ledger
from metagan_rl.loop.setup import Setup
from metagan_rl.tasks.hidden import Event, Hidden
from metagan_rl.tasks.planar import HELD_OUT_FAMILIES, TRAIN_FAMILIES, log_uniform
from metagan_rl.tasks.suites import Suite
from metagan_rl.tasks.task import Base, Networks, Task, sample_task


def stream(label: str) -> np.random.Generator:
    """The generator of a group of tasks, seeded by its name."""
    return np.random.default_rng(list(label.encode()))


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


def _shift(rng: np.random.Generator) -> dict[str, Any]:
    """Data that turn and shift at once, at a time that nobody knows; in two of five runs they stay."""
    if rng.uniform() < 0.4:
        return {}
    turn, shift, at = (float(f"{rng.uniform(low, high):.3g}") for low, high in ((-0.5, 0.5), (1.0, 4.0), (0.3, 0.9)))
    sign = float(rng.choice([-1.0, 1.0]))
    return {"turn": turn, "shift": sign * shift, "changes": 1, "change_at": at}


def _unknown(rng: np.random.Generator) -> dict[str, Any]:
    return {**_conditions(rng), "hidden": Hidden(**_hidden_rates(rng))}


def _faults(rng: np.random.Generator) -> dict[str, Any]:
    events = tuple(_fault(rng) for _ in range(int(rng.choice([0, 1, 1, 2]))))
    return {**_conditions(rng), "hidden": Hidden(events=events)}


def _drifts(rng: np.random.Generator) -> dict[str, Any]:
    return {**_conditions(rng), "hidden": Hidden(**_drift(rng))}


def _shifts(rng: np.random.Generator) -> dict[str, Any]:
    return {**_conditions(rng), "hidden": Hidden(**_shift(rng))}


def with_hidden(name: str, description: str, draw: Callable[[np.random.Generator], dict[str, Any]]) -> Suite:
    """Two-dimensional families under conditions that nobody is told."""

    def tasks(split: str, families: Sequence[str], count: int, tag: str) -> list[Task]:
        found = []
        for family in families:
            rng = stream(f"{name}/{family}/{split}")
            for index in range(count):
                conditions = draw(rng)
                label = f"{family}/{split}/{index:04d}"
                found.append(sample_task(family, rng, name=label, tag=tag, **conditions))
        return [replace(task, hidden=None) if task.hidden == Hidden() else task for task in found]

    known, held_out = "known-family", "held-out-family"
    test = (*tasks("test", TRAIN_FAMILIES, 6, known), *tasks("test", HELD_OUT_FAMILIES, 6, held_out))
    splits = {
        "train": tuple(tasks("train", TRAIN_FAMILIES, 48, known)),
        "val": tuple(tasks("val", TRAIN_FAMILIES, 6, known)),
    }
    return Suite(name, 1, description, {**splits, "test": test})


HIDDEN: dict[str, tuple[str, Callable[[np.random.Generator], dict[str, Any]]]] = {
    "unknown": ("2-D shapes whose rates are up to 8 times too high or too low, and nobody tells", _unknown),
    "faults": ("2-D shapes; in mid-run a rate jumps, or a network begins anew", _faults),
    "drift": ("2-D shapes that turn and shift while the GAN trains", _drifts),
    "shift": ("2-D shapes that turn and shift at once, at a time that nobody knows, or never", _shifts),
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
            rng = stream(f"{suite}/{family}/{split}")
            names = [f"{family}/{split}/{n:04d}" for n in range(count)]
            found += [change(_wide_task(family, name, tag, rng, {}), rng) for name in names]
        return found

    test = [
        *tasks("test", WIDE_FAMILIES, "known-family", 6),
        *tasks("test", HELD_OUT_FAMILIES, "held-out-family", 6),
    ]
    for tag, axes in WIDE_HELD_OUT.items():
        rng = stream(f"{suite}/{tag}")
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


@cache
def fitted_rule() -> Rule:
    """The rule as the search for it ended. The shipped one may change; tasks that are drawn with this one may not."""
    rounds = read_lines(RESULTS / "tuning" / "rule-rounds.jsonl")
    return Rule(Formula(**min(rounds, key=lambda row: row["validation_distance"])["formula"]))


def _as_users_set_it(task: Task, rng: np.random.Generator) -> Task:
    """The task with the loss, ratio and penalty of a known recipe, and rates near those that a rule gives."""
    recipe = dict(LOOPS[int(rng.integers(len(LOOPS)))])
    kept = {name: recipe[name] for name in ("loss", "ratio", "penalty_weight") if name in recipe}
    base = replace(task.base, **kept, ema_decay=float(rng.choice([0.0, 0.99])))
    ledger = Ledger(Controls.base([base]), np.array([task.budget]), setup=Setup.of([task]))
    situation = Situation(ledger.signals(), ledger.controls, ledger.controls, np.zeros(1))
    told = fitted_rule().numbers(situation)
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
