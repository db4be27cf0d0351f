"""What a user's loop has given since the last decision."""

from collections.abc import Callable, Mapping
from functools import partial
from typing import Any

import numpy as np
import torch

from metagan_rl.agents.plugin.fit import Fit
from metagan_rl.agents.plugin.inputs import MEASURED
from metagan_rl.agents.plugin.meter import LoopMeter, tensors_of
from metagan_rl.agents.plugin.quality import quality_parts
from metagan_rl.agents.plugin.samples import SampleKeeper
from metagan_rl.losses import LOSSES
from metagan_rl.populations.measurements import Measurements


class Intake:
    """Takes in logits, losses, gradient norms, samples and quality, and tells what cannot be used or does not fit.

    Args:
        loss: name of the loss that D is trained with.
    """

    def __init__(self, loss: str) -> None:
        self.meter, self.samples, self.fit = LoopMeter(loss), SampleKeeper(), Fit(loss)
        self.quality: dict[str, float] = {}
        """The latest parts of quality in this interval."""

    @property
    def loss(self) -> str:
        """The loss that D is trained with."""
        return self.meter.loss

    @loss.setter
    def loss(self, name: str) -> None:
        self.meter.loss = self.fit.loss = name

    def note(
        self,
        real: Any,
        fake: Any,
        scalars: Mapping[str, Any],
        samples: Mapping[str, Any],
        quality: "float | Mapping[str, float] | None" = None,
    ) -> dict[str, Exception]:
        """Adds up what one round gave, without waiting for it, and returns an error for each input it cannot use.

        Args:
            real: logits of real samples, or a list of them for several discriminators.
            fake: those of generated ones.
            scalars: losses and gradient norms by name, as in ``meter.SCALARS``; ``None`` for what was not given.
            samples: batches by kind, ``"generated"`` and ``"real"``.
            quality: a distance or parts.
        """
        unusable: dict[str, Exception] = {}

        def note(what: str, use: Callable[[], None]) -> None:
            try:
                use()
            except Exception as error:  # anything may be given, and this is a user's run
                unusable[what] = error

        if real is not None or fake is not None:
            note("logits", lambda: self.meter.logits(real, fake))
        for name, value in scalars.items():
            if value is not None:
                note(name, partial(self.meter.scalar, name, value))
        if quality is not None:
            note("quality", lambda: self.quality.update(quality_parts(quality)))
        for kind, batch in samples.items():
            if batch is not None:
                note(f"{kind} samples", partial(self.samples.note, kind, batch))
        loss = scalars.get("discriminator_loss")
        if real is not None and loss is not None and not unusable:
            note("logits and discriminator_loss", lambda: self.fit.note(real, fake, loss))
        return unusable

    def read(self) -> tuple[Measurements, dict[str, float], list[str]]:
        """Reads the interval, then starts afresh except for samples; waits for the device.

        Returns:
            The measurements; further numbers by name, see ``Health.judge``; and the names of what was given, those in
            ``MEASURED`` and ``"quality"``.
        """
        measured, told = self.meter.read()
        told |= self.samples.read()
        given = [name for name in MEASURED if not np.isnan(getattr(measured, name)).all()]
        if self.quality:
            given.append("quality")
        if "distance" in self.quality:
            told["quality"] = self.quality["distance"]
        return measured, told, given

    def misfit(self, measured: Measurements, told: Mapping[str, float]) -> Any:
        """What does not fit together in the first interval that tells, see :class:`Fit`; otherwise ``None``."""
        known = {name: float(getattr(measured, name)[0]) for name in (*MEASURED, "fake_logit")}
        return self.fit.judge(dict(told), LOSSES[self.loss].ideal, known)

    def clear(self) -> None:
        """Forgets everything but quality."""
        self.meter.clear()
        self.samples.clear()

    def state_dict(self) -> dict[str, Any]:
        """The sums so far and the parts of quality; samples are not saved."""
        return {"meter": self.meter.state_dict(), "quality": dict(self.quality), "fit": self.fit.state_dict()}

    def load_state_dict(self, state: Mapping[str, Any]) -> None:
        """Continues from saved sums.

        Raises:
            KeyError, TypeError, ValueError: it is damaged.
        """
        self.meter.load_state_dict(state["meter"])
        self.quality = {str(name): float(value) for name, value in state["quality"].items()}
        self.fit.load_state_dict(state["fit"])


def halves(differences: Any) -> tuple[list[torch.Tensor], list[torch.Tensor]]:
    """Real and generated logits that have these differences, one of each for each tensor."""
    reals = [each / 2 for each in tensors_of(differences)]
    return reals, [-each for each in reals]
