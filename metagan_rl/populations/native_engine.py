"""The native engine: one member's whole interval after the other, in C++ (:mod:`metagan_rl.engine`).

A member's networks and activations then stay in the cache, and members of different ratios and losses need no grouping.
Noise and data order are drawn inside, by the same counters as :mod:`.drawing` uses on a device.
"""

from __future__ import annotations

import ctypes
from dataclasses import fields
from typing import TYPE_CHECKING, Any

import numpy as np
import torch

from metagan_rl.engine.library import Library
from metagan_rl.errors import InvalidValueError
from metagan_rl.losses import LOSSES
from metagan_rl.populations.drawing import Drawn, draw_on_host
from metagan_rl.populations.interval import SAMPLE_LIMIT, WEIGHT_LIMIT
from metagan_rl.populations.measurements import Measurements
from metagan_rl.populations.settings import RATIOS, Settings
from metagan_rl.tasks.task import Networks

if TYPE_CHECKING:
    from metagan_rl.populations.population import Population

LOSS_CODES = {"non-saturating": 0, "hinge": 1, "lsgan": 2, "wgan": 3, "rpgan": 4}
PENALTY_CODES = {"zero-centred": 1, "r1": 2, "r2": 3, "one-centred": 4}
SLOPES = {"leaky-relu": 0.2, "relu": 0.0, "tanh": 0.0}
"""The activations that it has, with their slopes below 0; tanh has none."""
KINDS = {"mlp": 0, "conv": 1}
OPTIMIZER_CODES = {"adam": 0, "sgd": 1, "rmsprop": 2}
UPDATES_A_CALL = 20_000
"""Updates of all members in one call of the library. Python hears of Ctrl-C between two calls."""
OUT_OF_MEMORY = 2


class _Shape(ctypes.Structure):
    """What all members have in common; ``Shape`` in ``train.h``."""

    _fields_ = [
        *((name, ctypes.c_int32) for name in ("kind", "latent", "columns", "width", "depth", "tanh", "optimizer")),
        *((name, ctypes.c_int32) for name in ("simultaneous", "batch", "updates")),
        *((name, ctypes.c_double) for name in ("slope", "weight_limit", "sample_limit")),
    ]


PLAN = np.dtype(
    [
        *((name, "i4") for name in ("discriminator_steps", "generator_steps", "loss", "penalty")),
        *((name, "f8") for name in ("penalty_weight", "generator_lr", "discriminator_lr", "beta1", "beta2")),
        ("ema_decay", "f8"),
        *((name, "i8") for name in ("generator_count", "discriminator_count", "seed", "interval", "first", "count")),
    ],
    align=True,
)
"""What one member does; ``Plan`` in ``train.h``."""
ARRAYS = (
    "generator",
    "generator_first",
    "generator_second",
    "average",
    "discriminator",
    "discriminator_first",
    "discriminator_second",
)
"""The fields of the population's state that the engine changes."""


class _Members(ctypes.Structure):
    """The arrays of all members; ``Population`` in ``engine.cpp``."""

    _fields_ = [(name, ctypes.c_void_p) for name in (*ARRAYS, "points", "noise", "mix", "rows")]


class NativeEngine:
    """Trains members of a population in C++, on one thread.

    Args:
        population: whose members it trains. Of its shape the engine must have everything (:func:`what_is_missing`).
        library: the loaded engine.
    """

    name = "native"

    def __init__(self, population: Population, library: Library) -> None:
        self.population = population
        self._train = library.handle.metagan_train

    def takes(self, settings: Settings) -> np.ndarray:
        """Which members it can train under these settings, bool ``[b]``: those of a built-in loss.

        It has no double precision, and no penalty on convolutional networks with tanh.
        """
        if self.population.dtype != torch.float32:
            return np.zeros(len(settings), dtype=bool)
        taken = np.isin(settings.loss, [LOSSES.index(name) for name in LOSS_CODES])
        networks = self.population.shape.networks
        if networks.kind == "conv" and networks.activation == "tanh":
            taken &= settings.penalty_weight <= 0
        return taken

    def train(self, members: np.ndarray, settings: Settings, updates: int) -> Measurements:
        """Trains some members for one interval, in place; see :meth:`.TorchEngine.train`.

        Raises:
            InvalidValueError: there is not enough memory.
        """
        most = max(1, UPDATES_A_CALL // updates)
        if len(members) <= most:
            return self._train_some(members, settings, updates)
        measured = Measurements.empty(len(members))
        for first in range(0, len(members), most):
            some = slice(first, first + most)
            measured.put(some, self._train_some(members[some], settings[some], updates))
        return measured

    def _train_some(self, members: np.ndarray, settings: Settings, updates: int) -> Measurements:
        population = self.population
        state, pool, shape = population.state, population.pool, population.shape
        places = population.places(members)
        plans = self._plans(members, settings)
        what: dict[str, Any] = {name: getattr(state, name) for name in ARRAYS}
        what["points"] = pool.points
        if population.noise == "host":
            mix = bool((plans["penalty"] == PENALTY_CODES["one-centred"]).any())
            drawn = Drawn(updates, shape.batch_size, shape.networks.latent_dim, population.dtype, mix)
            inputs = draw_on_host(pool, places, state.seed[places], state.intervals[places], drawn)
            what |= {"noise": inputs.noise, "mix": inputs.mix, "rows": inputs.rows}
        for name, value in what.items():
            assert value.is_contiguous(), name
        arrays = _Members(**{name: value.data_ptr() for name, value in what.items()})
        measured = np.empty((len(members), len(fields(Measurements))))
        rows = np.ascontiguousarray(members, dtype=np.int64)
        failed = self._train(
            ctypes.byref(self._shape(updates)),
            ctypes.c_int64(len(rows)),
            ctypes.c_void_p(rows.ctypes.data),
            ctypes.c_void_p(plans.ctypes.data),
            ctypes.byref(arrays),
            ctypes.c_void_p(measured.ctypes.data),
        )
        if failed == OUT_OF_MEMORY:
            raise InvalidValueError(
                f"networks {shape.networks} with batches of {shape.batch_size} do not fit into the free memory; use "
                "narrower ones or smaller batches"
            )
        assert not failed, failed
        result = Measurements(*measured.T.copy())
        sound = torch.from_numpy(result.diverged == 0)
        cycles = np.array([RATIOS.values()[ratio] for ratio in settings.ratio], dtype=np.int64)
        steps = torch.from_numpy(updates // cycles.sum(axis=1) * cycles[:, 0])
        state.discriminator_steps[places] += steps * sound
        state.generator_steps[places] += (updates - steps) * sound
        state.intervals[places] += 1
        state.diverged[places] |= ~sound
        return result

    def _shape(self, updates: int) -> _Shape:
        shape = self.population.shape
        networks = shape.networks
        return _Shape(
            kind=KINDS[networks.kind],
            latent=networks.latent_dim,
            columns=shape.dim,
            width=networks.width,
            depth=networks.depth,
            tanh=networks.activation == "tanh",
            optimizer=OPTIMIZER_CODES[shape.optimizer],
            simultaneous=shape.simultaneous,
            batch=shape.batch_size,
            updates=updates,
            slope=SLOPES[networks.activation],
            weight_limit=WEIGHT_LIMIT,
            sample_limit=SAMPLE_LIMIT,
        )

    def _plans(self, members: np.ndarray, settings: Settings) -> np.ndarray:
        state, pool = self.population.state, self.population.pool
        plans = np.zeros(len(members), dtype=PLAN)
        cycles = np.array([RATIOS.values()[ratio] for ratio in settings.ratio])
        plans["discriminator_steps"], plans["generator_steps"] = cycles.T
        names = list(LOSSES)
        plans["loss"] = [LOSS_CODES[names[loss]] for loss in settings.loss]
        penalties = [PENALTY_CODES[LOSSES[names[loss]].penalty] for loss in settings.loss]
        plans["penalty"] = np.where(settings.penalty_weight > 0, penalties, 0)
        for name in ("penalty_weight", "generator_lr", "discriminator_lr", "beta1", "beta2", "ema_decay"):
            plans[name] = getattr(settings, name)
        plans["generator_count"] = state.generator_steps.numpy()[members]
        plans["discriminator_count"] = state.discriminator_steps.numpy()[members]
        plans["seed"], plans["interval"] = state.seed.numpy()[members], state.intervals.numpy()[members]
        plans["first"], plans["count"] = pool.first.numpy()[members], pool.count.numpy()[members]
        return plans


def what_is_missing(networks: Networks, device: torch.device, optimizer: str = "adam") -> str | None:
    """What the engine has not of what networks and optimizer need, in words; ``None`` if it has everything."""
    if device.type != "cpu":
        return f"it trains on a CPU, and the device is {device.type!r}"
    if networks.kind not in KINDS:
        return f"it has no networks of kind {networks.kind!r}, only {', '.join(KINDS)}"
    if networks.activation not in SLOPES:
        return f"it has no activation {networks.activation!r}, only {', '.join(SLOPES)}"
    if optimizer not in OPTIMIZER_CODES:
        return f"it has no optimizer {optimizer!r}, only {', '.join(OPTIMIZER_CODES)}"
    return None
