"""B GAN runs, stepped interval by interval: train, evaluate, and record in the ledger.

Environments add spaces and episodes to it. The benchmark drives it directly (:mod:`.drive`).
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Any, Self

import numpy as np
import torch

from metagan_rl.errors import InvalidValueError
from metagan_rl.evaluation import Evaluation, evaluate, floor
from metagan_rl.loop.conditions import Conditions
from metagan_rl.loop.controls import Controls
from metagan_rl.loop.ledger import Ledger, Outcome
from metagan_rl.loop.reward import Reward, find_reward
from metagan_rl.loop.saved_population import groups_of, population_from
from metagan_rl.loop.setup import Setup
from metagan_rl.loop.signals import Signal, as_matrix, choose_signals
from metagan_rl.populations import CYCLE, Measurements, MixedPopulation
from metagan_rl.populations.options import PopulationOptions
from metagan_rl.runtime import usual_torch
from metagan_rl.tasks.task import Task

MOST = 10**7
"""More intervals, or updates in one, would take years."""


@dataclass(frozen=True, kw_only=True)
class RunOptions(PopulationOptions):
    """All that a run depends on besides task, seed and scheduler; environments, training and benchmark share it.

    Attributes:
        device, engine, noise, initial_weights: as in :class:`PopulationOptions`.
        interval_updates: updates in an interval, a multiple of 12.
        horizon: intervals in a run; by default each task's budget decides.
        decisions: intervals in every run, whatever its budget. Each task's budget then decides how long its intervals
            are: a multiple of 12 updates, and ``interval_updates`` does not count. With ``horizon`` too, runs end after
            so many of these intervals.
        reward: a :class:`Reward`, its weights by name, or a name in ``REWARDS``.

    Raises:
        InvalidValueError: a value is out of range.
        UnknownNameError: a name does not exist.
    """

    interval_updates: int = 48
    horizon: int | None = None
    decisions: int | None = None
    reward: Reward | Mapping[str, Any] | str | None = None

    def __post_init__(self) -> None:
        super().__post_init__()
        fits = isinstance(self.interval_updates, int) and self.interval_updates >= CYCLE
        if not fits or self.interval_updates % CYCLE:
            raise InvalidValueError(f"interval_updates is {self.interval_updates!r}; it must be a multiple of {CYCLE}")
        if self.horizon is not None and not (isinstance(self.horizon, int) and self.horizon >= 1):
            raise InvalidValueError(f"horizon is {self.horizon!r}; it must be at least 1 interval")
        if self.decisions is not None and not (isinstance(self.decisions, int) and self.decisions >= 1):
            raise InvalidValueError(f"decisions is {self.decisions!r}; it must be at least 1 interval")
        for name in ("interval_updates", "horizon", "decisions"):
            if (getattr(self, name) or 0) > MOST:
                raise InvalidValueError(f"{name} is {getattr(self, name)}; it must be at most {MOST:,}")
        find_reward(self.reward)

    def intervals(self, task: Task) -> int:
        """Intervals of a run on a task."""
        if self.decisions is not None and self.horizon is None:
            return max(1, min(self.decisions, task.budget // CYCLE))
        return self.horizon or max(1, task.budget // self.interval_updates)

    def interval(self, task: Task) -> int:
        """Updates in one interval of a run on a task."""
        if self.decisions is not None:
            return max(1, task.budget // self.decisions // CYCLE) * CYCLE
        return self.interval_updates

    def ready(self) -> Self:
        """The same options with their files already read, so that many runs need not read them again."""
        return replace(self, initial_weights=self.weights(), reward=find_reward(self.reward))


@dataclass(frozen=True, kw_only=True)
class PlainRunOptions(RunOptions):
    """The options of runs that a command line or a JSON file can set.

    Attributes:
        device: "cpu" or "cuda".
        engine: what trains GANs: "native", "torch", or "auto" for the native engine wherever it has what they need.
        noise: the stream of noise and data order: "device" (the default) or "host".
        initial_weights: a file of metagan-rl meta-init; all GANs start from its weights. By default each GAN starts
            from fresh weights.
        interval_updates: updates in an interval, a multiple of 12.
        horizon: intervals in a run; by default each task's budget decides.
        decisions: intervals in every run, whatever its budget, instead of intervals of interval_updates.
        reward: name of the reward that schedulers see.
    """

    initial_weights: str | None = None
    reward: str = "quality"


class Runs:
    """B GAN runs side by side.

    They also train inside ``torch.no_grad`` or ``torch.inference_mode``, because agents switch gradients off while they
    collect experience. ``inference_mode(False)`` undoes both.

    Args:
        tasks: one for each run.
        seeds: one for each run; it fixes the starting weights, the noise and the order of the data.
        options: all other options.
        **given: the options as keywords instead.

    Raises:
        InvalidValueError: an option is out of range, or the initial weights do not fit a task.
        FileFormatError: the file of initial weights is damaged.
    """

    @torch.inference_mode(False)
    @usual_torch()
    def __init__(
        self, tasks: Sequence[Task], seeds: Sequence[int], options: RunOptions | None = None, **given: Any
    ) -> None:
        self.options = (options or RunOptions.named(**given)).ready()
        self._conditions = Conditions(tasks)
        self.population = MixedPopulation(tasks, seeds, self.options)
        count = len(tasks)
        controls = self.base_controls()
        self.ledger = Ledger(controls, np.ones(count), find_reward(self.options.reward), Setup.of(tasks))
        self._begin(np.arange(count))

    def __len__(self) -> int:
        return len(self.population)

    @property
    def tasks(self) -> list[Task]:
        """The task of each run, as it was given. Where data drift, ``population.tasks`` holds them as they are now."""
        return self._conditions.tasks

    @property
    def controls(self) -> Controls:
        """Controls of the last interval; before the first, those of the base."""
        return self.ledger.controls

    @property
    def quality(self) -> Evaluation:
        """The latest evaluation of each run."""
        return self.ledger.quality

    @property
    def updates(self) -> np.ndarray:
        """Updates done by each run, int64 ``[B]``."""
        return self.ledger.updates.astype(np.int64)

    @property
    def done_intervals(self) -> np.ndarray:
        """Intervals done by each run, int64 ``[B]``."""
        return self.updates // self.interval_updates

    @property
    def interval_updates(self) -> np.ndarray:
        """Updates in one interval of each run, int64 ``[B]``."""
        return np.array([self.options.interval(task) for task in self.tasks], dtype=np.int64)

    @property
    def horizons(self) -> np.ndarray:
        """Total intervals of each run, int64 ``[B]``."""
        return self.ledger.budget.astype(np.int64) // self.interval_updates

    @property
    def score(self) -> np.ndarray:
        """How far each run has come from its start (0) to the best possible (1), on a log scale, ``[B]``.

        log(start / distance) / log(start / floor). The floor is the distance from real points to other real points, or
        the reward's floor if that is higher.
        """
        ledger = self.ledger
        floor_ = np.maximum(ledger.floor, ledger.reward.floor * ledger.start)
        room = np.log(ledger.start / floor_)
        return np.log(ledger.start / self.quality.distance) / np.where(room > 0, room, np.inf)

    def base_controls(self) -> Controls:
        """The controls that each run would use unscheduled."""
        return Controls.base([task.base for task in self.tasks])

    def base_rates(self) -> np.ndarray:
        """Absolute base learning rates of G and D, ``[B, 2]``."""
        return np.array([[task.base.generator_lr, task.base.discriminator_lr] for task in self.tasks])

    @torch.inference_mode(False)
    @usual_torch()
    def restart(self, members: Sequence[int], tasks: Sequence[Task], seeds: Sequence[int]) -> None:
        """Starts new runs in some places."""
        self.population.restart(members, tasks, seeds)
        places = np.asarray(members, dtype=np.int64)
        self._conditions.restart(places, tasks)
        self._begin(places)

    def copy(self, sources: Sequence[int] | np.ndarray) -> None:
        """Makes each run continue from its source: with the source's weights, moments and whole history.

        Each run keeps its own seed, so it does not draw what its source draws from now on.

        Args:
            sources: for each of the B runs the index of a run on the same task, ``[B]``. A run that stays gives its
                own index.

        Raises:
            InvalidValueError: a source trains another task.
        """
        sources = np.asarray(sources)
        for run, source in enumerate(sources):
            if self.tasks[source] != self.tasks[run]:
                raise InvalidValueError(f"run {run} cannot go on from run {source}, which trains another task")
        self.population.copy(sources)
        self.ledger.take(sources)
        self._conditions.take(sources)

    def keep(self, members: Sequence[int] | np.ndarray) -> None:
        """Keeps only these runs, in this order; each may be named once."""
        self.population.keep(members)
        self.ledger.take(np.asarray(members))
        self._conditions.take(np.asarray(members))

    def advance(self, controls: Controls) -> Outcome:
        """Trains every run for one interval under the given controls."""
        return self.record(self.train(controls), controls)

    @torch.inference_mode(False)
    @usual_torch()
    def train(self, controls: Controls, updates: int | None = None, *, begins: bool = True) -> Measurements:
        """Trains every run and records nothing; :class:`metagan_rl.loop.parts.Parts` makes an interval of it.

        Args:
            controls: the controls of each run.
            updates: how many updates, a multiple of 12; by default an interval of each run.
            begins: whether an interval begins with these updates. What is hidden in a run happens then.
        """
        wanted = controls.settings([task.base for task in self.tasks])
        shares = self.interval_updates / self.ledger.budget * begins
        settings = self._conditions.happen(self.population, wanted, self.progress, shares)
        return self.population.train(settings, self.interval_updates if updates is None else updates)

    @torch.inference_mode(False)
    @usual_torch()
    def evaluate(self) -> Evaluation:
        """The quality of every run as it is now. :attr:`quality` holds what was last recorded."""
        return evaluate(self.population, range(len(self)))

    def record(self, measured: Measurements, controls: Controls) -> Outcome:
        """Evaluates and records an interval that :meth:`train` has trained."""
        return self.ledger.record(measured, controls, self.interval_updates, self.evaluate())

    @property
    def progress(self) -> np.ndarray:
        """Share of the budget that each run has spent, ``[B]``."""
        return self.ledger.updates / self.ledger.budget

    @property
    def hidden_factors(self) -> np.ndarray:
        """What the rates of G and D are multiplied by now without anybody being told, ``[B, 2]``."""
        return self._conditions.factors(self.progress)

    def signals(self) -> dict[str, np.ndarray]:
        """All signals of all runs by name, ``[B]`` each, before clipping."""
        return self.ledger.signals()

    def observe(self, which: str | Sequence[Signal] = "all") -> np.ndarray:
        """The signals as an array, float32 ``[B, S]``, clipped to their ranges."""
        return as_matrix(self.signals(), choose_signals(which) if isinstance(which, str) else which, len(self))

    def state_dict(self) -> dict[str, Any]:
        """All that decides how the runs go on: tasks, weights, moments, random streams and history, as plain data.

        ``torch.load(..., weights_only=True)`` can read it, and :mod:`metagan_rl.loop.snapshots` writes it without
        pickle.
        """
        return {
            "tasks": [task.to_dict() for task in self.tasks],
            "stages": self._conditions.stages.tolist(),
            "populations": groups_of(self.population),
            "ledger": self.ledger.state_dict(),
        }

    @torch.inference_mode(False)
    @usual_torch()
    def load_state_dict(self, state: Mapping[str, Any]) -> None:
        """Goes on from a saved state. Tasks and weights are the state's; options stay these runs' own.

        Raises:
            InvalidValueError: the state is damaged, or of another number of runs. Nothing is changed then.
        """
        try:
            tasks = [Task.from_dict(record) for record in state["tasks"]]
            if len(tasks) != len(self):
                raise InvalidValueError(f"the state is of {len(tasks)} runs, not of {len(self)}")
            stages = np.array(state["stages"], dtype=np.int64)
            now = [task.at_stage(stage) for task, stage in zip(tasks, stages.tolist(), strict=True)]
            population = population_from(state["populations"], now, self.options)
            ledger = Ledger(self.ledger.controls, np.ones(len(tasks)), self.ledger.reward, Setup.of(tasks))
            ledger.load_state_dict(state["ledger"])
        except InvalidValueError:
            raise
        except (KeyError, IndexError, TypeError, ValueError, AttributeError, RuntimeError) as error:
            raise InvalidValueError(f"the state of the runs is damaged ({type(error).__name__}: {error})") from None
        self.population, self.ledger, self._conditions = population, ledger, Conditions(tasks, stages)

    def _begin(self, members: np.ndarray) -> None:
        tasks = [self.tasks[member] for member in members]
        self.ledger.setup.put(members, Setup.of(tasks))
        self.ledger.begin(
            members,
            Controls.base([task.base for task in tasks]),
            np.array([self.options.intervals(task) * self.options.interval(task) for task in tasks]),
            evaluate(self.population, members.tolist()),
            np.array([floor(task) for task in tasks]),
        )
