"""A person at the live page, played by a headless Chromium: start, pause, draw, take over, finish."""

import os
import re
import shutil
import threading
from collections.abc import Iterator
from dataclasses import replace
from typing import Any

import pytest

from metagan_rl.experiments.watch.command import Page
from metagan_rl.experiments.watch.match import FRAME
from metagan_rl.experiments.watch.setting import Setting

NAMES = ("chromium", "chromium-browser", "google-chrome", "google-chrome-stable", "chrome", "chromium-headless-shell")
SETTING = Setting(left="cosine", right="constant", updates=6144, trouble="none")


def chromium() -> str | None:
    """The executable of a Chromium: one that is named by CHROMIUM, or one on the PATH."""
    return os.environ.get("CHROMIUM") or next(filter(None, map(shutil.which, NAMES)), None)


@pytest.fixture(scope="module")
def browser() -> Iterator[Any]:
    playwright = pytest.importorskip("playwright.sync_api", reason="for want of the package playwright, extra browser")
    executable = chromium()
    if executable is None:
        pytest.skip("for want of a Chromium on the PATH")
    with playwright.sync_playwright() as driver:
        started = driver.chromium.launch(executable_path=executable, args=["--no-sandbox"])
        yield started
        started.close()


@pytest.fixture
def live() -> Iterator[Page]:
    page = Page()
    thread = threading.Thread(target=page.session.run, daemon=True)
    thread.start()
    page.session.do({"do": "new", "setting": vars(SETTING)})
    page.session.do({"do": "speed", "value": 6})
    yield page
    page.close()
    thread.join(60)
    assert not thread.is_alive()


@pytest.fixture
def tab(browser: Any, live: Page) -> Iterator[Any]:
    """A tab with the page, which must load nothing from elsewhere and raise no error."""
    context = browser.new_context(viewport={"width": 1280, "height": 800}, reduced_motion="reduce")
    context.set_default_timeout(120_000)
    opened = context.new_page()
    wrong: list[str] = []
    opened.on("pageerror", lambda error: wrong.append(str(error)))
    opened.on("console", lambda message: wrong.append(message.text) if message.type in ("error", "warning") else None)
    opened.on("request", lambda request: request.url.startswith(live.server.address) or wrong.append(request.url))
    opened.goto(live.server.address)
    opened.wait_for_selector("body[data-state=paused]")
    yield opened
    context.close()
    assert [each for each in wrong if "400 (Bad Request)" not in each] == []


def address(tab: Any) -> str:
    return tab.evaluate("location.href")


def updates(tab: Any) -> int:
    return int(tab.get_attribute("body", "data-updates"))


def until(tab: Any, condition: Any) -> None:
    """Waits from one of the tab's animation frames to the next."""
    while not condition():
        tab.evaluate("() => new Promise(requestAnimationFrame)")


def dots(tab: Any, side: int) -> bytes:
    return tab.locator(f"[data-side='{side}'] .stage").screenshot()


def test_a_person_starts_pauses_draws_takes_over_and_finishes(tab, live):
    untrained = dots(tab, 0)
    assert updates(tab) == 0 and tab.inner_text("#verdict").startswith("Press Start")
    tab.click("#start")
    until(tab, lambda: updates(tab) >= 3 * FRAME)
    tab.click("#start")
    tab.wait_for_selector("body[data-state=paused]")
    paused = updates(tab)
    assert tab.inner_text("#start") == "Go on" and dots(tab, 0) != untrained
    assert "Paused" in tab.text_content("#status")

    tab.click("#draw")
    box = tab.locator("#pad").bounding_box()
    tab.mouse.click(box["x"] + 30, box["y"] + 30)
    tab.click("#sketch-use")
    tab.wait_for_selector("#sketch-message:visible")
    assert re.search(r"1 points?; draw at least 24", tab.inner_text("#sketch-message"))
    assert updates(tab) == paused, "what ran before is still there"
    for x, y in ((0.2, 0.2), (0.8, 0.3), (0.5, 0.8)):
        tab.mouse.move(box["x"] + x * box["width"], box["y"] + y * box["height"])
        tab.mouse.down()
        tab.mouse.move(box["x"] + 0.5 * box["width"], box["y"] + 0.5 * box["height"], steps=12)
        tab.mouse.up()
    tab.click("#sketch-use")
    until(tab, lambda: updates(tab) == 0)
    assert tab.input_value("#family") == "drawing" and live.session.match.setting.family == "drawing"

    tab.click("#start")
    until(tab, lambda: updates(tab) >= 2 * FRAME)
    slider = tab.locator("[data-side='1'] [data-knob=generator_lr_factor]")
    slider.focus()
    for _ in range(8):
        slider.press("ArrowRight")
    tab.wait_for_selector("[data-side='1'].held")
    until(tab, lambda: live.session.match.sides[1].controls.generator_lr_factor[0] > 1.6)  # 8 steps of 1.07
    assert tab.inner_text("[data-side='1'] .take") == "Give back"

    taken = updates(tab)
    until(tab, lambda: updates(tab) > taken + FRAME)
    tab.select_option("#speed", "0")
    tab.wait_for_selector("body[data-state=finished]")
    assert updates(tab) == 6144 and tab.inner_text("#start") == "Again"
    assert re.search("wins?:|draw", tab.inner_text("#verdict"))
    assert any(entry[2][-1] for entry in live.session.match.history), "the hand is in the run's history"


def test_the_address_holds_the_setting_and_a_link_restores_it(tab, live, browser):
    tab.select_option("#family", "spiral")
    until(tab, lambda: live.session.match.setting.family == "spiral")
    tab.fill("#seed", "7")
    tab.press("#seed", "Enter")
    tab.select_option("[data-side='0'] .scheduler", "linear")
    tab.select_option("#speed", "12")
    until(tab, lambda: "left=linear" in address(tab) and "speed=12" in address(tab))
    link = address(tab)
    assert all(part in link for part in ("family=spiral", "seed=7", "right=constant", "trouble=none"))
    live.session.do({"do": "new", "setting": vars(SETTING)})
    other = browser.new_page()
    other.goto(link.replace("left=linear", "left=step"))
    other.wait_for_selector("body[data-state=paused]")
    wanted = replace(SETTING, family="spiral", seed=7, left="step")
    assert live.session.match.setting == wanted
    match = live.session.match
    other.reload()
    other.wait_for_selector("body[data-state=paused]")
    assert live.session.match is match, "a page that is loaded again begins no new run"
    other.close()


def test_a_run_is_branched_given_back_and_copied_as_code(tab, live):
    tab.click("#start")
    until(tab, lambda: updates(tab) >= 3 * FRAME)
    tab.click("[data-side='0'] .branch")
    until(tab, lambda: live.session.match.rewritten == 1)
    tab.click("[data-side='0'] .take")
    tab.wait_for_selector("[data-side='0'].held")
    tab.select_option("[data-side='0'] [data-knob=loss]", "hinge")
    until(tab, lambda: live.session.match.sides[0].controls.describe(0)["loss"] == "hinge")
    tab.click("[data-side='0'] .code")
    tab.wait_for_selector("#code[open]")
    assert "relu(1 - real)" in tab.inner_text("#code-text") and "set by a hand" in tab.inner_text("#code-text")
    tab.keyboard.press("Escape")
    tab.click("[data-side='0'] .take")
    tab.wait_for_selector("[data-side='0']:not(.held)")


def test_an_emptied_seed_is_no_seed_and_an_address_with_a_speed_alone_begins_no_new_run(tab, live, browser):
    match = live.session.match
    tab.fill("#seed", "")
    tab.press("#seed", "Enter")
    assert tab.input_value("#seed") == str(match.setting.seed)
    other = browser.new_page()
    other.goto(f"{live.server.address}#speed=48")
    other.wait_for_selector("body[data-state=paused]")
    until(other, lambda: other.input_value("#speed") == "48")
    assert live.session.match is match
    other.close()


def test_the_keyboard_is_enough(tab):
    tab.keyboard.press("Space")
    tab.wait_for_selector("body[data-state=running]")
    tab.locator("#start").focus()
    tab.keyboard.press("Enter")
    tab.wait_for_selector("body[data-state=paused]")
    tab.locator("#draw").focus()
    tab.keyboard.press("Enter")
    tab.locator("#shapes button", has_text="heart").focus()
    tab.keyboard.press("Enter")
    tab.locator("#sketch-use").focus()
    tab.keyboard.press("Enter")
    until(tab, lambda: updates(tab) == 0)
    assert tab.input_value("#family") == "drawing"


@pytest.mark.parametrize("scheme", ["light", "dark"])
def test_a_phone_has_room_for_it_and_every_control_a_name(browser, live, scheme):
    context = browser.new_context(viewport={"width": 390, "height": 844}, color_scheme=scheme, has_touch=True)
    tab = context.new_page()
    tab.goto(live.server.address)
    tab.wait_for_selector("body[data-state=paused]")
    wide = "document.documentElement.scrollWidth"
    unnamed = """[...document.querySelectorAll("button, select, input, canvas, progress")].filter(
        (each) => !(each.getAttribute("aria-label") || each.textContent.trim() || each.closest("label"))
    ).map((each) => each.outerHTML)"""
    assert tab.evaluate(wide) <= 390
    assert tab.evaluate(unnamed) == []
    context.close()
