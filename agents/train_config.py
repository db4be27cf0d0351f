"""Everything a training run depends on, in one frozen dataclass; the command line is made from it."""

import math
from dataclasses import dataclass, fields, replace

from metagan_rl.agents.algorithms import ALGORITHMS
from metagan_rl.controls import CYCLE, KNOBS
from metagan_rl.envs.actions import ActionCodec
from metagan_rl.envs.registration import ENVIRONMENTS
from metagan_rl.envs.reward import REWARDS
from metagan_rl.errors import InvalidValueError, UnknownNameError
from metagan_rl.meta_init import load_meta_init
from metagan_rl.runtime import find_device
from metagan_rl.signals import SIGNAL_SETS


@dataclass(frozen=True)
class TrainConfig:
    """Everything a training run depends on; written into its directory.

    Attributes:
        algorithm: ``recurrent-ppo``; ``ppo``, the same without memory; ``dqn``, values of moves of one control by one
            level; or ``autoloss``, a small ``ppo`` that sets the ratio alone from the few signals AutoLoss has.
        suite: suite to train on; its validation split is only looked at.
        minutes: time to train for, without validation; how far the schedules of learning rate and entropy are then
            depends on the machine's speed. 10 if ``updates`` is not given either.
        updates: GAN updates to train for, instead of minutes; such a run is the same every time.
        seed: of the agent and of all tasks and GANs.
        members: GANs trained at once.
        shards: worker processes that train them.
        device: ``"cpu"`` or ``"cuda"``: where they train them; the agent itself stays on the CPU.
        horizon: intervals in a run; by default the tasks' budget decides.
        interval_updates: updates in an interval.
        knobs: controls the agent sets.
        signals: ``"all"``, ``"loop"``, ``"outputs"`` or ``"autoloss"``.
        reward: ``"quality"`` gained, or ``"balance"``: FSCO's, which only wants the losses of G and D to be equal.
        initial_weights: meta-initialisation file that all GANs start from; ``None``: each from fresh weights. The run
            keeps a copy.
        trial_runs: runs in a trial (RL²).
        hidden: units of the LSTM, where there is one, and of the layers; actor and critic have their own.
        learning_rate: of PPO agents, decayed to a fifth.
        epochs: passes over each rollout; with ``dqn``, how often each transition is learned from on average.
        minibatches: parts each rollout of PPO is cut into.
        clip_range, gae_lambda, target_kl: of PPO.
        max_grad_norm: gradients longer than this are shortened to it.
        entropy_start: PPO's entropy bonus, falling to 0 at three quarters of the run.
        stickiness: how strongly a fresh PPO agent keeps the controls in force, as log-probability lost a level.
        dqn_learning_rate: of ``dqn``, decayed to a fifth.
        dqn_replay: transitions that ``dqn`` learns from, the latest.
        dqn_epsilon: random moves of ``dqn`` in the second half of the run; they fall from all to this in the first.
        validate_every: iterations between validations; 0 for none.
        validation_tasks: how many tasks of the validation split.
    """

    algorithm: str = "recurrent-ppo"
    suite: str = "planar"
    minutes: float | None = None
    updates: int | None = None
    seed: int = 0
    members: int = 64
    shards: int = 2
    device: str = "cpu"
    horizon: int | None = None
    interval_updates: int = 48
    knobs: tuple[str, ...] = KNOBS
    signals: str = "all"
    reward: str = "quality"
    initial_weights: str | None = None
    trial_runs: int = 1
    hidden: int = 64
    learning_rate: float = 2.5e-3
    epochs: int = 20
    minibatches: int = 4
    clip_range: float = 0.2
    gae_lambda: float = 0.95
    target_kl: float = 0.03
    max_grad_norm: float = 0.5
    entropy_start: float = 0.005
    stickiness: float = 2.8
    dqn_learning_rate: float = 5e-4
    dqn_replay: int = 100_000
    dqn_epsilon: float = 0.05
    validate_every: int = 5
    validation_tasks: int = 24

    def __post_init__(self) -> None:
        whole = ("members", "shards", "trial_runs", "hidden", "epochs", "minibatches", "validation_tasks")
        for name in whole:
            self._require(name, getattr(self, name) >= 1, "at least 1")
        fits = self.interval_updates >= CYCLE and self.interval_updates % CYCLE == 0
        self._require("interval_updates", fits, f"a multiple of {CYCLE}")
        self._require("horizon", self.horizon is None or self.horizon >= 1, "at least 1 interval")
        self._require("seed", 0 <= self.seed < 2**32, "from 0 to 2**32 - 1")
        self._require("validate_every", self.validate_every >= 0, "at least 0")
        for name in ("clip_range", "target_kl", "max_grad_norm"):
            self._require(name, 0 < getattr(self, name) < math.inf, "more than 0")
        for name in ("entropy_start", "stickiness"):
            self._require(name, 0 <= getattr(self, name) < math.inf, "at least 0")
        self._require("gae_lambda", 0 <= self.gae_lambda <= 1, "between 0 and 1")
        self._require("minutes", self.minutes is None or 0 < self.minutes < math.inf, "more than 0")
        self._require("updates", self.updates is None or self.updates >= 1, "at least 1")
        for name in ("learning_rate", "dqn_learning_rate"):
            self._require(name, 0 < getattr(self, name) < 1, "between 0 and 1")
        self._require("dqn_replay", self.dqn_replay >= self.members, f"at least {self.members}, one for each member")
        self._require("dqn_epsilon", 0 <= self.dqn_epsilon <= 1, "between 0 and 1")
        kind = ALGORITHMS[self.algorithm]
        self._require("trial_runs", self.trial_runs == 1 or kind.trial_memory, f"1 with {self.algorithm}")
        REWARDS[self.reward]
        ActionCodec(self.knobs)
        find_device(self.device)
        if self.signals not in SIGNAL_SETS:
            raise UnknownNameError("set of signals", self.signals, SIGNAL_SETS)
        if self.initial_weights is not None:
            load_meta_init(self.initial_weights)
        if self.suite not in ENVIRONMENTS.values():
            raise UnknownNameError("suite", self.suite, ENVIRONMENTS.values())

    def _require(self, name: str, holds: bool, range_: str) -> None:
        if not holds:
            raise InvalidValueError(f"{name} is {getattr(self, name)}; it must be {range_}")

    def settled(self) -> "TrainConfig":
        """With the algorithm's own defaults in the place of those that were left as they are."""
        ordinary = {field.name: field.default for field in fields(self)}
        own = ALGORITHMS[self.algorithm].defaults
        return replace(self, **{name: own[name] for name in own if getattr(self, name) == ordinary[name]})

    @property
    def environment(self) -> str:
        """The id of the suite's environment."""
        return next(name for name, suite in ENVIRONMENTS.items() if suite == self.suite)
