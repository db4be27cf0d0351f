"""Takes the recipe of ``default`` apart: ``python -m metagan_rl.experiments.studies.ablations --seeds 0``.

Each variant differs from the recipe in one thing. All are trained for the same number of GAN updates, far fewer than
the shipped policy. They run on validation tasks under a few conditions of the study :mod:`.transfer`. Trainings and
runs go on where they stopped. Several processes may train variants at once (``--only``). With ``--updates 0`` nothing
is trained, and what is there is run.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace
from functools import cache
from pathlib import Path
from typing import Any

from metagan_rl.agents import TrainConfig, train
from metagan_rl.agents.learners.run_folder import POLICY
from metagan_rl.envs.registration import WIDE, register_environment
from metagan_rl.experiments.benchmark.records import append_lines, read_lines
from metagan_rl.experiments.studies.command import check_names, run_command, show_line
from metagan_rl.experiments.studies.full_form import RESULTS
from metagan_rl.experiments.studies.transfer.study import FIRST_SEED, Job, key_of, run_job
from metagan_rl.experiments.studies.transfer.table import cell, ratios
from metagan_rl.files import make_directory
from metagan_rl.tasks import Suite, get_suite, register_suite

RECIPE: dict[str, Any] = {
    "env": "MetaGAN/Wide-Box-v0", "members": 128, "shards": 1, "trial_runs": 0, "price": 0.05, "validate_every": 0,
}  # fmt: skip
"""How ``default`` is trained, but for its learner, and for its reference: these depart from the rule."""
PPO: dict[str, Any] = {
    "privileged": True, "epochs": 8, "learning_rate": 1e-3, "gae_lambda": 0.97, "entropy_start": 1e-3,
}  # fmt: skip
"""Options of the recipe's learner."""
CLOCK = "progress+budget"
MORE = ("generator_lr_factor", "discriminator_lr_factor", "penalty_weight", "beta1", "loss", "ratio")
NARROW = {**WIDE, "actions": "continuous-moves"}


@dataclass(frozen=True)
class Variant:
    """What a variant is, in words and as options."""

    what: str
    changes: Mapping[str, Any] = field(default_factory=dict)
    """Options that differ from the recipe's."""
    learner: Mapping[str, Any] = field(default_factory=lambda: PPO)
    """Options of its learner."""
    first: Mapping[str, Any] | None = None
    """Options of a training before it, which takes half of the updates; this one goes on from its policy."""

    def config(self, **more: Any) -> TrainConfig:
        """The configuration of its training."""
        return TrainConfig.named(**{**RECIPE, **self.learner, **self.changes, **more})

    def train(self, folder: Path, updates: int, seed: int) -> None:
        """Trains it in a folder; a training before it has a folder beside that."""
        config = self.config(updates=updates, seed=seed)
        if self.first is not None:
            before = TrainConfig.named(**{**RECIPE, **self.first, "updates": updates // 2, "seed": seed})
            start = train(before, folder.with_name(f"{folder.name}-first"), show=show_line)
            config = replace(config, updates=updates - updates // 2, start=str(start))
        train(config, folder, show=show_line)


VARIANTS: dict[str, Variant] = {
    "recipe": Variant("as `default` is trained, but on the rule"),
    "plain critic": Variant("nobody tells the critic what is hidden", {"privileged": False}),
    "no memory": Variant("as that, and no LSTM", {"privileged": False, "algorithm": "ppo"}),
    "DQN": Variant(
        "moves one control at a time, learned by values; no LSTM",
        learner={"algorithm": "dqn", "learning_rate": 1e-3},
    ),
    "evolution": Variant(
        "evolution strategies on whole runs, in antithetic pairs; no LSTM",
        {"members": 64},
        {"algorithm": "evolution-strategies", "learning_rate": 0.02},
    ),
    "imitation": Variant(
        "imitation of an oracle that tries moves on copies of the run (AggreVaTe)",
        {"members": 4},
        {"algorithm": "imitation"},
    ),
    "DAgger": Variant(
        "as that, but only the best of the moves that were tried counts",
        {"members": 4},
        {"algorithm": "imitation", "target": "best"},
    ),
    "imitation, then PPO": Variant(
        "half of the updates for imitation, half for the recipe",
        first={"members": 4, "algorithm": "imitation"},
    ),
    "no quality": Variant("signals of the loop alone", {"signals": "loop+setup"}),
    "open loop": Variant("the clock and what a loop knows of itself", {"signals": f"{CLOCK}+setup"}),
    "no setup": Variant(
        "nothing of what a loop knows of itself", {"signals": "all+progress"}
    ),  # "all", in other words than the default
    "G's rate only": Variant("sets nothing else", {"knobs": ("generator_lr_factor",)}),
    "D's rate only": Variant("sets nothing else", {"knobs": ("discriminator_lr_factor",)}),
    "penalty only": Variant("sets nothing else", {"knobs": ("penalty_weight",)}),
    "more to set": Variant("momentum, loss and step ratio as well", {"knobs": MORE}),
    "on the tuned decay": Variant("departs from `tuned-decay`, not from `rule`", {"reference": "tuned-decay"}),
    "on the identified rule": Variant("departs from `identified-rule`", {"reference": "identified-rule"}),
    "no price": Variant("departing costs nothing", {"price": 0.0}),
    "tenfold price": Variant("departing costs ten times as much", {"price": 0.5}),
    "8 decisions": Variant("half as many, each move twice as far", {"decisions": 8, "pace": 0.6}),
    "narrow": Variant("trained on suite `unknown`", {"env": "Ablation/Narrow-v0"}),
    "two families": Variant("trained on rings and Gaussian mixtures", {"env": "Ablation/TwoFamilies-v0"}),
}
"""All variants, by name."""
DECISIONS = 16
"""Decisions of a run, unless a variant has others."""
FAMILIES = ("ring", "gaussian-mixture")
SHOWN = (
    "as trained", "G's rate x8, hidden", "both rates /8, hidden", "all of these, G's rate x8", "digits",
    "wide: known-family",
)  # fmt: skip
"""The conditions."""


@dataclass(frozen=True)
class Ablations:
    """Variants of the recipe of default."""

    updates: int = 6_000_000
    """GAN updates of each training; 0 to train nothing."""
    only: tuple[str, ...] = ()
    """Variants to take; by default all."""
    seeds: tuple[int, ...] = (0,)
    """Seeds of each training."""
    runs: int = 2
    """GAN seeds of each task."""
    tasks: int = 48
    """Tasks of each condition at most."""
    work: Path = Path("runs/ablations")
    """Directory for the trainings."""
    out: Path = RESULTS / "ablations"
    """Directory for the rows."""


def chosen(options: Ablations) -> list[str]:
    """The variants to take.

    Raises:
        UnknownNameError: there is no such variant.
    """
    check_names("variant", options.only, VARIANTS)
    return [name for name in VARIANTS if not options.only or name in options.only]


def two_families() -> Suite:
    """``wide`` with two families to train on."""
    wide = get_suite("wide")
    splits = {
        name: tuple(task for task in wide.split(name) if task.family in FAMILIES or name != "train")
        for name in ("train", "val", "test")
    }
    return replace(wide, name="wide-two-families", splits=splits)


@cache
def register_narrow() -> None:
    """Makes the environments known whose tasks are fewer; once."""
    register_suite(two_families())
    register_environment("Ablation/Narrow-v0", "unknown", **NARROW)
    register_environment("Ablation/TwoFamilies-v0", "wide-two-families", **NARROW)


def study(options: Ablations) -> None:
    """Trains and runs what is missing, then prints the table."""
    register_narrow()
    file = make_directory(options.out) / "rows.jsonl"
    for seed in options.seeds:
        for name in chosen(options):
            folder = options.work / f"{name}-{seed}"
            if options.updates:
                VARIANTS[name].train(folder, options.updates, seed)
            if (folder / POLICY).exists():
                run(name, folder / POLICY, options, file)
    show_line(table(read_lines(file)))


def run(name: str, policy: Path, options: Ablations, file: Path) -> None:
    """Adds the rows of a trained variant that are not there yet."""
    there = {key_of(row) for row in (read_lines(file) if file.exists() else [])}
    decisions = int(VARIANTS[name].changes.get("decisions", DECISIONS))
    for condition in SHOWN:
        for scheduler, path in (("rule", None), (name, policy)):
            for seed in range(options.runs):
                job = Job(
                    condition, "val", options.tasks, FIRST_SEED["val"] + seed, scheduler, path,
                    decisions if path else DECISIONS,
                )  # fmt: skip
                if job.key not in there:
                    append_lines(file, run_job(job))
                    there.add(job.key)


def table(rows: Sequence[Mapping[str, Any]]) -> str:
    """Ratios of final distances to those of ``rule`` on the same tasks and seeds, with 95 % intervals, as Markdown."""
    lines = [f"| variant | what differs | {' | '.join(SHOWN)} |", "|---|---|" + "--:|" * len(SHOWN)]
    for name in VARIANTS:
        own = [row for row in rows if row["scheduler"] in (name, "rule")]
        if not any(row["scheduler"] == name for row in own):
            continue
        cells = []
        for condition in SHOWN:
            if not any((row["scheduler"], row["condition"]) == (name, condition) for row in own):
                cells.append("")
                continue
            cells.append(cell(ratios(own, name, "rule", condition)))
        lines.append(f"| {name} | {VARIANTS[name].what} | {' | '.join(cells)} |")
    return "\n".join(lines)


if __name__ == "__main__":
    run_command(Ablations, study)
