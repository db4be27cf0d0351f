"""Policies: trained schedulers that need only torch and NumPy to run."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from itertools import pairwise
from typing import Any

import numpy as np
import torch
from torch import Tensor, nn

from metagan_rl.envs.actions import PACE, ActionCodec, check_kind
from metagan_rl.envs.departures import Departures
from metagan_rl.envs.trial import TrialMemory
from metagan_rl.errors import InvalidValueError
from metagan_rl.loop.controls import Controls
from metagan_rl.loop.knobs import Knob
from metagan_rl.loop.memory import Remembering, pack, unpack
from metagan_rl.loop.reference import Named, Reference
from metagan_rl.loop.scheduler import Scheduler, Situation
from metagan_rl.loop.signals import Signal, as_matrix


@dataclass(frozen=True)
class PolicyConfig:
    """All that a policy needs to run apart from its weights. Its file keeps this, with the meaning of every number.

    Attributes:
        knobs: knobs that the policy sets, with their levels.
        signals: signals that it sees, in order.
        trial_memory: whether it also sees its previous action, the previous reward and a run-boundary flag (RL²).
        hidden: units of the LSTM; 0 for a policy without memory.
        layers: units of each hidden layer after the LSTM.
        actions: kind of actions; see :class:`metagan_rl.envs.ActionCodec`.
        greedy: whether the network gives values, of which the best is taken. Otherwise it gives logits, from which
            actions are drawn. Continuous actions are the network's outputs.
        reference: the schedule that actions depart from: a scheduler's name, or a schedule's record; ``None``: actions
            are values of the knobs.
        pace: share of the farthest departure that a move covers.

    Raises:
        InvalidValueError: a value is out of range.
    """

    knobs: tuple[Knob, ...]
    signals: tuple[Signal, ...]
    trial_memory: bool
    hidden: int
    layers: tuple[int, ...]
    actions: str = "discrete"
    greedy: bool = False
    reference: Named | None = None
    pace: float = PACE

    def __post_init__(self) -> None:
        sizes = (self.hidden, *self.layers)
        if not all(
            type(size) is int and size >= least for size, least in zip(sizes, [0] + len(sizes) * [1], strict=False)
        ):
            raise InvalidValueError(f"hidden is {self.hidden!r} and layers {self.layers!r}; they must be whole numbers")
        if not isinstance(self.actions, str):
            raise InvalidValueError(f"actions are {self.actions!r}; give the name of a kind of actions")
        check_kind(self.actions, self.reference is not None, self.pace)
        if type(self.trial_memory) is not bool or type(self.greedy) is not bool:
            raise InvalidValueError(f"trial_memory is {self.trial_memory!r}, greedy {self.greedy!r}; say true or false")

    def codec(self) -> ActionCodec:
        """The codec that translates its actions into controls."""
        return ActionCodec(self.knobs, self.actions, self.reference is not None, self.pace)

    @property
    def outputs(self) -> list[int]:
        """Number of outputs for each choice, or one for each knob of continuous actions."""
        return [1] * len(self.knobs) if "continuous" in self.actions else self.codec().choices


class PolicyNetwork(nn.Module):
    """Maps signals to one number for each choice: an optional LSTM, tanh layers, and a linear layer beside them.

    Args:
        inputs: size of the observation.
        config: the policy's configuration.
        choices: number of levels of each knob, or of moves; ones for continuous actions.
    """

    def __init__(self, inputs: int, config: PolicyConfig, choices: list[int]) -> None:
        super().__init__()
        self.lstm = nn.LSTM(inputs, config.hidden) if config.hidden else None
        sizes = [config.hidden or inputs, *config.layers]
        self.layers = nn.ModuleList(nn.Linear(a, b) for a, b in pairwise(sizes))
        self.head = nn.Linear(sizes[-1], sum(choices))
        self.direct = nn.Linear(inputs, sum(choices), bias=False)

    def forward(self, observation: Tensor, state: Any) -> tuple[Tensor, Any]:
        """Returns logits or values ``[B, choices]`` and the new memory for observations ``[B, O]``."""
        values = observation
        if self.lstm is not None:
            output, state = self.lstm(values[None], state)
            values = output[0]
        for layer in self.layers:
            values = torch.tanh(layer(values))
        return self.head(values) + self.direct(observation), state

    def largest(self, inputs: Tensor) -> float:
        """The most that any sum inside it, or any output, can be for inputs ``[O]`` of at most these sizes.

        Gates and tanh layers give numbers in [-1, 1], so sums of absolute weights bound what comes after them.
        """
        most = inputs.double()
        sums = [self.direct.weight.abs().double() @ most]
        if self.lstm is not None:
            weights = {name: weight.abs().double() for name, weight in self.lstm.named_parameters()}
            gates = weights["weight_ih_l0"] @ most + weights["weight_hh_l0"].sum(dim=1)
            sums.append(gates + weights["bias_ih_l0"] + weights["bias_hh_l0"])
            most = inputs.new_ones(self.lstm.hidden_size, dtype=torch.float64)
        for layer in self.layers:
            sums.append(_bound(layer, most))
            most = inputs.new_ones(len(sums[-1]), dtype=torch.float64)
        sums[0] = sums[0] + _bound(self.head, most)
        return max(float(each.max()) for each in sums)


def _bound(layer: Any, most: Tensor) -> Tensor:
    return layer.weight.abs().double() @ most + layer.bias.abs().double()


class PolicyScheduler(Scheduler):
    """A trained policy as a scheduler; it keeps its memory within a run.

    Actions are drawn from the policy's distribution, with a random generator for each run. A policy that should change
    controls now and then gives each change a small probability. The likeliest level alone would never change anything.
    A greedy policy takes the action with the highest value, the first of several equal ones.

    Args:
        config: the policy's configuration.
        weights: weights of its :class:`PolicyNetwork`.
        metadata: where the policy comes from; kept in its file.
    """

    source = "learned over many GAN training runs, by metagan-rl train"
    remembers = ("_state", "_memory", "_actions", "_rngs")

    def __init__(self, config: PolicyConfig, weights: Mapping[str, Tensor], metadata: Mapping[str, Any]) -> None:
        self.config, self.metadata = config, dict(metadata)
        self.cost = int(self.metadata.get("gan_updates", 0))
        self.decisions = (self.metadata.get("training") or {}).get("decisions")
        self.needs = tuple(signal.name for signal in config.signals)
        self.codec = config.codec()
        inputs = len(config.signals) + (len(self.codec.knobs) + 2 if config.trial_memory else 0)
        inputs += 0 if config.reference is None else len(self.codec.knobs)
        with torch.device("meta"):  # takes no memory, whatever size a damaged file claims
            self.network = PolicyNetwork(inputs, config, config.outputs)
        self.network.load_state_dict({name: tensor.float() for name, tensor in weights.items()}, assign=True)
        self.network.requires_grad_(False).eval()
        self.begin([0])

    def largest_output(self) -> float:
        """The most that its logits, values or actions can be, whatever it sees; not a number if a weight is none."""
        inputs = torch.ones(self.network.direct.in_features, device="cpu")
        for place, signal in enumerate(self.config.signals):
            inputs[place] = max(abs(signal.low), abs(signal.high))
        return self.network.largest(inputs)

    def begin(self, seeds: Sequence[int]) -> None:
        """Forgets everything, and starts the random streams anew."""
        self._state: Any = None
        self._memory = TrialMemory(len(seeds), self.codec, 1) if self.config.trial_memory else None
        self._actions: np.ndarray | None = None
        self._rngs = [np.random.default_rng(seed) for seed in seeds]
        self._around: _Around | None = None
        if self.config.reference is not None:
            self._around = _Around(self.config.reference, self.codec, seeds)

    def again(self, seeds: Sequence[int], reward: np.ndarray) -> None:
        """Goes on to the next run of a trial. A policy that was trained on trials keeps its memory; others forget."""
        if self._memory is None or self._actions is None:
            self.begin(seeds)
            return
        self._memory.note(self._actions, reward, np.ones(len(seeds), dtype=bool))
        self._actions = None
        if self.config.reference is not None:
            self._around = _Around(self.config.reference, self.codec, seeds)

    def around(self, reference: Named) -> "PolicyScheduler":
        """The same policy, departing from another schedule.

        Raises:
            InvalidValueError: its actions do not depart from a reference.
        """
        if self.config.reference is None:
            raise InvalidValueError("the policy sets values of its knobs and departs from no schedule")
        return PolicyScheduler(replace(self.config, reference=reference), self.network.state_dict(), self.metadata)

    def state_dict(self) -> dict[str, Any]:
        """See :class:`Scheduler`; also what the reference remembers, if there is one."""
        around = {} if self._around is None else {"_around": pack(self._around, "_around")}
        return {**super().state_dict(), **around}

    def load_state_dict(self, state: Mapping[str, Any]) -> None:
        """See :class:`Scheduler`."""
        own = dict(state)
        around = own.pop("_around", None)
        if (around is None) != (self._around is None):
            raise InvalidValueError("the state is of another scheduler: only one of the two departs from a reference")
        super().load_state_dict(own)
        if self._around is not None:
            unpack(around, self._around)

    def propose(self, situation: Situation) -> Controls:
        """Controls drawn from the policy's distribution, or those with the highest value."""
        return self.decided(self.outputs(situation), situation)

    def outputs(self, situation: Situation) -> list[Tensor]:
        """The network's logits or values of each choice, ``[B, options]`` each; notes the last action and reward.

        For continuous actions it is one tensor of the actions' means, ``[B, K]``.
        """
        observation = as_matrix(situation.signals, self.config.signals, len(situation))
        if self._around is not None:
            observation = np.concatenate([observation, self._around.departures.observation()], axis=1)
        if self._memory is not None:
            if self._actions is not None:
                self._memory.note(self._actions, situation.reward, np.zeros(len(situation), dtype=bool))
            observation = np.concatenate([observation, self._memory.observation()], axis=1)
        with torch.no_grad():
            seen = torch.from_numpy(observation).to(self.network.head.weight.dtype)
            outputs, self._state = self.network(seen, self._state)
        return [outputs] if "continuous" in self.codec.kind else list(outputs.split(self.codec.choices, dim=1))

    def decided(self, parts: Sequence[Tensor], situation: Situation) -> Controls:
        """The controls for these outputs, and remembers the action."""
        if "continuous" in self.codec.kind:
            chosen = np.clip(parts[0].float().numpy(), -1, 1)
        else:
            chosen = _best(parts) if self.config.greedy else _drawn(parts, self._rngs)
        self._actions = chosen[:, 0] if self.codec.kind == "moves" else chosen
        if self._around is not None:
            return self._around.departures.follow(self._actions, self._around.reference.controls(situation))
        return self.codec.decode(self._actions, situation.base, situation.controls)


class _Around(Remembering):
    """A reference, and where the runs are around it."""

    remembers = ("reference", "departures")

    def __init__(self, named: Named, codec: ActionCodec, seeds: Sequence[int]) -> None:
        self.reference = Reference(named, len(seeds))
        self.reference.restart(range(len(seeds)), seeds)
        self.departures = Departures(len(seeds), codec)


def _best(parts: Sequence[Tensor]) -> np.ndarray:
    """The place of the highest value (the first of equals) in each part ``[B, choices]``: ``[B, parts]``."""
    return np.stack([part.numpy().argmax(axis=1) for part in parts], axis=1)


def _drawn(parts: Sequence[Tensor], rngs: Sequence[np.random.Generator]) -> np.ndarray:
    """A place drawn by the logits of each part ``[B, choices]`` with each run's generator: ``[B, parts]``."""
    drawn = np.array([rng.uniform(size=len(parts)) for rng in rngs])
    below = [part.double().softmax(dim=1).cumsum(dim=1).numpy() for part in parts]
    columns = [(part < drawn[:, [place]]).sum(axis=1) for place, part in enumerate(below)]
    return np.minimum(np.stack(columns, axis=1), np.array([part.shape[1] for part in parts]) - 1)
