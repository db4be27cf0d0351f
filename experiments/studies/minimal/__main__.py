"""``python -m metagan_rl.experiments.studies.minimal --data digits --scheduler loop --out runs/minimal``."""

import sys
from dataclasses import dataclass
from pathlib import Path
from typing import Literal

from metagan_rl.experiments.studies.command import run_command
from metagan_rl.experiments.studies.minimal.runner import CHANNELS, GANRunner, images_of


@dataclass
class MinimalRun:
    """Train a GAN on images, by a well-known recipe, with or without a scheduler."""

    data: Literal["digits", "mnist", "fashion-mnist"] = "digits"
    """8x8 digits, 5,000 of MNIST, or 10,000 of Fashion-MNIST."""
    recipe: Literal["dcgan", "wgan-gp", "sngan"] = "dcgan"
    """How the paper trains it."""
    scheduler: str | None = None
    """Name, policy or schedule file; by default none: the recipe as published."""
    mode: Literal["both", "discriminator", "log"] = "both"
    """What the scheduler may change; log: nothing, it only advises."""
    factor: float = 1.0
    """Factor of the published learning rate."""
    steps: int = 2000
    """Updates of G."""
    channels: int = CHANNELS
    """Channels next to the image."""
    seed: int = 0
    """Of weights, noise and the order of images."""
    device: str = "cpu"
    """cpu or cuda."""
    out: Path = Path("runs/minimal")
    """Directory for sample grids, checkpoint and TensorBoard events."""
    resume: bool = False
    """Go on from the checkpoint in --out."""


def train(options: MinimalRun) -> None:
    """A run as the options say."""
    from torch.utils.tensorboard import SummaryWriter

    runner = GANRunner(
        images_of(options.data),
        options.recipe,
        steps=options.steps,
        scheduler=options.scheduler,
        mode=options.mode,
        factor=options.factor,
        channels=options.channels,
        seed=options.seed,
        device=options.device,
        writer=SummaryWriter(str(options.out)) if options.scheduler else None,
    )
    if options.resume:
        runner.load(options.out / "checkpoint.pt")
    runner.train(out=options.out, progress=sys.stdout.isatty())
    advice = "" if runner.scheduler is None else f"; {runner.scheduler.controls.advice}"
    print(f"distance {runner.distance():.3f} after {runner.step} steps{advice}\nsamples: {options.out}")


if __name__ == "__main__":
    run_command(MinimalRun, train)
