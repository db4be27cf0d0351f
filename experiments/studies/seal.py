"""Gives files a digest that were written before files had one, or after a person changed them. Their contents stay.

    python -m metagan_rl.experiments.studies.seal agents/policies/*.safetensors agents/searches/schedules/*.json

It takes policies, features, meta-initialisations and snapshots (``.safetensors``), schedules, configurations and
benchmarks (``.json``), samples (``.npz``), checkpoints (``.pt``) and files of lines (``.jsonl``). With all files of a
training run sealed, the run can be resumed. Benchmarks keep the digests of the policy files that they compared: with
``--results FOLDER``, digests of files as they were are replaced by those of the files as they are now.
"""

import json
from dataclasses import dataclass
from pathlib import Path

import tyro

from metagan_rl.archives import sealed
from metagan_rl.errors import FileFormatError
from metagan_rl.experiments.benchmark.records import CONFIG
from metagan_rl.experiments.studies.command import run_command, show_line
from metagan_rl.files import file_digest, write_whole
from metagan_rl.records import line_of, parse_line, read_json, write_record
from metagan_rl.tensor_files import KEY, write_tensors


@dataclass
class Seal:
    """Gives files a digest."""

    files: tyro.conf.Positional[tuple[Path, ...]]
    """The files."""
    results: Path | None = None
    """Folder of benchmarks that name these files by their digests."""


def seal(path: Path) -> None:
    """Writes a file again with its digest.

    Raises:
        FileFormatError: it cannot be read.
    """
    if path.suffix == ".json":
        record = read_json(path, "a JSON object")
        if not isinstance(record, dict):
            raise FileFormatError(f"{path} is not a JSON object")
        write_record(path, record)
    elif path.suffix in (".npz", ".pt"):
        write_whole(path, sealed(path.read_bytes()))
    elif path.suffix == ".jsonl":
        lines = path.read_bytes().splitlines()
        try:
            write_whole(path, "".join(line_of(parse_line(line)) for line in lines))
        except ValueError as error:
            raise FileFormatError(f"{path} has a line that cannot be read ({error})") from None
    else:
        _seal_tensors(path)


def _seal_tensors(path: Path) -> None:
    import safetensors

    try:
        with safetensors.safe_open(str(path), framework="pt") as file:
            head = json.loads((file.metadata() or {})[KEY])
            tensors = {name: file.get_tensor(name) for name in file.keys()}  # noqa: SIM118  (not a mapping)
    except (safetensors.SafetensorError, KeyError, ValueError, OSError) as error:
        raise FileFormatError(f"{path} is not a file of this package ({error})") from None
    head.pop("sha256", None)
    write_tensors(path, head, tensors)


def rename(results: Path, new: dict[str, str]) -> list[Path]:
    """Replaces digests in the benchmarks of a folder; returns those that named one."""
    changed = []
    for path in sorted(results.rglob(CONFIG)):
        text = before = path.read_text(encoding="utf-8")
        for old, now in new.items():
            text = text.replace(f'"{old}"', f'"{now}"')
        if text != before:
            write_whole(path, text)
            seal(path)
            changed.append(path)
    return changed


def run(options: Seal) -> None:
    """Seals the files, then renames them in the results."""
    new = {}
    for path in options.files:
        old = file_digest(path)
        seal(path)
        now = file_digest(path)
        show_line(f"{path}: {old[:12]} -> {now[:12]}" if now != old else f"{path}: as it was")
        new[old] = now
    for path in rename(options.results, new) if options.results is not None else []:
        show_line(f"{path}: names them by their new digests")


if __name__ == "__main__":
    run_command(Seal, run)
