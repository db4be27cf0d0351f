"""Runs a little of everything and returns its numbers: ``python tests/golden/record.py`` writes them down anew.

The numbers are compared bit for bit on a machine with the same CPU, torch and NumPy, and loosely elsewhere: another
processor adds in another order. Write them anew only in a commit that means to change them, and say so there.
"""

import hashlib
import json
import os
import platform
import re
import tempfile
import warnings
from collections.abc import Callable
from pathlib import Path
from typing import Any
from unittest import mock

import gymnasium as gym
import numpy as np
import torch
from torch import nn
from torch.nn.functional import softplus

import metagan_rl
from metagan_rl import GANScheduler
from metagan_rl.agents import TrainConfig, load_policy, make_scheduler, scheduler_names, train
from metagan_rl.agents.catalogue import kind_of
from metagan_rl.engine.library import VARIABLE
from metagan_rl.experiments import BenchmarkConfig, run_benchmark
from metagan_rl.experiments.benchmark.records import read_rows
from metagan_rl.experiments.tune import TuneConfig, tune
from metagan_rl.loop import Controls, drive
from metagan_rl.meta_init import (
    MetaDiscriminator,
    MetaGenerator,
    train_fomaml_gan,
    train_joint_gan,
    train_maml_gan,
    train_reptile_gan,
)
from metagan_rl.populations.engines import SAID
from metagan_rl.tasks import SUITES, Suite, get_suite, register_suite, sample_task
from metagan_rl.tasks.suites import BUILT_IN

GOLDEN = Path(__file__).with_name("golden.json")


def fingerprint() -> str:
    """What equal bits need: the processor, torch and NumPy."""
    try:
        cpu = re.findall(r"^model name\s*: (.*)$", Path("/proc/cpuinfo").read_text(encoding="utf-8"), re.M)[0]
    except (OSError, IndexError):
        cpu = platform.processor()
    return " | ".join([cpu, torch.backends.cpu.get_cpu_capability(), torch.__version__, np.__version__])


def plain(value: Any) -> Any:
    """Numbers, arrays and words as JSON has them; a NaN as a word, because JSON has none."""
    if isinstance(value, np.ndarray | torch.Tensor):
        return plain(value.tolist())
    if isinstance(value, np.generic):
        return plain(value.item())
    if isinstance(value, dict):
        return {str(key): plain(each) for key, each in value.items()}
    if isinstance(value, list | tuple):
        return [plain(each) for each in value]
    if isinstance(value, float) and value != value:
        return "nan"
    return value


def brief(tensor: torch.Tensor) -> list[Any]:
    """A large tensor in a few numbers and a digest of all its bits."""
    flat = tensor.detach().flatten()
    return [*flat[:3].tolist(), float(flat.double().sum()), hashlib.sha256(flat.numpy().tobytes()).hexdigest()[:16]]


NAMES = {"generator_lr": "generator_lr_factor", "discriminator_lr": "discriminator_lr_factor"}
"""What factors of rates were called when the numbers were made."""


def told(controls: Controls, member: int) -> dict[str, Any]:
    """One member's controls, as many as there were when the numbers were made."""
    words = controls.describe(member)
    return {
        name: words[NAMES.get(name, name)]
        for name in ("generator_lr", "discriminator_lr", "ratio", "loss", "penalty_weight")
    }


def driven(name: str, tasks: Any, intervals: int) -> dict[str, Any]:
    """A scheduler over a few tasks: distances, controls, and all signals at the end."""
    runs, trace = drive(make_scheduler(name), tasks, range(len(tasks)), horizon=intervals)
    return {
        "distance": trace.distance,
        "controls": [[told(controls, member) for member in range(len(controls))] for controls in trace.controls],
        "stability": trace.stability,
        "observed": runs.observe("all").tolist(),
    }


def suites() -> dict[str, Any]:
    """Every suite under two schedulers, but for those whose data are not on every machine."""
    found = {}
    for name in BUILT_IN[:10]:  # those that there were when the numbers were made
        if name == "fashion-mnist":
            continue
        tasks = list(get_suite(name).split("val"))[:2]
        slow = tasks[0].dim > 100
        for scheduler in ("constant", "r3gan") if slow else ("constant", "random", "default"):
            found[f"{name}/{scheduler}"] = driven(scheduler, tasks[: 1 if slow else 2], 1 if slow else 4)
    return found


def schedulers() -> dict[str, Any]:
    """Every scheduler on the plane."""
    split = get_suite("planar").split("val")
    tasks = [split[0], split[9], split[20]]
    return {name: driven(name, tasks, 5) for name in scheduler_names() if kind_of(name) != "own"}


def environments() -> dict[str, Any]:
    """Every kind of action through a vector environment, runs that end and begin again among them."""
    found = {}
    for label, options in {
        "discrete": {"horizon": 2},
        "continuous": {"actions": "continuous", "signals": "loop", "horizon": 3},
        "moves": {"actions": "moves", "signals": "outputs", "trial_runs": 2, "horizon": 2},
        "one side": {"control": "discriminator", "reward": "balance", "signals": "autoloss"},
    }.items():
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")  # of later versions
            env = gym.make_vec("MetaGAN/Planar-v0", num_envs=3, **options)
        env.action_space.seed(1)
        steps = [env.reset(seed=7)[0]]
        for _ in range(5):
            observation, reward, terminated, _, info = env.step(env.action_space.sample())
            steps.append([observation, reward, terminated, info["distance"], info["task"].tolist()])
        found[label] = steps
        env.close()
    return found


def meta_initialisation() -> dict[str, Any]:
    """Every method, for two meta-steps."""
    split = get_suite("planar").split("train")
    found = {}
    for method, options in (
        (train_reptile_gan, {"inner_optimizer": "adam", "inner_lr": 1e-3, "outer_lr": 0.5}),
        (train_joint_gan, {"inner_optimizer": "adam", "inner_lr": 1e-3, "outer_lr": 1.0}),
        (train_maml_gan, {"inner_lr": 0.05, "outer_lr": 1e-3}),
        (train_fomaml_gan, {"inner_lr": 0.05, "outer_lr": 1e-3}),
    ):
        start = MetaGenerator.of(split[0]), MetaDiscriminator.of(split[0])
        meta = method(*start, split, inner_steps=3, outer_steps=2, meta_batch=4, seed=3, **options)
        found[method.__name__] = [brief(meta.generator.weights), brief(meta.discriminator.weights)]
    return found


def plug_in() -> dict[str, Any]:
    """A loop of its own under several schedulers, with and without quality."""
    found = {}
    for name, parts in (
        ("loop", ()),
        ("gap-aware", ()),
        ("default", ("distance", "floor", "sliced_wasserstein", "precision", "coverage")),
        ("plateau", ("distance",)),
    ):
        torch.manual_seed(5)
        generator = nn.Sequential(nn.Linear(2, 16), nn.ReLU(), nn.Linear(16, 2))
        discriminator = nn.Sequential(nn.Linear(2, 16), nn.ReLU(), nn.Linear(16, 1))
        g = torch.optim.Adam(generator.parameters(), lr=1e-3, betas=(0.5, 0.99))
        d = torch.optim.Adam(discriminator.parameters(), lr=2e-3, betas=(0.5, 0.99))
        scheduler = GANScheduler(name, g, d, total_steps=48, interval=4, quality=parts, safeguard=False)
        rates, told = [], []
        for _ in range(48):
            real, noise = torch.randn(32, 2) * 0.1 + 1, torch.randn(32, 2)
            real_logits, fake_logits = discriminator(real), discriminator(generator(noise).detach())
            d_loss = softplus(-real_logits).mean() + softplus(fake_logits).mean()
            d.zero_grad()
            d_loss.backward()
            d.step()
            fake = generator(noise)
            g_loss = softplus(-discriminator(fake)).mean()
            g.zero_grad()
            g_loss.backward()
            norm = torch.cat([p.grad.flatten() for p in generator.parameters()]).norm()
            g.step()
            far = float((fake.mean(0) - 1).norm().detach()) + 0.01
            quality = dict(zip(parts, (far, 0.01, far / 2, 0.5, 0.25), strict=False))
            controls = scheduler.step(
                real_logits=real_logits, fake_logits=fake_logits, discriminator_loss=d_loss, generator_loss=g_loss,
                generator_gradient_norm=norm, quality=quality or None,
            )  # fmt: skip
            rates.append(scheduler.get_last_lr())
            told.append(str(controls.advice))
        found[name] = [rates, told[::8]]
    return found


ALGORITHMS = ("recurrent-ppo", "ppo", "dqn", "autoloss")


def learned() -> dict[str, Any]:
    """Two iterations of every algorithm, on levels of learning rates as they were before version 1."""
    found = {}
    for algorithm in ALGORITHMS:
        with tempfile.TemporaryDirectory() as folder:
            own = {"hidden": 8, "epochs": 2, **({} if algorithm == "dqn" else {"minibatches": 2})}
            config = TrainConfig.named(
                algorithm=algorithm, members=4, shards=1, horizon=3, updates=2 * 4 * 3 * 48, lr_levels=9,
                validate_every=2, validation_tasks=2, **own,
            )  # fmt: skip
            policy = load_policy(train(config, Path(folder) / "run", show=lambda line: None))
        weights = policy.network.state_dict()
        found[algorithm] = {name: brief(weights[name]) for name in sorted(weights)}
    return found


def brief_suite() -> str:
    """A suite of short runs, under the name that is returned."""
    if "golden" not in SUITES:
        rng = np.random.default_rng(0)
        splits = {
            split: tuple(
                sample_task(family, rng, name=f"{family}/{split}", tag="known-family", budget=192)
                for family in ("ring", "moons")
            )
            for split in ("train", "val")
        }
        register_suite(Suite("golden", 1, "short runs", splits))
    return "golden"


def benchmark() -> dict[str, Any]:
    """Rows of a small comparison, all columns but time and version."""
    with tempfile.TemporaryDirectory() as folder:
        config = BenchmarkConfig(brief_suite(), "val", ("cosine", "tuned-decay", "pbt"), seeds=2)
        run_benchmark(config, Path(folder), workers=0)
        rows = read_rows(folder)
    kept = {}
    for row in rows:
        record = row if isinstance(row, dict) else row.to_dict()
        key = f"{record['suite']}/{record['task']}/{record['scheduler']}/{record['seed']}"
        kept[key] = {name: record[name] for name in COLUMNS}
    return kept


COLUMNS = (
    "tag", "family", "distance", "floor", "start", "sliced_wasserstein", "precision", "coverage", "frechet", "modes",
    "modes_share", "high_quality", "diverged", "saturation", "vanishing", "oscillation", "mode_loss", "updates",
    "extra_updates", "tuning_updates",
)  # fmt: skip


def tuned() -> dict[str, Any]:
    """A search of six trials."""
    with tempfile.TemporaryDirectory() as folder:
        config = TuneConfig(brief_suite(), "decay", trials=6, tasks=1, finalists=1, batch=3)
        result = tune(config, folder, workers=0)
    return {"schedule": vars(result.schedule), "distance": result.metadata["validation_distance"]}


SECTIONS: dict[str, Callable[[], dict[str, Any]]] = {
    "suites": suites,
    "schedulers": schedulers,
    "environments": environments,
    "meta-initialisation": meta_initialisation,
    "plug-in": plug_in,
    "learned": learned,
    "benchmark": benchmark,
    "tuned": tuned,
}


def record(section: str) -> Any:
    """The numbers of one section, as JSON reads them back. Torch trains: it is the reference of all engines."""
    torch.set_num_threads(1)
    torch.set_flush_denormal(True)
    with mock.patch.dict(os.environ, {VARIABLE: "none", SAID: "1"}):
        return json.loads(json.dumps(plain(SECTIONS[section]())))


def main() -> None:
    """Writes all sections down."""
    content = {"fingerprint": fingerprint(), **{section: record(section) for section in SECTIONS}}
    GOLDEN.write_text(json.dumps(content, separators=(",", ":")) + "\n", encoding="utf-8")
    print(f"{GOLDEN}: {GOLDEN.stat().st_size / 1e3:.0f} kB, metagan_rl {metagan_rl.__version__}")


if __name__ == "__main__":
    main()
