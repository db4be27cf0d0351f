"""What the study is asked for."""

from dataclasses import dataclass, field
from pathlib import Path

from metagan_rl.errors import InvalidValueError
from metagan_rl.experiments.studies.command import check_names
from metagan_rl.experiments.studies.practice.arms import ARMS
from metagan_rl.experiments.studies.practice.loops import LOOPS


@dataclass(frozen=True)
class PracticeStudy:
    """Schedulers plugged into eight loops of others, against what people do else."""

    schedulers: tuple[str, ...] = ("on-top", "rule")
    """Names of schedulers, or files of policies; with ", beta1 0" behind one, it turns momentum off."""
    arms: tuple[str, ...] = ("cosine", "late-decay")
    """What else: cosine, late-decay, prodigy, prodigy-decay, schedule-free, dadaptation, no-momentum, sweep."""
    loops: tuple[str, ...] = field(default_factory=lambda: tuple(LOOPS))
    """Loops."""
    steps: int = 5000
    """Updates of G in a run; 0 runs nothing and makes the table of the rows that are there."""
    seeds: int = 3
    """Seeds of each run."""
    tuning_seeds: int = 1
    """Seeds that the best rate is chosen on."""
    tuning_share: int = 1
    """Runs that choose it are this many times shorter."""
    minutes: float | None = None
    """After this long no run begins any more; those that have begun are finished."""
    workers: int | None = None
    """Runs at once; by default one for each core; 0 runs all in this process."""
    device: str = "cpu"
    """cpu or cuda."""
    data: Path | None = None
    """Data packed by python -m metagan_rl.experiments.studies.practice.data; by default installed packages."""
    out: Path = Path("runs/practice")
    """Directory for the rows."""

    def check(self) -> None:
        """Refuses what cannot be run.

        Raises:
            UnknownNameError: there is no such loop or arm.
            InvalidValueError: a number is too small.
        """
        for kind, names, known in (("loop", self.loops, tuple(LOOPS)), ("arm", self.arms, ARMS)):
            check_names(kind, names, known)
        for name, least in (("steps", 0), ("seeds", 1), ("tuning_seeds", 0), ("tuning_share", 1)):
            if getattr(self, name) < least:
                raise InvalidValueError(f"{name} is {getattr(self, name)}; it must be {least} or more")
