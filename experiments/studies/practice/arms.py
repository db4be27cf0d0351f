"""What is done to a loop's rates: nothing, a decay, another optimizer, or a scheduler that is plugged in."""

import importlib
import math
from collections.abc import Callable, Iterable
from dataclasses import dataclass, field
from typing import Any

import torch
from torch.optim import Optimizer
from torch.optim.lr_scheduler import LambdaLR, LRScheduler

from metagan_rl.errors import MissingDependencyError
from metagan_rl.experiments.studies.practice.loop import Loop

OFF = "off"
SWEEP = "sweep"
"""Not an arm that runs: the best of three rates, chosen from rows of *off*."""
LIBRARIES = {
    "prodigy": ("prodigyopt", "Prodigy"),
    "prodigy-decay": ("prodigyopt", "Prodigy"),
    "schedule-free": ("schedulefree", "AdamWScheduleFree"),
    "dadaptation": ("dadaptation", "DAdaptAdam"),
}
"""Rival optimizers: the library, and the class. All are of the extra ``rivals``."""
FINDS_RATES = ("prodigy", "prodigy-decay", "dadaptation")
"""Rivals that find the rate themselves, so the loop's own does not matter; they run once, at 1."""
LEAST_BETA = 0.9
"""Beta of ``schedule-free``: the weight of its average, as its authors have it. 0 would leave it without one."""


def half_cosine(share: float) -> float:
    """From 1 to 0 by half a cosine."""
    return (1 + math.cos(math.pi * share)) / 2


def late(share: float) -> float:
    """1 in the first half of a run, then exponentially to a tenth."""
    return 0.1 ** max(0.0, 2 * share - 1)


DECAYS: dict[str, Callable[[float], float]] = {"cosine": half_cosine, "late-decay": late, "prodigy-decay": half_cosine}
"""Factors of both rates by the share of the run that is over, as a ``LambdaLR`` of torch."""
NO_MOMENTUM = "no-momentum"
"""The loop's own Adam with beta1 0."""
ARMS = tuple(dict.fromkeys((*DECAYS, *LIBRARIES, NO_MOMENTUM, SWEEP)))
"""All arms but *off* and schedulers."""


@dataclass
class Optimizers:
    """Optimizers of a run.

    Attributes:
        generator, discriminator: of both networks.
        decays: schedulers of torch, to be stepped after each round.
    """

    generator: Optimizer
    discriminator: Optimizer
    decays: list[LRScheduler] = field(default_factory=list)

    def rates(self) -> list[float]:
        """Both rates as they are now; of optimizers that find their rate, the one that they have found."""
        groups = [each.param_groups[0] for each in (self.generator, self.discriminator)]
        return [float(group["lr"]) * float(group.get("d", 1.0)) for group in groups]

    def set_training(self, training: bool) -> None:
        """Switches optimizers that train at other weights than they mean (``schedule-free``)."""
        for each in (self.generator, self.discriminator):
            switch = getattr(each, "train" if training else "eval", None)
            if switch is not None:
                switch()


def optimizers_of(loop: Loop, arm: str, factor: float) -> Optimizers:
    """The optimizers of an arm.

    Args:
        loop: whose rates and betas are taken.
        arm: a name out of ``ARMS``; anything else trains with the loop's own Adam.
        factor: multiplies the loop's rates.

    Raises:
        MissingDependencyError: a rival's library is not installed.
    """
    made = Optimizers(_optimizer(loop, arm, factor, loop.generator), _optimizer(loop, arm, factor, loop.discriminator))
    if arm in DECAYS:
        course = DECAYS[arm]
        made.decays = [
            LambdaLR(each, lambda done: course(done / loop.rounds)) for each in (made.generator, made.discriminator)
        ]
    made.set_training(True)
    return made


def _optimizer(loop: Loop, arm: str, factor: float, network: torch.nn.Module) -> Optimizer:
    rate, decay = loop.learning_rate * factor, loop.weight_decay
    if arm not in LIBRARIES:
        betas = (0.0, loop.betas[1]) if arm == NO_MOMENTUM else loop.betas
        return torch.optim.Adam(
            network.parameters(), lr=rate, betas=betas, weight_decay=decay, fused=loop.device.type == "cuda"
        )
    rival = rival_class(arm)
    if arm == "schedule-free":
        betas = (max(LEAST_BETA, loop.betas[0]), loop.betas[1])
        optimizer: Optimizer = rival(network.parameters(), lr=rate, betas=betas, weight_decay=decay)
        return optimizer
    optimizer = rival(network.parameters(), lr=1.0, betas=loop.betas, weight_decay=decay, decouple=False)
    return optimizer


def rival_class(arm: str) -> Any:
    """The class of a rival optimizer.

    Raises:
        MissingDependencyError: its library is not installed.
    """
    library, name = LIBRARIES[arm]
    try:
        return getattr(importlib.import_module(library), name)
    except ImportError as error:
        raise MissingDependencyError(library, "rivals", f"the arm {arm!r}") from error


def check_arms(arms: Iterable[str]) -> None:
    """Tells before any work what is not installed.

    Raises:
        MissingDependencyError: a rival's library is not installed.
    """
    for arm in arms:
        if arm in LIBRARIES:
            rival_class(arm)
