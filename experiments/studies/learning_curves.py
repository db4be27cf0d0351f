"""Learning curves of stock algorithms: ``python -m metagan_rl.experiments.studies.learning_curves --steps 100000``.

PPO, DQN and SAC of Stable-Baselines3, RecurrentPPO and TQC of sb3-contrib, and PPO in CleanRL's manner
(``docs/examples/cleanrl_ppo.py``) are trained on three environments under several seeds. Each keeps the settings that
its library comes with, but for the sizes in ``SIZES``, and takes the environment's id for its kind of actions.

Rows are added as they come: one for each part of a training, then one with the agent's fixed evaluation
(:mod:`metagan_rl.experiments.evaluation`). A study that was stopped goes on with the first training that has no
evaluation yet. Everything runs in one process with one thread; start several, each with other ``--seeds`` and an
``--out`` of its own, to use more cores.
"""

import contextlib
import importlib.util
import io
import re
import tempfile
import time
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import torch
from stable_baselines3.common.callbacks import BaseCallback

from metagan_rl.envs import make_sb3_vec_env
from metagan_rl.envs.registration import spec_of
from metagan_rl.experiments.benchmark.records import ROWS, append_lines, read_lines
from metagan_rl.experiments.evaluation import Agent, evaluate_agent, sb3_agent
from metagan_rl.experiments.studies.command import check_names, run_command, show_line
from metagan_rl.experiments.studies.full_form import RESULTS
from metagan_rl.files import make_directory
from metagan_rl.loop.runs import RunOptions

ENVIRONMENTS = {
    "Dirac": {"": "MetaGAN/Dirac-v2", "-Moves": "MetaGAN/Dirac-Moves-v2", "-Box": "MetaGAN/Dirac-Box-v2"},
    "Ring8": {"": "MetaGAN/Ring8-v2", "-Moves": "MetaGAN/Ring8-Moves-v2", "-Box": "MetaGAN/Ring8-Box-v2"},
    "Unknown": {"": "MetaGAN/Unknown-v0", "-Moves": "MetaGAN/Unknown-Moves-v0", "-Box": "MetaGAN/Unknown-Box-v0"},
}
"""The three environments: one with a known best return, a classic, and one where a schedule must react."""
KINDS = {"ppo": "", "recurrent-ppo": "", "cleanrl-ppo": "", "dqn": "-Moves", "sac": "-Box", "tqc": "-Box"}
"""The algorithms, and which of an environment's ids each takes."""
MEMBERS = 16
"""GANs trained side by side."""
SIZES: dict[str, dict[str, Any]] = {
    "ppo": {"n_steps": 64, "batch_size": 256},
    "recurrent-ppo": {"n_steps": 64, "batch_size": 256},
    "dqn": {"learning_starts": 500, "target_update_interval": 500},
    "sac": {"learning_starts": 500},
    "tqc": {"learning_starts": 500},
}
"""What differs from the libraries' own settings. These are made for one environment and a million steps; 16
environments and less time ask for shorter rollouts and an earlier start."""
PART = 1024
"""Steps of all members between two rows of a training."""
CLEANRL_STEPS = 64
"""Steps of each member in a rollout of CleanRL's PPO."""
CLEANRL = Path(__file__).resolve().parents[2] / "docs" / "examples" / "cleanrl_ppo.py"
CLEANRL_LINE = re.compile(r"^(\d+) GAN updates: mean return (\S+) of (\d+) episodes$")
CLEANRL_KNOBS = ("generator_lr_factor", "discriminator_lr_factor", "ratio", "loss", "penalty_weight")


@dataclass(frozen=True)
class LearningCurves:
    """Learning curves of stock algorithms."""

    environments: tuple[str, ...] = tuple(ENVIRONMENTS)
    """Environments to train on."""
    algorithms: tuple[str, ...] = tuple(KINDS)
    """Algorithms to train."""
    seeds: tuple[int, ...] = (0, 1, 2)
    """Seeds of each training."""
    steps: int = 100_000
    """Steps of all members in a training."""
    tasks: int | None = None
    """Test tasks of the evaluation; by default all."""
    minutes: float | None = None
    """Begin no training after so many minutes."""
    out: Path = RESULTS / "learning-curves"
    """Directory for the rows; a study that was stopped goes on here."""


Key = tuple[str, str, int, int]
"""Environment, algorithm, seed and steps of a training."""


def key_of(row: Mapping[str, Any]) -> Key:
    """Which training a row belongs to."""
    return row["environment"], row["algorithm"], row["seed"], row["steps"]


def finished(rows: Sequence[Mapping[str, Any]]) -> set[Key]:
    """The trainings that were evaluated, with which they end."""
    return {key_of(row) for row in rows if row["kind"] == "evaluation"}


def to_do(options: LearningCurves, rows: Sequence[Mapping[str, Any]]) -> list[Key]:
    """The trainings that are still to be done, seed by seed, so that a study that is stopped has whole seeds.

    Raises:
        UnknownNameError: there is no such environment or algorithm.
    """
    for kind, names, known in (
        ("environment", options.environments, ENVIRONMENTS),
        ("algorithm", options.algorithms, KINDS),
    ):
        check_names(kind, names, known)
    done = finished(rows)
    keys = [
        (environment, algorithm, seed, options.steps)
        for seed in options.seeds
        for environment in options.environments
        for algorithm in options.algorithms
    ]
    return [key for key in keys if key not in done]


class Parts(BaseCallback):
    """Gathers the returns of finished episodes, and gives a row for each part of a training."""

    def __init__(self, emit: Any) -> None:
        super().__init__()
        self._emit, self._part = emit, 1
        self._returns: list[float] = []

    def _on_step(self) -> bool:
        self._returns += [info["episode"]["r"] for info in self.locals["infos"] if "episode" in info]
        if self.num_timesteps >= self._part * PART:
            self._part = self.num_timesteps // PART + 1
            self._emit(self.num_timesteps, self._returns)
            self._returns = []
        return True


def train_sb3(algorithm: str, env_id: str, seed: int, steps: int, emit: Any) -> Agent:
    """Trains by Stable-Baselines3 or sb3-contrib."""
    import sb3_contrib
    import stable_baselines3

    kinds: dict[str, Any] = {
        "ppo": stable_baselines3.PPO, "dqn": stable_baselines3.DQN, "sac": stable_baselines3.SAC,
        "recurrent-ppo": sb3_contrib.RecurrentPPO, "tqc": sb3_contrib.TQC,
    }  # fmt: skip
    policy = "MlpLstmPolicy" if algorithm == "recurrent-ppo" else "MlpPolicy"
    env = make_sb3_vec_env(env_id, MEMBERS)
    try:
        model = kinds[algorithm](policy, env, seed=seed, device="cpu", **SIZES[algorithm])
        model.learn(steps, callback=Parts(emit))
        return sb3_agent(model)
    finally:
        env.close()


def train_cleanrl(env_id: str, seed: int, steps: int, emit: Any) -> Agent:
    """Trains by ``docs/examples/cleanrl_ppo.py``, whose lines tell the returns."""
    spec = importlib.util.spec_from_file_location("cleanrl_ppo", CLEANRL)
    assert spec is not None and spec.loader is not None
    example = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(example)
    said, interval = io.StringIO(), _interval(env_id)
    with tempfile.TemporaryDirectory() as folder, contextlib.redirect_stdout(said):
        args = example.Args(
            env_id=env_id,
            knobs=CLEANRL_KNOBS,
            horizon=spec_of(env_id).kwargs.get("horizon"),
            interval_updates=interval,
            gan_updates=steps * interval,
            seed=seed,
            num_envs=MEMBERS,
            num_steps=CLEANRL_STEPS,
            evaluation_tasks=0,
            log_dir=folder,
        )
        agent = example.main(args)
    for line in said.getvalue().splitlines():
        found = CLEANRL_LINE.match(line)
        if found:
            emit(int(found[1]) // interval, [float(found[2])] * int(found[3]))

    def act(observations: np.ndarray, begun: np.ndarray) -> np.ndarray:
        with torch.no_grad():
            return np.asarray(agent.best(torch.as_tensor(observations)).numpy())

    return act


def _interval(env_id: str) -> int:
    """GAN updates in a step of an environment."""
    return int(spec_of(env_id).kwargs.get("interval_updates", RunOptions.interval_updates))


def rows_of(key: Key, tasks: int | None) -> Iterator[list[dict[str, Any]]]:
    """Trains and evaluates; gives the rows of the training, then that of the evaluation."""
    environment, algorithm, seed, steps = key
    env_id = ENVIRONMENTS[environment][KINDS[algorithm]]
    about = {
        "environment": environment, "env": env_id, "algorithm": algorithm, "seed": seed, "steps": steps,
        "members": MEMBERS, "settings": SIZES.get(algorithm, {}),
    }  # fmt: skip
    rows: list[dict[str, Any]] = []

    def emit(step: int, returns: Sequence[float]) -> None:
        mean = float(np.mean(returns)) if returns else None
        rows.append({"kind": "part", **about, "step": step, "episodes": len(returns), "return": mean})

    began = time.process_time()
    if algorithm == "cleanrl-ppo":
        agent = train_cleanrl(env_id, seed, steps, emit)
    else:
        agent = train_sb3(algorithm, env_id, seed, steps, emit)
    seconds = round(time.process_time() - began, 1)
    yield rows
    test = evaluate_agent(agent, env_id, tasks=tasks).record()
    trained = max((row["step"] for row in rows), default=steps)
    yield [{"kind": "evaluation", **about, "budget": trained * _interval(env_id), "cpu_seconds": seconds, "test": test}]


def study(options: LearningCurves) -> None:
    """Trains what is still to be trained."""
    path = make_directory(options.out) / ROWS
    began = time.monotonic()
    for key in to_do(options, read_lines(path)):
        if options.minutes is not None and time.monotonic() - began > 60 * options.minutes:
            show_line("the time is up; call again to go on")
            break
        for rows in rows_of(key, options.tasks):
            append_lines(path, rows)
        test = rows[-1]["test"]
        show_line(f"{' '.join(map(str, key))}: test return {test['return']:.2f}, score {test['score']:.3f}")


if __name__ == "__main__":
    run_command(LearningCurves, study)
