"""The tables and the picture of ``docs/throughput.md``, from the committed rows."""

from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import Any

from metagan_rl.experiments.benchmark.records import read_lines
from metagan_rl.experiments.report.tables import DASH, markdown_table
from metagan_rl.experiments.studies.command import picture_file
from metagan_rl.experiments.studies.separate import UPDATES
from metagan_rl.experiments.studies.throughput.engines import ENGINES, JAX, NATIVE, SEPARATE, TORCH
from metagan_rl.experiments.studies.throughput.training import Measurement

Kinds = Mapping[str, Sequence[Measurement]]
"""Rows by kind."""
SIDES = {SEPARATE: "separate", JAX: "JAX", TORCH: "torch", NATIVE: "native"}
"""Headings of the sides, slowest first."""
PAIRS = {
    f"{one}/{other}": f"{SIDES[one]} / {SIDES[other]}"
    for one, other in ((NATIVE, TORCH), (NATIVE, JAX), (NATIVE, SEPARATE), (TORCH, SEPARATE))
}
"""Headings of the ratios."""
STYLES = {
    NATIVE: ("#d55e00", "o-"),
    JAX: ("#0072b2", "^-"),
    TORCH: ("#009e73", "D-"),
    SEPARATE: ("#000000", "s--"),
}
LABELS = {NATIVE: "native engine", JAX: "JAX, jit and scan", TORCH: "torch population", SEPARATE: "separate GANs"}
DEFAULT = {"members": 16, "width": 64, "batch": 128, "penalty": "none"}
"""The shape that goals are set for."""


def read_kinds(path: Path) -> Kinds:
    """The rows of a file by kind."""
    rows = read_lines(path)
    return {kind: [row for row in rows if row["kind"] == kind] for kind in dict.fromkeys(row["kind"] for row in rows)}


def tables(kinds: Kinds) -> list[str]:
    """The page's tables in order."""
    makers: dict[str, Callable[[Sequence[Measurement]], str]] = {
        "updates": _updates,
        "variants": lambda rows: _variants(rows[0]),
        "convolutional": _convolutional,
        "forms": _forms,
        "environments": lambda rows: _environments(rows[0]),
        "noise": lambda rows: _noise(rows[0]),
        "scaling": _scaling,
        "profile": _profiles,
        "agent": lambda rows: _agent(rows[0]),
    }
    return [
        _summary(kinds),
        *(make(kinds[kind]) if kinds.get(kind) else "Not measured." for kind, make in makers.items()),
    ]


def picture(kinds: Kinds, out: Path) -> Path:
    """``throughput.png``: updates per second against members, and against the networks' width beside separate GANs."""
    plain = [row for row in kinds["updates"] if row["penalty"] == "none" and row["batch"] == DEFAULT["batch"]]
    by_members = [row for row in plain if row["width"] == DEFAULT["width"]]
    by_width = sorted((row for row in plain if row["members"] == DEFAULT["members"]), key=lambda row: row["width"])
    path = out / "throughput.png"
    with picture_file(path, 7.2, 3.4) as figure:
        speed, times = figure.subplots(1, 2)
        for side, (colour, style) in STYLES.items():
            there = [row for row in by_members if side in row["updates_per_second"]]
            if not there:
                continue
            rates = [row["updates_per_second"][side] for row in there]
            speed.plot([row["members"] for row in there], rates, style, color=colour, markersize=4, label=LABELS[side])
            if side != SEPARATE:
                ratios = [row["ratios"][f"{side}/{SEPARATE}"] for row in by_width]
                times.plot([row["width"] for row in by_width], ratios, style, color=colour, markersize=4)
        times.axhline(1, color="#bdbdbd", linewidth=0.8)
        widths = [row["width"] for row in by_width]
        speed.set(xscale="log", xlabel="members", ylabel="updates/s, one thread", ylim=(0, None))
        times.set(xscale="log", xlabel="width of the networks", ylabel="times separate GANs", ylim=(0, None))
        members = [row["members"] for row in by_members]
        for axes, values in ((speed, members), (times, widths)):
            axes.set_xticks(values, [str(value) for value in values])
            axes.minorticks_off()
        figure.legend(loc="outside upper center", ncols=4, frameon=False, fontsize=8)
    return path


def _summary(kinds: Kinds) -> str:
    """The shapes that goals are set for, a line each, and which sides were not at hand."""
    rows = [
        (_name(row, "default shape"), row)
        for row in kinds["updates"]
        if all(row[name] == DEFAULT[name] for name in ("members", "width", "batch"))
    ]
    rows += [(f"random controls, {row['members']} members", row) for row in kinds.get("random", [])]
    rows += [("one environment of one GAN", row) for row in kinds.get("single", [])]
    rows += [(_name(row, f"{row['images']} convolutions"), row) for row in kinds.get("convolutional", [])]
    headings = ["one thread", *SIDES.values(), *PAIRS.values(), "of the FMA peak"]
    lines = [[name, *_rates(row), *_times(row), _share(row, NATIVE)] for name, row in rows]
    seen = {side for _, row in rows for side in row["updates_per_second"]}
    absent = [heading for side, heading in SIDES.items() if side not in seen]
    note = f" Not at hand: {', '.join(absent)}." if absent else ""
    machines = dict.fromkeys(f"{row['machine']}, torch {row['torch']}" for row in kinds["updates"])
    return markdown_table(headings, lines) + f"\n\nMeasured on {'; '.join(machines)}.{note}"


def _name(row: Measurement, shape: str) -> str:
    return shape if row["penalty"] == "none" else f"{shape}, {row['penalty']} penalty"


def _updates(rows: Sequence[Measurement]) -> str:
    headings = [
        "members",
        "width",
        "batch",
        "penalty",
        *SIDES.values(),
        *PAIRS.values(),
        "torch, of the peak",
        "native",
    ]
    return markdown_table(
        headings,
        [[*_shape(row), *_rates(row), *_times(row), _share(row, TORCH), _share(row, NATIVE)] for row in rows],
    )


def _variants(row: Measurement) -> str:
    lines = [
        [name, f"{rate:,}", f"{row['ratios'].get(f'{name}/{TORCH}', 1):.1f}"]
        for name, rate in row["updates_per_second"].items()
    ]
    return markdown_table(("built for", "updates/s", "times torch"), lines)


def _convolutional(rows: Sequence[Measurement]) -> str:
    sides = [SEPARATE, TORCH, NATIVE]
    pairs = [pair for pair in PAIRS if JAX not in pair]
    return markdown_table(
        [
            "images",
            "members",
            "width",
            "batch",
            "penalty",
            *(SIDES[side] for side in sides),
            *(PAIRS[pair] for pair in pairs),
        ],
        [[row["images"], *_shape(row), *_rates(row, sides), *_times(row, pairs)] for row in rows],
    )


def _forms(rows: Sequence[Measurement]) -> str:
    return markdown_table(
        ("side", "channels", "unrolled", "patches", "in turns", "grouped", "taken"),
        [
            [
                row["side"],
                "{} to {}".format(*row["channels"]),
                *(row["milliseconds"].get(form, "") for form in ("unrolled", "patches", "inturns", "grouped")),
                {"inturns": "in turns"}.get(row["chosen"], row["chosen"]),
            ]
            for row in rows
        ],
    )


def _environments(row: Measurement) -> str:
    lines = []
    for name, rate in row["updates_per_second"].items():
        members = row["members"][name]
        side = name.split()[0]
        what = "single environments, `AsyncVectorEnv`" if side == SEPARATE else f"sharded population, {LABELS[side]}"
        ratio = row["ratios"].get(f"{name}/{SEPARATE}")
        lines.append([what, members, f"{rate / UPDATES:.1f}", f"{rate:,}", "1" if ratio is None else f"{ratio:.1f}"])
    return markdown_table((f"{row['cores']} cores", "environments", "environment steps/s", "updates/s", "ratio"), lines)


def _noise(row: Measurement) -> str:
    return markdown_table(
        ("engine", "stream", "milliseconds"),
        [[*name.split(", "), value] for name, value in row["milliseconds"].items()],
        ("---", "---", "--:"),
    )


def _scaling(rows: Sequence[Measurement]) -> str:
    return markdown_table(
        ("engine", "in", "sizes", "milliseconds", "microseconds per update", "at zero, ms", "R²"),
        [
            [
                row["engine"],
                row["in"],
                ", ".join(map(str, row["sizes"])),
                ", ".join(map(str, row["milliseconds"])),
                row["microseconds_per_update"],
                row["milliseconds_at_zero"],
                row["r_squared"],
            ]
            for row in rows
        ],
        ("---", "---", *["--:"] * 5),
    )


def _profiles(rows: Sequence[Measurement]) -> str:
    shares = {row["engine"]: row["shares"] for row in rows}
    there = [engine for engine in ENGINES if engine in shares]
    parts = dict.fromkeys(part for engine in there for part in shares[engine])
    lines = [
        [part, *(f"{shares[engine][part]:.1%}" if part in shares[engine] else "" for engine in there)] for part in parts
    ]
    megabytes = {row["engine"]: row["process_megabytes"] for row in rows}
    memory = {engine: DASH if amount is None else f"{amount} MB" for engine, amount in megabytes.items()}
    return markdown_table(
        ["part", *(SIDES[engine] for engine in there)],
        [*lines, ["memory of the process", *(memory[engine] for engine in there)]],
    )


def _agent(row: Measurement) -> str:
    ours, stock = row["update_seconds"], row["stock_update_seconds"]
    return markdown_table(("", "seconds", "ratio"), [["sb3-contrib", stock, 1], ["ours", ours, f"{row['ratio']:.1f}"]])


def _shape(row: Measurement) -> list[Any]:
    return [row["members"], row["width"], row["batch"], row["penalty"]]


def _rates(row: Measurement, sides: Sequence[str] = tuple(SIDES)) -> list[str]:
    rates = row["updates_per_second"]
    return [f"{rates[side]:,}" if side in rates else DASH for side in sides]


def _times(row: Measurement, pairs: Sequence[str] = tuple(PAIRS)) -> list[str]:
    return [f"{row['ratios'][pair]:.1f}" if pair in row["ratios"] else DASH for pair in pairs]


def _share(row: Measurement, side: str) -> str:
    share = row.get("peak_share", {}).get(side)
    return DASH if share is None else f"{share:.0%}"
