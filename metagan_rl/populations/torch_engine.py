"""The torch engine: members train in lockstep, chunk by chunk, one tensor operation for all members of a chunk.

It trains every kind of network, loss and activation, on a CPU or a GPU. The native engine is tested against it.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from itertools import groupby
from typing import TYPE_CHECKING

import numpy as np
import torch
from torch import Tensor

from metagan_rl.losses import LOSSES
from metagan_rl.penalties import PENALTIES
from metagan_rl.populations.drawing import Drawn, draw_on_device, draw_on_host
from metagan_rl.populations.interval import IntervalInputs, IntervalPlan, IntervalTrainer, Run
from metagan_rl.populations.measurements import Measurements
from metagan_rl.populations.settings import RATIOS, Settings

if TYPE_CHECKING:
    from metagan_rl.populations.population import Population

CHUNK_MEMBERS = {"cpu": 32, "cuda": 4096}
"""Members trained at a time. On a CPU they are enough that D's and G's of different ratios fill a matrix product, and
few enough for the cache. On a GPU the limit bounds the memory of noise and activations."""


class TorchEngine:
    """Trains members of a population with torch.

    Args:
        population: whose members it trains.
    """

    name = "torch"
    trainer: type[IntervalTrainer] = IntervalTrainer
    """The class that trains a chunk for one interval."""

    def __init__(self, population: Population) -> None:
        self.population = population

    def takes(self, settings: Settings) -> np.ndarray:
        """Which members it can train under these settings, bool ``[b]``: all."""
        return np.ones(len(settings), dtype=bool)

    def train(self, members: np.ndarray, settings: Settings, updates: int) -> Measurements:
        """Trains some members for one interval, in place.

        Args:
            members: indices of b sound members, int64 ``[b]``.
            settings: their settings.
            updates: updates of each.

        Returns:
            Their measurements, ``[b]`` each.
        """
        torch.set_flush_denormal(True)  # dead GANs fill up with denormal numbers, which are 80 times slower
        population, measured = self.population, Measurements.empty(len(members))
        for some in self.chunks(settings):
            places = population.places(members[some])
            chunk = population.state[places]
            plan = self.plan(settings[some], updates)
            inputs = self.inputs(members[some], plan)
            result = self.trainer(population.generator, population.discriminator, chunk, plan, inputs).run()
            population.state.put(places, chunk)
            measured.put(some, result)
        return measured

    def chunks(self, settings: Settings) -> Iterator[np.ndarray]:
        """Chunks of members that train together: with similar ratios, in runs of equal penalty and loss."""
        every = np.arange(len(settings))
        losses = LOSSES.values()
        penalised = [list(PENALTIES).index(losses[loss].penalty) for loss in settings.loss]
        penalty = np.where(settings.penalty_weight > 0, penalised, -1)
        ordered = every[np.lexsort((every, settings.loss, penalty, settings.ratio))]
        parts = [ordered]
        if self.population.shape.simultaneous:  # only members at ratio 1:1 step both networks from the same point
            together = settings.ratio[ordered] == RATIOS.index("1:1")
            parts = [ordered[together], ordered[~together]]
        for part in parts:
            for chunk in np.array_split(part, -(-len(part) // self._chunk_members())) if len(part) else []:
                yield chunk[np.lexsort((chunk, settings.loss[chunk], penalty[chunk]))]

    def _chunk_members(self) -> int:
        population = self.population
        members, columns = CHUNK_MEMBERS[population.device.type], population.kind.columns_at_once
        if population.device.type == "cpu" and columns is not None:
            return max(1, min(members, members * columns // population.shape.dim))
        return members

    def plan(self, settings: Settings, updates: int) -> IntervalPlan:
        """The plan for a chunk of members with these settings."""
        population = self.population
        cycles = [RATIOS.values()[ratio] for ratio in settings.ratio]
        losses = [list(LOSSES)[loss] for loss in settings.loss]
        penalties = [
            LOSSES[loss].penalty if weight > 0 else None
            for loss, weight in zip(losses, settings.penalty_weight, strict=True)
        ]

        def column(values: np.ndarray) -> Tensor:
            return torch.tensor(values, dtype=population.dtype, device=population.device)[:, None]

        return IntervalPlan(
            updates=updates,
            cycles=cycles,
            losses=_runs(losses),
            penalties=_runs(penalties),
            penalty_weight=column(settings.penalty_weight),
            generator_lr=column(settings.generator_lr),
            discriminator_lr=column(settings.discriminator_lr),
            beta1=column(settings.beta1),
            beta2=column(settings.beta2),
            ema_decay=column(settings.ema_decay),
            optimizer=population.shape.optimizer,
            simultaneous=population.shape.simultaneous and set(cycles) == {(1, 1)},
        )

    def inputs(self, members: np.ndarray, plan: IntervalPlan, *, mix: bool | None = None) -> IntervalInputs:
        """All that is random in an interval of some members.

        Args:
            members: their indices, int64 ``[b]``.
            plan: what they do.
            mix: whether to draw shares for penalties between real and generated data; by default if the plan needs any.
        """
        population = self.population
        if mix is None:
            mix = any(PENALTIES[name].uses_mix for name, _, _ in plan.penalties)
        shape, state, places = population.shape, population.state, population.places(members)
        drawn = Drawn(plan.updates, shape.batch_size, shape.networks.latent_dim, population.dtype, mix)
        draw = draw_on_host if population.noise == "host" else draw_on_device
        return draw(population.pool, places, state.seed[places], state.intervals[places], drawn)


def _runs(names: Sequence[str | None]) -> list[Run]:
    """Runs of equal names, in order, without those of ``None``."""
    runs, first = [], 0
    for name, same in groupby(names):
        last = first + len(list(same))
        if name is not None:
            runs.append((name, first, last))
        first = last
    return runs
