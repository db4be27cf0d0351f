"""The ``metagan-rl`` command: one dataclass for each subcommand, each with a ``run`` method that returns nothing.

``--import FILE_OR_MODULE`` may stand anywhere and be repeated. It loads what users add (see ``metagan_rl.extensions``).
``--reproducible`` may stand anywhere too (see ``metagan_rl.reproducible``).
"""

import contextlib
import io
import os
import re
import shlex
import sys
from collections.abc import Sequence
from dataclasses import dataclass, field, fields, make_dataclass
from pathlib import Path
from typing import Annotated, Any, Literal, Union

import tyro

from metagan_rl import __version__
from metagan_rl.agents.learners.catalogue import find_learner
from metagan_rl.agents.learners.config import TrainConfig
from metagan_rl.errors import InvalidValueError, MetaGANError, UnknownNameError
from metagan_rl.experiments.listing import KINDS, listing
from metagan_rl.experiments.tune import TuneConfig
from metagan_rl.extensions import load_extension
from metagan_rl.folders import refuse_another
from metagan_rl.loop.runs import PlainRunOptions
from metagan_rl.reproducible import FLAG, VARIABLE, asked, reproducible

EXIT_USAGE = 2
EXIT_INTERRUPTED = 130
EXIT_NO_READER = 141
NAMING = ("--out", "--resume", "--from", "--policy", "--start", "--initial-weights", "--reference")
"""Options that name files or folders, and must not be empty: an empty path is the working folder."""
TYRO_PHRASES = (
    r"^(Parsing error|Unrecognized options|Value error|Invalid choice|Required options) |Error parsing __tyro\S*: "
    r"|For full helptext, (see|run) metagan-rl( \S+)* --help"
)
"""What tyro prints around the one line that matters."""
ANYWHERE = (
    "Two options may stand anywhere. --import FILE_OR_MODULE loads schedulers, suites and other things of your own; it "
    f"may be given several times. {FLAG} gives the same numbers on every machine, and is slower."
)
"""What the help of the command says first."""


@dataclass
class Quickstart:
    """The main job: train a scheduler, compare it on held-out and real tasks, and write a report."""

    minutes: float = 6.0
    """Minutes of training; the comparison takes a few more."""
    seeds: int = 1
    """GAN runs for each planar task and scheduler in the comparison."""
    out: Path = Path("runs/quickstart")
    """Directory for all results."""
    seed: int = 0
    """Seed of the agent, its tasks and its GANs."""
    device: str = "cpu"
    """Where GANs are trained: cpu or cuda."""
    engine: str = "auto"
    """What trains GANs: native, torch, or auto for the native engine wherever it has what they need."""

    def run(self, command: str) -> None:
        """Runs the command."""
        from metagan_rl.experiments.quickstart import quickstart

        where = PlainRunOptions(device=self.device, engine=self.engine)
        report = quickstart(self.minutes, self.out, self.seed, self.seeds, where, command=command, show=_show)
        _show(f"report: {report}")


@dataclass
class Train:
    """Train a scheduler inside GAN training, with recurrent PPO or another algorithm."""

    config: TrainConfig
    out: Path = Path("runs/train")
    """Directory for checkpoints, TensorBoard events and the policy file. A run that is there goes on if its options are
    the same."""
    resume: Path | None = None
    """Continue the run in this directory. Only --minutes or --updates can be given with it, to make the run longer."""

    def run(self, command: str) -> None:
        """Runs the command."""
        from metagan_rl.agents import train

        config = TrainConfig(**{each.name: getattr(self.config, each.name) for each in fields(TrainConfig)})
        directory = self.resume or self.out
        policy = train(config, directory, resume=self.resume is not None, show=_show)
        _show(f"policy: {policy}\ncurves: tensorboard --logdir {directory}")


@dataclass
class Benchmark:
    """Compare schedulers on one split, at equal updates and with the same GAN seeds."""

    suite: str = "planar"
    """Suites, separated by commas (metagan-rl list suites); all: planar, planar-mixed, tabular, digits."""
    split: str = "val"
    """Split of the suite: train, val or test. Choose on val; look at test once, at the end."""
    schedulers: str = "constant,linear,cosine,ttur,random"
    """Names, separated by commas (metagan-rl list schedulers); all: all of them."""
    without: str = ""
    """Names to leave out of these, for example pbt and mf-pbt, which train eight GANs for each run."""
    policy: tuple[Path, ...] = ()
    """Policies and tuned schedules to compare too, each named after its file (policy.safetensors: its folder)."""
    seeds: int = 4
    """GAN runs for each task and scheduler."""
    tasks: int | None = None
    """Use at most this many tasks of each family and kind."""
    only: str = ""
    """Use only tasks whose names match this pattern, for example "*/budget-12288/*"."""
    quick: bool = False
    """All schedulers, one task of each family and kind, one seed. Suite planar then means all suites of "all"."""
    options: tyro.conf.OmitArgPrefixes[PlainRunOptions] = field(default_factory=PlainRunOptions)
    out: Path = Path("runs/benchmark")
    """Directory for rows and report; existing rows are kept and added to."""
    backend: str = "process"
    """Where runs are spread: over this machine's processes (process) or over a Ray cluster (ray)."""
    workers: int | None = None
    """Number of batches, of up to 32 runs each, at once; by default one for each core. 0: all in this process."""

    def run(self, command: str) -> None:
        """Runs the command."""
        from metagan_rl.experiments import write_report
        from metagan_rl.experiments.benchmark import TIERS, BenchmarkConfig, every_scheduler, run_benchmark
        from metagan_rl.experiments.benchmark.references import ORACLE

        if self.quick:
            for name in ("schedulers", "seeds", "tasks"):
                if getattr(self, name) != getattr(Benchmark, name):
                    raise InvalidValueError(f"quick is given with {name}, which it sets itself; leave one of them out")
        suites = _names(self.suite)
        if suites == ("all",) or (self.quick and suites == ("planar",)):
            suites = TIERS
        if not suites:
            raise InvalidValueError(f"suite is {self.suite!r}; name at least one")
        policies = tuple(zip(_policy_names(self.policy), map(str, self.policy), strict=True))
        named, left_out = _names(self.schedulers), _names(self.without)
        every = {suite: every_scheduler(suite, self.split) for suite in suites}
        known = dict.fromkeys([*every_scheduler(suites[0], self.split), ORACLE])
        for name in left_out:
            if name not in known:
                raise UnknownNameError("scheduler", name, known)
        configs = [
            BenchmarkConfig(
                suite,
                self.split,
                tuple(
                    name
                    for name in (every[suite] if self.quick or named == ("all",) else named)
                    if name not in left_out
                ),
                policies,
                1 if self.quick else self.seeds,
                1 if self.quick else self.tasks,
                only=self.only,
                **vars(self.options),
            )
            for suite in suites
        ]
        run_benchmark(configs, self.out, backend=self.backend, workers=self.workers, command=command, show=_show)
        report = write_report(self.out)
        _show((self.out / "summary.md").read_text(encoding="utf-8"))
        _show(f"report: {report}")


@dataclass
class Tune:
    """Search one schedule for all tasks of a suite: search on its training tasks, choose on its validation tasks."""

    config: tyro.conf.OmitArgPrefixes[TuneConfig]
    out: Path = Path("runs/tune")
    """Directory for the rows and the schedule."""
    backend: str = "process"
    """Where trials are spread: over this machine's processes (process) or over a Ray cluster (ray)."""
    workers: int | None = None
    """Number of jobs at once; by default one for each core. 0: all in this process."""

    def run(self, command: str) -> None:
        """Runs the command."""
        from metagan_rl.experiments.tune import tune
        from metagan_rl.experiments.tune_rule import tune_rule

        if self.config.kind == "rule":
            tune_rule(self.config, self.out, backend=self.backend, workers=self.workers, show=_show)
            _show(f"rule: {self.out / 'tuned-rule.json'}")
            return
        tuned = tune(self.config, self.out, backend=self.backend, workers=self.workers, show=_show)
        _show(f"{tuned.schedule}\nschedule: {self.out / f'tuned-{self.config.kind}.json'}")


@dataclass
class MetaInit:
    """Learn starting weights for GANs, from which new tasks need fewer updates."""

    method: Literal["reptile", "maml", "fomaml", "joint"]
    """reptile, maml (second order), fomaml (first order), or joint pre-training (the baseline)."""
    suite: str
    """Suite; tasks are drawn from its training split (metagan-rl list suites)."""
    out: Path
    """File for the weights. A checkpoint and a folder of TensorBoard events are written beside it."""
    updates: int = 500_000
    """GAN updates to spend: D and G of all tasks together, rounded to whole meta-steps."""
    inner_steps: int | None = None
    """Steps on each task before the meta-weights move. A step updates D, then G, as often as the ratio says."""
    inner_lr: float | None = None
    """Learning rate on each task."""
    inner_optimizer: Literal["sgd", "adam"] | None = None
    """Optimizer on each task; maml and fomaml accept only sgd."""
    outer_lr: float | None = None
    """Learning rate of the meta-weights."""
    outer_optimizer: Literal["sgd", "adam"] | None = None
    """Optimizer of the meta-weights."""
    meta_batch: int = 16
    """Tasks in a meta-step."""
    ratio: str = "1:1"
    """D updates and G updates in one step."""
    loss: str | None = None
    """GAN loss; by default each task's own."""
    penalty_weight: float | None = None
    """Weight of the loss's gradient penalty; by default each task's own."""
    seed: int = 0
    """Seed of the first weights, the tasks, the noise and the order of the data."""
    engine: str = "auto"
    """What trains GANs: native, torch, or auto. maml differentiates through torch in any case."""
    validation_tasks: int = 6
    """Number of validation tasks that show the quality before and after adaptation. 0: no validation."""
    validate_every: int = 200
    """Meta-steps between two validations."""
    resume: bool = False
    """Continue from the checkpoint beside --out with the same options; only --updates may grow."""

    def run(self, command: str) -> None:
        """Runs the command."""
        from metagan_rl.meta_init.command import meta_init

        given = {name: value for name, value in vars(self).items() if value is not None}
        meta_init(**given, command=command, show=_show)


@dataclass
class Evaluate:
    """Evaluate an agent on every test task of an environment, with the same seeds for everybody."""

    agent: str
    """A scheduler's name, a schedule file or policy file, random, or module:attribute of your own agent."""
    env: str = "MetaGAN/Planar-Trials-v2"
    """Environment; a -Trials id plays four runs on each task, any other one (metagan-rl list environments)."""
    split: str = "test"
    """Split of its suite: train, val or test. Choose on val; look at test once, at the end."""
    tasks: int | None = None
    """Use only so many tasks, spread over the split."""
    seed: int = 0
    """Other seeds for another number; agents are compared under 0."""
    budget: int | None = None
    """GAN updates that the agent was trained for; schedules and policy files tell it themselves."""
    note: str = ""
    """What the agent is and where its code lies, for the scoreboard."""
    out: Path | None = None
    """File that the row is added to, one JSON object a line."""

    def run(self, command: str) -> None:
        """Runs the command."""
        from metagan_rl.experiments.benchmark.records import append_lines
        from metagan_rl.experiments.evaluation import evaluate_agent
        from metagan_rl.files import make_directory

        test = evaluate_agent(self.agent, self.env, split=self.split, tasks=self.tasks, seed=self.seed)
        if self.out is not None:
            make_directory(self.out.parent)
            told = {"agent": self.agent, "note": self.note}
            budget = test.budget if self.budget is None else self.budget
            row = {**told, "budget": budget, **test.record(), "command": command}
            append_lines(self.out, [row])
        _show(f"{test.table()}\nmean return {test.returns.mean():.3f} over {len(test.tasks)} tasks")


@dataclass
class Report:
    """Write the report of a benchmark directory again."""

    directory: tyro.conf.Positional[Path]
    """Directory that holds rows.jsonl."""

    def run(self, command: str) -> None:
        """Runs the command."""
        from metagan_rl.experiments import write_report

        _show(f"report: {write_report(self.directory)}")


@dataclass
class Watch:
    """Watch two GANs learn side by side in a browser, take their controls in hand, and open a run folder there."""

    directory: tyro.conf.Positional[Path | None] = None
    """Folder of train, tune, quickstart or benchmark to open."""
    port: int = 0
    """Port of the page on this machine; 0: a free one."""
    browser: bool = True
    """Whether to open a browser."""
    engine: str = "auto"
    """What trains GANs: native, torch, or auto for the native engine wherever it has what they need."""

    def run(self, command: str) -> None:
        """Runs the command."""
        from metagan_rl.experiments.watch import watch

        watch(self.directory, port=self.port, browser=self.browser, engine=self.engine, show=_show)


@dataclass
class List:
    """List what is available."""

    what: tyro.conf.Positional[
        Literal[tuple(KINDS)]  # type: ignore[valid-type]
    ]
    """What to list."""

    def run(self, command: str) -> None:
        """Runs the command."""
        for line in listing(self.what):
            _show(line)


COMMANDS: dict[str, type] = {
    "quickstart": Quickstart,
    "train": Train,
    "benchmark": Benchmark,
    "tune": Tune,
    "evaluate": Evaluate,
    "meta-init": MetaInit,
    "report": Report,
    "watch": Watch,
    "list": List,
}


def main(arguments: Sequence[str] | None = None) -> int:
    """Runs the command line; returns the exit status. Whatever goes wrong outside of this package is one line."""
    _show_all_letters()
    try:
        _run(list(sys.argv[1:] if arguments is None else arguments))
        if sys.stdout is not None:
            sys.stdout.flush()
    except BrokenPipeError:  # whoever read our lines has stopped, as head does
        _drop_output()
        return EXIT_NO_READER
    except MetaGANError as error:
        return _failed(str(error))
    except (MemoryError, RuntimeError) as error:
        if not isinstance(error, MemoryError) and "allocate" not in str(error):  # torch has no type of its own for it
            raise
        return _failed(f"there is not enough memory ({_first_of(error) or 'it is all used'}); ask for less at once")
    except OverflowError as error:
        return _failed(f"a number is too large ({_first_of(error)}); give a smaller one")
    except OSError as error:
        return _failed(": ".join(str(each) for each in (error.strerror or error, error.filename) if each))
    except KeyboardInterrupt:
        _say("interrupted; what was written can be used by --resume or report")
        return EXIT_INTERRUPTED
    return 0


def _first_of(error: Exception) -> str:
    return next(iter(str(error).splitlines()), "")


def _run(arguments: list[str]) -> None:
    try:
        os.getcwd()
    except OSError:  # later, MKL would end the process
        raise InvalidValueError("the working folder was deleted; change to another") from None
    for name in NAMING:
        if _argument(arguments, name) == "":
            raise InvalidValueError(f"{name} names nothing; give a file or folder")
    if asked(arguments) and not reproducible():  # this is no process of its own
        raise InvalidValueError(f"{FLAG} comes too late, as torch is loaded; set {VARIABLE}=1 before Python starts")
    rest, imports = _without_imports([each for each in arguments if each != FLAG])
    for each in imports:
        load_extension(each)
    command = _parse(rest)
    from metagan_rl.runtime import prepare_process

    prepare_process()
    command.run(shlex.join(["metagan-rl", *arguments]))


def _show_all_letters() -> None:
    """Makes standard output show ``?`` for letters that its code page lacks, as that of a Japanese console lacks ²."""
    reconfigure = getattr(sys.stdout, "reconfigure", None)
    if reconfigure is not None and sys.stdout.errors in ("strict", "surrogateescape"):  # the latter in the locale C
        reconfigure(errors="replace")


def _failed(line: str) -> int:
    _say(line)
    try:
        if sys.stdout is not None:
            sys.stdout.flush()
    except OSError:  # a full disk: what cannot be written now must not be tried again at the end of the process
        _drop_output()
    return EXIT_USAGE


def _say(line: str) -> None:
    with contextlib.suppress(OSError):
        print(f"metagan-rl: {line}", file=sys.stderr)


def _drop_output() -> None:
    """Sends what is still to be printed nowhere."""
    with contextlib.suppress(OSError, ValueError):
        nowhere = os.open(os.devnull, os.O_WRONLY)
        os.dup2(nowhere, sys.stdout.fileno())
        os.close(nowhere)


def _without_imports(arguments: Sequence[str]) -> tuple[list[str], list[str]]:
    """Splits the arguments into those without ``--import``, and the files and modules to import."""
    rest: list[str] = []
    imports: list[str] = []
    waiting = iter(arguments)
    for each in waiting:
        if each == "--import":
            imports.append(next(waiting, ""))
        elif each.startswith("--import="):
            imports.append(each.partition("=")[2])
        else:
            rest.append(each)
    if "" in imports:
        raise InvalidValueError("--import names nothing; give a file (things.py) or a module")
    return rest, imports


def _train_command(arguments: Sequence[str]) -> type:
    """The ``train`` command with the options of the algorithm that the arguments name.

    With ``--resume`` the defaults are the run's own options, so an option that differs was asked for, and is refused.
    With ``--from`` they are those that shape the policy.
    """
    before = _options_before(arguments)
    algorithm = _argument(arguments, "--algorithm") or before.get("algorithm", TrainConfig.algorithm)
    own = find_learner(algorithm).Config
    if not isinstance(before.get("learner"), own):
        before.pop("learner", None)
    config = make_dataclass(
        "TrainConfig",
        [
            ("algorithm", str, field(default=algorithm)),
            ("actions", tyro.conf.Suppress[str], field(default="discrete")),
            ("learner", tyro.conf.OmitArgPrefixes[own], field(default_factory=own)),  # type: ignore[misc, valid-type]
            ("start", Annotated[str | None, tyro.conf.arg(name="from")], field(default=None)),
        ],
        bases=(TrainConfig,),
        frozen=True,
        namespace={"__doc__": TrainConfig.__doc__},
    )
    given = {**before, "algorithm": algorithm}
    return make_dataclass(
        "Train",
        [("config", tyro.conf.OmitArgPrefixes[config], field(default_factory=lambda: config(**given)))],  # type: ignore[misc, valid-type]
        bases=(Train,),
        namespace={"__doc__": Train.__doc__},
    )


def _options_before(arguments: Sequence[str]) -> dict[str, Any]:
    """Options of training to start from: those of the run to resume, or of the policy to start from."""
    resume, start = _argument(arguments, "--resume"), _argument(arguments, "--from")
    if resume:
        from metagan_rl.agents.learners.run_folder import LENGTH, read_config

        there = read_config(Path(resume))
        asked = _argument(arguments, "--algorithm")
        refuse_another(resume, {"algorithm": there.algorithm}, {"algorithm": asked or there.algorithm}, "Leave it out")
        return {**{each.name: getattr(there, each.name) for each in fields(TrainConfig)}, **dict.fromkeys(LENGTH)}
    if start:
        from metagan_rl.agents.learners.run_folder import options_of_policy

        return options_of_policy(Path(start), _argument(arguments, "--algorithm"))
    return {}


def _argument(arguments: Sequence[str], name: str) -> str | None:
    """The last value that the arguments give an option; ``None`` if none does."""
    value = None
    for place, each in enumerate(arguments):
        if each == name and place + 1 < len(arguments):
            value = arguments[place + 1]
        elif each.startswith(f"{name}="):
            value = each.partition("=")[2]
    return value


def _parse(arguments: list[str]) -> Any:
    """The subcommand; raises a one-line error if the arguments are wrong."""
    if arguments[:1] == ["--version"]:
        print(f"metagan-rl {__version__}")
        raise SystemExit(0)
    if arguments and not arguments[0].startswith("-") and arguments[0] not in COMMANDS:
        raise UnknownNameError("command", arguments[0], COMMANDS)
    kinds = dict(COMMANDS)
    if arguments[:1] == ["train"]:
        kinds["train"] = _train_command(arguments)
    else:
        kinds["train"] = _train_command(())
    commands: Any = Union[tuple(Annotated[kind, tyro.conf.subcommand(name)] for name, kind in kinds.items())]  # noqa: UP007
    captured = io.StringIO()
    try:
        with contextlib.redirect_stderr(captured):
            return tyro.cli(commands, args=arguments, prog="metagan-rl", description=ANYWHERE)
    except SystemExit as stop:
        if not stop.code:
            sys.stdout.flush()
            raise
        words = re.sub(r"[─│╭╮╰╯┌┐└┘]|-{8,}", " ", captured.getvalue())
        line = " ".join(words.split())
        line = line.replace("Missing subcommand Expected one of", "a command is missing: one of")
        raise InvalidValueError(re.sub(TYRO_PHRASES, "", line).strip()) from None


def _names(text: str) -> tuple[str, ...]:
    return tuple(name.strip() for name in text.split(",") if name.strip())


def _policy_names(paths: Sequence[Path]) -> list[str]:
    """Names of files in the table: the file's own name, or its run's folder where every run writes that name."""
    if len(paths) == 1 and paths[0].stem == "policy":
        return ["learned"]
    usual = ("policy", "tuned-constant", "tuned-decay")
    return [path.absolute().parent.name if path.stem in usual else path.stem for path in paths]


def _show(line: str) -> None:
    print(line, flush=True)
