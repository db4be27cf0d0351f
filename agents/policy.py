"""Policy files: a trained scheduler as safetensors weights with JSON metadata, run with torch alone."""

import json
from collections.abc import Callable, Mapping, Sequence
from dataclasses import asdict, dataclass
from itertools import pairwise
from pathlib import Path
from typing import Any

import numpy as np
import torch
from torch import Tensor, nn

from metagan_rl.agents.scheduler import Scheduler, Situation, register_scheduler
from metagan_rl.controls import Controls
from metagan_rl.envs.actions import ActionCodec
from metagan_rl.envs.trial import TrialMemory
from metagan_rl.errors import FileFormatError, InvalidValueError, UnknownNameError
from metagan_rl.files import write_whole
from metagan_rl.signals import SIGNALS, as_matrix

FORMAT = "metagan-rl policy"
VERSION = 2
READS = (1, 2)
"""Files of version 1 tell neither ``actions`` nor ``greedy``: they draw discrete ones."""


@dataclass(frozen=True)
class PolicyConfig:
    """All that is needed to run a policy besides its weights.

    Attributes:
        knobs: controls the policy sets.
        control: side it controls.
        signals: names of the signals it sees, in order.
        trial_memory: it also sees its previous action, the previous reward and a run-boundary flag (RL²).
        hidden: units of the LSTM; 0 for a policy without memory.
        layers: units of each hidden layer after it.
        actions: ``"discrete"`` levels or ``"moves"``.
        greedy: the network tells values and the best is taken; otherwise logits, by which actions are drawn.
    """

    knobs: tuple[str, ...]
    control: str
    signals: tuple[str, ...]
    trial_memory: bool
    hidden: int
    layers: tuple[int, ...]
    actions: str = "discrete"
    greedy: bool = False

    def __post_init__(self) -> None:
        sizes = (self.hidden, *self.layers)
        if not all(
            type(size) is int and size >= least for size, least in zip(sizes, [0] + len(sizes) * [1], strict=False)
        ):
            raise InvalidValueError(f"hidden is {self.hidden!r} and layers {self.layers!r}; they must be whole numbers")
        if self.actions not in ("discrete", "moves"):
            raise InvalidValueError(f"actions are {self.actions!r}; those of a policy are 'discrete' or 'moves'")
        if type(self.trial_memory) is not bool or type(self.greedy) is not bool:
            raise InvalidValueError(f"trial_memory is {self.trial_memory!r}, greedy {self.greedy!r}; say true or false")


class PolicyNetwork(nn.Module):
    """Signals to one number for each choice: an optional LSTM, tanh layers, and a linear layer beside them.

    Args:
        inputs: size of the observation.
        config: of the policy.
        choices: how many there are of each thing to choose: levels of each knob, or moves.
    """

    def __init__(self, inputs: int, config: PolicyConfig, choices: list[int]) -> None:
        super().__init__()
        self.lstm = nn.LSTM(inputs, config.hidden) if config.hidden else None
        sizes = [config.hidden or inputs, *config.layers]
        self.layers = nn.ModuleList(nn.Linear(a, b) for a, b in pairwise(sizes))
        self.head = nn.Linear(sizes[-1], sum(choices))
        self.direct = nn.Linear(inputs, sum(choices), bias=False)

    def forward(self, observation: Tensor, state: Any) -> tuple[Tensor, Any]:
        """Logits or values ``[B, choices]`` and the new memory, from observations ``[B, O]``."""
        values = observation
        if self.lstm is not None:
            output, state = self.lstm(values[None], state)
            values = output[0]
        for layer in self.layers:
            values = torch.tanh(layer(values))
        return self.head(values) + self.direct(observation), state


class PolicyScheduler(Scheduler):
    """A trained policy as a scheduler; its memory is kept within a run.

    Actions are drawn from the policy's distribution, by a generator of its own: a policy trained to change controls now
    and then says so by the probability of a change, and the likeliest level alone would never change anything. A greedy
    policy takes the action of the highest value, the first where several have it.

    Args:
        config: of the policy.
        weights: of its :class:`PolicyNetwork`.
        metadata: where it comes from; kept with the file.
    """

    source = "learned over many GAN training runs, by metagan-rl train"

    def __init__(self, config: PolicyConfig, weights: Mapping[str, Tensor], metadata: Mapping[str, Any]) -> None:
        self.config, self.metadata = config, dict(metadata)
        self.cost, self.needs = int(self.metadata.get("gan_updates", 0)), config.signals
        self.codec = ActionCodec(config.knobs, config.actions, config.control)
        self._which = tuple(SIGNALS[name] for name in config.signals)
        inputs = len(self._which) + (len(self.codec.knobs) + 2 if config.trial_memory else 0)
        with torch.device("meta"):  # no memory for weights that may not fit, whatever size a damaged file claims
            self.network = PolicyNetwork(inputs, config, self.codec.choices)
        self.network.load_state_dict({name: tensor.float() for name, tensor in weights.items()}, assign=True)
        self.network.requires_grad_(False).eval()
        self.begin([0])

    def begin(self, seeds: Sequence[int]) -> None:
        """Forgets everything, and starts the random streams anew."""
        self._state: Any = None
        self._memory = TrialMemory(len(seeds), self.codec, 1) if self.config.trial_memory else None
        self._actions: np.ndarray | None = None
        self._rngs = [np.random.default_rng(seed) for seed in seeds]

    def propose(self, situation: Situation) -> Controls:
        """Controls drawn from the policy's distribution, or those of the highest value."""
        observation = as_matrix(situation.signals, self._which, len(situation))
        if self._memory is not None:
            if self._actions is not None:
                self._memory.note(self._actions, situation.reward, np.zeros(len(situation), dtype=bool))
            observation = np.concatenate([observation, self._memory.observation()], axis=1)
        with torch.no_grad():
            outputs, self._state = self.network(torch.from_numpy(observation), self._state)
        parts = outputs.split(self.codec.choices, dim=1)
        chosen = _best(parts) if self.config.greedy else _drawn(parts, self._rngs)
        self._actions = chosen[:, 0] if self.codec.kind == "moves" else chosen
        return self.codec.decode(self._actions, situation.base, situation.controls)

    def state(self) -> dict[str, Any]:
        """Metadata and configuration, as written into the file."""
        return {"format": FORMAT, "version": VERSION, "config": asdict(self.config), "metadata": self.metadata}


def _best(parts: Sequence[Tensor]) -> np.ndarray:
    """The place of the highest value in each part ``[B, choices]``, the first of equals, ``[B, parts]``."""
    return np.stack([part.numpy().argmax(axis=1) for part in parts], axis=1)


def _drawn(parts: Sequence[Tensor], rngs: Sequence[np.random.Generator]) -> np.ndarray:
    """A place drawn by each part's logits ``[B, choices]``, by each run's generator, ``[B, parts]``."""
    drawn = np.array([rng.uniform(size=len(parts)) for rng in rngs])
    below = [part.double().softmax(dim=1).cumsum(dim=1).numpy() for part in parts]
    columns = [(part < drawn[:, [place]]).sum(axis=1) for place, part in enumerate(below)]
    return np.minimum(np.stack(columns, axis=1), np.array([part.shape[1] for part in parts]) - 1)


def save_policy(path: str | Path, scheduler: PolicyScheduler) -> None:
    """Writes a policy file whole.

    Raises:
        OutputError: it cannot be written.
    """
    import safetensors.torch  # here, as in load_policy, because schedulers that are no files need torch and NumPy alone

    header = {"metagan_rl": json.dumps(scheduler.state(), sort_keys=True)}
    write_whole(path, safetensors.torch.save(dict(scheduler.network.state_dict()), metadata=header))


def load_policy(path: str | Path) -> PolicyScheduler:
    """Reads a policy file; no code of the file is run.

    Raises:
        FileFormatError: the file is missing, truncated, of another kind or version, or does not fit together.
    """
    import safetensors

    path = Path(path)
    if not path.is_file() and path.name in shipped_policies():
        raise FileFormatError(f"there is no policy file {path}, but a scheduler of that name: --schedulers {path}")
    if not path.is_file():
        raise FileFormatError(f"there is no policy file {path}; metagan-rl train writes one, as policy.safetensors")
    try:
        with safetensors.safe_open(str(path), framework="pt") as file:
            header = json.loads((file.metadata() or {}).get("metagan_rl", "null"))
            weights = {name: file.get_tensor(name) for name in file.keys()}  # noqa: SIM118  (not a mapping)
    except (safetensors.SafetensorError, ValueError, TypeError, OSError, MemoryError, RecursionError) as error:
        raise FileFormatError(f"{path} is not a whole policy file ({error}); train or fetch it again") from None
    if not isinstance(header, dict) or header.get("format") != FORMAT:
        raise FileFormatError(f"{path} holds weights, but of no metagan-rl policy")
    if header.get("version") not in READS:
        readable = " and ".join(map(str, READS))
        raise FileFormatError(f"{path} is a policy of format {header.get('version')}; this version reads {readable}")
    try:
        record = header["config"]
        sequences = {name: tuple(record[name]) for name in ("knobs", "signals", "layers")}
        config = PolicyConfig(**{**record, **sequences})
        if not all(tensor.is_floating_point() and torch.isfinite(tensor).all() for tensor in weights.values()):
            raise ValueError("weights are not finite numbers")
        return PolicyScheduler(config, weights, header.get("metadata", {}))
    except (KeyError, TypeError, ValueError, OverflowError, RuntimeError) as error:
        raise FileFormatError(f"{path} does not fit together ({error}); train or fetch it again") from None


SHIPPED = Path(__file__).with_name("policies")


def shipped_policies() -> list[str]:
    """Names of the policies that come with the package; :func:`shipped_policy` tells where they are."""
    return sorted(path.stem for path in SHIPPED.glob("*.safetensors"))


def shipped_policy(name: str = "default") -> Path:
    """The file of a policy that comes with the package.

    Raises:
        UnknownNameError: there is none of that name.
    """
    if name not in shipped_policies():
        raise UnknownNameError("policy", name, shipped_policies())
    return SHIPPED / f"{name}.safetensors"


def default_policy() -> PolicyScheduler:
    """Recurrent PPO trained over 20 million GAN updates: the learned schedule that comes with the package."""
    return load_policy(shipped_policy())


def loop_policy() -> PolicyScheduler:
    """Both learning rates, from what any loop tells: losses, D's outputs and how far weights go; no quality metric."""
    return load_policy(shipped_policy(LOOP))


LOOP = "loop"
"""The shipped policy that is made for loops of others."""
COMPARED = {
    "recurrent-ppo": "Recurrent PPO (RL\N{SUPERSCRIPT TWO}) trained with no more updates than tuned-constant took.",
    "ppo": "PPO without memory, trained as recurrent-ppo is.",
    "dqn": "A value-based agent that moves one control by one level at a time, trained as recurrent-ppo is.",
    "autoloss": "The step ratio alone, learned from AutoLoss's few signals as recurrent-ppo is.",
    "fsco": "Recurrent PPO rewarded as FSCO is: only for losses of D and G that are equal.",
}
"""What policies that ship to be compared with are; the model card beside their files tells the sources."""


def _compared(name: str, what: str) -> Callable[[], PolicyScheduler]:
    def make() -> PolicyScheduler:
        return load_policy(shipped_policy(name))

    make.__doc__ = what
    return make


register_scheduler("default", default_policy)
register_scheduler(LOOP, loop_policy)
for _name, _what in COMPARED.items():
    register_scheduler(_name, _compared(_name, _what))
