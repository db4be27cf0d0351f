"""Adds up what a user's loop reports, on its own device: nothing is read back or waited for until a decision.

The averages are those of ``metagan_rl.populations.measurements.Recorder``, taken over the calls of one interval.
"""

import math
from collections.abc import Iterator, Sequence
from typing import Any

import numpy as np
import torch
from torch import Tensor

from metagan_rl.losses import LOSSES, Loss
from metagan_rl.populations.measurements import Measurements

SCALARS = ("discriminator_loss", "generator_loss", "generator_gradient", "discriminator_gradient")
LOGITS = (
    "real_logit", "fake_logit", "real_variance", "fake_variance", "real_accuracy", "fake_accuracy", "pair_accuracy",
    "within_unit", "discriminator_loss", "generator_loss",
)  # fmt: skip
"""Statistics of logits. ``within_unit`` is the share in [0, 1]; the losses are those that the logits have."""
MUST_BE_FINITE = ("discriminator_loss", "generator_loss", "real_logit", "fake_logit")
"""Gradient norms need not be finite. They are infinite in a step that GradScaler skips, which does no harm."""
TOGETHER = 16
"""Calls whose numbers are kept until they are added up at once, as many small operations take long."""


class LoopMeter:
    """Means of what was given since the last :meth:`read`, without batches that are not finite, which are counted.

    Losses are computed from the logits where there are some, so that a loss which was halved, scaled or given with a
    penalty changes nothing.

    Args:
        loss: name of the loss that D is trained with.
    """

    def __init__(self, loss: str) -> None:
        self._loss = loss
        self.clear()

    @property
    def loss(self) -> str:
        """The loss that D is trained with."""
        return self._loss

    @loss.setter
    def loss(self, name: str) -> None:
        if name != self._loss:
            self._add_up()
        self._loss = name

    def clear(self) -> None:
        """Forgets everything."""
        self._sums: dict[str, list[Any]] = {}
        self._waiting: dict[str, list[Tensor]] = {}
        self._pairs = 0

    def logits(self, real: Any, fake: Any) -> None:
        """Notes D's logits on a real and a generated batch, of any shape, or a list of each for several discriminators.

        Raises:
            ValueError: there are no logits, or the real and generated ones differ in number.
        """
        if real is None or fake is None:
            raise ValueError("give real_logits and fake_logits together, or neither")
        reals, fakes = list(tensors_of(real)), list(tensors_of(fake))
        if len(reals) != len(fakes) or not reals:
            raise ValueError(f"real_logits of {len(reals)} discriminators, and fake_logits of {len(fakes)}")
        self._pairs += sum(min(one.numel(), other.numel()) for one, other in zip(reals, fakes, strict=True))
        if len(reals) == 1:
            self._wait("logits", _pairs(reals[0], fakes[0]))
            return
        self._add_up("logits")
        loss = LOSSES[self.loss]
        each = [_statistics(_pairs(r, f)[None], loss) for r, f in zip(reals, fakes, strict=True)]
        self._add_rows("logits", torch.stack([one.to(each[0].device) for one in each]).mean(dim=0))

    def scalar(self, name: str, value: Any) -> None:
        """Notes a loss or a gradient norm: a number, a tensor, or one for each discriminator; these are averaged."""
        if isinstance(value, (int, float)):
            finite = math.isfinite(value)
            self._add(name, float(value) if finite else 0.0, float(finite))
            return
        each = [_mean(tensor) for tensor in tensors_of(value)]
        if not each:
            raise ValueError(f"{name} is an empty list")
        self._wait(name, each[0] if len(each) == 1 else torch.stack([one.to(each[0].device) for one in each]).mean())

    def read(self) -> tuple[Measurements, dict[str, float]]:
        """Reads one interval of one GAN, then starts afresh; waits for the device.

        Returns:
            The measurements, NaN where nothing finite was given, and more numbers. ``bad`` is the largest share of
            calls whose losses or logits were not finite. ``spread`` is log10 of the standard deviation of generated
            logits relative to that of real ones. ``within_unit`` is the share of logits in [0, 1], NaN without any.
            ``given_loss`` is D's loss as it was given. ``pairs`` is the number of pairs of logits.
        """
        self._add_up()
        pairs = float(self._pairs)
        means, bad = {name: math.nan for name in (*SCALARS, *LOGITS)}, [0.0]
        given = math.nan
        for name, (total, count, calls) in sorted(self._sums.items(), key=lambda item: item[0] == "logits"):
            names = LOGITS if name == "logits" else (name,)
            pair = torch.stack([total.reshape(-1), count.reshape(-1)]) if isinstance(total, Tensor) else None
            totals, counts = pair.tolist() if pair is not None else ([total], [count])
            for key, one, finite in zip(names, totals, counts, strict=True):
                if finite or math.isnan(means[key]):
                    means[key] = one / finite if finite else math.nan
                if name == "discriminator_loss":
                    given = means[key]
                if key in MUST_BE_FINITE:
                    bad.append(1 - finite / calls)
        self.clear()
        real_variance, fake_variance = means.pop("real_variance"), means.pop("fake_variance")
        within_unit = means.pop("within_unit")
        measured = Measurements.empty(1)
        for name, mean in means.items():
            setattr(measured, name, np.array([mean]))
        measured.logit_deviation = np.sqrt(np.array([(real_variance + fake_variance) / 2]))
        spread = math.log10(max(fake_variance, 1e-30) / max(real_variance, 1e-30)) / 2
        told = {"bad": max(bad), "spread": spread, "within_unit": within_unit, "given_loss": given, "pairs": pairs}
        return measured, told

    def state_dict(self) -> dict[str, Any]:
        """The sums so far."""
        self._add_up()
        sums = {name: [_copied(total), _copied(count), calls] for name, (total, count, calls) in self._sums.items()}
        return {"sums": sums, "pairs": self._pairs}

    def load_state_dict(self, state: dict[str, Any]) -> None:
        """Goes on from saved sums."""
        self._sums, self._waiting = {name: list(values) for name, values in state["sums"].items()}, {}
        self._pairs = int(state["pairs"])

    def _wait(self, name: str, value: Tensor) -> None:
        """Keeps a copy, as what is given may be overwritten, until there are several of its kind."""
        waiting = self._waiting.setdefault(name, [])
        if waiting and (waiting[0].shape, waiting[0].device) != (value.shape, value.device):
            self._add_up(name)
            waiting = self._waiting.setdefault(name, [])
        waiting.append(value)
        if len(waiting) == TOGETHER:
            self._add_up(name)

    def _add_up(self, name: str | None = None) -> None:
        for each in [name] if name is not None else list(self._waiting):
            waiting = self._waiting.pop(each, [])
            if waiting:
                values = as_real(torch.stack(waiting))
                self._add_rows(each, _statistics(values, LOSSES[self.loss]) if each == "logits" else values[:, None])

    def _add_rows(self, name: str, rows: Tensor) -> None:
        """Adds the values of some calls ``[calls, V]``, without those that are not finite."""
        finite = rows.isfinite()
        if name == "logits":
            finite &= finite[:, :2].all(dim=1, keepdim=True)
        # One after the other, so that sums do not depend on how many are added at once: a run goes on exactly
        values = torch.where(finite, rows, 0.0)
        old = self._sums.get(name)
        if old is not None and isinstance(old[0], Tensor):
            values = torch.cat([old[0].to(values).reshape(1, -1), values])
        total, count = values.cumsum(dim=0)[-1], finite.sum(dim=0, dtype=rows.dtype)
        if old is not None:
            count = count + (old[1].to(count) if isinstance(old[1], Tensor) else old[1])
            total = total if isinstance(old[0], Tensor) else total + old[0]
        self._sums[name] = [total, count, len(rows) + (0 if old is None else old[2])]

    def _add(self, name: str, value: Any, finite: Any) -> None:
        if name not in self._sums:
            self._sums[name] = [value, finite, 1]
            return
        total, count, calls = self._sums[name]
        self._sums[name] = [total + value, count + finite, calls + 1]


def tensors_of(value: Any) -> Iterator[Tensor]:
    """The tensors in a value: the value itself, or those of a list, however nested (scales of several D)."""
    if isinstance(value, Tensor):
        if value.numel():
            yield value.detach()
    elif isinstance(value, Sequence) and not isinstance(value, (str, bytes)):
        for each in value:
            yield from tensors_of(each)
    else:
        yield from tensors_of(torch.as_tensor(value))


def as_real(tensor: Tensor) -> Tensor:
    """Converts to double precision: squares of an exploding critic's logits overflow single. MPS has no double."""
    if tensor.is_complex():
        raise ValueError("complex numbers")
    return tensor.to(torch.float32 if tensor.device.type == "mps" else torch.float64)


def _mean(tensor: Tensor) -> Tensor:
    """The mean of a tensor of any shape, a copy."""
    if tensor.is_complex():
        raise ValueError("complex numbers")
    return tensor.reshape(()).clone() if tensor.numel() == 1 else as_real(tensor).mean()


def _pairs(real: Tensor, fake: Tensor) -> Tensor:
    """A copy of both, ``[2, N]``; the longer of two unequal batches is cut, because pairs need partners."""
    if real.is_complex() or fake.is_complex():
        raise ValueError("complex numbers")
    count = min(real.numel(), fake.numel())
    real, fake = real.reshape(-1)[:count], fake.reshape(-1)[:count]
    return torch.stack([real, fake.to(real.device, real.dtype)])


def _statistics(both: Tensor, loss: Loss) -> Tensor:
    """``LOGITS`` of some calls, ``[calls, 10]`` from ``[calls, 2, N]``."""
    both = as_real(both)
    real, fake = both.unbind(dim=1)
    count = both.shape[-1]
    variance, mean = torch.var_mean(both, dim=-1, correction=0)
    unbiased = count / (count - 1) if count > 1 else math.nan
    right = torch.stack([real > loss.boundary, fake < loss.boundary, real > fake], dim=1).mean(dim=-1, dtype=mean.dtype)
    unit = ((both >= 0) & (both <= 1)).to(mean.dtype).mean(dim=(1, 2))
    losses = torch.stack([unit, loss.discriminator(real, fake), loss.generator(real, fake)], dim=1)
    return torch.cat([mean, variance * unbiased, right, losses], dim=1)


def _copied(value: Any) -> Any:
    return value.cpu().clone() if isinstance(value, Tensor) else value
