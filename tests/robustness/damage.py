"""Damages every kind of file that the package reads, and reads it. It must be refused in one line, or mean the same.

    python -m tests.robustness.damage [--files 20000] [--seed 0] [--only policy,samples]

A reader may refuse a file only by a ``MetaGANError``. What it reads although a byte was changed must equal the
original: such changes are those of white space and the like. The report counts both, and all else is a fault.
"""

import io
import json
import random
import struct
import sys
import tempfile
import zipfile
from collections import Counter
from collections.abc import Callable, Iterator
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

import numpy as np
import torch

from metagan_rl.agents import PolicyScheduler, load_policy, save_policy
from metagan_rl.agents.learners.policy import PolicyConfig, PolicyNetwork
from metagan_rl.agents.learners.run_folder import (
    read_checkpoint,
    read_config,
    read_progress,
    write_config,
    write_progress,
)
from metagan_rl.agents.searches.tuned import load_schedule, save_schedule, tuned_decay
from metagan_rl.archives import sealed
from metagan_rl.errors import MetaGANError
from metagan_rl.experiments.benchmark.records import append_lines, read_curves, read_rows
from metagan_rl.experiments.benchmark.records import read_config as read_benchmark
from metagan_rl.experiments.benchmark.references import load_references, save_references
from metagan_rl.experiments.benchmark.samples import SampleFile, write_samples
from metagan_rl.loop import choose_knobs, choose_signals
from metagan_rl.loop.snapshots import load_snapshot, save_snapshot
from metagan_rl.meta_init import MetaDiscriminator, MetaGenerator, load_meta_init, save_meta_init
from metagan_rl.metrics.features import SHIPPED, read_features
from metagan_rl.records import write_record
from metagan_rl.tasks import Suite, get_suite
from metagan_rl.tasks.suites import MANIFESTS


@dataclass(frozen=True)
class Kind:
    """A kind of file.

    Attributes:
        name: the file's name, which some readers look at.
        make: writes a whole file of that name into a folder.
        read: reads it from the folder and gives something to compare by ``repr``.
        strict: whether every change must be refused or mean the same. Of a file of lines, lines may be lost or doubled,
            as a stopped run loses its last one; each line that is read must be one of the original's.
    """

    name: str
    make: Callable[[Path], object]
    read: Callable[[Path], Any]
    strict: bool = True


def _policy(path: Path) -> None:
    knobs = choose_knobs(["generator_lr_factor", "ratio"])
    config = PolicyConfig(knobs, choose_signals("loop", knobs), True, 4, (3,))
    torch.manual_seed(0)
    network = PolicyNetwork(len(config.signals) + 4, config, config.codec().choices)
    save_policy(path, PolicyScheduler(config, network.state_dict(), {"gan_updates": 3, "training": {"seed": 1}}))


def _read_policy(path: Path) -> Any:
    policy = load_policy(path)
    return policy.config.layers, policy.metadata, _tensors(policy.network.state_dict())


def _tensors(found: dict[str, torch.Tensor]) -> Any:
    return {name: value.tolist() for name, value in sorted(found.items())}


def _starting_weights(path: Path) -> None:
    task = get_suite("dirac").split("train")[0]
    save_meta_init(path, MetaGenerator.of(task), MetaDiscriminator.of(task), {"steps": 3})


def _read_starting_weights(path: Path) -> Any:
    read = load_meta_init(path)
    return read.generator.weights.tolist(), read.discriminator.weights.tolist(), read.metadata


def _checkpoint(path: Path) -> None:
    content = io.BytesIO()
    torch.save({"policy": {"a": torch.arange(6.0)}, "iteration": 2, "best": 0.5}, content)
    path.write_bytes(sealed(content.getvalue()))


def _read_checkpoint(path: Path) -> Any:
    return str(read_checkpoint(path))


def _samples(path: Path) -> None:
    points = np.linspace(0, 1, 24, dtype=np.float16).reshape(2, 6, 2)
    names = {"s|test|a|real": points[0], "s|test|a|updates": np.array([0, 12]), "s|test|a|constant": points}
    write_samples(path, names)


def _read_samples(path: Path) -> Any:
    file = SampleFile(path)
    if not file.holds("s", "test", "a"):  # who asks for a task asks this first
        return None
    found = file.of("s", "test", "a", ["constant"])
    return found.real.tolist(), found.updates.tolist(), {n: p.tolist() for n, p in found.points.items()}


ROW = {
    "suite": "s", "split": "test", "task": "a", "seed": 0, "scheduler": "constant", "tag": "own", "family": "f",
    "distance": 0.5, "precision": 0.25, "diverged": False, "updates": 12, "error": None, "version": "0.1.0",
}  # fmt: skip
CURVE = {
    "suite": "s", "split": "test", "task": "a", "seed": 0, "scheduler": "constant", "distance": [1.0, 0.5],
    "generator_lr_factor": [1.0], "discriminator_lr_factor": [1.0], "penalty_weight": [0.0], "ratio": ["1:1"],
    "loss": ["hinge"],
}  # fmt: skip
BENCHMARK = {"kind": "metagan-rl benchmark", "version": "0.1.0", "suites": [], "schedulers": ["constant"], "seeds": 1}


def _rows(path: Path) -> None:
    write_record(path.with_name("benchmark.json"), BENCHMARK)
    append_lines(path, [{**ROW, "seed": seed} for seed in range(3)])


def _config(path: Path) -> None:
    from metagan_rl.agents import TrainConfig

    write_config(TrainConfig(updates=100).settled(), path.parent)


def _references(path: Path) -> None:
    task = get_suite("ring8").split("test")[0].name
    entry = {"untuned": 1.0, "oracle": 0.25, "schedule": asdict(tuned_decay().schedule), "curve": [[1, 1.0], [2, 0.7]]}
    told = {"suite": "ring8", "split": "test", "suite_sha256": get_suite("ring8").sha256, "runs": 8}
    save_references(path, {**told, "tasks": {task: entry}})


KINDS = {
    "policy": Kind("policy.safetensors", _policy, _read_policy),
    "starting weights": Kind("weights.safetensors", _starting_weights, _read_starting_weights),
    "features": Kind(
        "features.safetensors",
        lambda path: path.write_bytes((SHIPPED / "mnist.safetensors").read_bytes()),
        lambda path: _tensors(read_features(path).classifier.state_dict()),
    ),
    "snapshot": Kind(
        "state.safetensors",
        lambda path: save_snapshot(path, {"a": torch.arange(5), "b": [1, "x", None]}),
        load_snapshot,
    ),
    "checkpoint": Kind("checkpoint.pt", _checkpoint, _read_checkpoint),
    "samples": Kind("samples.npz", _samples, _read_samples),
    "schedule": Kind(
        "schedule.json",
        lambda path: save_schedule(path, tuned_decay()),
        lambda path: load_schedule(path).schedule,
    ),
    "references": Kind(
        "ring8-test.json",
        _references,
        lambda path: sorted(load_references("ring8", "test", path.parent).rooms.items()),
    ),
    "training": Kind("config.json", _config, lambda path: read_config(path.parent)),
    "benchmark": Kind(
        "benchmark.json", lambda path: write_record(path, BENCHMARK), lambda path: read_benchmark(path.parent)
    ),
    "suite": Kind(
        "suite.json",
        lambda path: path.write_bytes((MANIFESTS / "dirac.json").read_bytes()),
        lambda path: Suite.load(path).splits,
    ),
    "progress": Kind(
        "progress.jsonl",
        lambda path: write_progress(path.parent, [{"iteration": place, "x": 0.1 * place} for place in range(1, 4)]),
        lambda path: read_progress(path.parent),
        strict=False,
    ),
    "rows": Kind("rows.jsonl", _rows, lambda path: read_rows(path.parent), strict=False),
    "curves": Kind(
        "curves.jsonl",
        lambda path: append_lines(path, [CURVE] * 3),
        lambda path: read_curves(path.parent),
        strict=False,
    ),
}  # fmt: skip
WILD = [
    None,
    True,
    -1,
    0,
    1e308,
    float("nan"),
    float("inf"),
    10**30,
    "",
    "x",
    [],
    {},
    [[]],
    {"a": 1},
    "\ud800",
    "a" * 999,
]


def damaged(content: bytes, rng: random.Random) -> bytes:
    """The content with a flipped bit, a cut, a hole, a swap, noise, or wild values where it is JSON."""
    data = bytearray(content)
    place = rng.randrange(len(data))
    far = min(len(data), place + rng.choice((1, 4, 16, 256)))
    what = rng.randrange(10)
    if what < 3:
        data[place] ^= 1 << rng.randrange(8)
    elif what == 3:
        del data[place:]
    elif what == 4:
        del data[place:far]
    elif what == 5:
        data[place:far] = bytes(far - place)
    elif what == 6:
        data[place:place] = rng.randbytes(rng.choice((1, 8, 100)))
    elif what == 7:
        other = rng.randrange(len(data))
        data[place], data[other] = data[other], data[place]
    elif what == 8:
        data += rng.choice((b"\n", b"{}", bytes(10), bytes(data[:far])))
    else:
        return _wild(content, rng)
    return bytes(data)


def _wild(content: bytes, rng: random.Random) -> bytes:
    """JSON, or the JSON head of a safetensors file, with one value replaced, as someone who means harm would."""
    if content[:2] == b"PK":
        return _wild_archive(content, rng)
    head = content[8 : 8 + struct.unpack("<Q", content[:8])[0]] if content[:1] not in b"{[" else content
    lines = head.split(b"\n") if content[:1] in b"{[" and head.count(b"\n{") else [head]
    chosen = rng.randrange(len(lines))
    try:
        record = json.loads(lines[chosen])
    except ValueError:
        return content[: rng.randrange(len(content))]
    try:
        _replace(record, rng)
        lines[chosen] = json.dumps(record).encode()
    except (ValueError, RecursionError):
        lines[chosen] = b"[" * 100_000
    new = b"\n".join(lines)
    return new if head is content else struct.pack("<Q", len(new)) + new + content[8 + len(head) :]


def _replace(record: Any, rng: random.Random) -> None:
    while isinstance(record, (dict, list)) and record:
        key = rng.choice(list(record)) if isinstance(record, dict) else rng.randrange(len(record))
        if rng.random() < 0.4 or not isinstance(record[key], (dict, list)) or not record[key]:
            record[key] = rng.choice(WILD)
            return
        record = record[key]


def _wild_archive(content: bytes, rng: random.Random) -> bytes:
    """A zip archive whose members were damaged by someone who can seal it again."""
    made = io.BytesIO()
    with zipfile.ZipFile(io.BytesIO(content)) as old, zipfile.ZipFile(made, "w") as new:
        names = old.namelist()
        chosen = rng.choice(names)
        for name in names:
            part = bytearray(old.read(name))
            if name == chosen and part:
                part[rng.randrange(len(part))] ^= 1 << rng.randrange(8)
            new.writestr(name, bytes(part))
    return made.getvalue()  # without its seal


def outcomes(kind: Kind, files: int, seed: int) -> Iterator[tuple[str, str, bytes]]:
    """What became of each damaged file: "refused", "the same", "other", or "traceback", with words and the content."""
    rng = random.Random(f"{kind.name}/{seed}")
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder) / kind.name
        kind.make(path)
        whole = path.read_bytes()
        expected = kind.read(path)
        lines = set() if kind.strict else set(map(repr, expected))
        for _ in range(files):
            content = damaged(whole, rng)
            path.write_bytes(content)
            try:
                found = kind.read(path)
            except MetaGANError as error:
                clear = len(str(error).splitlines()) == 1 and len(str(error)) < 3000
                yield "refused" if clear else "traceback", str(error), content
            except Exception as error:
                yield "traceback", f"{type(error).__name__}: {error}", content
            else:
                same = repr(found) == repr(expected) if kind.strict else lines.issuperset(map(repr, found))
                yield "the same" if same else "other", "" if same else repr(found)[:300], content


def main(arguments: list[str]) -> int:
    """Damages files of all kinds; prints a line for each kind, and every fault."""
    given = dict(zip(arguments[::2], arguments[1::2], strict=True))
    kinds = given.get("--only", ",".join(KINDS)).split(",")
    each = -(-int(given.get("--files", 20_000)) // len(kinds))
    total: Counter[str] = Counter()
    for name in kinds:
        count: Counter[str] = Counter()
        for outcome, words, content in outcomes(KINDS[name], each, int(given.get("--seed", 0))):
            count[outcome] += 1
            if outcome in ("other", "traceback"):
                print(f"FAULT {name}: {outcome}: {words[:300]!r} of {content[:80]!r}", flush=True)
        print(f"{name}: " + ", ".join(f"{n} {outcome}" for outcome, n in sorted(count.items())), flush=True)
        total += count
    print("all: " + ", ".join(f"{n} {outcome}" for outcome, n in sorted(total.items())), flush=True)
    return 1 if total["other"] + total["traceback"] else 0


if __name__ == "__main__":
    torch.set_num_threads(1)
    sys.exit(main(sys.argv[1:]))
