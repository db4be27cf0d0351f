"""How often the plug-in's advice is right: ``python -m metagan_rl.experiments.studies.detector_study``.

GANs are trained that are broken in a known way, and GANs that are not. A scheduler in mode ``"log"`` watches each of
them with logits, losses and samples. A broken run counts as named if advice gives the right cause within a tenth of
the run after it broke. A run that is not broken counts as falsely named if advice ever calls it collapsing or diverged.
A run that nobody broke is only counted if at least half of the real points are covered at its end.

The rules were tuned on the runs of split ``tune``. Those of split ``judge`` have other data, networks and seeds.
"""

from collections.abc import Callable, Iterator, Sequence
from dataclasses import asdict, dataclass
from itertools import pairwise
from pathlib import Path
from typing import Any, Literal

import torch
from torch import Tensor, nn

from metagan_rl import __version__
from metagan_rl.agents import GANScheduler
from metagan_rl.experiments.benchmark.records import ROWS, append_lines, read_lines
from metagan_rl.experiments.report.tables import markdown_table
from metagan_rl.experiments.studies.command import called_as, run_command, show_line
from metagan_rl.files import make_directory, write_whole
from metagan_rl.losses import LOSSES
from metagan_rl.metrics.neighbours import neighbour_radii, precision_and_coverage

INTERVALS = 64
COVERED = 0.5
"""Coverage at its end from which a run that was not broken on purpose counts as healthy."""
IN_TIME = 1 / 10
"""Share of a run within which a broken one must be named."""
BAD = ("collapsing", "diverged")
"""What no healthy run may be called."""
DATA = {"tune": ("ring", "digits", "blobs", "moons", "curve"), "judge": ("spiral", "clusters", "square")}
"""Data of each split."""
CAUSES = {
    "one-sample": "one sample",
    "two-modes": "lost modes",
    "dead-generator": "generator stands still",
    "dead-discriminator": "discriminator stands still",
    "rates-too-low": "rates too low",
    "rates-too-high": "rates too high",
    "not-finite": "not finite",
    "strong-discriminator": "discriminator ahead",
}
"""What is broken, and the cause that advice should give."""


@dataclass(frozen=True)
class WatchedRun:
    """One run.

    Attributes:
        split: what it is for.
        kind: ``"healthy"``, or a key of ``CAUSES``.
        data: name of the data.
        loss: name of the loss.
        batch: samples in a batch.
        seed: of the run.
        steps: rounds of the run.
    """

    split: str
    kind: str
    data: str
    loss: str
    batch: int
    seed: int
    steps: int


@dataclass
class DetectorStudy:
    """Count how often advice is right."""

    out: Path = Path("runs/detector")
    """Directory for rows and table; continued if it holds some."""
    split: Literal["tune", "judge"] = "judge"
    """The runs that the rules were tuned on, or the others."""
    steps: int = 1280
    """Rounds of a run."""


def points(name: str, random: torch.Generator) -> Tensor:
    """The data, ``[N, D]``, with deviations near 1.

    Args:
        name: one of ``DATA``.
        random: generator of what is drawn.
    """
    if name == "digits":
        from sklearn.datasets import load_digits

        images = torch.tensor(load_digits().data, dtype=torch.float32) / 8 - 1
        return images[torch.randperm(len(images), generator=random)]
    count = 4096
    noise = torch.randn(count, 8, generator=random)
    if name == "ring":
        angle = torch.randint(8, (count,), generator=random) * (torch.pi / 4)
        return 1.4 * torch.stack([angle.cos(), angle.sin()], dim=1) + 0.1 * noise[:, :2]
    if name in ("blobs", "clusters"):
        modes, columns, width = (6, 4, 0.3) if name == "blobs" else (5, 3, 0.4)
        centres = torch.randn(modes, columns, generator=random)
        return centres[torch.randint(modes, (count,), generator=random)] + width * noise[:, :columns]
    along = torch.rand(count, generator=random)
    if name == "curve":
        angle = 2 * torch.pi * along
        return torch.stack([angle.cos(), (2 * angle).sin(), angle.sin()], dim=1) * 1.4 + 0.1 * noise[:, :3]
    if name == "square":
        return 3 * torch.stack([along, torch.rand(count, generator=random)], dim=1) - 1.5
    if name == "spiral":
        angle = 3 * torch.pi * along.sqrt()
        found = torch.stack([angle * angle.cos(), angle * angle.sin()], dim=1) + 0.5 * noise[:, :2]
    else:  # moons
        angle, upper = torch.pi * along, torch.arange(count) % 2 == 0
        x = torch.where(upper, angle.cos(), 1 - angle.cos())
        y = torch.where(upper, angle.sin(), 0.5 - angle.sin())
        found = torch.stack([x, y], dim=1) + 0.1 * noise[:, :2]
    return (found - found.mean(dim=0)) / found.std(dim=0)


class TwoModes(nn.Module):
    """A generator that can only give what is near two real points."""

    def __init__(self, network: nn.Module, data: Tensor) -> None:
        super().__init__()
        self.network = network
        far = torch.cdist(data[:1], data[:512])[0].argmax()
        self.two = torch.stack([data[0], data[far]])

    def forward(self, noise: Tensor) -> Tensor:
        """Samples ``[N, D]``."""
        return self.two[(noise[:, 0] > 0).long()] + 0.1 * torch.tanh(self.network(noise))


class OneSample(nn.Module):
    """A generator that does not look at its noise."""

    def __init__(self, network: nn.Module) -> None:
        super().__init__()
        self.network = network

    def forward(self, noise: Tensor) -> Tensor:
        """Samples ``[N, D]``, all alike."""
        return self.network(torch.zeros_like(noise))


def network(inputs: int, outputs: int, hidden: Sequence[int], slope: float) -> nn.Sequential:
    """A perceptron."""
    sizes, layers = [inputs, *hidden], []
    for one, other in pairwise(sizes):
        layers += [nn.Linear(one, other), nn.LeakyReLU(slope)]
    return nn.Sequential(*layers, nn.Linear(sizes[-1], outputs))


def watched(run: WatchedRun) -> dict[str, Any]:
    """Trains one GAN, and returns its row: what advice said, and how well the data is covered at the end."""
    torch.manual_seed(1000 * run.seed + (run.split == "judge"))
    random = torch.Generator().manual_seed(run.seed)
    data = points(run.data, random)
    hidden, slope = ((96, 96), 0.2) if run.split == "tune" else ((128, 64), 0.1)
    generator: nn.Module = network(8, data.shape[1], hidden, 0.0)
    discriminator = network(data.shape[1], 1, hidden, slope)
    if run.kind == "two-modes":
        generator = TwoModes(generator, data)
    if run.kind == "one-sample":
        generator = OneSample(generator)
    rate = {"rates-too-low": 1e-5, "rates-too-high": 1e-1}.get(run.kind, 1e-3)
    strong = 30.0 if run.kind == "strong-discriminator" else 1.0
    g_optimizer = torch.optim.Adam(generator.parameters(), lr=rate / strong, betas=(0.5, 0.99))
    d_optimizer = torch.optim.Adam(discriminator.parameters(), lr=rate * strong, betas=(0.5, 0.99))
    scheduler = GANScheduler(
        "constant", g_optimizer, d_optimizer, total_steps=run.steps, interval=max(1, run.steps // INTERVALS),
        loss=run.loss, mode="log",
    )  # fmt: skip
    loss = LOSSES[run.loss]
    broke = run.steps // 3 if run.kind == "not-finite" else 0
    said: list[tuple[int, str, str]] = []
    for step in range(run.steps):
        real = data[torch.randint(len(data), (run.batch,), generator=random)]
        noise = torch.randn(run.batch, 8, generator=random)
        fake = generator(noise)
        real_logits, fake_logits = discriminator(real), discriminator(fake.detach())
        d_loss = loss.discriminator(real_logits.T, fake_logits.T).mean()
        if run.kind == "not-finite" and step >= broke:
            d_loss = d_loss * float("nan")
        d_optimizer.zero_grad()
        (d_loss + 0.05 * _penalty(discriminator, real)).backward()
        if run.kind != "dead-discriminator":
            d_optimizer.step()
        if run.kind != "dead-generator":
            g_loss = loss.generator(real_logits.detach().T, discriminator(fake).T).mean()
            g_optimizer.zero_grad()
            g_loss.backward()
            g_optimizer.step()
        controls = scheduler.step(
            real_logits=real_logits, fake_logits=fake_logits, discriminator_loss=d_loss, samples=fake, real_samples=real
        )
        if (step + 1) % scheduler.options.interval == 0:
            said.append((step + 1, controls.advice.status, controls.advice.cause))
    named = next((step for step, _, cause in said if step > broke and cause == CAUSES.get(run.kind)), None)
    first = next(([step, cause] for step, status, cause in said if status != "ok"), None)
    return {
        **asdict(run),
        "version": __version__,
        "named_after": None if named is None else round((named - broke) / run.steps, 4),
        "first": first,
        "falsely_named": sorted({cause for _, status, cause in said if status in BAD}) if run.kind == "healthy" else [],
        "causes": sorted({cause for _, _, cause in said if cause}),
        "coverage": round(_coverage(generator, data, random), 4),
    }


def _penalty(discriminator: nn.Module, real: Tensor) -> Tensor:
    """A zero-centred penalty on real points, which keeps healthy runs healthy."""
    points = real.detach().requires_grad_()
    (slope,) = torch.autograd.grad(discriminator(points).sum(), points, create_graph=True)
    return slope.square().sum(dim=1).mean()


@torch.no_grad()
def _coverage(generator: nn.Module, data: Tensor, random: torch.Generator) -> float:
    real = data[torch.randperm(len(data), generator=random)[:512]]
    fake = generator(torch.randn(len(real), 8, generator=random))
    if not fake.isfinite().all():
        return 0.0
    _, coverage = precision_and_coverage(fake[None], real[None], neighbour_radii(real)[None])
    return float(coverage[0])


def runs(split: str, steps: int) -> Iterator[WatchedRun]:
    """All runs of a split: three of each broken kind, and as many healthy ones."""
    data = DATA[split]
    losses = ("non-saturating", "hinge", "lsgan")
    for kind in CAUSES:
        for seed, (loss, batch) in enumerate(zip(losses, (64, 128, 32), strict=True)):
            yield WatchedRun(split, kind, data[seed % len(data)], loss, batch, 20 + seed, steps)
    for place, name in enumerate(data):
        for loss in losses:
            for batch in (8, 64, 256):
                yield WatchedRun(split, "healthy", name, loss, batch, 30 + place, steps)


def run_detector_study(study: DetectorStudy, show: Callable[[str], None] = print) -> Path:
    """Does what is missing, and writes the table; returns the directory.

    Raises:
        FileFormatError: the rows in it are damaged.
    """
    out = make_directory(study.out)
    rows = read_lines(out / ROWS) if (out / ROWS).exists() else []
    done = {tuple(row[name] for name in WatchedRun.__dataclass_fields__) for row in rows}
    torch.set_num_threads(1)
    for run in runs(study.split, study.steps):
        if tuple(asdict(run).values()) not in done:
            row = watched(run)
            append_lines(out / ROWS, [row])
            rows.append(row)
            show(f"{run.kind} {run.data} {run.loss} {run.batch}: {row['named_after']}, {row['causes']}")
    write_whole(
        out / "summary.md", summary([row for row in rows if row["split"] == study.split], called_as("detector_study"))
    )
    return out


def summary(rows: Sequence[dict[str, Any]], command: str) -> str:
    """The table of hits and false alarms."""
    table = []
    for kind, cause in CAUSES.items():
        own = [row for row in rows if row["kind"] == kind]
        hits = [row for row in own if row["named_after"] is not None and row["named_after"] <= IN_TIME]
        table.append([kind, cause, f"{len(hits)} of {len(own)}"])
    nobody = [row for row in rows if row["kind"] == "healthy"]
    healthy = [row for row in nobody if row["coverage"] >= COVERED]
    false, noted = ([row for row in healthy if row[name]] for name in ("falsely_named", "causes"))
    causes = ", ".join(sorted({cause for row in noted for cause in row["causes"]})) or "none"
    named, broken = (sum(int(line[2].split(" of ")[place]) for line in table) for place in (0, 1))
    return "\n".join([
        "# Advice, measured",
        "",
        f"Made by `{command}`",
        "",
        markdown_table(["broken by", "right cause", "named within a tenth of the run"], table),
        "",
        f"Of {broken} broken runs, {named} were named with the right cause within a tenth of the run.",
        f"Of {len(healthy)} healthy runs, {len(false)} were called collapsing or diverged.",
        f"{len(noted)} were given some cause at some time: {causes}.",
        f"{len(nobody) - len(healthy)} runs that nobody broke covered too little in the end, and are not counted.",
        "",
    ])  # fmt: skip


if __name__ == "__main__":
    run_command(DetectorStudy, lambda study: run_detector_study(study, show_line))
