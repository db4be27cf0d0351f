"""The picture of the live page in the docs: ``python -m metagan_rl.experiments.studies.watch_picture docs/watch.png``.

It needs playwright (extra ``browser``) and a Chromium on the PATH.
"""

import shutil
import threading
from dataclasses import dataclass
from pathlib import Path

import tyro

from metagan_rl.errors import InvalidValueError, MissingDependencyError
from metagan_rl.experiments.studies.command import run_command
from metagan_rl.experiments.watch.command import Page


@dataclass
class Options:
    """The picture of the live page."""

    out: tyro.conf.Positional[Path]
    """File to write."""
    shape: str = "heart"
    """Shape that is drawn, as the page names it."""
    until: int = 9000
    """Update at which the picture is taken."""
    width: int = 1280
    """Width of the window in pixels."""
    height: int = 760
    """Height of the window in pixels."""


def picture(options: Options) -> None:
    """Draws a shape, lets both GANs learn it for a while, and takes the picture."""
    try:
        from playwright.sync_api import sync_playwright
    except ImportError as error:
        raise MissingDependencyError("playwright", "browser", "the picture") from error
    chromium = shutil.which("chromium") or shutil.which("google-chrome")
    if chromium is None:
        raise InvalidValueError("there is no chromium on the PATH; install one")
    page = Page()
    threading.Thread(target=page.session.run, daemon=True).start()
    with sync_playwright() as driver:
        browser = driver.chromium.launch(executable_path=chromium, args=["--no-sandbox"])
        tab = browser.new_page(viewport={"width": options.width, "height": options.height}, device_scale_factor=1)
        tab.goto(page.server.address)
        tab.click("#draw")
        tab.locator("#shapes button", has_text=options.shape).click()
        tab.click("#sketch-use")
        tab.select_option("#speed", "12")
        tab.click("#start")
        while int(tab.get_attribute("body", "data-updates") or 0) < options.until:
            tab.wait_for_timeout(50)
        tab.screenshot(path=str(options.out))
        browser.close()
    page.close()


if __name__ == "__main__":
    run_command(Options, picture)
