"""Where time goes within a step, and what single parts of it cost."""

import cProfile
import pstats
import time
from collections.abc import Callable, Iterator
from concurrent.futures import ProcessPoolExecutor
from functools import partial
from multiprocessing import get_context
from pathlib import Path
from typing import Any, get_args

import gymnasium as gym
import numpy as np
import torch

from metagan_rl.envs.vector import MetaGANVectorEnv
from metagan_rl.experiments.studies.separate import UPDATES
from metagan_rl.experiments.studies.throughput.engines import engines
from metagan_rl.experiments.studies.throughput.training import TWINS, Measurement
from metagan_rl.experiments.studies.throughput.turns import Side, median, ratios, take_turns
from metagan_rl.networks.convolution import (
    KERNEL,
    SMALL_IMAGE,
    Convolution,
    InTurns,
    Patches,
    Unrolled,
    convolution,
)
from metagan_rl.populations import Population, Settings
from metagan_rl.populations.drawing import Noise
from metagan_rl.runtime import prepare_process
from metagan_rl.tasks import Task

PARTS = {
    ("native_engine.py", "train"): "native engine",
    ("torch_engine.py", "inputs"): "data",
    ("interval.py", "_discriminator_gradient"): "discriminator",
    ("interval.py", "_generator_gradient"): "generator",
    ("interval.py", "_step"): "optimizer",
}
"""Functions whose time, with all they call, is one part of a step."""
FORMS = (Unrolled, Patches, InTurns)


def forms(turns: int) -> Iterator[Measurement]:
    """One convolution of 16 members at each size: milliseconds of all three products, in each form and grouped."""
    for side, fine, coarse in ((8, 1, 16), (4, 16, 32), (28, 1, 16), (14, 16, 32)):
        kernel = torch.randn(TWINS, KERNEL, KERNEL, fine, coarse)
        image, halved = torch.randn(TWINS, 128, side**2 * fine), torch.randn(TWINS, 128, (side // 2) ** 2 * coarse)
        kinds = FORMS if side <= SMALL_IMAGE else FORMS[1:]
        sides = [
            Side(kind.__name__.lower(), partial(_all_three, kind(side, fine, coarse), kernel, image, halved))
            for kind in kinds
        ]
        sides.append(Side("grouped", _grouped(side, kernel)))
        yield {
            "kind": "forms",
            "side": side,
            "channels": [fine, coarse],
            "chosen": type(convolution(side, fine, coarse)).__name__.lower(),
            "milliseconds": {name: median([1e3 / rate for rate in r]) for name, r in take_turns(sides, turns).items()},
        }


def _all_three(form: Convolution, kernel: torch.Tensor, image: torch.Tensor, halved: torch.Tensor) -> int:
    form.down(kernel, image)
    form.up(kernel, halved)
    form.by_kernel(image, halved)
    return 1


def _grouped(side: int, kernel: torch.Tensor) -> Callable[[], int]:
    """The same three of torch's convolution with a group for each member, on tensors laid out for it."""
    members, _, _, fine, coarse = kernel.shape
    weight = kernel.permute(0, 4, 3, 1, 2).reshape(members * coarse, fine, KERNEL, KERNEL).contiguous().requires_grad_()
    image = torch.randn(128, members * fine, side, side, requires_grad=True)
    gradient = torch.randn(128, members * coarse, side // 2, side // 2)

    def call() -> int:
        values = torch.nn.functional.conv2d(image, weight, stride=2, padding=1, groups=members)
        torch.autograd.grad(values, (image, weight), gradient)
        return 1

    return call


def noise(task: Task, members: int, turns: int) -> Measurement:
    """Milliseconds of an interval by each engine and stream."""
    settings = Settings.of([task.base] * members)

    def side(engine: str, stream: str) -> Side:
        population = Population([task] * members, list(range(members)), noise=stream, engine=engine)

        def run() -> int:
            population.train(settings, UPDATES)
            return 1

        return Side(f"{engine}, {stream}", run)

    rates = take_turns([side(engine, stream) for engine in engines() for stream in get_args(Noise)], turns)
    return {
        "kind": "noise",
        "members": members,
        "updates": UPDATES,
        "milliseconds": {name: median([1e3 / rate for rate in each]) for name, each in rates.items()},
    }


def profile(engine: str, members: int = 128, steps: int = 4) -> Measurement:
    """Shares of a step of members whose controls are drawn at random, and the memory of a process of its own."""
    with ProcessPoolExecutor(1, get_context("spawn"), prepare_process) as alone:
        return alone.submit(_profile, engine, members, steps).result()


def _profile(engine: str, members: int, steps: int) -> Measurement:
    env = MetaGANVectorEnv("planar", members, split="train", engine=engine)
    env.reset(seed=0)
    env.action_space.seed(0)
    env.step(env.action_space.sample())
    profiler = cProfile.Profile(time.process_time)
    profiler.enable()
    for _ in range(steps):
        env.step(env.action_space.sample())
    profiler.disable()
    return {
        "kind": "profile",
        "engine": engine,
        "members": members,
        "shares": {part: round(share, 3) for part, share in shares_of(vars(pstats.Stats(profiler))["stats"]).items()},
        "process_megabytes": _most_megabytes(),
    }


def _most_megabytes() -> int | None:
    """The most memory that this process has had; ``None`` where Linux does not tell.

    A process inherits ``getrusage``'s answer from the one that started it, but not this.
    """
    try:
        lines = Path("/proc/self/status").read_text(encoding="utf-8").splitlines()
    except OSError:
        return None
    return next((int(line.split()[1]) // 1024 for line in lines if line.startswith("VmHWM")), None)


def shares_of(stats: dict[Any, Any]) -> dict[str, float]:
    """Shares of a step by part, from the cumulative times of ``pstats``."""
    seconds = {(Path(file).name, function): entry[3] for (file, _, function), entry in stats.items()}
    total = seconds["vector.py", "step"]
    training, metrics = (
        seconds.get(function, 0.0) / total for function in (("mixed.py", "train"), ("evaluation.py", "evaluate"))
    )
    shares = {part: seconds[function] / total for function, part in PARTS.items() if function in seconds}
    shares["rest of training"] = training - sum(shares.values())
    return {**shares, "metrics": metrics, "environment": 1 - training - metrics}


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


def agent(turns: int) -> Measurement:
    """Recurrent PPO's update, ours against sb3-contrib's."""
    from sb3_contrib import RecurrentPPO
    from stable_baselines3.common.vec_env import DummyVecEnv

    from metagan_rl.agents.learners.sb3.fast_recurrent_ppo import FastRecurrentPPO
    from metagan_rl.agents.learners.sb3.policies import FastLstmPolicy

    options = {"lstm_hidden_size": 64, "net_arch": {"pi": [64], "vf": [64]}, "enable_critic_lstm": True}
    sides = []
    kinds: tuple[tuple[str, type[RecurrentPPO], Any], ...] = (
        ("ours", FastRecurrentPPO, FastLstmPolicy),
        ("stock", RecurrentPPO, "MlpLstmPolicy"),
    )
    for name, algorithm, policy in kinds:
        env = DummyVecEnv([_Trials] * 64)
        model = algorithm(
            policy, env, n_steps=64, batch_size=1024, n_epochs=1, gamma=1.0, seed=0, device="cpu", policy_kwargs=options
        )
        model.learn(64 * 64)
        sides.append(Side(name, partial(_updated, model)))
    rates = take_turns(sides, turns)
    return {
        "kind": "agent",
        "rollout": "64 trials of 64 steps, minibatches of 16 trials, one epoch",
        "update_seconds": median([1 / rate for rate in rates["ours"]], 3),
        "stock_update_seconds": median([1 / rate for rate in rates["stock"]], 3),
        "ratio": ratios(rates)["ours/stock"],
    }


def _updated(model: Any) -> int:
    model.train()
    return 1
