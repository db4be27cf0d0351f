"""``python -m metagan_rl.experiments.studies.meta_init --out DIR``; run again, it goes on where it was."""

from dataclasses import dataclass
from pathlib import Path

from metagan_rl.experiments.benchmark.records import ROWS
from metagan_rl.experiments.studies.command import called_as, run_command, show_line
from metagan_rl.experiments.studies.meta_init import pictures
from metagan_rl.experiments.studies.meta_init.combining import KIND, combinations, run_combinations
from metagan_rl.experiments.studies.meta_init.study import CHOICES, chosen_adaptations, chosen_settings, read, run_study
from metagan_rl.experiments.studies.meta_init.tables import as_markdown, panels
from metagan_rl.files import write_whole


@dataclass
class MetaInitStudy:
    """Learn starting weights by every method, and adapt GANs of new tasks from them."""

    out: Path = Path("runs/meta-init-study")
    """Directory for rows, weights, tables and pictures; gone on with if it holds some already."""
    kinds: tuple[str, ...] = ("planar", "digits")
    """Kinds of data."""
    seeds: int = 5
    """Of each method."""
    scale: float = 1.0
    """Factor of the updates of learning; less than 1 for a try."""
    combine: bool = True
    """Combine starting weights with schedules as well."""
    workers: int | None = None
    """Cells run at once; by default one for each core; 0 runs all in this process."""


def write_tables(out: Path, command: str) -> Path:
    """``summary.md`` and the pictures of the rows there are."""
    shown = panels(read(out / ROWS))
    chosen, adaptations = chosen_settings(read(out / CHOICES)), chosen_adaptations(read(out / ROWS))
    write_whole(out / "summary.md", as_markdown(shown, combinations(out), chosen, adaptations, command))
    pictures.curves(shown, out / "curves.png")
    for kind in dict.fromkeys(row["kind"] for row in read(out / ROWS)):
        pictures.samples(out, kind, out / f"samples-{kind}.png")
    return out / "summary.md"


def learn_and_adapt(options: MetaInitStudy) -> None:
    """All of it; what is there already is not run again."""
    out, seeds, workers, scale = options.out, options.seeds, options.workers, options.scale
    run_study(out, kinds=options.kinds, seeds=seeds, workers=workers, scale=scale, show=show_line)
    write_tables(out, called_as("meta_init"))
    if options.combine and KIND in options.kinds:
        run_combinations(out, seeds=seeds, workers=workers, scale=scale, show=show_line)
    show_line(write_tables(out, called_as("meta_init")))


if __name__ == "__main__":
    run_command(MetaInitStudy, learn_and_adapt)
