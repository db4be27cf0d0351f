"""What a loop must give for the signals that a scheduler looks at."""

from collections.abc import Iterable, Mapping

from metagan_rl.loop.scheduler import Scheduler

NEEDED = {
    "real_logits and fake_logits": (
        "real_accuracy", "fake_accuracy", "pair_accuracy", "logit_gap", "logit_gap_slope", "logit_centre", "saturation",
    ),
    "discriminator_loss, or real_logits and fake_logits": ("discriminator_loss", "discriminator_loss_slope"),
    "generator_loss, or real_logits and fake_logits": ("generator_loss",),
}  # fmt: skip
"""What to give :meth:`GANScheduler.step`, each with the signals made of it."""
MEASURED = ("discriminator_loss", "generator_loss", "real_logit", "generator_gradient", "discriminator_gradient")
"""Measurements that come from what a loop gives. The others are made here."""


def lacking_inputs(scheduler: Scheduler, seen: Mapping[str, object], given: Iterable[str]) -> list[str]:
    """What was not given in an interval, and without which the scheduler cannot tell how the run is doing.

    Args:
        scheduler: any scheduler. One that names no signals it needs can work without.
        seen: the signals that are known after the interval.
        given: those of ``MEASURED`` that were given, and ``"quality"`` if that was.
    """
    needed = {what: [name for name in signals if name in scheduler.needs] for what, signals in NEEDED.items()}
    lacking = [what for what, signals in needed.items() if any(name not in seen for name in signals)]
    if lacking or list(given) or type(scheduler).__module__ != "metagan_rl.agents.rules.reactive":
        return lacking
    return ["discriminator_loss, or real_logits and fake_logits"]
