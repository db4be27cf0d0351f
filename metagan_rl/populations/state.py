"""All that changes while a population trains, in one object that can be indexed, copied, saved and compared."""

from dataclasses import dataclass, fields
from typing import Any

import torch
from torch import Tensor

from metagan_rl.optimizers import OPTIMIZERS


@dataclass
class PopulationState:
    """State of B members. The first dimension of every field is B.

    Attributes:
        generator, discriminator: weights ``[B, P_G]`` and ``[B, P_D]``.
        average: exponential moving average of the generator's weights, ``[B, P_G]``.
        generator_first, generator_second: Adam's moments of G, ``[B, P_G]``.
        discriminator_first, discriminator_second: Adam's moments of D, ``[B, P_D]``.
        generator_extra, discriminator_extra: what the optimizer keeps besides, ``[B, E]`` each; E is 0 for most.
        generator_steps, discriminator_steps: updates of each network so far, int64 ``[B]``.
        seed: int64 ``[B]``; together with ``intervals`` it fixes all noise and data order still to come.
        intervals: intervals trained so far, int64 ``[B]``.
        diverged: bool ``[B]``; diverged members are frozen at their last sound weights.
    """

    generator: Tensor
    discriminator: Tensor
    average: Tensor
    generator_first: Tensor
    generator_second: Tensor
    discriminator_first: Tensor
    discriminator_second: Tensor
    generator_extra: Tensor
    discriminator_extra: Tensor
    generator_steps: Tensor
    discriminator_steps: Tensor
    seed: Tensor
    intervals: Tensor
    diverged: Tensor

    @classmethod
    def fresh(
        cls, generator: Tensor, discriminator: Tensor, seed: Tensor, optimizer: str = "adam"
    ) -> "PopulationState":
        """The state before the first update, from starting weights ``[B, P]`` and seeds ``[B]``."""
        count, extra = torch.zeros_like(seed), OPTIMIZERS[optimizer].extra
        return cls(
            generator=generator,
            discriminator=discriminator,
            average=generator.clone(),
            generator_first=torch.zeros_like(generator),
            generator_second=torch.zeros_like(generator),
            discriminator_first=torch.zeros_like(discriminator),
            discriminator_second=torch.zeros_like(discriminator),
            generator_extra=extra(generator),
            discriminator_extra=extra(discriminator),
            generator_steps=count.clone(),
            discriminator_steps=count.clone(),
            seed=seed,
            intervals=count,
            diverged=torch.zeros_like(seed, dtype=torch.bool),
        )

    def __len__(self) -> int:
        return len(self.seed)

    def __getitem__(self, rows: Any) -> "PopulationState":
        """A copy of some members, chosen by an index tensor or a mask."""
        return PopulationState(**{f.name: getattr(self, f.name)[rows] for f in fields(self)})

    def put(self, rows: Any, other: "PopulationState") -> None:
        """Writes other members into some rows."""
        for f in fields(self):
            getattr(self, f.name)[rows] = getattr(other, f.name)

    def join(self, other: "PopulationState") -> "PopulationState":
        """These members followed by the others."""
        return PopulationState(
            **{f.name: torch.cat([getattr(self, f.name), getattr(other, f.name)]) for f in fields(self)}
        )

    def clone(self) -> "PopulationState":
        """An independent copy."""
        return PopulationState(**{f.name: getattr(self, f.name).clone() for f in fields(self)})

    def to_dict(self) -> dict[str, Tensor]:
        """The tensors by name, ready for safetensors."""
        return {f.name: getattr(self, f.name) for f in fields(self)}
