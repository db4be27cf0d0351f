"""How fast populations train, and where the time goes.

``python -m metagan_rl.experiments.studies.throughput [--quick]``

Both sides of every comparison take turns in one process (or one pool of processes), so that a ratio does not depend on
how busy the machine is; rates do. Rows, by ``kind``:

* ``updates``: a population against separate GANs as anyone would write them (nn.Module, torch.optim.Adam), one thread;
  the share of the peak of the hidden layer's product, measured in the same turns.
* ``convolutional``: the same for convolutional networks on 8x8 and 28x28 images, without peak.
* ``forms``: one convolution of 16 members, forward and both gradients, in each of its forms and grouped.
* ``environments``: the sharded vector environment against as many single environments around separate GANs under
  Gymnasium's ``AsyncVectorEnv``, all cores, same networks, batch, losses and metric.
* ``noise``: what a chunk of members needs for one interval, drawn member by member or by counters, on the CPU.
* ``scaling``: seconds against members, and against updates, with a straight line through them.
* ``profile``: shares of a vector environment's step.
* ``agent``: recurrent PPO's update on trial-shaped rollouts, sb3-contrib's loop over time against one call.
"""

import cProfile
import json
import math
import os
import platform
import pstats
import resource
import statistics
import time
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, replace
from functools import partial
from pathlib import Path
from typing import Any, Literal, get_args

import gymnasium as gym
import numpy as np
import torch
import tyro
from gymnasium.utils.performance import benchmark_vector_step
from gymnasium.vector import AsyncVectorEnv

from metagan_rl import __version__
from metagan_rl.envs.sharded import ShardedVectorEnv
from metagan_rl.envs.vector import MetaGANVectorEnv
from metagan_rl.experiments.studies.separate import KNOBS, UPDATES, SeparateGAN, SeparateGANEnv
from metagan_rl.files import write_whole
from metagan_rl.losses import LOSSES
from metagan_rl.networks.convolution import (
    KERNEL,
    SMALL_IMAGE,
    Convolution,
    InTurns,
    Patches,
    Unrolled,
    convolution,
)
from metagan_rl.populations import Population
from metagan_rl.populations.drawing import Noise
from metagan_rl.populations.settings import CYCLE, Settings
from metagan_rl.runtime import prepare_process
from metagan_rl.tasks import Task, get_suite

TWINS = 16
"""Separate GANs that take turns with a population, or as many as it has members."""
PENALTIES = {"none": ("non-saturating", 0.0), "zero-centred": ("non-saturating", 0.1), "one-centred": ("wgan", 0.1)}
PARTS = {
    ("population.py", "_inputs"): "data",
    ("interval.py", "_discriminator_gradient"): "discriminator",
    ("interval.py", "_generator_gradient"): "generator",
    ("interval.py", "_step"): "optimizer",
    ("evaluation.py", "evaluate"): "metrics",
}
"""Functions whose time, with all they call, is one part of a step; the rest is signals, bookkeeping and Python."""


Kind = Literal["updates", "convolutional", "forms", "noise", "scaling", "profile", "environments", "agent"]


@dataclass
class Throughput:
    """Options of the measurement."""

    out: Path = Path("throughput.jsonl")
    """File for the rows."""
    quick: bool = False
    """Fewer sizes and turns: about two minutes."""
    rounds: int | None = None
    """Turns each side takes, 7 or 3; the median ratio is reported."""
    only: Kind | None = None
    """Rows of one kind, which replace those in the file; the others stay."""

    @property
    def turns(self) -> int:
        """Turns each side takes."""
        return self.rounds or (3 if self.quick else 7)


Measurement = dict[str, Any]
"""A row of ``throughput.jsonl``; its columns are those of its kind."""


def measure(options: Throughput) -> Iterator[Measurement]:
    """All rows, or those of one kind, as they are measured."""
    measured = sections(options)
    for kind in get_args(Kind) if options.only is None else (options.only,):
        yield from measured[kind]()


def sections(options: Throughput) -> dict[Kind, Callable[[], Iterator[Measurement]]]:
    """What measures the rows of each kind."""
    turns, quick = options.turns, options.quick
    task = get_suite("planar").split("train")[0]

    def updates() -> Iterator[Measurement]:
        for members in (1, 16, 128) if quick else (1, 4, 16, 64, 256, 1024):
            yield _updates(task, members, "none", turns)
        for penalty in ("zero-centred", "one-centred"):
            for members in (16,) if quick else (16, 128):
                yield _updates(task, members, penalty, turns)
        for width in () if quick else (32, 128, 256):
            yield _updates(_reshaped(task, width, task.base.batch_size), 16, "none", turns)
        for batch in () if quick else (64, 256):
            yield _updates(_reshaped(task, task.networks.width, batch), 16, "none", turns)

    def convolutional() -> Iterator[Measurement]:
        digits, mnist = (get_suite(suite).split("train")[0] for suite in ("digits", "mnist"))
        networks = replace(mnist.networks, latent_dim=digits.networks.latent_dim)
        small = replace(digits, networks=networks, base=replace(digits.base, batch_size=mnist.base.batch_size))
        for images in (small,) if quick else (small, mnist):
            for penalty in ("none",) if quick else ("none", "zero-centred"):
                yield _convolutional(images, penalty, turns)

    def scaling() -> Iterator[Measurement]:
        yield _scaling("members", task, [(members, UPDATES) for members in (16, 32, 64, 128)], turns)
        yield _scaling("updates", task, [(16, updates) for updates in (24, 48, 96, 192)], turns)

    return {
        "updates": updates,
        "convolutional": convolutional,
        "forms": lambda: _forms(turns),
        "noise": lambda: iter([_noise(task, 32, turns)]),
        "scaling": scaling,
        "profile": lambda: iter([_profile()]),
        "environments": lambda: iter([_environments(16, turns, seconds=4 if quick else 10)]),
        "agent": lambda: iter([_agent(turns)]),
    }


def _reshaped(task: Task, width: int, batch: int) -> Task:
    return replace(task, networks=replace(task.networks, width=width), base=replace(task.base, batch_size=batch))


def _population(task: Task, members: int, penalty: str = "none") -> tuple[Population, Settings]:
    loss, weight = PENALTIES[penalty]
    settings = Settings.of([task.base] * members).replace(
        loss=np.full(members, LOSSES.index(loss)), penalty_weight=np.full(members, weight)
    )
    return Population([task] * members, list(range(members))), settings


def _updates(task: Task, members: int, penalty: str, turns: int) -> Measurement:
    population, settings = _population(task, members, penalty)
    twins = [SeparateGAN(task, *PENALTIES[penalty]) for _ in range(min(members, TWINS))]
    width, batch = task.networks.width, task.base.batch_size

    def separately() -> None:
        for gan in twins:
            gan.train(UPDATES, (1, 1))

    ours, theirs, products = _in_turns(
        [lambda: population.train(settings, UPDATES), separately, _products(width, batch)], turns
    )
    per_update = [seconds / (UPDATES * members) for seconds in ours]
    flops = flops_per_update(task)
    shares = [flops / one / (products_flops(width, batch) / two) for one, two in zip(per_update, products, strict=True)]
    return {
        "kind": "updates",
        "members": members,
        "penalty": penalty,
        "width": width,
        "batch": batch,
        "population_updates_per_second": round(1 / statistics.median(per_update)),
        "separate_updates_per_second": round(UPDATES * len(twins) / statistics.median(theirs)),
        "ratio": _median([two / (UPDATES * len(twins)) / one for one, two in zip(per_update, theirs, strict=True)], 3),
        "peak_share": _median(shares, 3) if penalty == "none" else None,
        "megaflop_per_update": round(flops / 1e6, 2),
        "kilobytes_per_member": round(population.bytes_per_member() / 1024, 1),
        "process_megabytes": _process_megabytes(),
    }


def _convolutional(task: Task, penalty: str, turns: int) -> Measurement:
    population, settings = _population(task, TWINS, penalty)
    twins = [SeparateGAN(task, *PENALTIES[penalty]) for _ in range(TWINS)]

    def separately() -> None:
        for gan in twins:
            gan.train(CYCLE, (1, 1))

    ours, theirs = _in_turns([lambda: population.train(settings, CYCLE), separately], turns)
    return {
        "kind": "convolutional",
        "members": TWINS,
        "images": f"{math.isqrt(task.dim)}x{math.isqrt(task.dim)}",
        "penalty": penalty,
        "width": task.networks.width,
        "batch": task.base.batch_size,
        "population_updates_per_second": round(TWINS * CYCLE / statistics.median(ours)),
        "separate_updates_per_second": round(TWINS * CYCLE / statistics.median(theirs)),
        "ratio": _median([b / a for a, b in zip(ours, theirs, strict=True)]),
        "kilobytes_per_member": round(population.bytes_per_member() / 1024, 1),
    }


def _forms(turns: int) -> Iterator[Measurement]:
    for side, fine, coarse in ((8, 1, 16), (4, 16, 32), (28, 1, 16), (14, 16, 32)):
        kernel = torch.randn(TWINS, KERNEL, KERNEL, fine, coarse)
        image, halved = torch.randn(TWINS, 128, side**2 * fine), torch.randn(TWINS, 128, (side // 2) ** 2 * coarse)
        kinds = (Unrolled, Patches, InTurns) if side <= SMALL_IMAGE else (Patches, InTurns)
        forms: list[Convolution] = [kind(side, fine, coarse) for kind in kinds]
        calls: list[Callable[[], object]] = [partial(_all_three, form, kernel, image, halved) for form in forms]
        calls.append(_grouped(side, kernel))
        times = _in_turns(calls, turns)
        names = [*(kind.__name__.lower() for kind in kinds), "grouped"]
        yield {
            "kind": "forms",
            "side": side,
            "channels": [fine, coarse],
            "chosen": type(convolution(side, fine, coarse)).__name__.lower(),
            "milliseconds": {n: round(1e3 * statistics.median(t), 2) for n, t in zip(names, times, strict=True)},
        }


def _all_three(form: Convolution, kernel: torch.Tensor, image: torch.Tensor, halved: torch.Tensor) -> None:
    form.down(kernel, image)
    form.up(kernel, halved)
    form.by_kernel(image, halved)


def _grouped(side: int, kernel: torch.Tensor) -> Callable[[], object]:
    """The same three of torch's convolution with a group for each member, on tensors laid out for it."""
    members, _, _, fine, coarse = kernel.shape
    weight = kernel.permute(0, 4, 3, 1, 2).reshape(members * coarse, fine, KERNEL, KERNEL).contiguous().requires_grad_()
    image = torch.randn(128, members * fine, side, side, requires_grad=True)
    gradient = torch.randn(128, members * coarse, side // 2, side // 2)

    def call() -> object:
        values = torch.nn.functional.conv2d(image, weight, stride=2, padding=1, groups=members)
        return torch.autograd.grad(values, (image, weight), gradient)

    return call


def _noise(task: Task, members: int, turns: int) -> Measurement:
    places = np.arange(members)
    populations = [Population([task] * members, list(range(members)), noise=noise) for noise in get_args(Noise)]
    settings = Settings.of([task.base] * members)
    calls: list[Callable[[], object]] = [partial(each._inputs, places, each.state, UPDATES) for each in populations]
    calls.append(lambda: populations[0].train(settings, UPDATES))
    *drawing, training = _in_turns(calls, turns)
    return {
        "kind": "noise",
        "members": members,
        "updates": UPDATES,
        "milliseconds": {
            name: round(1e3 * statistics.median(times), 2) for name, times in zip(get_args(Noise), drawing, strict=True)
        },
        "share_of_interval": {
            name: _median([a / b for a, b in zip(times, training, strict=True)], 3)
            for name, times in zip(get_args(Noise), drawing, strict=True)
        },
    }


def _scaling(what: str, task: Task, sizes: Sequence[tuple[int, int]], turns: int) -> Measurement:
    populations = [(*_population(task, members), updates) for members, updates in sizes]
    calls = [lambda p=p, c=c, u=u: p.train(c, u) for p, c, u in populations]
    seconds = [min(times) for times in _in_turns(calls, turns)]
    x = np.array([members * updates for members, updates in sizes], dtype=np.float64)
    slope, offset = np.polyfit(x, seconds, 1)
    residual = np.array(seconds) - (slope * x + offset)
    return {
        "kind": "scaling",
        "in": what,
        "sizes": [members if what == "members" else updates for members, updates in sizes],
        "milliseconds": [round(1e3 * value, 1) for value in seconds],
        "microseconds_per_update": round(1e6 * slope, 1),
        "milliseconds_at_zero": round(1e3 * offset, 2),
        "r_squared": round(1 - float(residual.var() / np.var(seconds)), 4),
    }


def _profile() -> Measurement:
    """Shares of a step of 128 members whose controls are drawn at random, as an exploring agent's are."""
    env = MetaGANVectorEnv("planar", 128, split="train")
    env.reset(seed=0)
    env.action_space.seed(0)
    env.step(env.action_space.sample())
    profiler = cProfile.Profile()
    profiler.enable()
    for _ in range(4):
        env.step(env.action_space.sample())
    profiler.disable()
    stats: dict[Any, Any] = vars(pstats.Stats(profiler))["stats"]
    seconds = {(Path(file).name, function): entry[3] for (file, _, function), entry in stats.items()}  # cumulative
    total, training = seconds["vector.py", "step"], seconds["mixed.py", "train"]
    shares = {part: seconds[function] / total for function, part in PARTS.items()}
    shares["recording and planning"] = training / total - (sum(shares.values()) - shares["metrics"])
    shares["environment"] = 1 - training / total - shares["metrics"]
    return {
        "kind": "profile",
        "members": env.num_envs,
        "shares": {part: round(share, 3) for part, share in shares.items()},
        "process_megabytes": _process_megabytes(),
    }


def _process_megabytes() -> int:
    """The most memory this process has had so far."""
    return round(resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024)


def _environments(members: int, turns: int, seconds: int) -> Measurement:
    options = {"split": "train", "knobs": KNOBS}
    cores = os.cpu_count() or 1
    theirs = AsyncVectorEnv([SeparateGANEnv for _ in range(members)], context="spawn")
    ours: Any = ShardedVectorEnv("MetaGAN/Planar-v0", members, cores, **options)
    large: Any = ShardedVectorEnv("MetaGAN/Planar-v0", 8 * members, cores, **options)
    try:
        rates = [
            [benchmark_vector_step(env, target_duration=seconds, seed=turn) for env in (ours, large, theirs)]
            for turn in range(max(1, turns // 2))
        ]
    finally:
        for env in (ours, large, theirs):
            env.close()
    ours_, large_, theirs_ = (statistics.median(each) for each in zip(*rates, strict=True))
    return {
        "kind": "environments",
        "members": members,
        "cores": cores,
        "steps_per_second": round(ours_, 2),
        "separate_steps_per_second": round(theirs_, 2),
        "updates_per_second": round(UPDATES * ours_),
        "separate_updates_per_second": round(UPDATES * theirs_),
        "ratio": _median([a / c for a, _, c in rates]),
        "members_large": 8 * members,
        "updates_per_second_large": round(UPDATES * large_),
        "ratio_large": _median([b / c for _, b, c in rates]),
    }


class _Trials(gym.Env[np.ndarray, np.ndarray]):
    """Episodes of 64 steps with the spaces of planar trials; what is in them does not matter to the update's time."""

    def __init__(self) -> None:
        env = MetaGANVectorEnv("planar", 1, trial_runs=1)
        self.observation_space, self.action_space = env.single_observation_space, env.single_action_space

    def reset(
        self, *, seed: int | None = None, options: dict[str, Any] | None = None
    ) -> tuple[np.ndarray, dict[str, Any]]:
        super().reset(seed=seed)
        self.steps = 0
        return self.observation_space.sample(), {}

    def step(self, action: np.ndarray) -> tuple[np.ndarray, float, bool, bool, dict[str, Any]]:
        self.steps += 1
        return self.observation_space.sample(), float(self.np_random.normal()), self.steps == 64, False, {}


def _agent(turns: int) -> Measurement:
    from sb3_contrib import RecurrentPPO
    from stable_baselines3.common.vec_env import DummyVecEnv

    from metagan_rl.agents.learners.sb3.fast_recurrent_ppo import FastRecurrentPPO
    from metagan_rl.agents.learners.sb3.policies import FastLstmPolicy

    options = {"lstm_hidden_size": 64, "net_arch": {"pi": [64], "vf": [64]}, "enable_critic_lstm": True}
    models = []
    pairs: tuple[tuple[type[RecurrentPPO], Any], ...] = (
        (FastRecurrentPPO, FastLstmPolicy),
        (RecurrentPPO, "MlpLstmPolicy"),
    )
    for algorithm, policy in pairs:
        env = DummyVecEnv([_Trials] * 64)
        model = algorithm(
            policy, env, n_steps=64, batch_size=1024, n_epochs=1, gamma=1.0, seed=0, device="cpu", policy_kwargs=options
        )
        model.learn(64 * 64)
        models.append(model)
    ours, stock = _in_turns([model.train for model in models], turns)
    return {
        "kind": "agent",
        "rollout": "64 trials of 64 steps, minibatches of 16 trials, one epoch",
        "update_seconds": round(statistics.median(ours), 3),
        "stock_update_seconds": round(statistics.median(stock), 3),
        "ratio": _median([b / a for a, b in zip(ours, stock, strict=True)]),
    }


def _in_turns(calls: Sequence[Callable[[], object]], turns: int) -> list[list[float]]:
    """Seconds of each call, turn by turn; a first turn warms up."""
    seconds: list[list[float]] = [[] for _ in calls]
    for turn in range(turns + 1):
        for place, call in enumerate(calls):
            started = time.perf_counter()
            call()
            if turn:
                seconds[place].append(time.perf_counter() - started)
    return seconds


REPEATS = 40


def _products(width: int, batch: int) -> Callable[[], object]:
    """The hidden layer's product of D for 16 members, 40 times."""
    a, b = torch.randn(16, 2 * batch, width), torch.randn(16, width, width)

    def call() -> None:
        for _ in range(REPEATS):
            torch.bmm(a, b)

    return call


def products_flops(width: int, batch: int) -> float:
    """Floating-point operations of one call of that."""
    return REPEATS * 16 * 2.0 * 2 * batch * width * width


def flops_per_update(task: Task) -> float:
    """Mean of a D and a G update at ratio 1:1 without penalty, products only."""
    width, latent, batch = task.networks.width, task.networks.latent_dim, task.base.batch_size
    hidden = (task.networks.depth - 1) * width * width
    generator = 2.0 * batch * (latent * width + hidden + width * task.dim)
    discriminator = 2.0 * batch * (task.dim * width + hidden + width)
    # backward: twice the forward, but no gradient by the network's input (D's update) or by D's weights (G's update)
    discriminators = generator + 2 * (3 * discriminator - 2.0 * batch * task.dim * width)
    generators = 3 * generator - 2.0 * batch * latent * width + 2 * discriminator
    return (discriminators + generators) / 2


def _median(values: Sequence[float], digits: int = 2) -> float:
    return round(statistics.median(values), digits)


def machine() -> str:
    """The processor, as it calls itself, and its cores."""
    try:
        lines = Path("/proc/cpuinfo").read_text(encoding="utf-8").splitlines()
        name = next(line.split(":", 1)[1].strip() for line in lines if line.startswith("model name"))
    except (OSError, StopIteration):
        name = platform.processor() or platform.machine()
    return f"{name}, {os.cpu_count()} cores, {torch.backends.cpu.get_cpu_capability()}"


def main() -> None:
    """Measures and writes the rows."""
    prepare_process()
    options = tyro.cli(Throughput)
    lines = options.out.read_text(encoding="utf-8").splitlines() if options.only and options.out.exists() else []
    rows: list[Measurement] = [row for row in map(json.loads, lines) if row["kind"] != options.only]
    for row in measure(options):
        rows.append({**row, "machine": machine(), "torch": torch.__version__.split("+")[0], "version": __version__})
        print(json.dumps(row), flush=True)
        write_whole(options.out, "".join(json.dumps(each) + "\n" for each in rows))


if __name__ == "__main__":
    main()
