"""One run: a loop, an arm, a factor of its rates and a seed, and the row that it gives."""

import time
import warnings
from collections import Counter
from dataclasses import dataclass
from functools import cache
from pathlib import Path
from typing import Any

import numpy as np
import torch
from torch import Tensor, nn

from metagan_rl import __version__
from metagan_rl.agents.catalogue import make_scheduler
from metagan_rl.agents.learners.shipped import shipped_policies, shipped_policy
from metagan_rl.agents.plugin.fingerprint import fingerprint
from metagan_rl.experiments.benchmark.row import six_digits
from metagan_rl.experiments.studies.practice.arms import ARMS, OFF, Optimizers, optimizers_of
from metagan_rl.experiments.studies.practice.average import Average, ready
from metagan_rl.experiments.studies.practice.data import TABLE, halves_of
from metagan_rl.experiments.studies.practice.judge import judge_of
from metagan_rl.experiments.studies.practice.loop import Loop
from metagan_rl.experiments.studies.practice.loops import LOOPS
from metagan_rl.files import file_digest
from metagan_rl.metrics.quality import WORST_DISTANCE
from metagan_rl.runtime import find_device

BETA1_0 = ", beta1 0"
"""Ends the name of a scheduler that is plugged in with ``beta1=0.0``."""
POINTS = 16
"""Points of a run's course that a row keeps."""
DRAWS = {TABLE: 8}
"""How often samples are drawn and compared; images once. A table has few rows to compare with."""
KEY = ("loop", "data", "factor", "arm", "digest", "seed", "steps", "device")
"""What a row is known by."""


@dataclass(frozen=True)
class Job:
    """One run.

    Attributes:
        loop: name of the loop.
        factor: of the loop's own rates.
        arm: ``"off"``, a name out of ``ARMS``, or the name of a scheduler or of its file; with ``BETA1_0`` behind it
            momentum is off.
        seed: of weights, batches and noise.
        steps: rounds.
        device: where it trains.
        policy: the scheduler's file.
        file: the data.
    """

    loop: str
    factor: float
    arm: str
    seed: int
    steps: int
    device: str = "cpu"
    policy: Path | None = None
    file: Path | None = None

    def __str__(self) -> str:
        return f"{self.loop} at {self.factor:g}x, {self.arm}, seed {self.seed}, {self.steps} steps"

    @property
    def digest(self) -> str | None:
        """Tells schedulers of one name apart: the first characters of their file's SHA-256, or of what they are."""
        return _digest(self.arm.removesuffix(BETA1_0), self.policy) if self.plugged else None

    @property
    def plugged(self) -> bool:
        """Whether a scheduler is plugged in."""
        return self.arm != OFF and self.arm not in ARMS

    @property
    def scheduler(self) -> str | Path | None:
        """What is plugged in, as :class:`GANScheduler` takes it; ``None`` for nothing."""
        return (self.policy or self.arm.removesuffix(BETA1_0)) if self.plugged else None

    @property
    def options(self) -> dict[str, Any]:
        """Further options of the plug-in."""
        return {"beta1": 0.0} if self.arm.endswith(BETA1_0) else {}

    @property
    def data(self) -> str:
        """Name of the data it has."""
        return halves_of(LOOPS[self.loop].data_name, self.file).name

    @property
    def key(self) -> tuple[Any, ...]:
        """What its row is known by."""
        return tuple(getattr(self, name) for name in KEY)


@cache
def _digest(arm: str, policy: Path | None) -> str:
    if policy is None and arm in shipped_policies():
        policy = shipped_policy(arm)
    return (fingerprint(make_scheduler(arm)) if policy is None else file_digest(policy))[:12]


def run_job(job: Job) -> dict[str, Any]:
    """Trains, and says how it went; a run that diverged is a row like any other."""
    device = find_device(job.device)
    loop = LOOPS[job.loop](job.seed, job.steps, device, job.file)
    optimizers = optimizers_of(loop, job.arm, job.factor)
    started = time.perf_counter()
    average, course, advice = train(loop, optimizers, job.scheduler, job.steps, **job.options)
    if device.type == "cuda":
        torch.cuda.synchronize(device)
    seconds = time.perf_counter() - started
    optimizers.set_training(False)
    row = dict(zip(KEY, job.key, strict=True))
    for name, network in (("last", loop.generator), ("average", average.network)):
        row[name] = judged(loop, network, job.file)
    row["diverged"] = row["last"]["distance"] >= WORST_DISTANCE
    row["floor"] = six_digits(judge_of(loop.data_name, job.file).floor)
    row["rates"] = {
        name: [rates[place] for rates in course] for place, name in enumerate(("generator", "discriminator"))
    }
    return {**row, "advice": advice, "seconds": round(seconds, 2), "version": __version__}


def train(
    loop: Loop, optimizers: Optimizers, scheduler: Any, steps: int, **options: Any
) -> tuple[Average, list[list[float]], dict[str, int]]:
    """Trains a loop to the end of its run.

    Args:
        loop: a fresh one.
        optimizers: its optimizers.
        scheduler: what is plugged in, as :class:`GANScheduler` takes it; ``None`` for nothing.
        steps: rounds.
        **options: of the :class:`GANScheduler`.

    Returns:
        The averaged generator; both rates at ``POINTS`` points of the run; and how often each status of advice was
        seen there.
    """
    average, plugged, course, statuses = Average(loop.generator), None, [], Counter[str]()
    points = set(np.linspace(0, steps - 1, POINTS).round().astype(int).tolist())
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # what the plug-in tells is in its advice
        for step in range(steps):
            if scheduler is not None and step == loop.adversarial_from:
                plugged = loop.plug_in(scheduler, optimizers.generator, optimizers.discriminator, **options)
                loop.follow(plugged.controls)
            if step in points:
                course.append([float(f"{rate:.3g}") for rate in optimizers.rates()])
                if plugged is not None:
                    statuses[plugged.controls.advice.status] += 1
            told = loop.round(optimizers.generator, optimizers.discriminator)
            if plugged is not None:
                loop.follow(plugged.step(**told))
            for decay in optimizers.decays:
                decay.step()
            average.follow(step + 1)
    return average, course, dict(statuses)


def judged(loop: Loop, network: nn.Module, file: Path | None) -> dict[str, float]:
    """Distance, its parts and further scores of a generator; means over draws of samples."""
    judge, draws = judge_of(loop.data_name, file), DRAWS.get(loop.data.name, 1)
    random = torch.Generator(loop.device).manual_seed(0)
    samples: Tensor = loop.samples(ready(network, loop.feed), draws * judge.count, random).cpu()
    parts = [judge(part) for part in samples.split(judge.count)]
    names = ("distance", "sliced_wasserstein", "precision", "coverage")
    found = {name: float(np.mean([part[name] for part in parts])) for name in names} | loop.scored(samples)
    return {name: six_digits(value) for name, value in found.items()}
