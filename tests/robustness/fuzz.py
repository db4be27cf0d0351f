"""Coverage-guided fuzzing of all readers by atheris (libFuzzer): they refuse a file only by a ``MetaGANError``.

    python -m tests.robustness.fuzz [--runs 5000] [--seconds 600] [--only policy,suite]

``damage`` shows that what was changed is noticed. Here every file gets a right digest again, as from someone who means
harm, so what lies behind the digest is reached too. Mutations that reach new branches are kept and mutated further. It
needs ``pip install atheris`` (Linux), which is no part of the developers' environment.
"""

import contextlib
import io
import json
import random
import re
import subprocess
import sys
import tempfile
import zipfile
from collections.abc import Callable
from pathlib import Path

try:
    import atheris
except ImportError:
    sys.exit("tests.robustness.fuzz needs atheris: pip install atheris")

with atheris.instrument_imports(include=["metagan_rl"]):
    from metagan_rl.archives import sealed
    from metagan_rl.errors import MetaGANError
    from metagan_rl.records import DIGEST, digest_of, line_of
    from metagan_rl.tensor_files import KEY, content_of

    from .damage import KINDS, damaged

import safetensors
import torch


class Form:
    """What is fuzzed of a kind of file, and how a file is made of it.

    Of tensor files it is the JSON head, beside the tensors of a whole file. Of all others it is the whole content.
    """

    def __init__(self, path: Path) -> None:
        self.first = path.read_bytes()
        self._file: Callable[[bytes], bytes] = {".json": _record, ".jsonl": _lines}.get(path.suffix, _archive)
        if path.suffix == ".safetensors":
            with safetensors.safe_open(str(path), framework="pt") as file:
                self.first = file.metadata()[KEY].encode()
                tensors = {name: file.get_tensor(name).clone() for name in file.keys()}  # noqa: SIM118
            self._file = lambda data: content_of(_object(data), tensors)

    def file(self, data: bytes) -> bytes:
        """The file with a right digest; what is no such thing stays as it is."""
        try:
            return self._file(data)
        except Exception:  # libraries raise anything for what is none
            return data


def _object(data: bytes) -> dict[str, object]:
    record = json.loads(data)
    if not isinstance(record, dict):
        raise ValueError("no object")
    return {name: value for name, value in record.items() if name != DIGEST}


def _record(data: bytes) -> bytes:
    record = _object(data)
    return json.dumps({**record, DIGEST: digest_of(record)}).encode()


def _lines(data: bytes) -> bytes:
    return "".join(line_of(_object(line)) for line in data.splitlines()).encode()


def _archive(data: bytes) -> bytes:
    zipfile.ZipFile(io.BytesIO(data)).close()
    return sealed(data)


def fuzz(name: str, options: list[str]) -> None:
    """Fuzzes one reader until libFuzzer has made its runs; a fault ends the process with its traceback."""
    kind = KINDS[name]
    folder = Path(tempfile.mkdtemp())
    path, corpus = folder / kind.name, folder / "corpus"
    kind.make(path)
    form = Form(path)
    corpus.mkdir()
    (corpus / "whole").write_bytes(form.first)

    def read(data: bytes) -> None:
        # A suite's digest is of its tasks, and worked out only once they are read; so the file stays as it is.
        path.write_bytes(data if name == "suite" else form.file(data))
        try:
            kind.read(path)
        except MetaGANError as error:
            if len(str(error).splitlines()) != 1 or len(str(error)) > 3000:
                raise AssertionError(f"not one short line: {error!s:.500}") from error

    def mutated(data: bytes, largest: int, seed: int) -> bytes:
        rng = random.Random(seed)
        if len(data) > 8 and rng.random() < 0.7:
            with contextlib.suppress(Exception):  # libraries raise anything for archives that are none any more
                return damaged(data, rng)[:largest]
        return atheris.Mutate(data, largest)

    arguments = [
        sys.argv[0],
        *options,
        "-max_len=65536",
        "-rss_limit_mb=4096",
        f"-artifact_prefix={folder}/",
        str(corpus),
    ]
    atheris.Setup(arguments, read, custom_mutator=mutated)
    atheris.Fuzz()


def main(arguments: list[str]) -> int:
    """Fuzzes every reader in a process of its own; prints runs and lines reached, and every fault."""
    given = dict(zip(arguments[::2], arguments[1::2], strict=True))
    if "--kind" in given:
        torch.set_num_threads(1)
        fuzz(given["--kind"], [f"-runs={given['--runs']}", f"-max_total_time={given['--seconds']}", "-seed=1"])
    runs = faults = 0
    for name in given.get("--only", ",".join(KINDS)).split(","):
        limits = ["--runs", given.get("--runs", "5000"), "--seconds", given.get("--seconds", "600")]
        command = [sys.executable, "-m", "tests.robustness.fuzz", "--kind", name, *limits]
        done = subprocess.run(command, capture_output=True, text=True, errors="replace")
        made = re.findall(r"^Done (\d+) runs", done.stderr, re.M)
        reached = re.findall(r" cov: (\d+) ", done.stderr)
        runs += int(made[-1]) if made else 0
        if done.returncode or not made:
            faults += 1
            print(f"FAULT {name}: {(done.stdout + done.stderr)[-2000:]}", flush=True)
        else:
            print(f"{name}: {made[-1]} runs, {reached[0]} branches at first, {reached[-1]} at last", flush=True)
    print(f"{runs} runs, {faults} faults", flush=True)
    return 1 if faults else 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
