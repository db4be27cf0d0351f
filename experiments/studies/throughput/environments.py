"""Environments against ordinary ones: one alone in CPU time, and many on all cores."""

import os
import statistics
from collections.abc import Callable
from functools import partial
from typing import Any

import gymnasium as gym
from gymnasium.vector import AsyncVectorEnv

import metagan_rl  # noqa: F401  (registers the environments)
from metagan_rl.envs.sharded import ShardedVectorEnv
from metagan_rl.experiments.studies.separate import KNOBS, UPDATES, SeparateGANEnv
from metagan_rl.experiments.studies.throughput.engines import SEPARATE, engines
from metagan_rl.experiments.studies.throughput.training import Measurement
from metagan_rl.experiments.studies.throughput.turns import Side, per_second, ratios, take_turns

ENVIRONMENT = "MetaGAN/Planar-v1"
OPTIONS: dict[str, Any] = {"split": "train", "knobs": KNOBS}


def single(turns: int) -> Measurement:
    """One environment with one GAN, stepped under random actions."""
    made = {engine: gym.make(ENVIRONMENT, disable_env_checker=True, **OPTIONS, engine=engine) for engine in engines()}
    rates = take_turns([_stepped(name, env) for name, env in {**made, SEPARATE: SeparateGANEnv()}.items()], turns)
    return {
        "kind": "single",
        "steps_per_second": per_second(rates, 1),
        "updates_per_second": {name: round(UPDATES * rate) for name, rate in per_second(rates, 3).items()},
        "ratios": ratios(rates),
    }


def _stepped(name: str, env: gym.Env[Any, Any]) -> Side:
    env.reset(seed=0)
    env.action_space.seed(0)
    ended = False

    def step() -> int:
        nonlocal ended
        _, _, terminated, truncated, _ = env.step(env.action_space.sample())
        ended = terminated or truncated
        return 1

    return Side(name, step, prepare=lambda: env.reset() if ended else None)


def on_all_cores(turns: int, seconds: int) -> Measurement:
    """Sharded environments of each engine, and ordinary ones, each with all cores for so many seconds in a turn."""
    from gymnasium.utils.performance import benchmark_vector_step  # releases before 1.2 do not have it

    cores = os.cpu_count() or 1
    members, large = 8 * max(2, cores), 64 * max(2, cores)
    made: dict[str, Callable[[], Any]] = {SEPARATE: lambda: AsyncVectorEnv([SeparateGANEnv] * members, context="spawn")}
    for engine in engines():
        for count in (members, large):
            options = {**OPTIONS, "engine": engine}
            made[f"{engine} {count}"] = partial(ShardedVectorEnv, ENVIRONMENT, count, cores, **options)
    envs: dict[str, Any] = {}
    rates: dict[str, list[float]] = {name: [] for name in made}
    try:
        for name, make in made.items():
            envs[name] = make()
        for turn in range(turns):
            for name, env in envs.items():
                steps = benchmark_vector_step(env, target_duration=seconds, seed=turn)
                rates[name].append(UPDATES * steps)  # it counts the steps of all members
    finally:
        for env in envs.values():
            env.close()
    return {
        "kind": "environments",
        "cores": cores,
        "members": {name: int(name.split()[1]) if " " in name else members for name in rates},
        "updates_per_second": {name: round(statistics.median(values)) for name, values in rates.items()},
        "ratios": {pair: ratio for pair, ratio in ratios(rates).items() if pair.endswith(f"/{SEPARATE}")},
    }
