"""A user's file. mypy --strict must see real types here: ``assert_type`` fails on ``Any``."""

from collections.abc import Mapping
from pathlib import Path
from typing import Any, assert_type

import numpy as np
import torch

from metagan_rl import GANScheduler, QualityMeter, tune_gan
from metagan_rl.agents import (
    Controls,
    PolicyScheduler,
    Scheduler,
    Situation,
    TrainConfig,
    load_policy,
    make_scheduler,
    register_scheduler,
    train,
)
from metagan_rl.agents.plugin import LoopControls, TunedGAN
from metagan_rl.envs import MetaGANVectorEnv, SB3VecEnv, make_sb3_vec_env
from metagan_rl.experiments import BenchmarkConfig, run_benchmark, write_report
from metagan_rl.loop import Knob, Ledger, RunOptions, Runs
from metagan_rl.meta_init import MetaInit, load_meta_init
from metagan_rl.metrics import Samples, register_metric
from metagan_rl.tasks import Family, Suite, Task, get_suite, register_family, sample_task


@register_scheduler("mine")
class Mine(Scheduler):
    def propose(self, situation: Situation) -> Controls:
        assert_type(situation.base, Controls)
        return situation.base.replace(generator_lr_factor=np.full(len(situation), 0.5))


@register_family("own-lines")
class Lines(Family):
    def parameters(self, rng: np.random.Generator) -> dict[str, Any]:
        return {"slope": float(rng.normal())}

    def points(self, parameters: Mapping[str, Any], count: int, rng: np.random.Generator) -> np.ndarray:
        x = rng.normal(size=count)
        return np.stack([x, parameters["slope"] * x], axis=1)


@register_metric("largest", label="largest coordinate", better=None, worst=0.0)
def largest(samples: Samples) -> float:
    return float(samples.points.abs().max())


def look(optimizer: torch.optim.Optimizer, other: torch.optim.Optimizer) -> None:
    assert_type(make_scheduler("mine"), Scheduler)
    assert_type(load_policy("policy.safetensors"), PolicyScheduler)
    assert_type(get_suite("planar"), Suite)
    assert_type(sample_task("own-lines", np.random.default_rng(0)), Task)
    scheduler = GANScheduler("mine", optimizer, other, total_steps=100)
    assert_type(scheduler, GANScheduler)
    assert_type(scheduler.watch(discriminator=torch.nn.Linear(2, 1), generator=torch.nn.Linear(2, 2)), GANScheduler)
    assert_type(QualityMeter(torch.zeros(64, 2))(torch.zeros(64, 2)), dict[str, float])
    assert_type(tune_gan(lambda knobs: [1.0], 2), TunedGAN)
    controls = scheduler.step(real_logits=torch.zeros(2), fake_logits=torch.zeros(2))
    assert_type(controls, LoopControls)
    assert_type(controls.generator_lr_factor, float)
    assert_type(scheduler.get_last_lr(), list[float])
    assert_type(make_sb3_vec_env("planar", 2), SB3VecEnv)
    assert_type(MetaGANVectorEnv("planar", 2), MetaGANVectorEnv)
    config = TrainConfig(suite="planar", minutes=1.0)
    assert_type(train(config, "runs/train"), Path)
    assert_type(run_benchmark(BenchmarkConfig(suite="planar"), "runs/benchmark"), Path)
    assert_type(write_report("runs/benchmark"), Path)
    assert_type(load_meta_init("weights.safetensors"), MetaInit)
    runs = Runs(list(get_suite("planar").split("val"))[:2], [0, 1], RunOptions(horizon=2))
    assert_type(runs.ledger, Ledger)
    assert_type(runs.advance(runs.base_controls()).reward, np.ndarray[tuple[Any, ...], np.dtype[Any]])


def name_of(knob: Knob) -> str:
    return knob.name
