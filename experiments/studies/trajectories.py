"""A Minari data set of benchmark trajectories: ``python -m metagan_rl.experiments.studies.trajectories``.

For each agent (random controls, rules, tuned schedules, learned policies) one data set is written, read again, and
told in a table; ``--read`` only reads. All agents play the same tasks with the same GAN seeds. Actions are numbers in
[-1, 1] for the values of the controls (``actions="continuous"`` without a reference), so that whatever any scheduler
does is an action. ``dataset.recover_environment()`` makes the environment again.

Needs ``pip install 'metagan-rl[minari]'``. Minari keeps its data where ``MINARI_DATASETS_PATH`` says, or in
``~/.minari/datasets``.
"""

import importlib.util
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import gymnasium as gym
import numpy as np

from metagan_rl import __version__
from metagan_rl.agents import Scheduler, make_scheduler
from metagan_rl.envs.registration import find_environment, make_vector, spec_of
from metagan_rl.errors import FileFormatError, InvalidValueError, MissingDependencyError
from metagan_rl.experiments.benchmark.records import ROWS, append_lines
from metagan_rl.experiments.studies.command import run_command, show_line
from metagan_rl.files import make_directory
from metagan_rl.loop.drive import situation_of
from metagan_rl.tasks import Task, get_suite

VALUES: dict[str, Any] = {"actions": "continuous", "reference": None}
"""Options under which actions are the values of controls."""
FIRST_SEED = 5_000_000
"""Seed of the first run."""
AT_ONCE = 32
"""Episodes played side by side."""
TOLD = ("distance", "score")
"""What the data sets keep of ``info``, beside observations, actions and rewards."""


@dataclass(frozen=True)
class Trajectories:
    """Minari data sets of benchmark trajectories."""

    env: str = "MetaGAN/Planar-v2"
    """Environment; its actions become values of controls."""
    agents: tuple[str, ...] = ("random", "gap-aware", "tuned-decay", "default")
    """Schedulers to follow (metagan-rl list schedulers)."""
    split: str = "train"
    """Split that tasks are taken from."""
    episodes: int = 96
    """Episodes of each agent."""
    version: int = 0
    """Version of the data sets, the last part of their names."""
    read: bool = False
    """Read data sets that are there, and write none."""
    out: Path | None = None
    """Directory for rows that say what the data sets hold."""


@dataclass
class Episode:
    """One run: T intervals.

    Attributes:
        task: the task's name.
        seed: seed of the GAN.
        observations: float32 ``[T + 1, D]``.
        actions: float32 ``[T, K]``.
        rewards: ``[T]``.
        told: entries of ``info`` by name, ``[T + 1]`` each.
    """

    task: str
    seed: int
    observations: list[np.ndarray]
    actions: list[np.ndarray]
    rewards: list[float]
    told: dict[str, list[float]]


def play(
    scheduler: Scheduler, env_id: str, tasks: Sequence[Task], seeds: Sequence[int], **options: Any
) -> list[Episode]:
    """Plays an episode on each task; all budgets must have equally many intervals.

    Raises:
        InvalidValueError: the scheduler trains several GANs for each run.
    """
    if scheduler.members > 1:
        raise InvalidValueError(f"{scheduler!r} trains {scheduler.members} GANs for each run; take another scheduler")
    envs = make_vector(env_id, len(tasks), **{**options, **VALUES})
    plain = envs.unwrapped
    observations, infos = envs.reset(options={"tasks": list(tasks), "gan_seeds": list(seeds)})
    episodes = [
        Episode(task.name, seed, [observations[m]], [], [], {name: [float(infos[name][m])] for name in TOLD})
        for m, (task, seed) in enumerate(zip(tasks, seeds, strict=True))
    ]
    scheduler.begin(list(seeds))
    rewards, over = np.zeros(len(tasks)), np.zeros(len(tasks), dtype=bool)
    while not over.all():
        actions = plain.codec.encode(scheduler.step(situation_of(plain.runs, rewards)))
        observations, rewards, terminated, _, infos = envs.step(actions)
        for member in np.flatnonzero(~over):
            ends = terminated[member]
            told, seen = (infos["final_info"], infos["final_obs"]) if ends else (infos, observations)
            episode = episodes[member]
            episode.observations.append(seen[member])
            episode.actions.append(actions[member])
            episode.rewards.append(float(rewards[member]))
            for name, values in episode.told.items():
                values.append(float(told[name][member]))
        over |= terminated
    envs.close()
    return episodes


def name_of(options: Trajectories, agent: str) -> str:
    """The data set's name: ``metagan/planar/tuned-decay-v0``."""
    name, keywords = find_environment(options.env)
    suite = {**spec_of(name).kwargs, **keywords}.get("suite")
    if suite is None:
        raise InvalidValueError(f"env is {options.env!r}, which trains no GANs; metagan-rl list environments")
    return f"metagan/{suite}/{agent}-v{options.version}"


def write(options: Trajectories, agent: str) -> None:
    """Writes the data set of one agent.

    Raises:
        FileFormatError: there is one of that name already.
    """
    import minari
    from minari.data_collector import EpisodeBuffer
    from minari.utils import create_dataset_from_buffers

    dataset = name_of(options, agent)
    if dataset in minari.list_local_datasets():
        raise FileFormatError(f"there is a data set {dataset} already; take another --version, or --read it")
    name, keywords = find_environment(options.env)
    keywords = {**keywords, **VALUES, "split": options.split}
    env = gym.make(name, **keywords)
    tasks = list(get_suite(dataset.split("/")[1]).split(options.split))
    chosen = [tasks[place * len(tasks) // options.episodes % len(tasks)] for place in range(options.episodes)]
    seeds = [FIRST_SEED + place for place in range(options.episodes)]
    by_length = sorted(range(options.episodes), key=lambda place: chosen[place].budget)
    episodes: dict[int, Episode] = {}
    for first in range(0, len(by_length), AT_ONCE):
        places = by_length[first : first + AT_ONCE]
        for budget in sorted({chosen[place].budget for place in places}):
            some = [place for place in places if chosen[place].budget == budget]
            played = play(
                make_scheduler(agent),
                name,
                [chosen[place] for place in some],
                [seeds[place] for place in some],
                **keywords,
            )
            episodes.update(zip(some, played, strict=True))
    buffers = [
        EpisodeBuffer(
            id=place,
            seed=episode.seed,
            options={"task": episode.task, "gan_seed": episode.seed},
            observations=episode.observations,
            actions=episode.actions,
            rewards=episode.rewards,
            terminations=[False] * (len(episode.rewards) - 1) + [True],
            truncations=[False] * len(episode.rewards),
            infos={name: np.array(values) for name, values in episode.told.items()},
        )
        for place, episode in sorted(episodes.items())
    ]
    create_dataset_from_buffers(
        dataset,
        buffers,
        env=env,
        algorithm_name=agent,
        author="metagan_rl",
        data_format="hdf5",
        description=f"{agent} on {options.env}, split {options.split}, one run on each task drawn",
        requirements=[f"metagan-rl=={__version__}"],
    )


def read(options: Trajectories, agent: str) -> dict[str, Any]:
    """What a data set holds.

    Raises:
        FileFormatError: there is none of that name.
    """
    import minari

    dataset = name_of(options, agent)
    if dataset not in minari.list_local_datasets():
        raise FileFormatError(f"there is no data set {dataset}; leave out --read to write it")
    loaded = minari.load_dataset(dataset)
    returns = [float(episode.rewards.sum()) for episode in loaded.iterate_episodes()]
    ends = [float(episode.infos["score"][-1]) for episode in loaded.iterate_episodes()]
    return {
        "dataset": dataset,
        "agent": agent,
        "episodes": int(loaded.total_episodes),
        "steps": int(loaded.total_steps),
        "return": float(np.mean(returns)),
        "score": float(np.mean(ends)),
        "megabytes": float(loaded.storage.get_size()),
    }


def table(rows: Sequence[dict[str, Any]]) -> str:
    """The rows as Markdown."""
    lines = ["| data set | episodes | steps | mean return | mean score | MB |", "|---|--:|--:|--:|--:|--:|"]
    for row in rows:
        numbers = f"{row['episodes']} | {row['steps']:,} | {row['return']:.2f} | {row['score']:.2f}"
        lines.append(f"| `{row['dataset']}` | {numbers} | {row['megabytes']:.1f} |")
    return "\n".join(lines)


def study(options: Trajectories) -> None:
    """Writes the data sets, reads them, and shows what is in them.

    Raises:
        MissingDependencyError: Minari is not installed.
    """
    if importlib.util.find_spec("minari") is None:
        raise MissingDependencyError("minari", "minari", "a data set of trajectories")
    if options.episodes < 1:
        raise InvalidValueError(f"episodes is {options.episodes}; it must be at least 1")
    rows = []
    for agent in options.agents:
        if not options.read:
            write(options, agent)
        rows.append(read(options, agent))
        show_line(f"{rows[-1]['dataset']}: {rows[-1]['episodes']} episodes")
    if options.out is not None:
        path = make_directory(options.out) / ROWS
        path.unlink(missing_ok=True)
        append_lines(path, rows)
    show_line(table(rows))


if __name__ == "__main__":
    run_command(Trajectories, study)
