"""The fixed evaluation of an agent: every task of the test split, K runs on each, with the same seeds for everybody.

``metagan-rl evaluate --env MetaGAN/Planar-Trials-v2 --agent tuned-decay`` evaluates a schedule or a policy file,
:func:`evaluate_agent` any agent. K is the environment's ``trial_runs``: four in ``-Trials`` ids, one in all others. An
agent that learns within a trial (RL²) keeps its memory from run to run, so its scores should rise with the run.
"""

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import gymnasium as gym
import numpy as np

from metagan_rl import __version__
from metagan_rl.agents.catalogue import load_scheduler, make_scheduler
from metagan_rl.envs.registration import find_environment, make_vector, spec_of
from metagan_rl.errors import InvalidValueError
from metagan_rl.experiments.benchmark.references import load_references, share_of_room
from metagan_rl.loop.reference import ENDINGS
from metagan_rl.loop.scheduler import Scheduler
from metagan_rl.registry import Registry
from metagan_rl.tasks import Task, get_suite

FIRST_SEED = 4_000_000
"""Seed of the first task's runs, far from those of training and validation."""
SEEDS_APART = 10_000
"""Between the seeds of two evaluations of one split."""
RANDOM = "random"

Agent = Callable[[np.ndarray, np.ndarray], np.ndarray]
"""What is evaluated: from observations ``[B, D]`` and which members are at the start of an episode, bool ``[B]``, to
actions ``[B, ...]``. An agent with memory clears that of members at the start. All members start together, too."""

AGENTS: Registry[Callable[[Any], Agent]] = Registry("agent", importable=True)
"""What makes an agent for a vector environment, by name; ``module:attribute`` stands for a user's own."""


@AGENTS(RANDOM)
def _random(envs: Any) -> Agent:
    """Draws actions evenly from the space."""
    envs.action_space.seed(FIRST_SEED)
    return lambda observations, begun: envs.action_space.sample()


def still(envs: Any) -> Agent:
    """Action zero always: follows the reference."""
    return lambda observations, begun: np.zeros(envs.action_space.shape, dtype=envs.action_space.dtype)


def sb3_agent(model: Any) -> Agent:
    """A model of Stable-Baselines3 or sb3-contrib, by its most probable actions; memory lasts for an episode."""
    memory: list[Any] = [None]

    def act(observations: np.ndarray, begun: np.ndarray) -> np.ndarray:
        state = None if begun.all() else memory[0]
        actions, memory[0] = model.predict(observations, state=state, episode_start=begun, deterministic=True)
        return np.asarray(actions)

    return act


@dataclass(frozen=True)
class AgentTest:
    """What an agent came to on N tasks with K runs each.

    Attributes:
        env: id of the environment.
        split: split of the tasks.
        tasks: names of the tasks.
        seed: which seeds.
        returns: return of each episode, ``[N]``.
        distances: quality distance at the end of each run, ``[N, K]``.
        scores: how far each run came from its start (0) to the floor of real points (1), on a log scale, ``[N, K]``.
        diverged: which runs blew up, bool ``[N, K]``.
        shares: how far each run came from untuned (0) to the oracle of its task (1), ``[N, K]``; NaN where no oracle
            was searched for.
        budget: GAN updates that were spent to make the agent, if that is known.
    """

    env: str
    split: str
    tasks: tuple[str, ...]
    seed: int
    returns: np.ndarray
    distances: np.ndarray
    scores: np.ndarray
    diverged: np.ndarray
    shares: np.ndarray
    budget: int | None = None

    def record(self) -> dict[str, Any]:
        """Means over the tasks, as a row of JSON. Lists have an entry for each of the K runs."""
        known = np.isfinite(self.shares).all(axis=1)
        return {
            "env": self.env,
            "split": self.split,
            "seed": self.seed,
            "tasks": len(self.tasks),
            "runs": self.scores.shape[1],
            "return": float(self.returns.mean()),
            "return_error": _standard_error(self.returns),
            "score": float(self.scores.mean()),
            "score_error": _standard_error(self.scores.mean(axis=1)),
            "score_by_run": self.scores.mean(axis=0).tolist(),
            "distance_by_run": np.exp(np.log(self.distances).mean(axis=0)).tolist(),
            "share_by_run": self.shares[known].mean(axis=0).tolist() if known.any() else None,
            "diverged": float(self.diverged.mean()),
            "version": __version__,
        }

    def table(self) -> str:
        """A row for each run, in Markdown."""
        lines = ["| run | score | share of the room | distance | diverged |", "|--:|--:|--:|--:|--:|"]
        record = self.record()
        shares = record["share_by_run"] or [None] * self.scores.shape[1]
        for run, share in enumerate(shares):
            known = "-" if share is None else f"{share:.2f}"
            numbers = f"{record['score_by_run'][run]:.3f} | {known} | {record['distance_by_run'][run]:.3f}"
            lines.append(f"| {run + 1} | {numbers} | {self.diverged[:, run].mean():.0%} |")
        return "\n".join(lines)


def _standard_error(values: np.ndarray) -> float | None:
    return None if len(values) < 2 else float(values.std(ddof=1) / len(values) ** 0.5)


def evaluate_agent(
    agent: Agent | str,
    env_id: str = "MetaGAN/Planar-Trials-v2",
    *,
    split: str = "test",
    tasks: int | None = None,
    seed: int = 0,
    members: int = 32,
    **options: Any,
) -> AgentTest:
    """Plays one episode on every task of a split.

    Args:
        agent: what acts (see :data:`Agent`); or ``"random"``; or a scheduler's name, a schedule file or a policy file,
            which is then followed as the reference, anew in every run; or ``module:attribute`` of a function that takes
            the vector environment and returns an agent.
        env_id: an environment of GANs, or a suite.
        split: split of its suite.
        tasks: use only so many tasks, spread over the split; by default all.
        seed: other seeds for another number. Scores are compared under seed 0.
        members: episodes side by side. They change results only by rounding.
        **options: options of the environment, which make another problem of it.

    Returns:
        What it came to.

    Raises:
        UnknownNameError: there is no such environment, split or scheduler.
        InvalidValueError: the environment trains no GANs, or a number is out of range.
    """
    name, keywords = find_environment(env_id)
    own = {**spec_of(name).kwargs, **keywords, **options}
    if "suite" not in own or spec_of(name).vector_entry_point is None:
        raise InvalidValueError(f"env is {env_id!r}, which trains no GANs; metagan-rl list environments")
    whole = list(get_suite(own["suite"]).split(split))
    for given, value in (("tasks", tasks), ("members", members)):
        if value is not None and value < 1:
            raise InvalidValueError(f"{given} is {value}; it must be at least 1")
    count = len(whole) if tasks is None else min(tasks, len(whole))
    places = [place * len(whole) // count for place in range(count)]
    options = {**keywords, **options}
    make, budget = _maker(agent, options)
    by_length = sorted(places, key=lambda place: whole[place].budget)  # few members then wait for others to end
    found: dict[int, Any] = {}
    for first in range(0, count, members):
        chunk = by_length[first : first + members]
        envs = make_vector(name, len(chunk), split=split, **options)
        try:
            seeds = [FIRST_SEED + seed * SEEDS_APART + place for place in chunk]
            played = _play(make(envs), envs, [whole[place] for place in chunk], seeds)
        finally:
            envs.close()
        found |= dict(zip(chunk, zip(*played, strict=True), strict=True))
    names = tuple(whole[place].name for place in places)
    returns, distances, scores, diverged = (
        np.array(each) for each in zip(*(found[place] for place in places), strict=True)
    )
    shares = _shares(own["suite"], split, names, distances)
    return AgentTest(name, split, names, seed, returns, distances, scores, diverged, shares, budget)


def _maker(agent: Agent | str, options: dict[str, Any]) -> tuple[Callable[[Any], Agent], int | None]:
    """What makes the agent for a vector environment, and its budget; a schedule becomes the option ``reference``."""
    if not isinstance(agent, str):
        return lambda envs: agent, None
    if agent in AGENTS and not _is_scheduler(AGENTS[agent]):
        return AGENTS[agent], 0 if agent == RANDOM else None
    options["reference"] = agent
    is_file = Path(agent).suffix in ENDINGS
    return still, int((load_scheduler(agent) if is_file else make_scheduler(agent)).cost)


def _is_scheduler(found: object) -> bool:
    return isinstance(found, type) and issubclass(found, Scheduler)


def _play(act: Agent, envs: gym.vector.VectorEnv[Any, Any, Any], tasks: Sequence[Task], seeds: Sequence[int]) -> Any:
    """Returns ``[B]``, and distance, score and divergence ``[B, K]`` of an episode on each of B tasks."""
    count, runs = len(tasks), envs.unwrapped.options.trial_runs or 1  # type: ignore[attr-defined]
    observations, _ = envs.reset(seed=list(seeds), options={"tasks": list(tasks)})  # type: ignore[arg-type]
    begun, over, ended = np.ones(count, dtype=bool), np.zeros(count, dtype=bool), np.zeros(count, dtype=int)
    returns, results = np.zeros(count), {name: np.zeros((count, runs)) for name in ("distance", "score", "diverged")}
    while not over.all():
        observations, rewards, terminated, truncated, infos = envs.step(act(observations, begun))
        returns += np.where(over, 0.0, rewards)
        begun = terminated | truncated
        for member in np.flatnonzero(~over):
            told = infos["final_info"] if begun[member] else infos
            if begun[member] or told.get("run", ended)[member] > ended[member]:
                for name, values in results.items():
                    values[member, ended[member] :] = told[name][member]
                ended[member] += 1
        over |= begun
    return returns, results["distance"], results["score"], results["diverged"].astype(bool)


def _shares(suite: str, split: str, names: Sequence[str], distances: np.ndarray) -> np.ndarray:
    rooms = load_references(suite, split).rooms
    shares = np.full(distances.shape, np.nan)
    for place, name in enumerate(names):
        if name in rooms and rooms[name].enough:
            shares[place] = [share_of_room(distance, rooms[name]) for distance in distances[place]]
    return shares
