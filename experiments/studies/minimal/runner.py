"""The loop: a GAN on images, by a recipe, under any scheduler."""

import copy
import io
from pathlib import Path
from typing import Any

import numpy as np
import torch
from rich.progress import track
from torch import Tensor

from metagan_rl.agents import GANScheduler
from metagan_rl.envs.render import mosaic
from metagan_rl.errors import FileFormatError, InvalidValueError
from metagan_rl.experiments.studies.minimal.recipes import LATENT, RECIPES, gradient_penalty
from metagan_rl.files import make_directory, write_whole
from metagan_rl.metrics.quality import WORST_DISTANCE, Quality, Reference
from metagan_rl.runtime import find_device
from metagan_rl.tasks import FAMILIES, Networks, Task
from metagan_rl.tasks.real import CLASSES, LabelledImages

EMA_DECAY = 0.995
"""Of the averaged generator, which is what samples come from, for each update of G."""
CHANNELS = 16
GRID = 8
"""Images along a side of the sample grids."""


class GANRunner:
    """Trains a GAN on the images of a task.

    Args:
        task: of grey images: ``digits`` (8x8), ``mnist`` or ``fashion-mnist`` (28x28); see :func:`images_of`.
        recipe: name in ``RECIPES``.
        steps: updates of G in the whole run, each with as many of D as the recipe says.
        scheduler: as :class:`GANScheduler` takes it; ``None`` for the recipe as published, without any.
        mode: of the scheduler: ``"both"``, ``"discriminator"``, or ``"log"`` to be only advised.
        factor: the published learning rate is multiplied by this.
        channels: next to the image, twice as many deeper.
        seed: fixes weights, noise and the order of the images.
        device: ``"cpu"`` or ``"cuda"``.
        writer: TensorBoard's ``SummaryWriter``, for what the scheduler does.

    Raises:
        UnknownNameError: there is no such recipe or scheduler.
        InvalidValueError: a value is out of range, or the task is not of images of a side that 4 divides.
    """

    def __init__(
        self,
        task: Task,
        recipe: str = "dcgan",
        *,
        steps: int = 2000,
        scheduler: Any = None,
        mode: str = "both",
        factor: float = 1.0,
        channels: int = CHANNELS,
        seed: int = 0,
        device: str = "cpu",
        writer: Any = None,
    ) -> None:
        self.task, self.recipe, self.steps, self.step = task, RECIPES[recipe], steps, 0
        self.identity = {
            "task": task.name, "recipe": recipe, "steps": steps, "factor": factor, "channels": channels, "seed": seed
        }  # fmt: skip
        if steps < 1 or not factor > 0:
            raise InvalidValueError(f"steps is {steps} and factor {factor}; both must be more than 0")
        family, side = FAMILIES[task.family], round(task.dim**0.5)
        if not isinstance(family, LabelledImages) or side**2 != task.dim or side % 4:
            raise InvalidValueError(
                f"task {task.name!r} is of family {task.family!r} and has {task.dim} columns; images of a side that 4 "
                "divides are needed, as digits and mnist are"
            )
        self.white = family.white
        self.device = find_device(device)
        self.images = _to_images(task, self.white, task.data().train).to(self.device)
        self.random = torch.Generator().manual_seed(seed)
        with torch.random.fork_rng():
            torch.manual_seed(seed)
            networks = self.recipe.networks(side, channels)
        self.generator, self.discriminator = (network.to(self.device) for network in networks)
        self.average = copy.deepcopy(self.generator)
        self.optimizers = [
            torch.optim.Adam(network.parameters(), lr=factor * self.recipe.learning_rate, betas=self.recipe.betas)
            for network in (self.generator, self.discriminator)
        ]
        self.scheduler = None
        self.decays = []
        if scheduler is not None:
            self.scheduler = GANScheduler(
                scheduler,
                *self.optimizers,
                total_steps=steps,
                loss=self.recipe.loss,
                ratio=f"{self.recipe.discriminator_steps}:1",
                penalty_weight=self.recipe.gradient_penalty,
                mode=mode,
                seed=seed,
                writer=writer,
            )
        if self.recipe.decays:  # a scheduler multiplies them
            self.decays = [torch.optim.lr_scheduler.LinearLR(each, 1.0, 0.0, steps) for each in self.optimizers]

    def train(self, *, out: str | Path | None = None, every: int = 500, progress: bool = False) -> None:
        """Trains to the end of the run.

        Args:
            out: directory for a grid of samples and a checkpoint; ``None`` for none.
            every: steps between them.
            progress: show a bar.
        """
        numbers: Any = range(self.step, self.steps)
        for _ in track(numbers, description="GAN", transient=True) if progress else numbers:
            self.train_step()
            if out is not None and (self.step % every == 0 or self.step == self.steps):
                self.save_grid(make_directory(Path(out)) / f"samples-{self.step:06d}.png")
                self.save(Path(out) / "checkpoint.pt")

    def train_step(self) -> None:
        """One update of G after those of D."""
        recipe, (g_optimizer, d_optimizer) = self.recipe, self.optimizers
        for _ in range(recipe.discriminator_steps):
            real = self.images[torch.randint(len(self.images), (recipe.batch_size,), generator=self.random)]
            with torch.no_grad():
                fake = self.generator(self._noise(recipe.batch_size))
            real_logits, fake_logits = self.discriminator(real), self.discriminator(fake)
            d_loss = recipe.discriminator_loss(real_logits, fake_logits)
            whole = d_loss
            if recipe.gradient_penalty:
                penalty = gradient_penalty(self.discriminator, real, fake, self.random)
                whole = d_loss + recipe.gradient_penalty * penalty
            d_optimizer.zero_grad()
            whole.backward()
            d_optimizer.step()

        g_loss = recipe.generator_loss(self.discriminator(self.generator(self._noise(recipe.batch_size))))
        g_optimizer.zero_grad()
        g_loss.backward()
        g_optimizer.step()
        with torch.no_grad():
            for kept, now in zip(self.average.state_dict().values(), self.generator.state_dict().values(), strict=True):
                kept.copy_(now if not kept.is_floating_point() else torch.lerp(now, kept, EMA_DECAY))

        if self.scheduler is not None:
            self.scheduler.step(
                real_logits=real_logits, fake_logits=fake_logits, discriminator_loss=d_loss, generator_loss=g_loss
            )
        for decay in self.decays:
            decay.step()
        self.step += 1

    def sample(self, count: int, *, seed: int = 0) -> Tensor:
        """Images ``[count, side, side]`` in (-1, 1) of the averaged generator, the same for the same seed."""
        noise = torch.randn(count, LATENT, generator=torch.Generator().manual_seed(seed)).to(self.device)
        self.average.eval()
        with torch.no_grad():
            return self.average(noise).squeeze(1)

    def distance(self) -> float:
        """Distance to images of the task that were held back, as everywhere in this package; the worst if diverged."""
        reference = Reference.of(self.task, report=True)
        points = _to_points(self.task, self.white, self.sample(len(reference.points)).cpu())
        if not torch.isfinite(points).all():
            return WORST_DISTANCE
        return float(Quality.measure(points[None], [reference]).distance[0])

    def save_grid(self, path: str | Path) -> None:
        """Writes a grid of samples as PNG."""
        from matplotlib.image import imsave

        images = self.sample(GRID**2).flatten(1).cpu().numpy()
        sheet = mosaic(-images, GRID, GRID, -1.0, 1.0)  # bright is white
        imsave(path, np.kron(sheet, np.ones((4, 4))), cmap="gray", vmin=0, vmax=255)

    def save(self, path: str | Path) -> None:
        """Writes a checkpoint: networks, optimizers, scheduler, noise; :meth:`load` goes on exactly from there."""
        buffer = io.BytesIO()
        states = {name: part.state_dict() for name, part in self._parts().items()}
        torch.save({**states, "run": self.identity, "step": self.step, "random": self.random.get_state()}, buffer)
        write_whole(Path(path), buffer.getvalue())

    def load(self, path: str | Path) -> None:
        """Goes on from a checkpoint of a runner made in the same way.

        Raises:
            FileFormatError: the file is missing, damaged, or of another run.
        """
        try:
            state = torch.load(path, weights_only=True, map_location="cpu")
            for name, value in self.identity.items():
                if state["run"][name] != value:
                    raise ValueError(f"its {name} is {state['run'][name]!r}, not {value!r}")
            if ("scheduler" in state) != (self.scheduler is not None):
                raise ValueError("only one of the two has a scheduler")
            parts = {name: (part, state[name]) for name, part in self._parts().items()}
            random, step = state["random"], int(state["step"])
            for part, own in parts.values():
                part.load_state_dict(own)
            self.random.set_state(random)
            self.step = step
        except Exception as error:  # whatever a damaged file leads to
            raise FileFormatError(f"{path} is not a checkpoint of such a run ({error}); start again") from None

    def _noise(self, count: int) -> Tensor:
        return torch.randn(count, LATENT, generator=self.random).to(self.device)

    def _parts(self) -> dict[str, Any]:
        parts: dict[str, Any] = {"generator": self.generator, "discriminator": self.discriminator}
        parts |= {"average": self.average, "g_optimizer": self.optimizers[0], "d_optimizer": self.optimizers[1]}
        parts |= {f"decay {place}": decay for place, decay in enumerate(self.decays)}
        return parts if self.scheduler is None else {**parts, "scheduler": self.scheduler}


def images_of(data: str, seed: int = 0) -> Task:
    """All ten classes of a family of images as one task; the seed decides which half is held back."""
    networks = Networks(latent_dim=1)  # of no account: the runner has its own
    classes = {"classes": list(range(CLASSES))}
    return Task(data, data, FAMILIES[data].dimension(classes), classes, tag="real", networks=networks, seed=seed)


def _to_images(task: Task, white: float, points: Tensor) -> Tensor:
    """Standardised points ``[N, D]`` as images ``[N, 1, side, side]`` in [-1, 1]."""
    data = task.data()
    raw = points.double() * torch.from_numpy(data.scale) + torch.from_numpy(data.mean)
    side = round(task.dim**0.5)
    return (2 * raw / white - 1).float().reshape(-1, 1, side, side)


def _to_points(task: Task, white: float, images: Tensor) -> Tensor:
    """Images ``[N, side, side]`` in [-1, 1] as standardised points ``[N, D]``."""
    data = task.data()
    raw = (images.flatten(1).double() + 1) / 2 * white
    return ((raw - torch.from_numpy(data.mean)) / torch.from_numpy(data.scale)).float()
