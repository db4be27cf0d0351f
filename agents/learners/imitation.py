"""``imitation``: learns from an oracle that tries moves on copies of the run (AggreVaTe and DAgger)."""

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import numpy as np
import torch
from torch import Tensor

from metagan_rl.agents.learners.learner import Learner, register_learner
from metagan_rl.agents.learners.options import require
from metagan_rl.agents.learners.policy import PolicyScheduler
from metagan_rl.agents.learners.policy_files import check_same
from metagan_rl.agents.learners.rollout import Rollout
from metagan_rl.agents.learners.whole_runs import resting_network, training_env
from metagan_rl.envs.resets import MAX_SEED
from metagan_rl.errors import InvalidValueError, UnknownNameError
from metagan_rl.tasks import get_suite

if TYPE_CHECKING:
    from metagan_rl.agents.learners.config import TrainConfig

TARGETS = ("cost", "best")
MOST_DIFFERENCE = 1.0
"""Returns that differ by more than this from the middle one count as this. A run that diverged is far out."""
RIDGE = 1.5
"""Variance of a return over that of a surface's coefficient before it is seen."""
ROWS = 128
"""Runs in a minibatch."""


@dataclass(frozen=True)
class ImitationConfig:
    """Options of ``imitation``.

    Attributes:
        target: what the policy learns: ``"cost"`` to make what its moves cost small (AggreVaTe), or ``"best"`` to make
            the move that was best of those tried (DAgger).
        hidden: units of the LSTM and of the layer after it.
        branches: moves that the oracle tries at a state, in opposite pairs; keeping the departure is tried as well.
        deviation: of the noise on the moves of the policy's own runs. So it also sees states a little off its course.
        damping: what a move costs beside what the oracle found: half of this times its square.
        learning_rate: of Adam; it decays to a fifth.
        passes: gradient steps after each iteration, on all runs so far.
    """

    target: str = "cost"
    hidden: int = 64
    branches: int = 6
    deviation: float = 0.2
    damping: float = 0.3
    learning_rate: float = 1e-3
    passes: int = 150

    def __post_init__(self) -> None:
        require(self, whole=("hidden", "branches", "passes"), rates=("learning_rate",))
        require(self, not_negative=("deviation", "damping"))
        if self.target not in TARGETS:
            raise UnknownNameError("target", self.target, TARGETS)
        if self.branches % 2:
            raise InvalidValueError(f"branches is {self.branches}; it must be even: moves are tried in opposite pairs")


@register_learner("imitation")
class ImitationLearner(Learner):
    """Imitation of an oracle that reacts.

    At two decisions of a run under the policy, the oracle tries moves on copies of it. Each copy makes one move, keeps
    that departure to the end, and sees the same noise as the others. (A knob without an order is back at the reference
    after the move.) A quadratic surface is fitted to the returns. An iteration has half as many runs in every member as
    a run has decisions, and so asks about all of them. The policy is then trained on all runs so far, those of earlier
    iterations too. What counts is what its own moves would have cost on the surfaces. The network is that of
    ``recurrent-ppo``, which can go on from its policies (``--from``).

    It needs few members: with 16 decisions and 6 branches, an iteration costs 68 runs for each member.

    Source: Ross & Bagnell 2014 (AggreVaTe), arXiv:1406.5979; Ross et al. 2011 (DAgger), arXiv:1011.0686.
    """

    Config = ImitationConfig
    actions = "continuous-moves"
    trial_memory = False

    def __init__(self, config: "TrainConfig") -> None:
        super().__init__(config)
        own: ImitationConfig = config.learner
        self._tasks = get_suite(config.tasks_of()).split("train")
        self.steps = max(config.intervals(task) for task in self._tasks)
        """Intervals of the longest run."""
        self._rounds = (self.steps + 1) // 2
        self._described = self.policy_config(hidden=own.hidden, layers=(own.hidden,))
        self._env = training_env(config)
        self._network = resting_network(self._described, self._env, config.seed)
        self._knobs = len(self._described.outputs)
        self._optimizer = torch.optim.Adam(self._network.parameters(), lr=own.learning_rate)
        self._lessons = Lessons.none(self.steps, self._network.direct.in_features, self._knobs)

    @property
    def updates_per_iteration(self) -> int:
        """See :class:`Learner`."""
        asking = (self.steps + 1) * (self.config.learner.branches + 1)
        return round(self._rounds * (self.steps + asking) * self.config.members * self.config.mean_interval)

    def iterate(self, number: int, done: float, on_interval: Callable[[], object]) -> dict[str, float]:
        """Trains runs in every member, asks the oracle about all decisions, and learns; see :class:`Learner`."""
        rng = np.random.default_rng([self.config.seed, number])
        rollout, before = Rollout(), len(self._lessons)
        for early in range(self._rounds):
            asked = (early, self.steps - 1 - early)
            seen, running, states = self._run(asked, rng, rollout, on_interval)
            fitted = [fit(*self._ask(state, rng, on_interval)) for state in states]
            self._lessons = self._lessons.more(
                Lessons(
                    seen,
                    torch.tensor(asked).expand(len(seen), 2).contiguous(),
                    torch.stack([surfaces for surfaces, _ in fitted], dim=1),
                    torch.stack([best for _, best in fitted], dim=1),
                    running[list(asked)].T.float(),
                )
            )
        with torch.no_grad():  # what its moves cost on these, which it has not learned from
            own = self._loss(self._lessons.of(torch.arange(before, len(self._lessons))), "cost", 0.0)
        return {**rollout.summary(), "train/own_cost": float(own), **self._learn(rng, done)}

    def _run(
        self, asked: tuple[int, ...], rng: np.random.Generator, rollout: Rollout, on_interval: Callable[[], object]
    ) -> tuple[Tensor, Tensor, list[Any]]:
        """One run of every member under the policy.

        Returns:
            what members saw, ``[B, S, O]``; which of them were in their run before each decision, ``[S, B]``; and the
            states of the environment at the decisions asked for.
        """
        env, members = self._env, self.config.members
        env.seed(int(rng.integers(MAX_SEED)))
        tasks = [self._tasks.sample(rng) for _ in range(members)]
        env.set_options({"tasks": tasks, "gan_seeds": rng.integers(MAX_SEED, size=members).tolist()})
        observations = env.reset()
        seen, alive, states = [], [], []
        running, memory = np.ones(members, dtype=bool), None
        for step in range(self.steps):
            if step in asked:
                states += env.env_method("get_state")[:1] * asked.count(step)
            seen.append(torch.from_numpy(observations.copy()))
            alive.append(torch.from_numpy(running.copy()))
            with torch.no_grad():
                means, memory = self._network(seen[-1], memory)
            moves = means.numpy() + self.config.learner.deviation * rng.normal(size=means.shape)
            observations, _, over, infos = env.step(np.clip(moves, -1, 1))
            rollout.add(info for info, runs in zip(infos, running, strict=True) if runs)
            running &= ~over
            on_interval()
        return torch.stack(seen, dim=1), torch.stack(alive), states

    def _ask(
        self, state: Any, rng: np.random.Generator, on_interval: Callable[[], object]
    ) -> tuple[np.ndarray, np.ndarray]:
        """Tries moves from a state of the environment.

        Returns:
            the moves of each member, ``[B, n, K]``, the first of them 0; and what they cost, ``[B, n]``: the negative
            return of the rest of the run.
        """
        members, pairs = self.config.members, self.config.learner.branches // 2
        tried = rng.uniform(-1, 1, size=(pairs, members, self._knobs))
        moves = np.concatenate([np.zeros((1, members, self._knobs)), tried, -tried])
        costs = np.zeros(moves.shape[:2])
        for place, move in enumerate(moves):
            self._env.env_method("set_state", state)
            running = np.ones(members, dtype=bool)
            while running.any():
                _, rewards, over, _ = self._env.step(move)
                costs[place, running] -= rewards[running]
                running &= ~over
                move = np.zeros_like(move)
                on_interval()
        return moves.transpose(1, 0, 2), costs.T

    def _learn(self, rng: np.random.Generator, done: float) -> dict[str, float]:
        """Trains the network on what the oracle said so far; what to log."""
        own: ImitationConfig = self.config.learner
        for group in self._optimizer.param_groups:
            group["lr"] = own.learning_rate * (1 - 0.8 * done)
        told = []
        for _ in range(own.passes):
            rows = rng.integers(len(self._lessons), size=min(ROWS, len(self._lessons)))
            loss = self._loss(self._lessons.of(torch.from_numpy(rows)), own.target, own.damping)
            self._optimizer.zero_grad()
            loss.backward()
            torch.nn.utils.clip_grad_norm_(self._network.parameters(), 0.5)
            self._optimizer.step()
            told.append(float(loss.detach()))
        return {"train/loss": float(np.mean(told)), "train/lessons": float(self._lessons.weights.sum())}

    def _loss(self, lessons: "Lessons", target: str, damping: float) -> Tensor:
        """The mean loss of the network's moves where the oracle was asked."""
        moves, memory = [], None
        for step in range(self.steps):
            means, memory = self._network(lessons.seen[:, step], memory)
            moves.append(means)
        own = torch.stack(moves, dim=1)[torch.arange(len(lessons))[:, None], lessons.asked]
        losses = lessons.losses(own, target, damping) * lessons.weights
        return losses.sum() / lessons.weights.sum().clamp(min=1)

    def policy(self, metadata: Mapping[str, Any]) -> PolicyScheduler:
        """See :class:`Learner`."""
        weights = {name: value.detach().clone() for name, value in self._network.state_dict().items()}
        return PolicyScheduler(self._described, weights, metadata)

    def state(self) -> dict[str, Any]:
        """See :class:`Learner`."""
        weights = {name: value.clone() for name, value in self._network.state_dict().items()}
        return {"network": weights, "optimizer": self._optimizer.state_dict(), "lessons": dict(vars(self._lessons))}

    def load_state(self, state: Mapping[str, Any]) -> None:
        """See :class:`Learner`."""
        self._network.load_state_dict(state["network"])
        self._optimizer.load_state_dict(state["optimizer"])
        self._lessons = Lessons(**state["lessons"])

    def start_from(self, policy: PolicyScheduler) -> None:
        """See :class:`Learner`."""
        check_same(self._described, policy.config)
        self._network.load_state_dict(policy.network.state_dict())

    def close(self) -> None:
        """Ends the environment and its workers."""
        self._env.close()


@dataclass(frozen=True)
class Lessons:
    """What the oracle said about N runs of S decisions, at two decisions of each.

    Attributes:
        seen: observations, ``[N, S, O]``.
        asked: the decisions, ``[N, 2]``.
        surfaces: coefficients of what moves cost there, ``[N, 2, F]``; see :func:`features`.
        best: the best of the moves that were tried, ``[N, 2, K]``.
        weights: 1, or 0 where the run had ended before, ``[N, 2]``.
    """

    seen: Tensor
    asked: Tensor
    surfaces: Tensor
    best: Tensor
    weights: Tensor

    @classmethod
    def none(cls, steps: int, inputs: int, knobs: int) -> "Lessons":
        """No lessons yet."""
        coefficients = features(torch.zeros(knobs)).shape[-1]
        shapes = (0, steps, inputs), (0, 2), (0, 2, coefficients), (0, 2, knobs), (0, 2)
        seen, asked, *rest = (torch.zeros(shape) for shape in shapes)
        return cls(seen, asked.long(), *rest)

    def __len__(self) -> int:
        return len(self.seen)

    def of(self, rows: Tensor) -> "Lessons":
        """Those of some runs."""
        return Lessons(**{name: value[rows] for name, value in vars(self).items()})

    def more(self, other: "Lessons") -> "Lessons":
        """These and others."""
        return Lessons(**{name: torch.cat([value, vars(other)[name]]) for name, value in vars(self).items()})

    def losses(self, moves: Tensor, target: str, damping: float) -> Tensor:
        """The loss of moves ``[N, 2, K]`` at each decision, ``[N, 2]``."""
        if target == "best":
            return (moves - self.best).square().sum(dim=-1)
        inside = moves.clamp(-1, 1)
        cost = (features(inside) * self.surfaces).sum(dim=-1) + damping / 2 * inside.square().sum(dim=-1)
        return cost + (moves - inside).square().sum(dim=-1)  # leads back what is out of range


def features(moves: Tensor) -> Tensor:
    """Terms of a quadratic surface without its constant: moves ``[..., K]``, their squares, and products of two."""
    one, other = torch.triu_indices(moves.shape[-1], moves.shape[-1], offset=1)
    return torch.cat([moves, moves.square(), moves[..., one] * moves[..., other]], dim=-1)


def fit(moves: np.ndarray, costs: np.ndarray) -> tuple[Tensor, Tensor]:
    """Surfaces of what moves cost, by ridge regression.

    Args:
        moves: that were tried in each member, ``[B, n, K]``.
        costs: what they cost, ``[B, n]``.

    Returns:
        the surfaces' coefficients ``[B, F]``, and of the moves that were tried the best on the surface ``[B, K]``.
    """
    tried = torch.from_numpy(moves).double()
    terms, found = features(tried), torch.from_numpy(costs).double()
    middle = found.median(dim=1, keepdim=True).values  # one diverged run must not move all others
    found = (found - middle).clamp(-MOST_DIFFERENCE, MOST_DIFFERENCE)
    centred = terms - terms.mean(dim=1, keepdim=True)
    squares = centred.mT @ centred + RIDGE * torch.eye(terms.shape[-1], dtype=torch.float64)
    surfaces = torch.linalg.solve(squares, centred.mT @ (found - found.mean(dim=1, keepdim=True))[..., None])[..., 0]
    best = (terms * surfaces[:, None]).sum(dim=-1).argmin(dim=1)
    return surfaces.float(), tried[torch.arange(len(tried)), best].float()
