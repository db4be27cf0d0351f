"""What becomes of random agents: ``python -m metagan_rl.experiments.studies.exploration``.

A learner begins about as a random agent. Where random actions blow up every other run, or end far worse than doing
nothing, it sees little of what it could learn. The study runs random agents with every kind of actions, without a
reference and around two of them, and writes one row for each kind.
"""

import json
import warnings
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import gymnasium as gym
import numpy as np

from metagan_rl.experiments.studies.command import run_command, show_line
from metagan_rl.experiments.studies.full_form import RESULTS
from metagan_rl.files import make_directory, write_whole
from metagan_rl.records import line_of

KINDS: tuple[dict[str, Any], ...] = (
    *({"actions": kind, "reference": None} for kind in ("discrete", "continuous", "moves")),
    *(
        {"actions": kind, "reference": reference}
        for reference in ("constant", "tuned-decay")
        for kind in ("discrete", "continuous", "moves", "joint-moves", "continuous-moves")
    ),
)
"""Kinds of actions, and what they depart from."""


@dataclass(frozen=True)
class Exploration:
    """Random agents with every kind of actions."""

    env: str = "MetaGAN/Planar-v2"
    """Environment."""
    members: int = 64
    """Runs of each kind."""
    seed: int = 0
    """Of the tasks, the GANs and the actions."""
    out: Path = RESULTS / "suite"
    """Directory for the rows."""


def explore(env_id: str, members: int, seed: int, *, still: bool = False, **options: Any) -> dict[str, Any]:
    """One row: how random agents fare, or one that does nothing (``still``)."""
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", DeprecationWarning)
        env = gym.make_vec(env_id, num_envs=members, **options)
    env.reset(seed=seed)
    env.action_space.seed(seed)
    returns, distance = np.zeros(members), np.zeros(members)
    over, diverged = np.zeros(members, dtype=bool), np.zeros(members, dtype=bool)
    while not over.all():
        actions = env.action_space.sample()
        _, rewards, ended, _, infos = env.step(np.zeros_like(actions) if still else actions)
        returns += np.where(over, 0.0, rewards)
        ends = ended & ~over
        if ends.any():
            distance = np.where(ends, infos["final_info"]["distance"], distance)
            diverged |= ends & infos["final_info"]["diverged"]
        over |= ended
    env.close()
    return {
        "env": env_id,
        "agent": "still" if still else "random",
        **options,
        "runs": members,
        "diverged": float(diverged.mean()),
        "return": float(returns.mean()),
        "distance": float(np.exp(np.log(distance).mean())),
    }


def table(rows: Sequence[Mapping[str, Any]]) -> str:
    """The rows as Markdown."""
    lines = ["| reference | actions | diverged | mean return | distance |", "|---|---|--:|--:|--:|"]
    for row in rows:
        actions = "none: the reference itself" if row["agent"] == "still" else f"random `{row['actions']}`"
        reference = "none" if row["reference"] is None else f"`{row['reference']}`"
        numbers = f"{row['diverged']:.0%} | {row['return']:.2f} | {row['distance']:.2f}"
        lines.append(f"| {reference} | {actions} | {numbers} |")
    return "\n".join(lines)


def study(options: Exploration) -> None:
    """Runs all kinds, and writes and shows the rows."""
    given = (options.env, options.members, options.seed)
    rows = []
    for kind in KINDS:
        if kind["reference"] is not None and kind["actions"] == "discrete":
            rows.append(explore(*given, still=True, **kind))
            show_line(json.dumps(rows[-1]))
        rows.append(explore(*given, **kind))
        show_line(json.dumps(rows[-1]))
    write_whole(make_directory(options.out) / "exploration.jsonl", "".join(map(line_of, rows)))
    show_line(table(rows))


if __name__ == "__main__":
    run_command(Exploration, study)
