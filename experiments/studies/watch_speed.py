"""Frames a second of the live page: ``python -m metagan_rl.experiments.studies.watch_speed [--out DIR]``.

The whole chain is measured: two GANs train, are evaluated, asked for samples and for D's surface, and the frames come
over HTTP to a reader in another thread of this process, which parses each. The page's speed is "full".
"""

import http.client
import json
import threading
import time
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass, replace
from pathlib import Path
from typing import Any

from metagan_rl import __version__
from metagan_rl.experiments.benchmark.records import ROWS, append_lines
from metagan_rl.experiments.report.tables import markdown_table
from metagan_rl.experiments.studies.command import run_command, show_line
from metagan_rl.experiments.watch.command import Page
from metagan_rl.experiments.watch.match import FRAME
from metagan_rl.experiments.watch.setting import Setting
from metagan_rl.files import make_directory


@dataclass
class Options:
    """Frames a second of the live page."""

    out: Path | None = None
    """Directory whose rows are added to."""
    engines: tuple[str, ...] = ("native", "torch")
    """What trains."""
    updates: int = 12288
    """Updates of each GAN in the run that is watched."""


@dataclass(frozen=True)
class Speed:
    """What one run gave.

    Attributes:
        engine: what trained.
        left, right: the schedulers.
        frames: frames that arrived.
        frame_updates: updates of each GAN that a frame covers.
        seconds: from the start to the last frame.
        processor_seconds: time that this process had on cores in the meantime, in all its threads.
        bytes: mean size of a frame.
        version: of the package.
    """

    engine: str
    left: str
    right: str
    frames: int
    frame_updates: int
    seconds: float
    processor_seconds: float
    bytes: int
    version: str = __version__

    def line(self) -> str:
        """The figures in words."""
        return (
            f"{self.engine}: {self.frames / self.seconds:.1f} frames a second, {self.frames} frames of "
            f"{self.frame_updates} updates and {self.bytes:,} bytes; {self.frames / self.processor_seconds:.1f} frames "
            "for each second on a core"
        )


def as_markdown(rows: Sequence[Mapping[str, Any]]) -> str:
    """The table of the docs."""
    cells = [
        [
            str(row["engine"]),
            f"{row['frames'] / row['seconds']:.0f}",
            f"{row['frames'] / row['processor_seconds']:.0f}",
            f"{row['bytes'] / 1000:.0f} kB",
        ]
        for row in rows
    ]
    return markdown_table(["engine", "frames a second", "for each second on a core", "a frame"], cells)


def measure(engine: str, setting: Setting) -> Speed:
    """Watches one run at full speed."""
    page = Page(engine=engine)
    thread = threading.Thread(target=page.session.run, daemon=True)
    thread.start()
    page.session.do({"do": "new", "setting": asdict(setting)})
    page.session.do({"do": "speed", "value": 0})
    connection = http.client.HTTPConnection("127.0.0.1", page.server.server_port)
    connection.request("GET", f"/{page.server.token}/stream")
    stream = connection.getresponse()
    frames = size = 0
    finished = False
    began, processor = time.perf_counter(), time.process_time()
    page.session.do({"do": "start"})
    while not finished:
        line = stream.readline()
        if line.startswith(b'data: {"state"'):
            frame = json.loads(line[6:])
            frames, size, finished = frames + 1, size + len(line), frame["state"]["finished"]
    seconds, processor = time.perf_counter() - began, time.process_time() - processor
    connection.close()
    page.close()
    thread.join()
    return Speed(
        engine, setting.left, setting.right, frames, FRAME, round(seconds, 3), round(processor, 3), size // frames
    )


def study(options: Options) -> None:
    """Measures each engine."""
    for engine in options.engines:
        speed = measure(engine, replace(Setting(), updates=options.updates))
        show_line(speed.line())
        if options.out is not None:
            append_lines(make_directory(options.out) / ROWS, [asdict(speed)])


if __name__ == "__main__":
    run_command(Options, study)
