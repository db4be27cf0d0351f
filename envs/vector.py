"""The native vector environment: B GANs trained in lockstep behind Gymnasium's ``VectorEnv``."""

from collections.abc import Mapping, Sequence
from dataclasses import replace
from typing import Any

import gymnasium as gym
import numpy as np
from gymnasium.utils import seeding
from gymnasium.vector import AutoresetMode, VectorEnv
from gymnasium.vector.utils import batch_space

from metagan_rl.envs.departures import Departures
from metagan_rl.envs.infos import columns, flat, masked, merged, with_masks
from metagan_rl.envs.options import EnvOptions, plain
from metagan_rl.envs.privileged import Privileged
from metagan_rl.envs.resets import MAX_SEED, Reset, member_seeds
from metagan_rl.envs.state import restore, state_of
from metagan_rl.envs.trial import TrialMemory
from metagan_rl.errors import InvalidValueError, UnknownNameError
from metagan_rl.loop.controls import Controls
from metagan_rl.loop.drive import situation_of
from metagan_rl.loop.ledger import Outcome
from metagan_rl.loop.reference import Reference
from metagan_rl.loop.reward import find_reward
from metagan_rl.loop.runs import Runs
from metagan_rl.populations.population import check_memory
from metagan_rl.runtime import find_device
from metagan_rl.tasks import Task, get_suite

PER_MEMBER = ("action_masks", "render", "np_random", "np_random_seed")
"""Methods and attributes that have an entry for each member."""
ACT_ON_ALL = ("reset", "look", "step", "get_state", "set_state", "clone", "close")


class MetaGANVectorEnv(VectorEnv[np.ndarray, np.ndarray, np.ndarray]):
    """B GAN training runs. One step trains each of them for one interval.

    Member i behaves like the single environment with seed ``seed + i``: same task, same random streams.

    Args:
        suite: name of a suite, or a file of one; each registered environment has its own.
        num_envs: B.
        split: ``"train"``, ``"val"`` or ``"test"``.
        autoreset_mode: any of Gymnasium's three.
        max_episode_steps: truncates episodes after this many steps; ``None`` never does.
        render_mode: ``"rgb_array"`` or ``None``.
        flat_info: whether ``info`` holds numbers alone, on one level (``"controls/ratio"``), for tools that fail on
            nested or other values. Ratios and losses are then indices.
        **options: options of :class:`EnvOptions`:

            * ``horizon``: intervals in a run; by default each task's budget decides.
            * ``interval_updates``: updates in an interval, a multiple of 12.
            * ``decisions``: intervals in every run, whatever its budget: each task's budget then decides how
              long its intervals are. With ``horizon`` too, runs end after so many of these intervals.
            * ``knobs``: the controls that the agent has, by name, or with levels of their own
              (``{"ratio": ["1:1", "2:1"], "loss": None}``); all others stay at the task's base.
            * ``control``: ``"both"``, or ``"discriminator"`` or ``"generator"`` for only that side's own knobs.
            * ``lr_levels``: number of levels of each learning rate, if actions are discrete or moves.
            * ``actions``: ``"discrete"`` levels, a ``"continuous"`` box in [-1, 1], or ``"moves"`` of one knob. Around
              a reference also ``"joint-moves"`` and ``"continuous-moves"`` of all knobs; see :class:`ActionCodec`.
            * ``reference``: the schedule that action zero follows: the name of a scheduler (``"constant"`` is the
              task's own base, ``"tuned-decay"`` the schedule tuned for all tasks), a schedule file (``.json``) or a
              policy file (``.safetensors``). Actions are then departures from it, and the observation also has the
              departure of each knob. ``None``: actions are values of the knobs.
            * ``pace``: share of the farthest departure that a move covers.
            * ``price``: what a run costs, in the reward, whose departures from the reference are farthest throughout.
              Departures cost by their squares. So an agent stays with the reference where it gains nothing.
            * ``signals``: names of signals, or a set. ``"all"``: all. ``"loop"``: what any training loop has, without a
              quality metric. ``"outputs"``: of these, what needs no gradient norms. ``"autoloss"``: those nearest to
              AutoLoss's.
            * ``trial_runs``: number K of runs on the same task in one episode. The observation then has the previous
              action, the previous reward and a run-boundary flag (RL²). ``None`` or 0: an episode is one run.
            * ``trial_reward``: what a trial earns for quality. ``"each"``: every run earns log(start / end).
              ``"best"``: the first run does, later runs only what they take off the best end so far. A trial then
              earns log(start / best end), and a run that tries something costs nothing. The previous reward that the
              observation shows is that of ``"each"``, without a price.
            * ``privileged``: whether the observation ends with facts that are hidden from schedulers, for a critic; see
              :class:`metagan_rl.envs.privileged.Privileged`.
            * ``reward``: weights of the reward's terms: a :class:`Reward`, a mapping, or a name in ``REWARDS``.
            * ``device``: where the GANs are trained and measured, ``"cpu"`` or ``"cuda"``.
            * ``engine``: what trains them: ``"native"``, ``"torch"``, or ``"auto"`` for the native engine wherever it
              has what they need.
            * ``noise``: the stream of noise and data order, ``"device"`` (the default) or ``"host"``.
            * ``initial_weights``: a meta-initialisation that all GANs start from: a ``MetaInit``, or the file that
              ``metagan-rl meta-init`` writes. By default each GAN starts from weights drawn from its seed.

    Raises:
        UnknownNameError: an argument names something that does not exist; the message offers the nearest names.
        InvalidValueError: an argument is out of range, or the initial weights do not fit one of the split's tasks.
        FileFormatError: the file of initial weights is damaged.
    """

    def __init__(
        self,
        suite: str = "planar",
        num_envs: int = 1,
        *,
        split: str = "train",
        autoreset_mode: AutoresetMode | str = AutoresetMode.SAME_STEP,
        max_episode_steps: int | None = None,
        render_mode: str | None = None,
        flat_info: bool = False,
        **options: Any,
    ) -> None:
        self._made = {
            "suite": suite, "num_envs": num_envs, "split": split, "autoreset_mode": autoreset_mode,
            "max_episode_steps": max_episode_steps, "render_mode": render_mode, "flat_info": flat_info, **options,
        }  # fmt: skip
        steps = 1 if max_episode_steps is None else max_episode_steps
        for name, value in (("num_envs", num_envs), ("max_episode_steps", steps)):
            if not (isinstance(value, (int, np.integer)) and not isinstance(value, bool) and value >= 1):
                raise InvalidValueError(f"{name} is {value!r}; it must be a whole number of at least 1")
        if render_mode not in (None, "rgb_array"):
            raise UnknownNameError("render mode", render_mode, ("rgb_array",))
        self.options = EnvOptions.named(**options)
        self.split = get_suite(suite).split(split)
        self._ready = self.options.ready()
        check_memory(self.split, num_envs, find_device(self.options.device))
        if self._ready.initial_weights is not None:
            for task in self.split:
                self._ready.check(task)
        self.codec = self.options.codec()
        named = self.options.reference
        if self.options.price and named is None:
            raise InvalidValueError(
                f"price is {self.options.price} without a reference to depart from; add reference='constant'"
            )
        self.reference = None if named is None else Reference(named, num_envs)
        self.departures = None if named is None else Departures(num_envs, self.codec)
        self.autoreset_mode = AutoresetMode(autoreset_mode)
        self.metadata = {"render_modes": ["rgb_array"], "render_fps": 8, "autoreset_mode": self.autoreset_mode}
        self.num_envs, self.render_mode = num_envs, render_mode
        self.which = self.options.which()
        self._terms = (*find_reward(self.options.reward).names, *(["departure"] if self.options.price else []))
        self._max_steps = max_episode_steps
        trial_runs = self.options.trial_runs
        self.memory = None if not trial_runs else TrialMemory(num_envs, self.codec, trial_runs)
        self.privileged = Privileged(self.split, self.which) if self.options.privileged else None

        low = np.array([signal.low for signal in self.which], dtype=np.float32)
        high = np.array([signal.high for signal in self.which], dtype=np.float32)
        for more in (self.departures, self.memory, self.privileged):
            if more is not None:
                low, high = np.append(low, more.low), np.append(high, more.high)
        self.single_observation_space = gym.spaces.Box(low, high, dtype=np.float32)
        self.single_action_space = self.codec.space
        self.observation_space = batch_space(self.single_observation_space, num_envs)
        self.action_space = batch_space(self.single_action_space, num_envs)

        self._flat = flat_info
        self._hides = any(task.hidden is not None for task in self.split)
        self.rngs, self.seeds = map(list, zip(*(seeding.np_random(None) for _ in range(num_envs)), strict=True))
        self.runs: Runs | None = None
        self._steps = np.zeros(num_envs, dtype=np.int64)
        self._ended = np.zeros(num_envs, dtype=bool)
        self._rewards = np.zeros(num_envs)
        self._frames: dict[int, Any] = {}
        self._history: list[list[dict[str, Any]]] = [[] for _ in range(num_envs)]

    @property
    def spec(self) -> Any:
        """How it was made; JSON gives back an equal spec."""
        return self._spec

    @spec.setter
    def spec(self, spec: Any) -> None:
        self._spec = spec if spec is None else replace(spec, kwargs=plain(spec.kwargs))

    _spec: Any = None

    @property  # type: ignore[misc]  # without a setter, as in Gymnasium's own vector environments
    def np_random(self) -> Any:
        """The generator of each member."""
        return tuple(self.rngs)

    @property
    def np_random_seed(self) -> Any:
        """The seed of each member's generator."""
        return tuple(self.seeds)

    @property
    def max_episode_steps(self) -> int:
        """Steps of the longest episode."""
        longest = max(self.options.intervals(task) for task in self.split) * (self.options.trial_runs or 1)
        return longest if self._max_steps is None else min(longest, self._max_steps)

    def action_masks(self) -> np.ndarray:
        """Which choices of a discrete action change something, bool ``[B, sum of choices]``; see ``ActionCodec.masks``.

        Raises:
            InvalidValueError: actions are continuous, or there was no reset.
        """
        if self.runs is None:
            raise InvalidValueError("action_masks was called before reset; call reset first")
        return self.codec.masks(None if self.departures is None else self.departures.places, self.runs.controls)

    def reset(
        self, *, seed: int | Sequence[int | None] | None = None, options: dict[str, Any] | None = None
    ) -> tuple[np.ndarray, dict[str, Any]]:
        """Starts new runs.

        Args:
            seed: a number (member i gets seed + i), one for each member, or ``None`` to continue as before.
            options: may hold ``reset_mask`` (bool ``[B]``: which members to reset), ``tasks`` (a task or its name for
                each member that is reset) and ``gan_seeds`` (a whole number for each of them). What is not given is
                drawn at random.
        """
        seeds = member_seeds(seed, self.num_envs)
        asked = Reset.of(options, self.num_envs, self.split, first=self.runs is None)
        for member in asked.members:
            if seeds[member] is not None:
                self.rngs[member], self.seeds[member] = seeding.np_random(seeds[member])
        self._begin(asked.members, asked.tasks, asked.gan_seeds)
        return self.look(asked.mask)

    def look(self, mask: np.ndarray) -> tuple[np.ndarray, dict[str, Any]]:
        """What ``reset`` returns, with infos of the members in a mask ``[B]``; nothing is reset."""
        return self._observe(), self._infos(mask)

    def step(self, actions: np.ndarray) -> tuple[np.ndarray, np.ndarray, np.ndarray, np.ndarray, dict[str, Any]]:
        """Trains every member for one interval.

        Raises:
            InvalidValueError: an action lies outside the space, or a member's run has ended and was not reset.
        """
        if self.runs is None:
            raise InvalidValueError("step was called before reset; call reset first")
        if self.autoreset_mode == AutoresetMode.DISABLED and self._ended.any():
            raise InvalidValueError(f"members {np.flatnonzero(self._ended).tolist()} are over; reset them before step")
        controls = self._controls(actions)
        dummy = self._ended.copy()  # NEXT_STEP mode only: these members are reset instead of stepped
        shares = self.runs.interval_updates / self.runs.ledger.budget
        before, begins = self.runs.quality.distance, self.runs.updates == 0
        plain_outcome = self._advance(controls, dummy)
        outcome = self._priced(self._improving(plain_outcome, before, begins), shares)
        outcome.terms.update({name: np.where(dummy, 0.0, term) for name, term in outcome.terms.items()})
        self._steps += ~dummy
        reward = self._rewards = np.where(dummy, 0.0, outcome.reward)
        run_over = (outcome.diverged | outcome.finished) & ~dummy
        terminated = run_over.copy()
        if self.memory is not None:
            seen = np.where(dummy, 0.0, plain_outcome.reward)  # what schedulers outside of environments are told, too
            self.memory.note(np.asarray(actions), seen, run_over, self.runs.quality.distance)
            terminated = run_over & self.memory.trial_over
        truncated = np.zeros(self.num_envs, dtype=bool)
        if self._max_steps is not None:
            truncated = (self._steps >= self._max_steps) & ~terminated & ~dummy
        over = terminated | truncated
        infos = self._infos(~dummy, outcome)
        again = run_over & ~over
        if again.any():  # these members start the next run of their trial, on the same task
            members = np.flatnonzero(again)
            self._begin(members, [self.runs.tasks[member] for member in members], None, new_episode=False)
        if self.autoreset_mode == AutoresetMode.NEXT_STEP and dummy.any():
            self._begin(np.flatnonzero(dummy), None, None)
            infos = self._infos(np.ones(self.num_envs, dtype=bool), outcome)
        self._ended = over.copy()
        observations = self._observe()
        if self.autoreset_mode == AutoresetMode.SAME_STEP and over.any():
            observations, infos = self._reset_in_same_step(over, observations, infos)
        return observations, reward, terminated, truncated, infos

    def call(self, name: str, *args: Any, **kwargs: Any) -> tuple[Any, ...]:
        """Calls a method, or reads an attribute, as Gymnasium's own vector environments do; an entry for each member.

        What is not told of each member by itself is repeated. Methods that act on all members are called directly.

        Raises:
            InvalidValueError: the method acts on all members.
        """
        if name in ACT_ON_ALL:
            raise InvalidValueError(f"{name} acts on all members at once; write env.{name}(...) instead of env.call")
        found = getattr(self, name)
        result = found(*args, **kwargs) if callable(found) else found
        return tuple(result) if name in PER_MEMBER and result is not None else (result,) * self.num_envs

    def get_state(self) -> dict[str, Any]:
        """All that decides what is still to come, as plain data: weights, moments, random streams, history.

        Raises:
            InvalidValueError: there was no reset.
        """
        return state_of(self)

    def set_state(self, state: Mapping[str, Any]) -> tuple[np.ndarray, dict[str, Any]]:
        """Goes on from a state, with its tasks and random streams; returns what ``reset`` would.

        The state may come from an environment with other options. If actions mean something else here, members are back
        on their references, and a trial begins anew.

        Raises:
            InvalidValueError: the state is damaged, or of another number of members.
        """
        restore(self, state)
        return self.look(np.ones(self.num_envs, dtype=bool))

    def clone(self, **changes: Any) -> "MetaGANVectorEnv":
        """An independent environment in the same state, with some options changed: a branch of the same GANs."""
        made = type(self)(**{**self._made, **changes})
        if self.runs is not None:
            made.set_state(self.get_state())
        return made

    def __reduce__(self) -> tuple[Any, ...]:
        """Copies and pickles by its options, its state and its spec."""
        state = None if self.runs is None else self.get_state()
        return _remade, (type(self), plain(self._made), state, (self.rngs, self.seeds), self.spec)

    def load_runs(self, state: Mapping[str, Any]) -> None:
        """Replaces the runs by those of ``Runs.state_dict``."""
        if self.runs is None:
            tasks = [Task.from_dict(record) for record in state["tasks"]]
            self.runs = Runs(tasks, [0] * len(tasks), self._ready)
        self.runs.load_state_dict(state)

    def render(self) -> tuple[np.ndarray, ...] | None:
        """A picture of each member, uint8 ``[H, W, 3]``; see :mod:`metagan_rl.envs.render`."""
        if self.render_mode is None:
            gym.logger.warn("render was called, but the environment was made without render_mode; use 'rgb_array'")
            return None
        if self.runs is None:
            raise InvalidValueError("render was called before reset; call reset first")
        from metagan_rl.envs.render import Frame

        frames = []
        for member, history in enumerate(self._history):
            if member not in self._frames:
                self._frames[member] = Frame(self.runs, member, history[0])
            frames.append(self._frames[member].draw(self.runs, history))
        return tuple(frames)

    def _controls(self, actions: np.ndarray) -> Controls:
        assert self.runs is not None
        if self.reference is None or self.departures is None:
            return self.codec.decode(actions, self.runs.base_controls(), self.runs.controls)
        actions = self.codec.checked(actions, self.num_envs)  # before a reference that remembers goes on
        if self.reference.is_base:  # it needs no signals
            return self.departures.follow(actions, self.runs.base_controls())
        return self.departures.follow(actions, self.reference.controls(situation_of(self.runs, self._rewards)))

    def _advance(self, controls: Any, dummy: np.ndarray) -> Outcome:
        assert self.runs is not None
        outcome = self.runs.advance(controls)
        if self.render_mode is not None:
            for member in np.flatnonzero(~dummy).tolist():
                self._history[member].append(self._entry(member))
        return outcome

    def _improving(self, outcome: Outcome, before: np.ndarray, begins: np.ndarray) -> Outcome:
        """The outcome with the gain over the best run of the trial so far, if that alone counts.

        Args:
            outcome: of an interval.
            before: quality distance before it, ``[B]``.
            begins: whether a run began with it, bool ``[B]``. Fresh weights that are better than the best do not count.
        """
        if self.memory is None or self.runs is None or self.options.trial_reward != "best":
            return outcome
        ledger = self.runs.ledger
        distance, best = ledger.quality.distance, self.memory.best
        before = np.where(begins & np.isfinite(best), best, before)
        gain = ledger.reward.gain(before, distance, outcome.diverged, start=ledger.start, best=best)
        terms = {**outcome.terms, "quality": gain}
        return replace(outcome, reward=outcome.reward - outcome.terms["quality"] + gain, terms=terms)

    def _priced(self, outcome: Outcome, shares: np.ndarray) -> Outcome:
        """The outcome with what departures cost, for an interval with these shares of the budgets ``[B]``."""
        if self.departures is None or not self.options.price:
            return outcome
        cost = -self.options.price * shares * np.square(self.departures.observation()).mean(axis=1)
        return replace(outcome, reward=outcome.reward + cost, terms={**outcome.terms, "departure": cost})

    def _entry(self, member: int) -> dict[str, Any]:
        """What a picture shows of one interval."""
        assert self.runs is not None
        return {**self.runs.controls.describe(member), "distance": float(self.runs.quality.distance[member])}

    def _begin(
        self,
        members: np.ndarray,
        tasks: Sequence[Task] | None,
        gan_seeds: Sequence[int] | None,
        new_episode: bool = True,
    ) -> None:
        chosen, seeds = [], []
        for place, member in enumerate(members):
            rng = self.rngs[member]
            chosen.append(self.split.sample(rng) if tasks is None else tasks[place])
            own = int(rng.integers(MAX_SEED))  # drawn even if not used, so that later draws stay the same
            seeds.append(own if gan_seeds is None else gan_seeds[place])
        for member in members.tolist():
            self._history[member] = []
            self._frames.pop(member, None)
        if self.runs is None:
            self.runs = Runs(chosen, seeds, self._ready)
        else:
            self.runs.restart(members.tolist(), chosen, seeds)
        self._rewards = self._rewards.copy()
        self._rewards[members] = 0.0
        if self.reference is not None and self.departures is not None:
            self.reference.restart(members, seeds)
            self.departures.restart(members)
        if new_episode:
            self._steps[members] = 0
            self._ended[members] = False
            if self.memory is not None:
                self.memory.restart(members)
        if self.render_mode is not None:
            for member in members.tolist():
                self._history[member].append(self._entry(member))

    def _observe(self) -> np.ndarray:
        assert self.runs is not None
        parts = [self.runs.observe(self.which)]
        parts += [more.observation() for more in (self.departures, self.memory) if more is not None]
        parts += [] if self.privileged is None else [self.privileged.observation(self.runs)]
        return np.concatenate(parts, axis=1) if len(parts) > 1 else parts[0]

    def _reset_in_same_step(
        self, over: np.ndarray, observations: np.ndarray, infos: dict[str, Any]
    ) -> tuple[np.ndarray, dict[str, Any]]:
        final_obs = np.full(self.num_envs, None, dtype=object)
        for member in np.flatnonzero(over):
            final_obs[member] = observations[member].copy()
        self._begin(np.flatnonzero(over), None, None)
        fresh = self._infos(np.ones(self.num_envs, dtype=bool))
        final_info = masked(infos, over)
        both = merged(infos, fresh, over)
        both.update(final_obs=final_obs, _final_obs=over.copy(), final_info=final_info, _final_info=over.copy())
        return self._observe(), both

    def _infos(self, mask: np.ndarray, outcome: Outcome | None = None) -> dict[str, Any]:
        assert self.runs is not None
        runs = self.runs
        score = runs.score
        described = [runs.controls.describe(member) for member in range(self.num_envs)]
        values: dict[str, Any] = {
            "distance": runs.quality.distance.copy(),
            "sliced_wasserstein": runs.quality.sliced_wasserstein.copy(),
            "precision": runs.quality.precision.copy(),
            "coverage": runs.quality.coverage.copy(),
            "floor": runs.ledger.floor.copy(),
            "score": score,
            "diverged": runs.population.diverged,
            "updates": runs.updates,
            "task": np.array([task.name for task in runs.tasks], dtype=object),
            "family": np.array([task.family for task in runs.tasks], dtype=object),
            "engine": np.array(runs.population.engines, dtype=object),
            "controls": columns(described),
            "reward_terms": {name: np.zeros(self.num_envs) for name in self._terms},
        }
        if self._hides:
            values["hidden"] = dict(zip(("generator_lr", "discriminator_lr"), runs.hidden_factors.T, strict=True))
        if outcome is not None:
            values["reward_terms"] = dict(outcome.terms)
        if self.memory is not None:
            values["run"] = self.memory.run.copy()
        if self._flat:
            values["controls"] = {name: getattr(runs.controls, name) for name in runs.controls.knobs}
            values = flat(values)
        return with_masks(values, mask)


def _remade(kind: type[Any], made: dict[str, Any], state: Any, drawn: tuple[list[Any], list[Any]], spec: Any) -> Any:
    env = kind(**made)
    env.rngs, env.seeds = list(drawn[0]), list(drawn[1])
    if state is not None:
        env.set_state(state)
    env.spec = spec
    return env
