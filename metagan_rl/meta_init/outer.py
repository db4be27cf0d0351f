"""The outer optimiser: steps the meta-weights of both networks. Checkpoints keep its state with the weights."""

from collections.abc import Mapping

import torch
from torch import Tensor

from metagan_rl.errors import FileFormatError
from metagan_rl.meta_init.settings import MetaSettings
from metagan_rl.meta_init.weights import MetaDiscriminator, MetaGenerator, MetaInit
from metagan_rl.optimizers import SGD, Adam, Optimizer

BETAS = 0.9, 0.999
PARTS = ("generator", "discriminator")


class OuterOptimizer:
    """Adam or plain gradient descent on the meta-weights. Each network has its own moments.

    Args:
        settings: they name the optimiser and its learning rate.
        meta: the weights. Every step replaces them with new ones; they are never changed in place.
    """

    def __init__(self, settings: MetaSettings, meta: MetaInit) -> None:
        self._adam, self._lr = settings.outer_optimizer == "adam", settings.outer_lr
        self.steps = 0
        weights = (meta.generator.weights, meta.discriminator.weights)
        self._moments = {
            f"{part}_{moment}": torch.zeros_like(row)
            for part, row in zip(PARTS, weights, strict=True)
            for moment in ("first", "second")
        }

    def step(self, meta: MetaInit, gradients: tuple[Tensor, Tensor]) -> MetaInit:
        """The weights after one step along gradients ``[P_G]`` and ``[P_D]``."""
        self.steps += 1
        rows = []
        for part, weights, gradient in zip(
            PARTS, (meta.generator.weights, meta.discriminator.weights), gradients, strict=True
        ):
            row = weights.clone()[None]
            moments = [self._moments[f"{part}_{moment}"][None] for moment in ("first", "second")]
            self._optimizer(row.dtype).step(0, row, gradient[None], moments)
            rows.append(row[0])
        return with_weights(meta, rows[0], rows[1])

    def state(self) -> dict[str, Tensor]:
        """Copies of the moments by name, and the number of steps."""
        return {**{name: row.clone() for name, row in self._moments.items()}, "steps": torch.tensor(self.steps)}

    def load(self, state: Mapping[str, Tensor]) -> None:
        """Restores what :meth:`state` returned.

        Raises:
            FileFormatError: it belongs to other networks, or is incomplete.
        """
        for name, own in self._moments.items():
            if name not in state or state[name].shape != own.shape:
                raise FileFormatError(f"the checkpoint's {name} of the outer optimiser does not fit; start again")
            own.copy_(state[name])
        self.steps = int(state["steps"])

    def _optimizer(self, dtype: torch.dtype) -> Optimizer:
        lr, beta1, beta2 = (torch.full((1, 1), value, dtype=dtype) for value in (self._lr, *BETAS))
        return Adam(torch.tensor([[self.steps]]), lr, beta1, beta2) if self._adam else SGD(lr)


def with_weights(meta: MetaInit, generator: Tensor, discriminator: Tensor) -> MetaInit:
    """The same pair with other weights."""
    networks, dim = meta.generator.networks, meta.generator.dim
    return MetaInit(
        MetaGenerator(networks, dim, weights=generator),
        MetaDiscriminator(networks, dim, weights=discriminator),
        meta.metadata,
    )
