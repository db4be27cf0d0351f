"""Makes what the docs show from the committed rows: ``python -m metagan_rl.experiments.studies.pictures [DIR]``."""

import sys
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import gymnasium as gym
import numpy as np

import metagan_rl  # noqa: F401  (registers the environments)
from metagan_rl.agents import make_scheduler
from metagan_rl.envs.vector import MetaGANVectorEnv
from metagan_rl.experiments.benchmark.records import read_lines
from metagan_rl.experiments.report.figures import KNOWN_COLOURS
from metagan_rl.experiments.report.tables import markdown_table
from metagan_rl.experiments.studies.command import picture_file
from metagan_rl.experiments.studies.full_form import RESULTS
from metagan_rl.experiments.studies.full_form import picture as standing
from metagan_rl.experiments.studies.full_form import table as standing_table
from metagan_rl.files import make_directory, write_whole
from metagan_rl.loop.scheduler import Situation
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
    """A test run under ``default``, as ``env.render()`` shows it near its end."""
    from matplotlib.image import imsave

    env = gym.make_vec("MetaGAN/Planar-v0", num_envs=1, split="test", render_mode="rgb_array")
    assert isinstance(env, MetaGANVectorEnv)
    env.reset(options={"tasks": [TASK], "gan_seeds": [SEED]})
    runs, scheduler = env.runs, make_scheduler("default")
    assert runs is not None
    scheduler.begin([SEED])
    reward = np.zeros(1)
    for _ in range(int(runs.horizons[0]) - 1):
        controls = scheduler.step(Situation(runs.signals(), runs.base_controls(), runs.controls, reward))
        reward = env.step(env.codec.encode(controls))[1]
    frames = env.render()
    assert frames is not None
    path = out / "render.png"
    imsave(path, frames[0])
    return path


def throughput(out: Path) -> list[Path]:
    """How fast populations train: a picture and a page with the tables."""
    rows = read_lines(RESULTS / "throughput.jsonl")
    kinds = {kind: [row for row in rows if row["kind"] == kind] for kind in dict.fromkeys(row["kind"] for row in rows)}
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
    page = out / "throughput.md"
    write_whole(page, _throughput_page(kinds, rows[0]))
    return [picture, page]


def _throughput_page(kinds: Mapping[str, list[dict[str, Any]]], first: Mapping[str, Any]) -> str:
    environments, agent, profile = (kinds[kind][0] for kind in ("environments", "agent", "profile"))
    parts = [
        "# Throughput",
        f"Measured on {first['machine']}, torch {first['torch']}, by "
        "`python -m metagan_rl.experiments.studies.throughput` (`--quick` for two minutes); "
        "rows in `experiments/results/throughput.jsonl`. Both sides of every ratio take "
        "turns, so ratios hold on a busy machine; rates are of that machine and that hour. This page and its picture "
        "are made from the rows by `python -m metagan_rl.experiments.studies.pictures`.",
        "![Updates per second against members](throughput.png)",
        "## One thread: a population against separate `nn.Module` GANs",
        "Peak share: floating-point operations of the updates, products only, against the peak of the hidden layer's "
        "product measured in the same turns.",
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
        "## One thread: convolutional members",
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
        "One convolution of 16 such members (batch 128), forward and both gradients, in milliseconds: products with "
        "the kernel written out as a matrix, products with patches, torch's convolution member by member, and torch's "
        "with a group for each member.",
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
        "## All cores: vector environments",
        f"{environments['members']} environments on {environments['cores']} cores, learning rates drawn at random, "
        "quality measured every 48 updates:",
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
        *_noise_section(kinds.get("noise", ())),
        "## Cost in members and in updates",
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
        "## Where the time of a step goes",
        f"{profile['members']} members under random controls, as an exploring agent's are (profiled, which slows the "
        f"Python parts most); the process takes {profile['process_megabytes']} MB:",
        markdown_table(("part", "share"), [[part, f"{share:.1%}"] for part, share in profile["shares"].items()]),
        "## The agent",
        f"Recurrent PPO's update on {agent['rollout']}: {agent['update_seconds']} s against "
        f"{agent['stock_update_seconds']} s of sb3-contrib's own, {agent['ratio']:.1f} times as fast, with "
        "equal results (tested).",
    ]
    return "\n\n".join(parts) + "\n"


def _noise_section(rows: Sequence[Mapping[str, Any]]) -> list[str]:
    if not rows:
        return []
    (row,) = rows
    table = markdown_table(
        ("drawn", "milliseconds", "of the interval's time"),
        [[name, row["milliseconds"][name], f"{row['share_of_interval'][name]:.1%}"] for name in row["milliseconds"]],
    )
    return [
        "## Noise and data order",
        f"For {row['members']} members and {row['updates']} updates on the CPU: `host`, one of torch's generators a "
        "member, and `device`, counters for all at once, which is what a GPU uses and what makes its numbers those of "
        "the CPU. No GPU was at hand: the CUDA path is tested on the CPU and on torch's meta device only.",
        table,
    ]


def _described(signal: Signal) -> list[str]:
    return [f"`{signal.name}`", signal.meaning.replace("|", "\\|"), f"{signal.low:g}", f"{signal.high:g}"]


def signal_tables() -> list[str]:
    """The tables of ``docs/signals.md``: all signals in the order an observation has them, and those in no usual set."""
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
