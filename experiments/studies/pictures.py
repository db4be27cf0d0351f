"""Makes what the docs show from the committed rows: ``python -m metagan_rl.experiments.studies.pictures [DIR]``."""

import re
import sys
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import gymnasium as gym
import numpy as np

import metagan_rl  # noqa: F401  (registers the environments)
from metagan_rl.envs.vector import MetaGANVectorEnv
from metagan_rl.experiments.benchmark.records import read_lines
from metagan_rl.experiments.report.figures import KNOWN_COLOURS
from metagan_rl.experiments.report.tables import markdown_table
from metagan_rl.experiments.studies.command import picture_file
from metagan_rl.experiments.studies.full_form import RESULTS
from metagan_rl.experiments.studies.full_form import picture as standing
from metagan_rl.experiments.studies.full_form import table as standing_table
from metagan_rl.files import make_directory, write_whole
from metagan_rl.loop.signals import FURTHER, SIGNALS, Signal, choose_signals
from metagan_rl.runtime import prepare_process

TASK, SEED = "ring/test/0006", 1635118475
AGENT = "#d55e00"


def learning(out: Path) -> Path:
    """The training of ``default``: return on validation tasks against GAN updates, beside the fixed references."""
    records = read_lines(RESULTS / "default" / "training.jsonl")
    updates = np.array([record["gan_updates"] for record in records]) / 1e6
    rollout = np.array([record["rollout/return"] for record in records])
    validated = [record for record in records if "validation/return" in record]
    at = [record["gan_updates"] / 1e6 for record in validated]
    path = out / "learning.png"
    with picture_file(path, 7.2, 3.6) as figure:
        axes = figure.add_subplot()
        axes.plot(updates, rollout, color=AGENT, alpha=0.35, linewidth=1.2, label="agent, training tasks (sampled)")
        measured = [record["validation/return"] for record in validated]
        axes.plot(at, measured, color=AGENT, marker="o", markersize=4, label="agent, 24 validation tasks")
        for name, label in (("constant", "untuned base, the same tasks"), ("random", "random controls")):
            level = validated[0][f"validation/return_{name}"]
            axes.axhline(level, color=KNOWN_COLOURS[name], linestyle=(0, (5, 2)), linewidth=1.2, label=label)
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


def _throughput_rows() -> dict[str, list[dict[str, Any]]]:
    """The committed rows by kind."""
    rows = read_lines(RESULTS / "throughput.jsonl")
    return {kind: [row for row in rows if row["kind"] == kind] for kind in dict.fromkeys(row["kind"] for row in rows)}


def throughput(out: Path) -> Path:
    """How fast populations train, as a picture."""
    kinds = _throughput_rows()
    default = [row for row in kinds["updates"] if (row["width"], row["batch"]) == (64, 128)]
    plain = [row for row in default if row["penalty"] == "none"]
    picture = out / "throughput.png"
    with picture_file(picture, 7.2, 3.2) as figure:
        speed, ratio = figure.subplots(1, 2)
        members = [row["members"] for row in plain]
        speed.plot(members, [row["population_updates_per_second"] for row in plain], "o-", color=AGENT)
        speed.plot(members, [row["separate_updates_per_second"] for row in plain], "s--", color="#000000")
        speed.set(xscale="log", xlabel="members", ylabel="updates/s, one thread", ylim=(0, None))
        speed.annotate("one population", (members[-1], plain[-1]["population_updates_per_second"]), (0, -14),
                       textcoords="offset points", ha="right", color=AGENT)  # fmt: skip
        speed.annotate("separate GANs", (members[-1], plain[-1]["separate_updates_per_second"]), (0, 6),
                       textcoords="offset points", ha="right")  # fmt: skip
        ratio.plot(members, [row["ratio"] for row in plain], "o-", color=AGENT)
        ratio.axhline(1, color="#bdbdbd", linewidth=0.8)
        ratio.set(xscale="log", xlabel="members", ylabel="population / separate", ylim=(0, None))
    return picture


def throughput_tables() -> list[str]:
    """The tables of ``docs/throughput.md``, from the committed rows."""
    kinds = _throughput_rows()
    environments, profile, noise = (kinds[kind][0] for kind in ("environments", "profile", "noise"))
    return [
        markdown_table(
            ("members", "width", "batch", "penalty", "updates/s", "separate, updates/s", "ratio", "peak share"),
            [
                [
                    row["members"],
                    row["width"],
                    row["batch"],
                    row["penalty"],
                    f"{row['population_updates_per_second']:,}",
                    f"{row['separate_updates_per_second']:,}",
                    f"{row['ratio']:.1f}",
                    "" if row["peak_share"] is None else f"{row['peak_share']:.0%}",
                ]
                for row in kinds["updates"]
            ],
        ),
        markdown_table(
            ("images", "members", "width", "batch", "penalty", "updates/s", "separate, updates/s", "ratio"),
            [
                [
                    row["images"],
                    row["members"],
                    row["width"],
                    row["batch"],
                    row["penalty"],
                    f"{row['population_updates_per_second']:,}",
                    f"{row['separate_updates_per_second']:,}",
                    f"{row['ratio']:.1f}",
                ]
                for row in kinds["convolutional"]
            ],
        ),
        markdown_table(
            ("side", "channels", "unrolled", "patches", "in turns", "grouped", "taken"),
            [
                [
                    row["side"],
                    "{} to {}".format(*row["channels"]),
                    *(row["milliseconds"].get(form, "") for form in ("unrolled", "patches", "inturns", "grouped")),
                    row["chosen"],
                ]
                for row in kinds["forms"]
            ],
        ),
        markdown_table(
            ("", "environment steps/s", "updates/s", "ratio"),
            [
                [
                    f"single environments, `AsyncVectorEnv`, {environments['members']}",
                    f"{environments['separate_steps_per_second']:.1f}",
                    f"{environments['separate_updates_per_second']:,}",
                    "1",
                ],
                [
                    f"sharded population, {environments['members']}",
                    f"{environments['steps_per_second']:.1f}",
                    f"{environments['updates_per_second']:,}",
                    f"{environments['ratio']:.1f}",
                ],
                [
                    f"sharded population, {environments['members_large']}",
                    "",
                    f"{environments['updates_per_second_large']:,}",
                    f"{environments['ratio_large']:.1f}",
                ],
            ],
        ),
        markdown_table(
            ("drawn", "milliseconds", "of the interval's time"),
            [
                [name, noise["milliseconds"][name], f"{noise['share_of_interval'][name]:.1%}"]
                for name in noise["milliseconds"]
            ],
        ),
        markdown_table(
            ("in", "sizes", "milliseconds", "microseconds per update", "at zero, ms", "R²"),
            [
                [
                    row["in"],
                    ", ".join(map(str, row["sizes"])),
                    ", ".join(map(str, row["milliseconds"])),
                    row["microseconds_per_update"],
                    row["milliseconds_at_zero"],
                    row["r_squared"],
                ]
                for row in kinds["scaling"]
            ],
        ),
        markdown_table(("part", "share"), [[part, f"{share:.1%}"] for part, share in profile["shares"].items()]),
    ]


def _described(signal: Signal) -> list[str]:
    return [f"`{signal.name}`", signal.meaning.replace("|", "\\|"), f"{signal.low:g}", f"{signal.high:g}"]


def signal_tables() -> list[str]:
    """The tables of ``docs/signals.md``: all signals in the order of an observation, and those in no usual set."""
    rows = [[place, *_described(signal)] for place, signal in enumerate(choose_signals("all"))]
    return [
        markdown_table(("index", "name", "meaning", "min", "max"), rows),
        markdown_table(("name", "meaning", "min", "max"), [_described(SIGNALS[name]) for name in FURTHER]),
    ]


def filled(page: str, tables: Sequence[str]) -> str:
    """A page with tables between its marks ``<!-- made -->`` and ``<!-- end -->``, in order.

    Raises:
        ValueError: the page has not as many places.
    """
    parts = re.split(r"(?<=<!-- made -->\n).*?(?=<!-- end -->)", page, flags=re.DOTALL)
    if len(parts) != len(tables) + 1:
        raise ValueError(f"the page has {len(parts) - 1} places for {len(tables)} tables")
    pairs = zip(parts, [*(f"{table}\n" for table in tables), ""], strict=True)
    return "".join(part + table for part, table in pairs)


def main() -> None:
    """Writes all of it; prose of the pages stays as it is."""
    prepare_process()
    out = make_directory(sys.argv[1] if len(sys.argv) > 1 else "docs")
    for name, tables in (("signals.md", signal_tables()), ("throughput.md", throughput_tables())):
        path = out / name
        write_whole(path, filled(path.read_text(encoding="utf-8"), tables))
        print(path)
    for path in (learning(out), standing(out), render(out), throughput(out)):
        print(path)
    print("The table of the results:\n" + standing_table())


if __name__ == "__main__":
    main()
