"""Updates per CPU second of one thread: GANs of one shape on every side, and how the cost grows."""

import importlib
import math
from collections.abc import Sequence
from dataclasses import replace
from functools import partial
from typing import Any

import numpy as np

from metagan_rl.experiments.studies.separate import UPDATES, SeparateGAN
from metagan_rl.experiments.studies.throughput.engines import (
    JAX,
    NATIVE,
    PEAK,
    SEPARATE,
    TORCH,
    by_each,
    missing,
    peak,
    variant,
    variants,
)
from metagan_rl.experiments.studies.throughput.turns import Rates, Side, median, per_second, ratios, take_turns
from metagan_rl.loop.controls import Controls
from metagan_rl.loop.knobs import choose_knobs
from metagan_rl.losses import LOSSES
from metagan_rl.populations import CYCLE, Population, Settings
from metagan_rl.tasks import Task

Measurement = dict[str, Any]
"""A row of ``throughput.jsonl``; its columns are those of its kind."""
TWINS = 16
"""Separate GANs that take turns with a population, or as many as it has members."""
PENALTIES = {"none": ("non-saturating", 0.0), "zero-centred": ("non-saturating", 0.1), "one-centred": ("wgan", 0.1)}
DRAWS = 4
"""Intervals in one call under random controls, each with controls of its own."""


def updates(task: Task, members: int, penalty: str, turns: int) -> Measurement:
    """GANs with MLPs at ratio 1:1, on every side."""
    twins = [*_separate(task, min(members, TWINS), penalty, UPDATES), *_in_jax(task, members, penalty)]
    rates = take_turns([*_populations(task, members, penalty, UPDATES), *twins, *peak()], turns)
    flops = flops_per_update(task)
    return {
        "kind": "updates",
        **_shape(task, members, penalty),
        **_compared(rates),
        "peak_share": peak_shares(rates, flops) if penalty == "none" else {},
        "peak_gigaflops": round(per_second(rates)[PEAK] / 1e9, 1) if PEAK in rates else None,
        "megaflop_per_update": round(flops / 1e6, 2),
        "kilobytes_per_member": _kilobytes_per_member(task),
    }


def convolutional(task: Task, penalty: str, turns: int) -> Measurement:
    """Convolutional GANs at ratio 1:1, on every side that has them."""
    sides = [*_populations(task, TWINS, penalty, CYCLE), *_separate(task, TWINS, penalty, CYCLE)]
    return {
        "kind": "convolutional",
        "images": f"{math.isqrt(task.dim)}x{math.isqrt(task.dim)}",
        **_shape(task, TWINS, penalty),
        **_compared(take_turns(sides, turns)),
        "kilobytes_per_member": _kilobytes_per_member(task),
    }


def under_random_controls(task: Task, members: int, turns: int) -> Measurement:
    """Every member with a ratio, loss, penalty and rates of its own, drawn anew for each of four intervals."""
    rng = np.random.default_rng(0)
    drawn = [{knob.name: knob.draw(rng, members) for knob in choose_knobs(None)} for _ in range(DRAWS)]
    settings = [Controls(**values).settings([task.base] * members) for values in drawn]
    tasks, seeds = [task] * members, list(range(members))

    def side(engine: str) -> Side:
        population = Population(tasks, seeds, engine=engine)
        return Side(
            engine,
            run=lambda: sum(_trained(population, each, UPDATES) for each in settings),
            prepare=lambda: population.restart(range(members), tasks, seeds),
        )

    return {
        "kind": "random",
        "members": members,
        "width": task.networks.width,
        "batch": task.base.batch_size,
        **_compared(take_turns(by_each(side), turns)),
    }


def by_variants(task: Task, members: int, turns: int) -> Measurement:
    """The native engine's objects for this CPU and older ones, beside torch."""

    def side(name: str, engine: str) -> Side:
        population, settings = _population(task, members, "none", engine)
        return Side(name, partial(_trained, population, settings, UPDATES))

    sides = [side(TORCH, TORCH)]
    for name in variants():
        with variant(name):
            sides.append(side(name, NATIVE))
    return {"kind": "variants", **_shape(task, members, "none"), **_compared(take_turns(sides, turns))}


def scaling(what: str, task: Task, sizes: Sequence[tuple[int, int]], engine: str, turns: int) -> Measurement:
    """Seconds of an interval against members or updates, and the straight line through them."""
    sides = []
    for members, length in sizes:
        population, settings = _population(task, members, "none", engine)
        sides.append(Side(f"{members} {length}", partial(_trained, population, settings, length)))
    rates = take_turns(sides, turns)
    work = np.array([members * length for members, length in sizes], dtype=np.float64)
    seconds = work / [max(rates[side.name]) for side in sides]
    slope, offset = np.polyfit(work, seconds, 1)
    residual = seconds - (slope * work + offset)
    return {
        "kind": "scaling",
        "in": what,
        "engine": engine,
        "sizes": [members if what == "members" else length for members, length in sizes],
        "milliseconds": [round(1e3 * value, 1) for value in seconds],
        "microseconds_per_update": round(1e6 * slope, 1),
        "milliseconds_at_zero": round(1e3 * offset, 2),
        "r_squared": round(1 - float(residual.var() / np.var(seconds)), 4),
    }


def reshaped(task: Task, *, width: int | None = None, batch: int | None = None) -> Task:
    """The task with networks of another width, or another batch size."""
    networks, base = task.networks, task.base
    return replace(
        task,
        networks=replace(networks, width=width or networks.width),
        base=replace(base, batch_size=batch or base.batch_size),
    )


def flops_per_update(task: Task) -> float:
    """Mean of a D and a G update at ratio 1:1 without penalty, products only."""
    width, latent, batch = task.networks.width, task.networks.latent_dim, task.base.batch_size
    hidden = (task.networks.depth - 1) * width * width
    generator = 2.0 * batch * (latent * width + hidden + width * task.dim)
    discriminator = 2.0 * batch * (task.dim * width + hidden + width)
    # backward: twice the forward, but no gradient by the network's input (D's update) or by D's weights (G's update)
    discriminators = generator + 2 * (3 * discriminator - 2.0 * batch * task.dim * width)
    generators = 3 * generator - 2.0 * batch * latent * width + 2 * discriminator
    return (discriminators + generators) / 2


def _populations(task: Task, members: int, penalty: str, length: int) -> list[Side]:
    def side(engine: str) -> Side:
        population, settings = _population(task, members, penalty, engine)
        return Side(engine, partial(_trained, population, settings, length))

    return by_each(side)


def _population(task: Task, members: int, penalty: str, engine: str) -> tuple[Population, Settings]:
    loss, weight = PENALTIES[penalty]
    settings = Settings.of([task.base] * members).replace(
        loss=np.full(members, LOSSES.index(loss)), penalty_weight=np.full(members, weight)
    )
    return Population([task] * members, list(range(members)), engine=engine), settings


def _trained(population: Population, settings: Settings, length: int) -> int:
    """Trains an interval. Returns its updates; members that had diverged before have none."""
    sound = len(population) - int(population.state.diverged.sum())
    population.train(settings, length)
    return sound * length


def _separate(task: Task, count: int, penalty: str, length: int) -> list[Side]:
    twins = [SeparateGAN(task, *PENALTIES[penalty]) for _ in range(count)]

    def run() -> int:
        for gan in twins:
            gan.train(length, (1, 1))
        return length * count

    return [Side(SEPARATE, run)]


def _in_jax(task: Task, members: int, penalty: str) -> list[Side]:
    if JAX in missing():
        return []
    twins = importlib.import_module("metagan_rl.experiments.studies.throughput.jax_twin").JaxTwins(
        task, members, *PENALTIES[penalty]
    )

    def run() -> int:
        twins.train()
        return UPDATES * members

    return [Side(JAX, run)]


def _shape(task: Task, members: int, penalty: str) -> Measurement:
    return {
        "members": members,
        "penalty": penalty,
        "width": task.networks.width,
        "batch": task.base.batch_size,
    }


def _compared(rates: Rates) -> Measurement:
    """Updates per second of every side but the peak, and what each is in others."""
    sides = {name: values for name, values in rates.items() if name != PEAK}
    return {"updates_per_second": per_second(sides), "ratios": ratios(sides)}


def peak_shares(rates: Rates, flops: float) -> dict[str, float]:
    """Updates per second of each side, times the operations of one, over the peak of the same turn: medians."""
    if PEAK not in rates:
        return {}
    return {
        name: median([flops * one / most for one, most in zip(values, rates[PEAK], strict=True)], 3)
        for name, values in rates.items()
        if name != PEAK
    }


def _kilobytes_per_member(task: Task) -> float:
    return round(Population([task], [0]).bytes_per_member() / 1024, 1)
