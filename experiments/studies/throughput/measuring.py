"""The study's options, the rows of each kind, and the file that they go to."""

import json
import os
import platform
from collections.abc import Callable, Iterator
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Literal, get_args

import torch

from metagan_rl import __version__
from metagan_rl.engine.library import Library, load_library
from metagan_rl.experiments.benchmark.records import read_lines
from metagan_rl.experiments.studies.command import show_line
from metagan_rl.experiments.studies.separate import UPDATES
from metagan_rl.experiments.studies.throughput import environments, parts, training
from metagan_rl.experiments.studies.throughput.engines import engines, missing
from metagan_rl.experiments.studies.throughput.training import Measurement, reshaped
from metagan_rl.files import write_whole
from metagan_rl.records import line_of
from metagan_rl.tasks import get_suite

Kind = Literal[
    "updates",
    "variants",
    "random",
    "single",
    "convolutional",
    "forms",
    "environments",
    "noise",
    "scaling",
    "profile",
    "agent",
]


@dataclass
class Throughput:
    """Measure how fast GANs train, side by side. All of it takes under 20 minutes of two quiet cores."""

    out: Path = Path("throughput.jsonl")
    """File for the rows."""
    quick: bool = False
    """Fewer sizes and turns: under three minutes."""
    rounds: int | None = None
    """Turns each side takes, 7 or 3; medians over turns are reported."""
    only: Kind | None = None
    """Rows of one kind, which replace those in the file; the others stay."""

    @property
    def turns(self) -> int:
        """Turns each side takes."""
        return self.rounds or (3 if self.quick else 7)


def sections(options: Throughput) -> dict[Kind, Callable[[], Iterator[Measurement]]]:
    """What measures the rows of each kind."""
    turns, quick = options.turns, options.quick
    task = get_suite("planar").split("train")[0]

    def updates() -> Iterator[Measurement]:
        for members in (1, 16) if quick else (1, 4, 16, 128, 1024):
            yield training.updates(task, members, "none", turns)
        for penalty in ("zero-centred", "one-centred"):
            for members in (16,) if quick else (16, 128):
                yield training.updates(task, members, penalty, turns)
        for width in (32,) if quick else (32, 128, 256):
            yield training.updates(reshaped(task, width=width), 16, "none", turns)
        for batch in (32,) if quick else (32, 64, 256):
            yield training.updates(reshaped(task, batch=batch), 16, "none", turns)

    def under_random_controls() -> Iterator[Measurement]:
        for members in (16,) if quick else (16, 128):
            yield training.under_random_controls(task, members, turns)

    def convolutional() -> Iterator[Measurement]:
        digits, mnist = (get_suite(suite).split("train")[0] for suite in ("digits", "mnist"))
        networks = replace(mnist.networks, latent_dim=digits.networks.latent_dim)
        small = reshaped(replace(digits, networks=networks), batch=mnist.base.batch_size)
        for images in (small, mnist):
            for penalty in ("none",) if quick else ("none", "zero-centred"):
                yield training.convolutional(images, penalty, turns)

    def scaling() -> Iterator[Measurement]:
        for engine in engines():
            sizes = [(members, UPDATES) for members in ((8, 16, 32, 64) if quick else (16, 32, 64, 128))]
            yield training.scaling("members", task, sizes, engine, turns)
            sizes = [(16, updates) for updates in (24, 48, 96, 192)]
            yield training.scaling("updates", task, sizes, engine, turns)

    return {
        "updates": updates,
        "variants": lambda: iter([training.by_variants(task, 16, turns)]),
        "random": under_random_controls,
        "single": lambda: iter([environments.single(turns)]),
        "convolutional": convolutional,
        "forms": lambda: parts.forms(turns),
        "environments": lambda: iter([environments.on_all_cores(max(1, turns // 2), 2 if quick else 10)]),
        "noise": lambda: iter([parts.noise(task, 32, turns)]),
        "scaling": scaling,
        "profile": lambda: (parts.profile(engine, steps=2 if quick else 4) for engine in engines()),
        "agent": lambda: iter([parts.agent(turns)]),
    }


def write_rows(options: Throughput) -> None:
    """Measures, and writes each row as soon as it is there."""
    for side, reason in missing().items():
        show_line(f"left out: {side}: {reason}")
    if options.only is None:
        show_line(f"This takes under {'three' if options.quick else '20'} minutes of two quiet cores.")
    kept = read_lines(options.out) if options.only is not None and options.out.exists() else []
    rows = [row for row in kept if row["kind"] != options.only]
    measured = sections(options)
    library = load_library()
    told = {
        "machine": machine(),
        "variant": library.variant if isinstance(library, Library) else None,
        "torch": torch.__version__.split("+")[0],
        "version": __version__,
    }
    for kind in get_args(Kind) if options.only is None else (options.only,):
        for row in measured[kind]():
            rows.append({**row, **told})
            show_line(json.dumps(row))
            write_whole(options.out, "".join(map(line_of, rows)))


def machine() -> str:
    """The processor, as it calls itself, and its cores."""
    try:
        lines = Path("/proc/cpuinfo").read_text(encoding="utf-8").splitlines()
        name = next(line.split(":", 1)[1].strip() for line in lines if line.startswith("model name"))
    except (OSError, StopIteration):
        name = platform.processor() or platform.machine()
    return f"{name}, {os.cpu_count()} cores, {torch.backends.cpu.get_cpu_capability()}"
