"""How fast populations train against separate GANs: ``python -m metagan_rl.experiments.throughput``.

Both sides train the same networks on the same data with the same batch, losses and optimiser settings, in turns, in one
thread, so that the ratio does not depend on how busy the machine is.
"""

import json
import platform
import resource
import statistics
import time
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import torch
import tyro
from torch import nn
from torch.nn import functional as F

from metagan_rl import __version__
from metagan_rl.controls import Controls
from metagan_rl.files import write_whole
from metagan_rl.penalties import distance_to_one, half_square
from metagan_rl.populations import Population
from metagan_rl.runtime import prepare_process
from metagan_rl.tasks import Task, get_suite

UPDATES = 48


class SeparateGAN:
    """One GAN as anyone would write it: nn.Module and torch.optim.Adam.

    Args:
        task: what to train on.
        penalty: ``None``, ``"zero-centred"`` or ``"one-centred"`` (with the Wasserstein loss).
    """

    def __init__(self, task: Task, penalty: str | None) -> None:
        shape, base = task.networks, task.base

        def network(inputs: int, outputs: int) -> nn.Sequential:
            return nn.Sequential(
                nn.Linear(inputs, shape.width),
                nn.LeakyReLU(0.2),
                nn.Linear(shape.width, shape.width),
                nn.LeakyReLU(0.2),
                nn.Linear(shape.width, outputs),
            )

        self.latent, self.batch, self.penalty = shape.latent_dim, base.batch_size, penalty
        self.generator, self.discriminator = network(shape.latent_dim, task.dim), network(task.dim, 1)
        moments = (base.beta1, base.beta2)
        self.generator_adam = torch.optim.Adam(self.generator.parameters(), base.generator_lr, moments)
        self.discriminator_adam = torch.optim.Adam(self.discriminator.parameters(), base.discriminator_lr, moments)
        self.data = task.data().train

    def train(self, updates: int) -> None:
        """D and G in turns."""
        for _ in range(updates // 2):
            self._discriminator_step()
            self._generator_step()

    def _discriminator_step(self) -> None:
        real = self.data[torch.randint(len(self.data), (self.batch,))]
        with torch.no_grad():
            fake = self.generator(torch.randn(self.batch, self.latent))
        real_logits, fake_logits = self.discriminator(torch.cat([real, fake])).split(self.batch)
        if self.penalty == "one-centred":
            loss = (fake_logits - real_logits).mean()
            points = real.lerp(fake, torch.rand(self.batch, 1))
        else:
            loss = (F.softplus(-real_logits) + F.softplus(fake_logits)).mean()
            points = torch.cat([real, fake])
        if self.penalty is not None:
            points.requires_grad_()
            (gradient,) = torch.autograd.grad(self.discriminator(points).sum(), points, create_graph=True)
            value = distance_to_one if self.penalty == "one-centred" else half_square
            loss = loss + 0.1 * value(gradient[None])[0]
        self.discriminator_adam.zero_grad()
        loss.backward()
        self.discriminator_adam.step()

    def _generator_step(self) -> None:
        self.discriminator.requires_grad_(False)
        logits = self.discriminator(self.generator(torch.randn(self.batch, self.latent)))
        loss = -logits.mean() if self.penalty == "one-centred" else F.softplus(-logits).mean()
        self.generator_adam.zero_grad()
        loss.backward()
        self.generator_adam.step()
        self.discriminator.requires_grad_(True)


@dataclass
class Throughput:
    """Options of the measurement."""

    out: Path = Path("throughput.jsonl")
    """File for the rows."""
    rounds: int = 7
    """Turns each side takes; the median ratio is reported."""
    members: tuple[int, ...] = (1, 16, 64, 128)
    """Sizes of populations."""


def measure(options: Throughput) -> list[dict[str, object]]:
    """One row for every size and penalty: updates per second of both sides, and the ratio."""
    rows: list[dict[str, object]] = []
    peak = _gemm_peak()
    for penalty, loss, weight in ((None, 0, 0.0), ("zero-centred", 0, 0.1), ("one-centred", 3, 0.1)):
        for count in options.members:
            tasks = list(get_suite("planar").split("train"))[:count]
            for task in tasks:
                task.data()
            population = Population(tasks, list(range(count)))
            controls = Controls.base([task.base for task in tasks]).replace(
                loss=np.full(count, loss), penalty_weight=np.full(count, weight)
            )
            separate = [SeparateGAN(task, penalty) for task in tasks[:16]]
            together = _rates(
                lambda p=population, c=controls: p.train(c, UPDATES),  # type: ignore[misc]
                lambda s=separate: [gan.train(UPDATES) for gan in s],  # type: ignore[misc]
                UPDATES * count,
                UPDATES * len(separate),
                options.rounds,
            )
            flops = _flops_per_update(tasks[0])
            rows.append(
                {
                    "members": count,
                    "penalty": penalty or "none",
                    "population_updates_per_second": round(together[0]),
                    "separate_updates_per_second": round(together[1]),
                    "ratio": round(together[2], 2),
                    "gemm_peak_share": round(together[0] * flops / peak, 3) if penalty is None else None,
                    "kilobytes_per_member": round(population.bytes_per_member() / 1024, 1),
                    "process_megabytes": round(resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024),
                    "machine": f"{platform.machine()}, one thread",
                    "version": __version__,
                }
            )
            print(json.dumps(rows[-1]), flush=True)
    return rows


def _rates(
    ours: Callable[[], object], theirs: Callable[[], object], our_updates: int, their_updates: int, rounds: int
) -> tuple[float, float, float]:
    pairs = []
    for turn in range(rounds + 1):
        started = time.perf_counter()
        ours()
        middle = time.perf_counter()
        theirs()
        if turn:  # the first turn warms up
            pairs.append((our_updates / (middle - started), their_updates / (time.perf_counter() - middle)))
    return (
        statistics.median(a for a, _ in pairs),
        statistics.median(b for _, b in pairs),
        statistics.median(a / b for a, b in pairs),
    )


def _gemm_peak() -> float:
    """FLOP/s of the hidden layer's product, [16, 256, 64] by [16, 64, 64]."""
    a, b = torch.randn(16, 256, 64), torch.randn(16, 64, 64)
    best = 0.0
    for _ in range(20):
        started = time.perf_counter()
        for _ in range(20):
            torch.bmm(a, b)
        best = max(best, 20 * 2 * 16 * 256 * 64 * 64 / (time.perf_counter() - started))
    return best


def _flops_per_update(task: Task) -> float:
    """Mean of a D and a G update at ratio 1:1, products only."""
    width, dim, latent, batch = task.networks.width, task.dim, task.networks.latent_dim, task.base.batch_size
    generator = 2 * batch * (latent * width + width * width + width * dim)
    discriminator = 2 * batch * (dim * width + width * width + width)
    d_update = generator + 2 * discriminator * 3 - 2 * batch * 2 * dim * width
    g_update = generator * 3 + discriminator * 2 - 2 * batch * latent * width
    return (d_update + g_update) / 2


def main() -> None:
    """Measures and writes the rows."""
    prepare_process()
    options = tyro.cli(Throughput)
    write_whole(options.out, "".join(json.dumps(row) + "\n" for row in measure(options)))


if __name__ == "__main__":
    main()
