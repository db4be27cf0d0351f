"""``metagan-rl watch``: makes the page, tells its address, and trains until it is stopped."""

import contextlib
import os
import sys
import threading
import webbrowser
from collections.abc import Callable
from pathlib import Path
from typing import Any

from metagan_rl.agents.catalogue import kind_of, make_scheduler, scheduler_names
from metagan_rl.errors import UnknownNameError
from metagan_rl.experiments.watch.folder import Folder
from metagan_rl.experiments.watch.match import TURNED
from metagan_rl.experiments.watch.recipe import recipe
from metagan_rl.experiments.watch.server import Server
from metagan_rl.experiments.watch.session import SPEEDS, Session
from metagan_rl.experiments.watch.setting import DECISIONS, DRAWING, TROUBLES, UPDATES, Setting, family_names
from metagan_rl.loop import KNOBS, SCHEDULERS, Scheduler
from metagan_rl.loop.knobs import ChoiceKnob, NumberKnob
from metagan_rl.tasks import FAMILIES


class Page:
    """The live page: a session, its server, and what the page may ask for.

    Args:
        directory: a run folder to open, or ``None``.
        port: 0 for a free one.
        engine: what trains.

    Raises:
        FileFormatError: the folder holds nothing to show.
        InvalidValueError: the port cannot be opened.
    """

    def __init__(self, directory: Path | None = None, port: int = 0, engine: str = "auto") -> None:
        self.folder = None if directory is None else Folder(directory)
        own = list(self.folder.schedulers()) if self.folder else []
        self.session = Session(self.find, Setting(left=own[0]) if own else Setting(), engine)
        self.server = Server(self.session, port, {"about": self._about, "folder": self._folder, "code": self._code})
        self._thread = threading.Thread(target=self.server.serve_forever, args=(0.05,), daemon=True)
        self._thread.start()

    def find(self, name: str) -> Scheduler:
        """Makes a scheduler of that name: one of the folder's, or a registered one.

        A name may come with a link from anywhere. So it cannot be ``module:attribute``, which would import a module.

        Raises:
            UnknownNameError: there is none.
        """
        own = self.folder.schedulers() if self.folder is not None else {}
        if name in own and self.folder is not None:
            return self.folder.make(name)
        if name not in scheduler_names():
            raise UnknownNameError("scheduler", name, [*own, *scheduler_names()])
        return make_scheduler(name)

    def close(self) -> None:
        """Ends the training and the server."""
        self.session.close()
        self.server.shutdown()
        self.server.server_close()

    def _about(self, query: dict[str, str]) -> dict[str, Any]:
        return {
            "families": [{"name": name, "about": _first_line(type(FAMILIES[name]))} for name in family_names()],
            "drawing": DRAWING,
            "schedulers": [
                *self._own_schedulers(),
                *(
                    {"name": name, "kind": kind_of(name), "about": _first_line(SCHEDULERS[name])}
                    for name in scheduler_names()
                    if kind_of(name) != "searching" or make_scheduler(name).members == 1
                ),
            ],
            "knobs": {name: _knob(name) for name in TURNED},
            "updates": UPDATES,
            "decisions": DECISIONS,
            "troubles": {name: words for name, (words, _) in TROUBLES.items()},
            "speeds": SPEEDS,
            "folder": self.folder is not None,
        }

    def _folder(self, query: dict[str, str]) -> dict[str, Any] | None:
        return None if self.folder is None else {**self.folder.told(), "schedulers": self._own_schedulers()}

    def _own_schedulers(self) -> list[dict[str, str]]:
        own = self.folder.schedulers() if self.folder is not None else {}
        return [{"name": name, "kind": "this folder", "about": "from the folder that is open"} for name in own]

    def _code(self, query: dict[str, str]) -> str:
        files = self.folder.schedulers() if self.folder else {}
        return recipe(self.session.match, 1 if query.get("side") == "1" else 0, files)


def watch(
    directory: Path | None, *, port: int = 0, browser: bool = True, engine: str = "auto", show: Callable[[str], None]
) -> None:
    """Serves the live page until Ctrl-C.

    Args:
        directory: a run folder to open, or ``None``.
        port: 0 for a free one.
        browser: whether to open a browser, if there is one.
        engine: what trains.
        show: gets the page's address.

    Raises:
        FileFormatError: the folder holds nothing to show.
        InvalidValueError: the port cannot be opened.
    """
    page = Page(directory, port, engine)
    show(f"watch at {page.server.address}  (Ctrl-C ends it)")
    if browser:
        threading.Thread(target=open_browser, args=(page.server.address,), daemon=True).start()
    try:
        page.session.run()
    except KeyboardInterrupt:
        show("\nstopped")
    finally:
        page.close()


def open_browser(address: str) -> None:
    """Opens a browser that has windows, if there is one. One inside the terminal would take the terminal away."""
    windows = sys.platform in ("win32", "darwin") or any(
        os.environ.get(each) for each in ("DISPLAY", "WAYLAND_DISPLAY")
    )
    if windows:
        with contextlib.suppress(Exception):  # a browser is a convenience; the address has been told
            webbrowser.open(address)


def _knob(name: str) -> dict[str, Any]:
    knob = KNOBS[name]
    if isinstance(knob, ChoiceKnob):
        return {"meaning": knob.meaning, "choices": list(knob.levels)}
    assert isinstance(knob, NumberKnob)
    return {"meaning": knob.meaning, "low": knob.scale.low, "high": knob.scale.high}


def _first_line(thing: Any) -> str:
    return ((thing.__doc__ or "").strip().splitlines() or [""])[0]
