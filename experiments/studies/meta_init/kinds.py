"""What starting weights are learned for, and which new tasks they are tried on."""

from collections.abc import Callable
from dataclasses import dataclass, replace

from metagan_rl.agents.searches.tuned import tuned_constant
from metagan_rl.experiments.studies.oracle import in_turns
from metagan_rl.registry import Registry
from metagan_rl.tasks import Split, Task, get_suite

LEARNED_DIGITS, CHOOSING_DIGIT, NEW_DIGITS = range(7), 7, (8, 9)
SHOTS = (4, 32, None)
"""Images of a new digit that its GAN gets; ``None`` for all, about 90."""
CHOOSING_TASKS = 24
"""Planar validation tasks that rates are chosen on."""
NEW_TASKS = 15
"""Planar tasks to adapt to, three of each held-out family."""


@dataclass(frozen=True)
class Kind:
    """A kind of data.

    Attributes:
        name: of the kind.
        learned: tasks that starting weights are learned on.
        choosing: tasks that the methods' rates are chosen on.
        new: tasks to adapt to, for a seed of the study.
        updates: GAN updates that each method may spend.
    """

    name: str
    learned: Split
    choosing: tuple[Task, ...]
    new: Callable[[int], tuple[Task, ...]]
    updates: int


@dataclass(frozen=True)
class Adaptation:
    """How GANs of new tasks are trained.

    Attributes:
        optimizer: ``"adam"``, or ``"sgd"`` as in the inner loop of MAML.
        rate: of Adam, a factor of the rates of ``tuned-constant``; of SGD, the learning rate of both networks.
    """

    optimizer: str
    rate: float

    def __str__(self) -> str:
        times = " of `tuned-constant`" if self.optimizer == "adam" else ""
        return f"{self.optimizer.replace('adam', 'Adam').replace('sgd', 'SGD')} {self.rate:g}{times}"


FACTORS = (1.0, 0.3, 0.1)
ADAPTATIONS = (*(Adaptation("adam", factor) for factor in FACTORS), Adaptation("sgd", 0.1), Adaptation("sgd", 0.02))
"""Rates of ``tuned-constant`` were tuned for fresh weights; from learned ones smaller steps may be better."""


def adapted(task: Task, adaptation: Adaptation = ADAPTATIONS[0]) -> Task:
    """The task as GANs adapt to it, judged by the last generator: an averaged one would hide what first updates do."""
    schedule = tuned_constant().schedule
    adam = adaptation.optimizer == "adam"
    return task.with_base(
        generator_lr=adaptation.rate * (schedule.generator_lr[0] if adam else 1.0),
        discriminator_lr=adaptation.rate * (schedule.discriminator_lr[0] if adam else 1.0),
        optimizer=adaptation.optimizer,
        ratio=schedule.ratio,
        loss=schedule.loss,
        penalty_weight=schedule.penalty_weight,
        ema_decay=0.0,
    )


KINDS: Registry[Callable[[], Kind]] = Registry("kind of data")


@KINDS("planar")
def planar() -> Kind:
    """Families of the plane: learned on the six of training, new are test tasks of five others."""
    suite = get_suite("planar")
    others = in_turns([task for task in suite.split("test") if task.tag == "held-out-family"])
    held_out = tuple(others[:NEW_TASKS])
    val = suite.split("val")
    choosing = tuple(val[place * len(val) // CHOOSING_TASKS] for place in range(CHOOSING_TASKS))
    return Kind("planar", suite.split("train"), choosing, lambda seed: held_out, updates=200_000)


@KINDS("digits")
def digits() -> Kind:
    """Single digits of 8x8 grey values: learned on 0 to 6, chosen on 7; new are 8 and 9, from 4, 32 or all images."""
    model = get_suite("digits").split("train")[0]

    def digit(number: int, seed: int = 0, shots: int | None = None) -> Task:
        name = f"digits/{number}" + ("" if shots is None else f"/{shots}-shot")
        return replace(model, name=name, parameters={"classes": [number]}, seed=seed, shots=shots)

    def new(seed: int) -> tuple[Task, ...]:
        return tuple(digit(number, seed, shots) for number in NEW_DIGITS for shots in SHOTS)

    learned = Split("digits", "train", tuple(digit(number) for number in LEARNED_DIGITS))
    choosing = tuple(digit(CHOOSING_DIGIT, seed, shots) for seed in (0, 1) for shots in SHOTS)
    return Kind("digits", learned, choosing, new, updates=60_000)
