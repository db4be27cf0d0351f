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


class LoopMeter:
    """Means of what was given since the last :meth:`read`, without batches that are not finite, which are counted.

    Losses are computed from the logits where there are some, so that a loss which was halved, scaled or given with a
    penalty changes nothing.

    Args:
        loss: name of the loss that D is trained with.
    """

    def __init__(self, loss: str) -> None:
        self.loss = loss
        self.clear()

    def clear(self) -> None:
        """Forgets everything."""
        self._sums: dict[str, list[Any]] = {}

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
        loss = LOSSES[self.loss]
        each = [_statistics(r, f.to(r.device), loss) for r, f in zip(reals, fakes, strict=True)]
        values = each[0] if len(each) == 1 else torch.stack([one.to(each[0].device) for one in each]).mean(dim=0)
        finite = values.isfinite() & values[:2].isfinite().all()
        self._add("logits", torch.where(finite, values, 0.0), finite.to(values.dtype))

    def scalar(self, name: str, value: Any) -> None:
        """Notes a loss or a gradient norm: a number, a tensor, or one for each discriminator; these are averaged."""
        if isinstance(value, (int, float)):
            finite = math.isfinite(value)
            self._add(name, float(value) if finite else 0.0, float(finite))
            return
        each = [as_real(tensor).mean() for tensor in tensors_of(value)]
        if not each:
            raise ValueError(f"{name} is an empty list")
        mean = each[0] if len(each) == 1 else torch.stack([one.to(each[0].device) for one in each]).mean()
        is_finite = mean.isfinite()
        self._add(name, torch.where(is_finite, mean, 0.0), is_finite.to(mean.dtype))

    def read(self) -> tuple[Measurements, dict[str, float]]:
        """Reads one interval of one GAN, then starts afresh; waits for the device.

        Returns:
            The measurements, NaN where nothing finite was given, and more numbers. ``bad`` is the largest share of
            calls whose losses or logits were not finite. ``spread`` is log10 of the standard deviation of generated
            logits relative to that of real ones. ``within_unit`` is the share of logits in [0, 1], NaN without any.
            ``given_loss`` is D's loss as it was given.
        """
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
        told = {"bad": max(bad), "spread": spread, "within_unit": within_unit, "given_loss": given}
        return measured, told

    def state_dict(self) -> dict[str, Any]:
        """The sums so far."""
        return {name: [_copied(total), _copied(count), calls] for name, (total, count, calls) in self._sums.items()}

    def load_state_dict(self, state: dict[str, Any]) -> None:
        """Goes on from saved sums."""
        self._sums = {name: list(values) for name, values in state.items()}

    def _add(self, name: str, value: Any, finite: Any) -> None:
        if name not in self._sums:
            self._sums[name] = [value, finite, 1]
            return
        total, count, calls = self._sums[name]
        if isinstance(total, Tensor) and isinstance(value, Tensor) and total.device != value.device:
            total, count = total.to(value.device), count.to(value.device)
        # Not in place: a tensor made within inference_mode cannot be changed outside of it
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


def _statistics(real: Tensor, fake: Tensor, loss: Loss) -> Tensor:
    """``LOGITS`` of one batch, ``[10]``; the longer of two unequal batches is cut, because pairs need partners."""
    count = min(real.numel(), fake.numel())
    real, fake = as_real(real.reshape(-1)[:count]), as_real(fake.reshape(-1)[:count])
    both = torch.stack([real, fake])
    variance, mean = torch.var_mean(both, dim=1, correction=0)
    unbiased = count / (count - 1) if count > 1 else math.nan
    right = torch.stack([real > loss.boundary, fake < loss.boundary, real > fake])
    unit = ((both >= 0) & (both <= 1)).mean(dtype=mean.dtype)
    losses = [loss.discriminator(both[:1], both[1:]), loss.generator(both[:1], both[1:])]
    return torch.cat([mean, variance * unbiased, right.mean(dim=1, dtype=mean.dtype), unit[None], *losses])


def _copied(value: Any) -> Any:
    return value.cpu().clone() if isinstance(value, Tensor) else value
