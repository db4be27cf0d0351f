"""Makes what the docs show from the committed rows: ``python -m metagan_rl.experiments.studies.pictures [DIR]``."""

import re
import sys
from collections.abc import Sequence
from pathlib import Path

import gymnasium as gym
import numpy as np

import metagan_rl  # noqa: F401  (registers the environments)
from metagan_rl.envs.vector import MetaGANVectorEnv
from metagan_rl.experiments.benchmark.records import read_lines
from metagan_rl.experiments.report.tables import markdown_table
from metagan_rl.experiments.studies import ablations, own_loop, rivals, search_each
from metagan_rl.experiments.studies.command import picture_file
from metagan_rl.experiments.studies.full_form import RESULTS
from metagan_rl.experiments.studies.full_form import picture as standing
from metagan_rl.experiments.studies.full_form import table as standing_table
from metagan_rl.experiments.studies.practice import page as practice
from metagan_rl.experiments.studies.run_to_run import table as run_to_run
from metagan_rl.experiments.studies.throughput import page
from metagan_rl.experiments.studies.transfer import page as transfer
from metagan_rl.files import make_directory, write_whole
from metagan_rl.loop.signals import FURTHER, SETUP, SIGNALS, Signal, choose_signals
from metagan_rl.runtime import prepare_process

TASK, SEED = "ring/test/0006", 1635118475
AGENT = "#d55e00"
RUNS = RESULTS / "run-to-run" / "rows.jsonl"


def learning(out: Path) -> Path:
    """The training of ``default``: return on validation tasks against GAN updates, beside the fixed references."""
    records = read_lines(RESULTS / "training" / "default.jsonl")
    updates = np.array([record["gan_updates"] for record in records]) / 1e6
    rollout = np.array([record["rollout/return"] for record in records])
    validated = [record for record in records if "validation/return" in record]
    at = [record["gan_updates"] / 1e6 for record in validated]
    path = out / "learning.png"
    with picture_file(path, 7.2, 3.6) as figure:
        axes = figure.add_subplot()
        axes.plot(updates, rollout, color=AGENT, alpha=0.35, linewidth=1.2, label="agent, training tasks (sampled)")
        measured = [record["validation/return"] for record in validated]
        axes.plot(at, measured, color=AGENT, marker="o", markersize=4, label="agent, 96 validation tasks")
        levels = (("reference", "identified-rule, the same tasks", "#0072b2"), ("constant", "untuned base", "#767676"))
        for name, label, colour in levels:
            level = validated[0][f"validation/return_{name}"]
            axes.axhline(level, color=colour, linestyle=(0, (5, 2)), linewidth=1.2, label=label)
        axes.set(xlabel="GAN updates (millions)", ylabel="return = log(start distance / end distance)", xlim=(0, None))
        axes.legend(frameon=False, fontsize=8, loc="center right")
    return path


def render(out: Path) -> Path:
    """A test run under ``tuned-decay``, as ``env.render()`` shows it at its end."""
    from matplotlib.image import imsave

    env = gym.make_vec("MetaGAN/Planar-v2", num_envs=1, split="test", reference="tuned-decay", render_mode="rgb_array")
    assert isinstance(env, MetaGANVectorEnv)
    env.reset(options={"tasks": [TASK], "gan_seeds": [SEED]})
    assert env.runs is not None
    for _ in range(int(env.runs.horizons[0]) - 1):
        env.step(np.zeros((1, len(env.codec.knobs)), dtype=np.int64))  # follows the reference
    frames = env.render()
    assert frames is not None
    path = out / "render.png"
    imsave(path, frames[0])
    return path


def throughput(out: Path) -> Path:
    """How fast GANs train, as a picture."""
    return page.picture(page.read_kinds(RESULTS / "throughput.jsonl"), out)


def from_run_to_run(out: Path) -> Path:
    """The best of k runs on a task, as a picture."""
    return run_to_run.picture(read_lines(RUNS), out / "run-to-run.png")


def throughput_tables() -> list[str]:
    """The tables of ``docs/throughput.md``, from the committed rows."""
    return page.tables(page.read_kinds(RESULTS / "throughput.jsonl"))


def _described(signal: Signal) -> list[str]:
    return [f"`{signal.name}`", signal.meaning.replace("|", "\\|"), f"{signal.low:g}", f"{signal.high:g}"]


def signal_tables() -> list[str]:
    """The tables of ``docs/signals.md``: signals in the order of an observation, what a loop knows, and the rest."""
    rows = [[place, *_described(signal)] for place, signal in enumerate(choose_signals("all"))]
    return [
        markdown_table(("index", "name", "meaning", "min", "max"), rows),
        markdown_table(("name", "meaning", "min", "max"), [_described(SIGNALS[name]) for name in SETUP]),
        markdown_table(("name", "meaning", "min", "max"), [_described(SIGNALS[name]) for name in FURTHER]),
    ]


PLACE = re.compile(r"<!-- made -->\n.*?<!-- end -->", re.DOTALL)


def filled(page: str, tables: Sequence[str]) -> str:
    """A page with tables between its marks ``<!-- made -->`` and ``<!-- end -->``, in order.

    Raises:
        ValueError: the page has not as many places.
    """
    places = len(PLACE.findall(page))
    if places != len(tables):
        raise ValueError(f"the page has {places} places for {len(tables)} tables")
    left = iter(tables)
    return PLACE.sub(lambda _: f"<!-- made -->\n{next(left)}\n<!-- end -->", page)


def tables_of_pages() -> dict[str, list[str]]:
    """The tables of each page in ``docs`` that has some, in order."""
    return {
        "signals.md": signal_tables(),
        "throughput.md": throughput_tables(),
        "transfer.md": transfer.tables(),
        "run-to-run.md": [
            run_to_run.table(read_lines(RUNS)),
            search_each.committed_table(read_lines(RESULTS / "search-each" / "rows.jsonl")),
        ],
        "practice.md": practice.page_tables(),
        "ablations.md": [ablations.table(read_lines(RESULTS / "ablations" / "rows.jsonl"))],
        "rivals.md": rivals.tables(),
        "plug-in.md": [own_loop.table(read_lines(RESULTS / "own-loop" / "rows.jsonl"))],
    }


def main() -> None:
    """Writes all of it; prose of the pages stays as it is."""
    prepare_process()
    out = make_directory(sys.argv[1] if len(sys.argv) > 1 else "docs")
    for name, tables in tables_of_pages().items():
        path = out / name
        write_whole(path, filled(path.read_text(encoding="utf-8"), tables))
        print(path)
    drawn = (learning, standing, render, throughput, *([from_run_to_run] if read_lines(RUNS) else []))
    for draw in drawn:
        print(draw(out))
    print("The table of the results:\n" + standing_table())


if __name__ == "__main__":
    main()
