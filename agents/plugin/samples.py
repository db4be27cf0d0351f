"""Keeps some generated and some real samples, and tells how varied and how complete they are."""

import math
from typing import Any

import torch
from torch import Tensor

from metagan_rl.agents.plugin.meter import tensors_of

KEPT = 256
"""Samples of each kind that are kept; a call gives at most a quarter of them."""
DIMENSIONS = 64
"""Samples of more numbers are projected to so many at random, which keeps their distances nearly as they are."""
MOST = 16_384
"""Of samples with more numbers, evenly spread ones are taken: neighbouring pixels are alike."""
NEIGHBOURS = 3
BATCHES = 4
"""Generated batches within which distances are measured: G moves from one batch to the next."""
LEAST = 24
"""Samples of each kind that are needed to tell anything."""


class SampleKeeper:
    """The latest samples, on their own device; nothing is waited for until :meth:`read`. They are not saved."""

    def __init__(self) -> None:
        self._projection: Tensor | None = None
        self._width = 0
        """Numbers of a sample; others are left out until something was read."""
        self.clear()

    def clear(self) -> None:
        """Forgets all samples."""
        self._kept: dict[str, list[Tensor]] = {"generated": [], "real": []}
        self._new = False

    def note(self, kind: str, samples: Any) -> None:
        """Keeps some samples of a batch ``[N, ...]``.

        Args:
            kind: ``"generated"`` or ``"real"``.
            samples: numbers; a list of batches is joined.
        """
        for batch in tensors_of(samples):
            if batch.ndim < 1 or batch.is_complex():
                raise ValueError(f"samples of shape {tuple(batch.shape)}; give a batch of numbers [N, ...]")
            rows = batch[: KEPT // 4].reshape(min(len(batch), KEPT // 4), -1).float()
            if rows.shape[1] != self._width:
                if self._new:
                    continue  # another discriminator's samples
                self.clear()
                self._width = rows.shape[1]
            kept, self._new = self._kept[kind], True
            kept.append(self._projected(rows))
            while sum(map(len, kept[1:])) >= KEPT:
                kept.pop(0)

    def read(self) -> dict[str, float]:
        """How varied and complete the latest samples are; waits for the device.

        Returns:
            ``diversity``, the mean distance between generated samples of one batch relative to that of real ones;
            ``precision``, the share of generated samples that lie within the neighbourhood of a real one;
            ``coverage``, the share of real samples with a generated one in their neighbourhood (0.9 for real ones).
            Nothing if there were too few samples.
        """
        if not self._new:
            return {}
        self._new = False
        both = [torch.cat(kept)[-KEPT:].cpu().double() if kept else torch.empty(0, 1) for kept in self._kept.values()]
        count = min(len(each) for each in both)
        if count < LEAST or both[0].shape[1] != both[1].shape[1]:
            return {}
        generated, real = (each[-count:] for each in both)
        if not generated.isfinite().all() or not real.isfinite().all():
            return {}
        beside, across = torch.cdist(real, real), torch.cdist(real, generated)
        among = [torch.pdist(batch.double()).mean() for batch in self._kept["generated"][-BATCHES:] if len(batch) > 2]
        usual = float(torch.pdist(real).mean())
        radius = beside.kthvalue(NEIGHBOURS + 1, dim=1).values[:, None]  # the nearest is the sample itself
        return {
            "diversity": float(torch.stack(among).mean()) / usual if among and usual > 0 else math.nan,
            "precision": float((across <= radius).any(dim=0).double().mean()),
            "coverage": float((across <= radius).any(dim=1).double().mean()),
        }

    def _projected(self, rows: Tensor) -> Tensor:
        if rows.shape[1] <= DIMENSIONS:
            return rows.clone()
        rows = rows[:, :: math.ceil(rows.shape[1] / MOST)]
        made = self._projection
        if made is None or made.shape[0] != rows.shape[1] or made.device != rows.device:
            random = torch.Generator("cpu").manual_seed(0)
            made = torch.randn(rows.shape[1], DIMENSIONS, generator=random, device="cpu", dtype=torch.float32)
            made = made / math.sqrt(DIMENSIONS)
            self._projection = made = made.to(rows.device)
        return rows @ made
