"""Trains a recurrent scheduler: sb3-contrib's RecurrentPPO over a population of GANs, resumable at every iteration.

An iteration begins new trials in all members, with seeds that depend on its number alone, so that a run which was
stopped goes on exactly as if it had not been.
"""

import contextlib
import functools
import io
import json
import math
import sys
import time
from collections.abc import Callable
from dataclasses import asdict, dataclass, replace
from pathlib import Path
from typing import Any

import numpy as np
import torch
from rich.progress import Progress, TaskID
from stable_baselines3.common.logger import configure

from metagan_rl import __version__
from metagan_rl.agents.policy import PolicyConfig, PolicyScheduler, save_policy
from metagan_rl.agents.recurrent_policy import SchedulerPolicy, keep_controls
from metagan_rl.agents.recurrent_ppo import FastRecurrentPPO
from metagan_rl.agents.rollout_log import RolloutLog
from metagan_rl.agents.validation import Validation
from metagan_rl.controls import CYCLE, KNOBS
from metagan_rl.envs.actions import ActionCodec
from metagan_rl.envs.registration import ENVIRONMENTS
from metagan_rl.envs.sb3 import SB3VecEnv, make_sb3_vec_env
from metagan_rl.errors import FileFormatError, InvalidValueError, UnknownNameError
from metagan_rl.files import make_directory, write_whole
from metagan_rl.runtime import find_device
from metagan_rl.signals import SIGNAL_SETS

CONFIG, CHECKPOINT, POLICY, PROGRESS = "config.json", "checkpoint.pt", "policy.safetensors", "progress.jsonl"


@dataclass(frozen=True)
class TrainConfig:
    """Everything a training run depends on; written into its directory.

    Attributes:
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
        signals: ``"all"`` or ``"loop"``.
        trial_runs: runs in a trial (RL²).
        hidden: units of the LSTM; actor and critic have one each.
        learning_rate: of the agent, decayed to a fifth.
        epochs: passes over each rollout.
        minibatches: parts each rollout is cut into.
        clip_range, gae_lambda, target_kl, max_grad_norm: of PPO.
        entropy_start: entropy bonus, falling to 0 at three quarters of the run.
        stickiness: how strongly a fresh agent keeps the controls in force, as log-probability lost a level.
        validate_every: iterations between validations; 0 for none.
        validation_tasks: how many tasks of the validation split.
    """

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
        self._require("learning_rate", 0 < self.learning_rate < 1, "between 0 and 1")
        ActionCodec(self.knobs)
        find_device(self.device)
        if self.signals not in SIGNAL_SETS:
            raise UnknownNameError("set of signals", self.signals, SIGNAL_SETS)
        if self.suite not in ENVIRONMENTS.values():
            raise UnknownNameError("suite", self.suite, ENVIRONMENTS.values())

    def _require(self, name: str, holds: bool, range_: str) -> None:
        if not holds:
            raise InvalidValueError(f"{name} is {getattr(self, name)}; it must be {range_}")

    @property
    def environment(self) -> str:
        """The id of the suite's environment."""
        return next(name for name, suite in ENVIRONMENTS.items() if suite == self.suite)


def train(config: TrainConfig, out: str | Path, *, resume: bool = False, show: Callable[[str], None] = print) -> Path:
    """Trains a scheduler and writes its policy file.

    Args:
        config: of the run; with ``resume`` only its ``minutes`` or ``updates`` count, where they are given: the run
            then goes on to that length.
        out: run directory, for configuration, checkpoint, TensorBoard events, ``progress.jsonl`` and the policy file.
        resume: go on with the run in ``out``.
        show: gets a line for every iteration.

    Returns:
        The policy file; the best on validation tasks, or the last where nothing was validated.

    Raises:
        OutputError: the directory cannot be written.
        FileFormatError: ``resume``, but the directory holds no run, or a damaged one.
        InvalidValueError: a new run, but the directory already holds one.
    """
    out = Path(out)
    run = _resumed(config, out) if resume else _fresh(config, out)
    return run.go(show)


class TrainingRun:
    """A training run and its directory."""

    def __init__(self, config: TrainConfig, out: Path) -> None:
        self.config, self.out = config, out
        self.iteration, self.best = 0, math.inf
        self.seconds = 0.0
        self.env: SB3VecEnv = make_sb3_vec_env(
            config.environment,
            config.members,
            shards=min(config.shards, config.members),
            split="train",
            horizon=config.horizon,
            interval_updates=config.interval_updates,
            knobs=list(config.knobs),
            signals=config.signals,
            trial_runs=config.trial_runs,
            device=config.device,
        )
        try:
            self._build()
        except BaseException:
            self.env.close()
            raise

    def _build(self) -> None:
        config = self.config
        from metagan_rl.tasks import get_suite

        budget = get_suite(config.suite).split("train")[0].budget
        self.run_intervals = config.horizon or max(1, budget // config.interval_updates)
        steps = self.run_intervals * config.trial_runs
        torch.manual_seed(config.seed)
        self.model = FastRecurrentPPO(
            SchedulerPolicy,
            self.env,
            learning_rate=config.learning_rate,
            n_steps=steps,
            batch_size=max(2, steps * config.members // config.minibatches),
            n_epochs=config.epochs,
            gamma=1.0,
            gae_lambda=config.gae_lambda,
            clip_range=config.clip_range,
            ent_coef=config.entropy_start,
            max_grad_norm=config.max_grad_norm,
            target_kl=config.target_kl,
            seed=config.seed,
            device="cpu",
            policy_kwargs={
                "lstm_hidden_size": config.hidden,
                "net_arch": {"pi": [config.hidden], "vf": [config.hidden]},
                "ortho_init": False,
                "enable_critic_lstm": True,
            },
        )
        codec = ActionCodec(config.knobs)
        keep_controls(self.model.policy, codec, SIGNAL_SETS[config.signals], config.stickiness)

    def updates_per_iteration(self) -> int:
        """GAN updates of one iteration."""
        return self.model.n_steps * self.config.members * self.config.interval_updates

    def go(self, show: Callable[[str], None]) -> Path:
        """Runs the iterations that are left."""
        with contextlib.ExitStack() as cleaning:
            cleaning.callback(self.env.close)
            logger = configure(str(self.out), ["tensorboard"])
            cleaning.callback(logger.close)
            self.model.set_logger(logger)
            validation = Validation(self.config) if self.config.validate_every else None
            bar = Progress(*Progress.get_default_columns(), transient=True, disable=not sys.stdout.isatty())
            self._advance = functools.partial(bar.advance, bar.add_task("intervals", total=None))
            cleaning.enter_context(bar)
            while not self.over():
                started = time.monotonic()
                record = self._iterate()
                self.seconds += time.monotonic() - started
                if validation is None:
                    save_policy(self.out / POLICY, self.scheduler())
                elif self._validates():
                    record.update(validation.measure(self.scheduler()))
                    if record["validation/distance"] < self.best:
                        self.best = record["validation/distance"]
                        save_policy(self.out / POLICY, self.scheduler())
                bar.update(TaskID(0), total=self.iteration * self.model.n_steps / self.done())
                record["time/minutes"] = self.seconds / 60
                self._write(record, logger)
                show(self._line(record))
        return self.out / POLICY

    def _validates(self) -> bool:
        return self.over() or self.iteration % self.config.validate_every == 0

    def over(self) -> bool:
        """Whether the run is as near to its end as whole iterations allow."""
        return self.iteration > 0 and 1 - self.done() < 0.5 * self.done() / self.iteration

    def done(self) -> float:
        """How much of the run is done, from 0 to 1."""
        if self.config.updates is not None:
            return self.iteration / max(1, self.config.updates // self.updates_per_iteration())
        assert self.config.minutes is not None
        return self.seconds / (60 * self.config.minutes)

    def _iterate(self) -> dict[str, float]:
        model, config = self.model, self.config
        done = min(1.0, self.done())
        model.ent_coef = config.entropy_start * max(0.0, 1 - done / 0.75)
        model.lr_schedule = lambda _: config.learning_rate * (1 - 0.8 * done)
        seed = int(np.random.SeedSequence([config.seed, self.iteration]).generate_state(1)[0] // 2)
        # sb3-contrib samples actions from torch's global generator and its minibatches from NumPy's.
        torch.manual_seed(seed)
        np.random.seed(seed)
        self.env.seed(seed)
        model._last_obs = None  # makes learn() begin new trials
        model._last_lstm_states = _zeroed(model._last_lstm_states)
        log = RolloutLog(self._advance)
        started = time.monotonic()
        model.learn(self.model.n_steps * config.members, callback=log, log_interval=10**9, reset_num_timesteps=False)
        seconds = time.monotonic() - started
        self.iteration += 1
        record = log.summary()
        record["time/updates_per_second"] = self.updates_per_iteration() / seconds
        record["time/agent_share"] = 1 - log.environment_seconds / seconds
        return record

    def scheduler(self) -> PolicyScheduler:
        """The agent as it is, as a scheduler."""
        config, policy = self.config, self.model.policy
        source = {key: value.detach().clone() for key, value in policy.state_dict().items()}
        weights = {}
        for key, value in source.items():
            for theirs, ours in (
                ("lstm_actor.", "lstm."),
                ("mlp_extractor.policy_net.0.", "layers.0."),
                ("action_net.", "head."),
                ("direct.", "direct."),
            ):
                if key.startswith(theirs):
                    weights[ours + key.removeprefix(theirs)] = value
        described = PolicyConfig(
            knobs=tuple(ActionCodec(config.knobs).knobs),
            control="both",
            signals=tuple(signal.name for signal in SIGNAL_SETS[config.signals]),
            trial_memory=True,
            hidden=config.hidden,
            layers=(config.hidden,),
        )
        metadata = {
            "metagan_rl": __version__,
            "training": asdict(config),
            "iterations": self.iteration,
            "gan_updates": self.iteration * self.updates_per_iteration(),
        }
        return PolicyScheduler(described, weights, metadata)

    def _write(self, record: dict[str, float], logger: Any) -> None:
        updates = self.iteration * self.updates_per_iteration()
        line = {"iteration": self.iteration, "gan_updates": updates, **{k: _plain(v) for k, v in record.items()}}
        for name, value in record.items():
            logger.record(name, value)
        logger.dump(updates)
        progress = self.out / PROGRESS
        earlier = progress.read_text(encoding="utf-8") if progress.exists() else ""
        write_whole(progress, earlier + json.dumps(line) + "\n")
        checkpoint = {
            "policy": self.model.policy.state_dict(),
            "optimizer": self.model.policy.optimizer.state_dict(),
            "iteration": self.iteration,
            "seconds": self.seconds,
            "best": self.best,
            "timesteps": self.model.num_timesteps,
        }
        content = io.BytesIO()
        torch.save(checkpoint, content)
        write_whole(self.out / CHECKPOINT, content.getvalue())

    def load(self) -> None:
        """Takes up the checkpoint."""
        path = self.out / CHECKPOINT
        try:
            checkpoint = torch.load(path, weights_only=True)
            self.model.policy.load_state_dict(checkpoint["policy"])
            self.model.policy.optimizer.load_state_dict(checkpoint["optimizer"])
            self.iteration = checkpoint["iteration"]
            self.seconds, self.best = checkpoint["seconds"], checkpoint["best"]
            self.model.num_timesteps = checkpoint["timesteps"]
        except FileNotFoundError:
            self._forget_progress()  # stopped before the first iteration was through: begin again
            return
        except Exception as error:  # torch.load raises whatever the damage leads to
            raise FileFormatError(f"{path} is damaged ({error}); start a new run in another directory") from None
        self._forget_progress()

    def _forget_progress(self) -> None:
        """Drops lines of iterations that the checkpoint does not have, because they will be written again."""
        progress = self.out / PROGRESS
        lines = progress.read_text(encoding="utf-8").splitlines() if progress.exists() else []
        kept = [line for line in lines if json.loads(line)["iteration"] <= self.iteration]
        if len(kept) < len(lines):
            write_whole(progress, "".join(f"{line}\n" for line in kept))

    def _line(self, record: dict[str, float]) -> str:
        parts = [
            f"iteration {self.iteration} ({min(1, self.done()):.0%})",
            f"return {record['rollout/return']:+.3f}",
            f"distance {record['rollout/distance']:.3f}",
            f"diverged {record['rollout/diverged']:.0%}",
            f"{record['time/updates_per_second']:,.0f} updates/s",
        ]
        if "validation/distance" in record:
            base, random = record["validation/distance_constant"], record["validation/distance_random"]
            parts.append(
                f"validation distance {record['validation/distance']:.3f} (untuned {base:.3f}, random {random:.3f})"
            )
        return "  ".join(parts)


def _fresh(config: TrainConfig, out: Path) -> TrainingRun:
    if config.minutes is None and config.updates is None:
        config = replace(config, minutes=10.0)
    make_directory(out)
    if (out / CONFIG).exists():
        raise InvalidValueError(f"{out} already holds a run; continue it with --resume {out}, or choose another --out")
    run = TrainingRun(config, out)
    try:
        _write_config(config, out)  # only now: a configuration that cannot be run leaves no run behind
    except BaseException:
        run.env.close()
        raise
    return run


def _write_config(config: TrainConfig, out: Path) -> None:
    record = {"kind": "metagan-rl train", "version": __version__, **asdict(config)}
    write_whole(out / CONFIG, json.dumps(record, indent=2) + "\n")


def _resumed(wanted: TrainConfig, out: Path) -> TrainingRun:
    path = out / CONFIG
    try:
        record = json.loads(path.read_text(encoding="utf-8"))
        if record.pop("kind") != "metagan-rl train":
            raise ValueError("it is of another kind")
        record.pop("version")
        config = TrainConfig(**{**record, "knobs": tuple(record["knobs"])})
    except OSError:
        raise FileFormatError(f"{out} is not a training run: it has no {CONFIG}; metagan-rl train makes one") from None
    except (ValueError, KeyError, TypeError) as error:
        raise FileFormatError(f"{path} is not a training run's configuration ({error})") from None
    longer = wanted.minutes is not None or wanted.updates is not None
    if longer:
        config = replace(config, minutes=wanted.minutes, updates=wanted.updates)
    run = TrainingRun(config, out)
    try:
        run.load()
        if longer:
            _write_config(config, out)
    except BaseException:
        run.env.close()
        raise
    return run


def _zeroed(states: Any) -> Any:
    return type(states)(*(tuple(torch.zeros_like(part) for part in pair) for pair in states))


def _plain(value: Any) -> Any:
    return float(f"{float(value):.6g}")
