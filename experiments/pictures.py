"""Makes the README's pictures from the committed rows: ``python -m metagan_rl.experiments.pictures [DIR]``."""

import json
import sys
from pathlib import Path
from typing import Any

import gymnasium as gym
import numpy as np

import metagan_rl  # noqa: F401  (registers the environments)
from metagan_rl.agents import make_scheduler
from metagan_rl.agents.scheduler import Situation
from metagan_rl.envs.vector import MetaGANVectorEnv
from metagan_rl.experiments.figures import KNOWN_COLOURS, new_figure, style
from metagan_rl.files import make_directory
from metagan_rl.runtime import prepare_process

RESULTS = Path(__file__).parent / "results"
TASK, SEED = "grid/test/0001", 0
AGENT = "#d55e00"


def learning(out: Path) -> Path:
    """The training of ``default``: return on validation tasks against GAN updates, beside the fixed references."""
    lines = (RESULTS / "default" / "training.jsonl").read_text(encoding="utf-8").splitlines()
    records: list[dict[str, Any]] = [json.loads(line) for line in lines]
    updates = np.array([record["gan_updates"] for record in records]) / 1e6
    rollout = np.array([record["rollout/return"] for record in records])
    validated = [record for record in records if "validation/return" in record]
    at = [record["gan_updates"] / 1e6 for record in validated]
    with style():
        figure = new_figure(7.2, 3.6, dpi=150)
        axes = figure.add_subplot()
        axes.plot(updates, rollout, color=AGENT, alpha=0.35, linewidth=1.2, label="agent, training tasks (sampled)")
        measured = [record["validation/return"] for record in validated]
        axes.plot(at, measured, color=AGENT, marker="o", markersize=4, label="agent, 24 validation tasks")
        for name, label in (("constant", "untuned base, the same tasks"), ("random", "random controls")):
            level = validated[0][f"validation/return_{name}"]
            axes.axhline(level, color=KNOWN_COLOURS[name], linestyle=(0, (5, 2)), linewidth=1.2, label=label)
        axes.set(xlabel="GAN updates (millions)", ylabel="return = log(start distance / end distance)", xlim=(0, None))
        axes.legend(frameon=False, fontsize=8, loc="center right")
        path = out / "learning.png"
        figure.savefig(path)
    return path


def render(out: Path) -> Path:
    """A test run under ``default``, as ``env.render()`` shows it near its end."""
    from matplotlib.image import imsave

    env = gym.make_vec("MetaGAN/Planar-v0", num_envs=1, split="test", render_mode="rgb_array")
    assert isinstance(env, MetaGANVectorEnv)
    env.reset(options={"tasks": [TASK], "gan_seeds": [SEED]})
    runs, scheduler = env.runs, make_scheduler("default")
    assert runs is not None
    scheduler.begin([SEED])
    reward = np.zeros(1)
    for _ in range(int(runs.horizons[0]) - 1):
        controls = scheduler.step(Situation(runs.signals(), runs.base_controls(), runs.controls, reward))
        reward = env.step(env.codec.encode(controls))[1]
    frames = env.render()
    assert frames is not None
    path = out / "render.png"
    imsave(path, frames[0])
    return path


def main() -> None:
    """Writes both pictures."""
    prepare_process()
    out = make_directory(sys.argv[1] if len(sys.argv) > 1 else "docs")
    for picture in (learning(out), render(out)):
        print(picture)


if __name__ == "__main__":
    main()
