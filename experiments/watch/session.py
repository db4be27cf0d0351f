"""The match that runs now, the commands that a page may give, and the news for all pages that look on."""

import json
import threading
import time
from collections.abc import Callable, Mapping
from dataclasses import asdict, dataclass
from typing import Any

from metagan_rl.errors import InvalidValueError, MetaGANError, UnknownNameError
from metagan_rl.experiments.watch.match import SIDES, TURNED, Match
from metagan_rl.experiments.watch.picture import GRID, Pictures
from metagan_rl.experiments.watch.setting import Setting
from metagan_rl.loop import KNOBS, Scheduler
from metagan_rl.loop.knobs import ChoiceKnob

SPEEDS = (6, 12, 24, 48, 0)
"""Frames a second; 0 for as many as this machine can train."""


@dataclass(frozen=True)
class News:
    """What pages are told of a moment.

    Attributes:
        number: counts the moments.
        version: of the match, its history and its data; goes up when they change other than by going on.
        match: what stays the same, as JSON.
        state: what may change with every command, as JSON.
        picture: samples and surfaces, as JSON.
        history: see :class:`Match`.
    """

    number: int
    version: int
    match: str
    state: str
    picture: str
    history: list[list[Any]]

    def told(self, entries: int) -> str:
        """The frame as JSON, with the history from the given number of entries on."""
        later = json.dumps(self.history[entries:], separators=(",", ":"))
        return f'{{"state":{self.state},"picture":{self.picture},"from":{entries},"history":{later}}}'


class Session:
    """One match at a time, and its pace. :meth:`run` trains, in one thread; all else may be called from others.

    Args:
        find: makes a scheduler from its name.
        setting: the first match's.
        engine: what trains.
    """

    def __init__(self, find: Callable[[str], Scheduler], setting: Setting | None = None, engine: str = "auto") -> None:
        self._find, self._engine = find, engine
        self._changed = threading.Condition(threading.RLock())
        self._running = self._closed = False
        self._speed, self._next = 24, 0.0
        self._error = ""
        self._matches = self._number = 0
        self._news = News(0, -1, "", "", "", [])
        self._commands: dict[str, Callable[[Mapping[str, Any]], None]] = {
            name: getattr(self, f"_do_{name}") for name in ("new", "start", "pause", "speed", "take", "give", "branch")
        }
        with self._changed:
            self._load(setting or Setting())

    @property
    def match(self) -> Match:
        """The match that runs now."""
        return self._match

    def run(self) -> None:
        """Trains whenever the match runs, until :meth:`close`."""
        while True:
            with self._changed:
                while not self._closed and (wait := self._wait()) > 0:
                    self._changed.wait(min(wait, 0.5))  # Windows hears no Ctrl-C in a wait without end
                if self._closed:
                    return
                self._next = max(self._next, time.monotonic() - 0.1) + (1 / self._speed if self._speed else 0)
                try:
                    self._match.step()
                except MetaGANError as error:
                    self._error, self._running = str(error), False
                self._running = self._running and not self._match.finished
                self._publish()
            time.sleep(0)  # lets a command have the lock

    def close(self) -> None:
        """Ends :meth:`run` and all who wait for news."""
        with self._changed:
            self._closed = True
            self._changed.notify_all()

    @property
    def closed(self) -> bool:
        """Whether it was closed."""
        return self._closed

    def do(self, command: Any) -> None:
        """Does what a page asks for: a mapping with ``do``, the command's name, and what that needs.

        Raises:
            MetaGANError: it cannot be done; the message is for the person at the page.
        """
        if not isinstance(command, Mapping):
            raise InvalidValueError("a command is a JSON object")
        name = command.get("do")
        if not isinstance(name, str) or name not in self._commands:
            raise UnknownNameError("command", name, self._commands)
        with self._changed:
            self._error = ""
            self._commands[name](command)
            self._publish()

    def news(self, after: int, seconds: float) -> News | None:
        """What is new since the given moment; ``None`` if that is nothing for so many seconds, or it was closed."""
        with self._changed:
            self._changed.wait_for(lambda: self._number > after or self._closed, seconds)
            return self._news if self._number > after and not self._closed else None

    def _wait(self) -> float:
        """Seconds until the next frame is due."""
        if not self._running:
            return float("inf")
        return self._next - time.monotonic() if self._speed else 0.0

    def _load(self, setting: Setting) -> None:
        match = Match(setting, self._find, self._engine)
        self._match, self._pictures = match, Pictures(match)
        self._matches += 1
        self._publish()

    def _do_new(self, command: Mapping[str, Any]) -> None:
        setting = command.get("setting")
        if not isinstance(setting, Mapping):
            raise InvalidValueError("a new match needs a setting")
        wanted = Setting.of(setting)
        if command.get("keep") and wanted == self._match.setting:
            return
        self._load(wanted)
        self._running = False

    def _do_start(self, command: Mapping[str, Any]) -> None:
        if self._match.finished:
            self._load(self._match.setting)
        self._running, self._next = True, 0.0

    def _do_pause(self, command: Mapping[str, Any]) -> None:
        self._running = False

    def _do_speed(self, command: Mapping[str, Any]) -> None:
        speed = command.get("value")
        if type(speed) is not int or speed not in SPEEDS:
            raise InvalidValueError(f"speed is {speed!r}; take one of {', '.join(map(str, SPEEDS))}")
        self._speed, self._next = speed, 0.0

    def _do_take(self, command: Mapping[str, Any]) -> None:
        values = command.get("values", {})
        if not isinstance(values, Mapping) or set(values) - set(TURNED):
            raise InvalidValueError(f"a hand turns {', '.join(TURNED)}")
        for name, value in values.items():
            knob = KNOBS[name]
            if isinstance(knob, ChoiceKnob) and value not in list(knob.registry):  # module:attribute would be imported
                raise UnknownNameError(name, value, knob.registry)
        self._match.take(_side(command), values)

    def _do_give(self, command: Mapping[str, Any]) -> None:
        self._match.give(_side(command))

    def _do_branch(self, command: Mapping[str, Any]) -> None:
        self._match.branch(_side(command))

    def _publish(self) -> None:
        match, runs = self._match, self._match.runs
        version = (self._matches << 20) + match.rewritten
        if version != self._news.version:
            told = {
                "setting": asdict(match.setting), "real": self._pictures.real(), "grid": GRID,
                "floor": float(runs.ledger.floor[0]), "start": float(runs.ledger.start[0]),
                "updates": int(runs.ledger.budget[0]), "interval": int(runs.interval_updates[0]),
                "engine": runs.population.engines[0],
            }  # fmt: skip
            head = json.dumps(told)
        else:
            head = self._news.match
        state = {
            "running": self._running, "finished": match.finished, "speed": self._speed, "error": self._error,
            "updates": match.updates, "sides": [self._side_state(place) for place in range(SIDES)],
        }  # fmt: skip
        self._number += 1
        picture = json.dumps(self._pictures.sides())
        self._news = News(self._number, version, head, json.dumps(state), picture, list(match.history))
        self._changed.notify_all()

    def _side_state(self, place: int) -> dict[str, Any]:
        side = self._match.sides[place]
        now, proposed = side.controls.describe(0), side.proposed.describe(0)
        return {
            "scheduler": side.name,
            "hand": side.hand is not None,
            "diverged": bool(self._match.runs.population.diverged[place]),
            "controls": {name: now[name] for name in TURNED},
            "proposed": {name: proposed[name] for name in TURNED},
        }


def _side(command: Mapping[str, Any]) -> int:
    place = command.get("side")
    if type(place) is not int or not 0 <= place < SIDES:
        raise InvalidValueError(f"side is {place!r}; it is 0 or 1")
    return place
