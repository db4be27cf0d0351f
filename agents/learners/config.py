"""Everything a training run depends on, in one frozen dataclass from which the command line is made."""

import math
from collections.abc import Mapping
from dataclasses import asdict, dataclass, field, fields, replace
from typing import Any, Self

import numpy as np

from metagan_rl.agents.learners.catalogue import find_learner
from metagan_rl.agents.learners.learner import Learner
from metagan_rl.envs.options import EnvOptions
from metagan_rl.errors import InvalidValueError, UnknownNameError
from metagan_rl.tasks import get_suite


@dataclass(frozen=True, kw_only=True)
class TrainConfig(EnvOptions):
    """Everything a training run depends on; written into its directory.

    Attributes:
        device: where GANs are trained: ``"cpu"`` or ``"cuda"``. The agent itself stays on the CPU.
        engine: what trains GANs: ``"native"``, ``"torch"``, or ``"auto"`` for the native engine wherever it has what
            they need.
        noise: the stream of noise and data order: ``"device"`` (the default) or ``"host"``.
        start: policy file whose weights the agent starts from; by default fresh weights. The run keeps a copy.
        initial_weights: meta-initialisation file that all GANs start from; ``None`` for fresh weights in each. The run
            keeps a copy.
        interval_updates: updates in an interval.
        horizon: intervals in a run; by default the tasks' budget decides.
        decisions: intervals in every run, whatever its budget, instead of intervals of interval_updates.
        reward: ``"quality"`` rewards better samples; ``"balance"`` rewards equal losses of G and D, as FSCO does.
        knobs: controls the agent sets, each a name or ``"name=level,level"``; by default the knobs of agents.
        control: ``"both"``, or ``"generator"`` or ``"discriminator"`` to let the agent set only that network's knobs.
        lr_levels: levels of each learning rate.
        actions: kind of actions; set by the algorithm.
        reference: schedule that actions depart from: a scheduler's name or a schedule file; by default none, and
            actions are values of the controls.
        pace: share of the farthest departure that a move covers.
        price: what a run costs whose departures from the reference are farthest throughout.
        signals: what the agent sees: ``"all"``, ``"loop"``, ``"outputs"``, ``"setup"`` or ``"autoloss"``; several are
            joined by ``+``.
        trial_runs: runs in a trial (RL²); 0 for plain runs, whose last action and reward the agent is not shown.
        trial_reward: ``"each"``: every run of a trial earns its own gain; ``"best"``: the trial earns that of its
            best run.
        privileged: whether the critic is told what is hidden from schedulers; only ``recurrent-ppo`` can use it.
        algorithm: ``recurrent-ppo``; ``ppo``, the same without memory; ``dqn``, which moves one control by one level at
            a time; ``evolution-strategies``; ``imitation`` of an oracle that tries moves on copies of the run;
            ``autoloss``, a small ``ppo`` that sets only the step ratio; or ``module:attribute``.
        suite: suite to train on. Its validation split only measures progress.
        env: id of an environment to train on instead; it may be your own.
        minutes: training time, without validation; 10 if ``updates`` is not given either. Results then depend on the
            machine's speed.
        updates: GAN updates to train for, instead of minutes. Such a run is the same every time.
        seed: seed of the agent and of all tasks and GANs.
        members: GANs trained at once.
        shards: worker processes that train them.
        validate_every: iterations between validations; 0 for none.
        validation_tasks: number of tasks of the validation split to use.
        learner: the algorithm's own options; ``None`` for its defaults.
    """

    initial_weights: str | None = None
    reward: str = "quality"
    knobs: tuple[str, ...] | None = None
    reference: str | None = None
    signals: str = "all"
    trial_runs: int = 1
    algorithm: str = "recurrent-ppo"
    suite: str = "planar"
    env: str | None = None
    minutes: float | None = None
    updates: int | None = None
    seed: int = 0
    members: int = 64
    shards: int = 2
    validate_every: int = 5
    validation_tasks: int = 24
    learner: Any = field(default=None)
    start: str | None = None

    def __post_init__(self) -> None:
        kind = self.kind
        if self.learner is None:
            object.__setattr__(self, "learner", kind.Config())
        if not isinstance(self.learner, kind.Config):
            raise InvalidValueError(
                f"learner is {self.learner!r}; the options of {self.algorithm} are a {kind.Config.__name__}"
            )
        super().__post_init__()
        for name in ("members", "shards", "validation_tasks"):
            self._require(name, getattr(self, name) >= 1, "at least 1")
        self._require("seed", 0 <= self.seed < 2**32, "from 0 to 2**32 - 1")
        self._require("validate_every", self.validate_every >= 0, "at least 0")
        self._require("minutes", self.minutes is None or 0 < self.minutes < math.inf, "more than 0")
        self._require("updates", self.updates is None or self.updates >= 1, "at least 1")
        self._require("trial_runs", self.trial_runs <= 1 or kind.trial_memory, f"1 with {self.algorithm}")
        self._require("privileged", not self.privileged or kind.privileged, f"False with {self.algorithm}")
        if self.env is not None and self.suite != TrainConfig.suite:
            raise InvalidValueError(f"suite is {self.suite!r} and env is {self.env!r}; give one of the two")
        if self.pace != TrainConfig.pace and self.env is None and self.reference is None:
            raise InvalidValueError(f"pace is {self.pace} without a reference to depart from; add --reference constant")
        if self.minutes is not None and self.updates is not None:
            raise InvalidValueError(f"minutes is {self.minutes} and updates is {self.updates}; give one of the two")
        kinds = dict.fromkeys([kind.actions, *kind.takes])
        self._require("actions", self.actions in ("discrete", *kinds), f"{' or '.join(kinds)} with {self.algorithm}")
        self.weights()
        for split in ("train", *(("val",) if self.validate_every else ())):
            get_suite(self.tasks_of()).split(split)

    @property
    def kind(self) -> type[Learner]:
        """The learner's class."""
        return find_learner(self.algorithm)

    def _require(self, name: str, holds: bool, range_: str) -> None:
        if not holds:
            raise InvalidValueError(f"{name} is {getattr(self, name)}; it must be {range_}")

    def settled(self) -> Self:
        """This configuration with every field that still has the usual default set to what suits.

        The options of the environment's id come first, then the algorithm's own defaults. An algorithm that needs a
        kind of actions of its own always gets it.
        """
        ordinary = {each.name: each.default for each in fields(self)}
        own = {"actions": self.kind.actions, **self.kind.defaults}
        theirs = {name: value for name, value in self._options_of_env().items() if name in ordinary}
        if self.kind.actions != "discrete":
            if theirs.get("actions") not in self.kind.takes:
                theirs.pop("actions", None)
        elif self.reference is not None:
            own["actions"] = "joint-moves"
        better = {**own, **theirs}
        return replace(self, **{name: better[name] for name in better if getattr(self, name) == ordinary[name]})

    def _options_of_env(self) -> dict[str, Any]:
        """The options that the environment's id is registered with; none if a suite is trained on."""
        if self.env is None:
            return {}
        from metagan_rl.envs.registration import spec_of

        name, keywords = self.environment()
        known = {each.name for each in fields(EnvOptions)}
        return {name: value for name, value in {**spec_of(name).kwargs, **keywords}.items() if name in known}

    def environment(self) -> tuple[str, dict[str, Any]]:
        """The environment's id, and the keywords it is made with in addition to the options."""
        from metagan_rl.envs.registration import environment_of, find_environment

        return environment_of(self.suite) if self.env is None else find_environment(self.env)

    def tasks_of(self) -> str:
        """The suite whose tasks are trained on.

        Raises:
            UnknownNameError: there is no such environment.
            InvalidValueError: the environment does not train GANs.
        """
        if self.env is None:
            return self.suite
        from metagan_rl.envs.registration import spec_of

        name, keywords = self.environment()
        suite = {**spec_of(name).kwargs, **keywords}.get("suite")
        if suite is None:
            raise InvalidValueError(f"env is {self.env!r}, which trains no GANs; metagan-rl list environments")
        return str(suite)

    @property
    def mean_interval(self) -> float:
        """Updates in an interval, on average over all intervals of all tasks."""
        if self.decisions is None:
            return self.interval_updates
        tasks = get_suite(self.tasks_of()).split("train")
        intervals = np.array([self.intervals(task) for task in tasks])
        return float((intervals * [self.interval(task) for task in tasks]).sum() / intervals.sum())

    def env_keywords(self) -> dict[str, Any]:
        """Keywords of the environment: every option, whatever its id has. Trials only if the learner sees memory."""
        options = EnvOptions.of(self)
        return {**vars(options), "trial_runs": self.trial_runs if self.kind.trial_memory else 0}

    def to_dict(self) -> dict[str, Any]:
        """A form that JSON can hold."""
        return asdict(self)

    @classmethod
    def from_dict(cls, record: Mapping[str, Any]) -> Self:
        """Reads what :meth:`to_dict` gave.

        Raises:
            UnknownNameError, InvalidValueError: a name is unknown, or a value is out of range.
        """
        values: dict[str, Any] = {
            name: tuple(value) if isinstance(value, list) else value for name, value in record.items()
        }
        learner = find_learner(values.get("algorithm", "recurrent-ppo")).Config(**(values.pop("learner", None) or {}))
        return cls.named(**values, learner=learner)

    @classmethod
    def named(cls, **given: Any) -> Self:
        """Makes it from keywords, including the learner's; for an unknown one the error offers the nearest names."""
        own = {each.name for each in fields(cls)}
        if "learner" in given or given.keys() <= own:
            return super().named(**given)
        config = find_learner(given.get("algorithm", "recurrent-ppo")).Config
        known = {each.name for each in fields(config)}
        for name in given.keys() - own - known:
            raise UnknownNameError("option of training", name, [*own, *known])
        learner = config(**{name: given[name] for name in given.keys() & known})
        return cls(**{name: given[name] for name in given.keys() & own}, learner=learner)
