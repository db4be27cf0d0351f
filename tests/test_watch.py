"""The live page without a browser: settings, drawings, matches, commands, who may ask, folders."""

import ast
import base64
import http.client
import json
import re
import shutil
import signal
import socket
import subprocess
import sys
import threading
import urllib.request
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import asdict, replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from metagan_rl.agents import make_scheduler
from metagan_rl.cli import main
from metagan_rl.errors import (
    DataError,
    InvalidValueError,
    SchedulerError,
    UnknownNameError,
)
from metagan_rl.experiments.watch.command import Page
from metagan_rl.experiments.watch.drawing import FEWEST, Drawing, pack, unpack
from metagan_rl.experiments.watch.match import FRAME, Match
from metagan_rl.experiments.watch.picture import GRID, STEPS, Pictures
from metagan_rl.experiments.watch.recipe import LOSSES, recipe
from metagan_rl.experiments.watch.server import LARGEST
from metagan_rl.experiments.watch.session import Session
from metagan_rl.experiments.watch.setting import Setting, family_names
from metagan_rl.loop import Controls, Scheduler
from metagan_rl.testing import check_family

ROOT = Path(__file__).resolve().parent.parent
PLAIN = Setting(left="cosine", right="constant", updates=3072, trouble="none")
CIRCLE = pack([[np.cos(angle), np.sin(angle)] for angle in np.linspace(0, 6, 60)])


def made(**changes: Any) -> Match:
    return Match(replace(PLAIN, **changes), make_scheduler)


def distances(match: Match, place: int) -> list[float]:
    return [entry[1 + place][0] for entry in match.history]


# ---- settings and drawings


@pytest.mark.parametrize(
    ("record", "error", "words"),
    [
        ({"family": "rng"}, UnknownNameError, "did you mean ring"),
        ({"trouble": "drfit"}, UnknownNameError, "did you mean drift"),
        ({"sead": 1}, UnknownNameError, "did you mean seed"),
        ({"seed": -1}, InvalidValueError, "seed is -1"),
        ({"seed": "1"}, InvalidValueError, "seed is '1'"),
        ({"updates": 10**12}, InvalidValueError, "updates is 1000000000000"),
        ({"decisions": True}, InvalidValueError, "decisions is True"),
        ({"family": "drawing", "drawing": pack([[0, 0]] * 5)}, DataError, f"5 points; draw at least {FEWEST}"),
        ({"family": "drawing", "drawing": pack([[0, 0]] * 5000)}, DataError, "5000 points"),
        ({"family": "drawing", "drawing": "%%%"}, DataError, "damaged"),
        ({"family": "drawing", "drawing": "AAA"}, DataError, "0 points|damaged|1 points"),
    ],
)
def test_a_setting_that_cannot_be_is_refused_in_clear_words(record, error, words):
    with pytest.raises(error, match=words):
        Setting.of(record)


def test_every_family_on_offer_makes_a_task_of_two_columns():
    assert {"ring", "spiral", "ring8"} <= set(family_names())
    assert not {"table", "moved", "drawing", "dirac", "digits"} & set(family_names())
    for name in family_names():
        task = Setting(family=name).task()
        assert task.dim == 2 and task.family == name
    assert Setting(seed=1).task() == Setting(seed=1).task() != Setting(seed=2).task()


def test_a_drawing_is_a_family_like_any_other():
    check_family(Drawing())
    points = unpack(CIRCLE)
    assert pack(points) == CIRCLE
    real = Setting(family="drawing", drawing=CIRCLE).task().data().train.numpy()
    assert real.mean() == pytest.approx(0, abs=0.05) and np.sqrt(real.var(axis=0).mean()) == pytest.approx(1, abs=0.05)


# ---- matches


def test_both_gans_begin_alike_and_part_by_their_schedulers_alone():
    match = made()
    for _ in range(20):
        match.step()
    assert match.updates == 20 * FRAME
    left, right = distances(match, 0), distances(match, 1)
    assert left[0] == right[0] and left != right
    same = made(left="constant")
    for _ in range(20):
        same.step()
    assert distances(same, 0) == distances(same, 1) == right


def test_a_match_ends_with_its_budget():
    match = made()
    while not match.finished:
        match.step()
    assert match.updates == 3072 and len(match.history) == 3072 // FRAME + 1
    match.step()
    assert match.updates == 3072
    assert distances(match, 0)[-1] < distances(match, 0)[0]
    with pytest.raises(InvalidValueError, match="the run is over"):
        match.branch(0)


def test_a_hand_turns_knobs_within_an_interval_and_gives_them_back():
    match = made()
    match.step()
    match.take(1, {"generator_lr_factor": 3.0, "ratio": "2:1", "loss": "hinge"})
    match.step()
    entry = match.history[-1][2]
    assert entry[1:] == [3.0, 1.0, 0.0, "2:1", "hinge", True] and match.sides[1].proposed.generator_lr_factor[0] == 1
    assert match.history[-1][1][-1] is False
    match.give(1)
    match.step()
    assert match.history[-1][2][1:] == [1.0, 1.0, 0.0, "1:1", "non-saturating", False]
    with pytest.raises(InvalidValueError, match="must lie between"):
        match.take(0, {"generator_lr_factor": 1e9})
    with pytest.raises(UnknownNameError, match="hinge"):
        match.take(0, {"loss": "hinges"})
    assert match.sides[0].hand is None


def test_a_hand_that_takes_over_changes_nothing_before_it_moves():
    match, other = made(), made()
    for _ in range(9):  # into the second interval
        match.step(), other.step()
    match.take(0, {})
    for _ in range(3):
        match.step(), other.step()
    assert distances(match, 0) == distances(other, 0)


def test_a_branch_is_the_same_gan_under_the_other_scheduler():
    match = made(left="constant", right="cosine", updates=3072)
    for _ in range(11):
        match.step()
    match.branch(0)
    assert match.rewritten == 1 and distances(match, 0) == distances(match, 1)
    assert match.sides[1].name == "cosine"
    match.take(1, match.sides[0].controls.describe(0) | {})
    for _ in range(5):  # to the end of the interval that was branched in its midst
        match.step()
    assert match.runs.done_intervals.tolist() == [2, 2]
    assert distances(match, 0) == distances(match, 1), "with the same controls both go on alike"
    assert all(values[0] == values[1] for values in match.runs.signals().values())
    match.give(1)
    for _ in range(30):
        match.step()
    assert distances(match, 0) != distances(match, 1)


class Counting(Scheduler):
    """Remembers how often it was asked since it began."""

    def begin(self, seeds: Any) -> None:
        self.asked = 0

    def propose(self, situation: Any) -> Controls:
        self.asked += 1
        return situation.base


def test_a_scheduler_begins_anew_on_a_gan_that_it_has_never_seen():
    match = Match(PLAIN, lambda name: Counting())
    for _ in range(20):  # two whole intervals, and half of the third
        match.step()
    match.branch(1)
    assert [side.scheduler.asked for side in match.sides] == [1, 3]


class Broken(Scheduler):
    def propose(self, situation: Any) -> Controls:
        if situation.progress[0] > 0:
            raise RuntimeError("out of ideas")
        return situation.base


def test_a_scheduler_that_fails_stops_the_match_and_is_named():
    session = Session(
        lambda name: Broken() if name == "broken" else make_scheduler(name), replace(PLAIN, left="broken")
    )
    thread = threading.Thread(target=session.run, daemon=True)
    thread.start()
    session.do({"do": "speed", "value": 0})
    session.do({"do": "start"})
    number, state = 0, {}
    while not state.get("error"):
        news = session.news(number, 60)
        assert news is not None
        number, state = news.number, json.loads(news.state)
    assert "Broken failed before interval 1: RuntimeError: out of ideas" in state["error"] and not state["running"]
    session.close()
    thread.join(60)
    assert not thread.is_alive()


def test_a_scheduler_of_several_gans_is_refused():
    with pytest.raises(InvalidValueError, match="'pbt' trains 8 GANs"):
        made(left="pbt")
    with pytest.raises(SchedulerError, match="Broken"):
        Match(replace(PLAIN, left="x"), lambda name: type("Broken", (Scheduler,), {"propose": lambda *_: None})())


def test_data_that_drift_are_shown_anew():
    match = made(trouble="drift")
    pictures = Pictures(match)
    before = pictures.real()
    while not match.rewritten:
        match.step()
    assert pictures.real() != before and not match.finished


# ---- pictures


def test_a_picture_holds_points_and_what_d_says_of_the_plane():
    upper = pack([[np.cos(angle), np.sin(angle)] for angle in np.linspace(0.2, 2, 60)])
    match = made(family="drawing", drawing=upper)  # unlike itself upside down
    pictures = Pictures(match)
    for side in pictures.sides():
        points = np.frombuffer(base64.b64decode(side["points"]), "<u2").reshape(-1, 2)
        surface = np.frombuffer(base64.b64decode(side["surface"]), np.uint8)
        assert points.shape == (512, 2) and surface.shape == (GRID**2,)
        inside = ((points > STEPS / 3) & (points < STEPS * 2 / 3)).all(axis=1)
        assert side["outside"] == pytest.approx(1 - inside.mean(), abs=0.01)
    # D is trained alone: it then says "real" where real points are, from the top of the picture to the bottom
    match.take(0, {"generator_lr_factor": 1 / 30, "discriminator_lr_factor": 5.0, "ratio": "5:1"})
    for _ in range(40):
        match.step()
    surface = np.frombuffer(base64.b64decode(pictures.sides()[0]["surface"]), np.uint8).reshape(GRID, GRID)
    real = np.frombuffer(base64.b64decode(pictures.real()), "<u2").reshape(-1, 2).astype(float) / STEPS * 3 - 1
    fake = (
        np.frombuffer(base64.b64decode(pictures.sides()[0]["points"]), "<u2").reshape(-1, 2).astype(float) / STEPS * 3
        - 1
    )

    def said(points: np.ndarray) -> float:
        column, row = np.clip((points * GRID).astype(int), 0, GRID - 1).T
        return float(surface[row, column].mean())

    assert said(real) > said(fake) + 30
    assert said(real) > said(1 - real) + 30 and said(real) > said(real * [1, -1] + [0, 1]) + 30
    assert real[real[:, 0] > 0.7, 1].mean() > real[abs(real[:, 0] - 0.5) < 0.1, 1].mean(), "the right end is lower"


@pytest.mark.parametrize("loss", ["lsgan", "wgan", "rpgan"])
def test_what_d_says_lies_around_undecided_for_every_loss(loss):
    match = made()
    match.take(0, {"loss": loss})
    for _ in range(4):
        match.step()
    surface = np.frombuffer(base64.b64decode(Pictures(match).sides()[0]["surface"]), np.uint8)
    assert surface.min() < 140 and surface.max() > 115 and surface.min() != surface.max()


# ---- the settings as code


def shortened(code: str, steps: int) -> str:
    return re.sub(r"^total_steps = .*$", f"total_steps = {steps}", code, flags=re.MULTILINE)


@pytest.mark.parametrize(
    ("loss", "ratio", "weight"),
    [
        ("non-saturating", "1:1", 0.0),
        ("hinge", "2:1", 0.1),
        ("lsgan", "1:3", 1.0),
        ("wgan", "5:1", 0.1),
        ("rpgan", "1:1", 0.1),
    ],
)
def test_the_code_runs(loss, ratio, weight):
    match = made()
    match.take(0, {"loss": loss, "ratio": ratio, "penalty_weight": weight, "generator_lr_factor": 2.0})
    code = recipe(match, 0)
    assert "lr=0.002" in code and "GANScheduler" not in code
    there: dict[str, Any] = {}
    exec(shortened(code, 2), there)
    assert there["step"] == 1 and np.isfinite(float(there["d_loss"].detach()))


@pytest.mark.filterwarnings("ignore:step .* from here on no rate is above your own:UserWarning")  # advice on noise
@pytest.mark.parametrize("name", ["on-top", "default", "cosine", "r3gan", "tuned-decay"])
def test_the_code_has_the_scheduler_and_what_it_needs(name):
    code = recipe(made(left=name, trouble="generator-high"), 0)
    assert f'"{name}", g_optimizer, d_optimizer, total_steps=total_steps' in code
    assert "lr=0.008" in code, "what is wrong with the run is in its code"
    assert ("QualityMeter" in code) == (name == "default")
    there: dict[str, Any] = {}
    exec(shortened(code, 40), there)
    assert there["step"] == 39 and there["scheduler"].get_last_lr()


def test_the_code_names_a_policy_by_its_whole_path_and_escapes_it(monkeypatch, tmp_path):
    monkeypatch.chdir(tmp_path)
    code = recipe(made(left="cosine"), 0, {"cosine": Path('my "run"') / "policy.safetensors"})
    calls = [each for each in ast.walk(ast.parse(code)) if isinstance(each, ast.Call)]
    (called,) = [each for each in calls if isinstance(each.func, ast.Name) and each.func.id == "GANScheduler"]
    assert Path(ast.literal_eval(called.args[0])) == tmp_path / 'my "run"' / "policy.safetensors"


def test_a_loss_of_ones_own_has_no_code(monkeypatch):
    match = made()
    match.take(0, {"loss": "hinge"})
    monkeypatch.delitem(LOSSES, "hinge")
    with pytest.raises(InvalidValueError, match="your own"):
        recipe(match, 0)


# ---- the server


@contextmanager
def served(setting: Setting = PLAIN, **options: Any) -> Iterator[Page]:
    page = Page(**options)
    thread = threading.Thread(target=page.session.run, daemon=True)
    thread.start()
    try:
        page.session.do({"do": "new", "setting": asdict(setting)})
        page.session.do({"do": "speed", "value": 0})
        yield page
    finally:
        page.close()
        thread.join(60)


@pytest.fixture(scope="module")
def page() -> Iterator[Page]:
    with served() as there:
        yield there


def asked(
    page: Page, method: str, path: str, body: bytes | None = None, **headers: str
) -> tuple[int, dict[str, str], bytes]:
    connection = http.client.HTTPConnection("127.0.0.1", page.server.server_port, timeout=60)
    given = {name.replace("_", "-"): value for name, value in headers.items()}
    try:
        connection.request(method, path, body, given)
        answer = connection.getresponse()
        return answer.status, dict(answer.getheaders()), answer.read()
    finally:
        connection.close()


def told(page: Page, command: Any, **headers: str) -> tuple[int, Any]:
    body = command if isinstance(command, bytes) else json.dumps(command).encode()
    kind = {"Content_Type": "application/json", **headers}
    status, _, answer = asked(page, "POST", f"/{page.server.token}/command", body, **kind)
    return status, answer


def test_the_server_listens_to_this_machine_alone(page):
    assert page.server.server_address[0] == "127.0.0.1"
    assert page.server.address == f"http://127.0.0.1:{page.server.server_port}/{page.server.token}/"
    assert len(page.server.token) >= 32


@pytest.mark.parametrize("name", ["", "watch.js", "watch.css", "about", "stream", "folder", "nothing"])
@pytest.mark.parametrize("wrong", ["", "x", "TOKEN-but-wrong", "%c3%a4"])
def test_nothing_is_told_without_the_token(page, name, wrong):
    status, headers, body = asked(page, "GET", f"/{wrong.replace('TOKEN', page.server.token)}/{name}")
    assert status == 403 and page.server.token.encode() not in body and b"Two GANs" not in body
    assert headers["Content-Security-Policy"].startswith("default-src 'none'")


def test_an_address_without_its_last_slash_leads_to_the_page(page):
    status, headers, _ = asked(page, "GET", f"/{page.server.token}")
    assert status == 308 and headers["Location"] == f"/{page.server.token}/"


def test_a_token_of_odd_letters_is_only_wrong(page):
    with socket.create_connection(page.server.server_address, timeout=60) as raw:
        raw.sendall(b"GET /\xff\xe4/ HTTP/1.1\r\nHost: 127.0.0.1\r\n\r\n")
        assert raw.recv(100).startswith(b"HTTP/1.1 403")


def test_no_command_is_done_without_the_token(page):
    before = page.session.match
    command = json.dumps({"do": "new", "setting": asdict(PLAIN)}).encode()
    assert asked(page, "POST", "/wrong/command", command, Content_Type="application/json")[0] == 403
    assert page.session.match is before


@pytest.mark.parametrize("host", ["evil.example", "evil.example:80", "127.0.0.1", "127.0.0.1:1", ""])
def test_a_name_of_a_foreign_domain_is_not_answered(page, host):
    """A domain that is pointed at this machine (DNS rebinding) has its own name in the request."""
    assert asked(page, "GET", f"/{page.server.token}/", Host=host)[0] == 403


def test_this_machines_own_names_are_answered(page):
    for host in ("127.0.0.1", "localhost"):
        status, headers, body = asked(page, "GET", f"/{page.server.token}/", Host=f"{host}:{page.server.server_port}")
        assert status == 200 and b"Two GANs" in body and headers["Content-Type"] == "text/html; charset=utf-8"


def test_a_foreign_page_can_send_no_command(page):
    start = {"do": "pause"}
    assert told(page, start, Origin="http://evil.example")[0] == 403
    assert told(page, start, Origin="null")[0] == 403
    assert told(page, start, Content_Type="text/plain")[0] == 415
    assert told(page, start, Content_Type="application/x-www-form-urlencoded")[0] == 415
    assert told(page, start, Origin=f"http://127.0.0.1:{page.server.server_port}")[0] == 200


@pytest.mark.parametrize(("length", "status"), [(str(LARGEST + 1), 413), ("9" * 5000, 413), ("-5", 411), ("x", 411)])
def test_sizes_are_limited(page, length, status):
    connection = http.client.HTTPConnection("127.0.0.1", page.server.server_port, timeout=60)
    connection.putrequest("POST", f"/{page.server.token}/command")
    connection.putheader("Content-Type", "application/json")
    connection.putheader("Content-Length", length)
    connection.endheaders()
    assert connection.getresponse().status == status
    connection.close()


@pytest.mark.parametrize(
    "name", ["../server.py", "..%2fserver.py", "server.py", "page/index.html", "/etc/passwd", "index.html/x"]
)
def test_only_the_pages_own_files_are_served(page, name):
    assert asked(page, "GET", f"/{page.server.token}/{name}")[0] == 404
    assert asked(page, "POST", f"/{page.server.token}/{name}", b"{}", Content_Type="application/json")[0] == 404


def test_the_page_loads_nothing_from_elsewhere_and_no_inline_code(page):
    for name in (
        "",
        "watch.css",
        "watch.js",
        "stage.js",
        "charts.js",
        "knobs.js",
        "sketch.js",
        "folder.js",
        "address.js",
        "icon.svg",
    ):
        status, headers, body = asked(page, "GET", f"/{page.server.token}/{name}")
        assert (
            status == 200 and headers["X-Content-Type-Options"] == "nosniff" and headers["Cache-Control"] == "no-store"
        )
        assert "unsafe" not in headers["Content-Security-Policy"]
        text = body.decode().replace("http://www.w3.org/2000/svg", "")
        assert "http:" not in text and "https:" not in text and "//cdn" not in text, name
        assert " style=" not in text and " onclick=" not in text and "innerHTML" not in text, name


@pytest.mark.parametrize(
    ("command", "words"),
    [
        (b"{", "Expecting"),
        (b"[" * 50_000, "recursion"),
        ([], "a command is a JSON object"),
        ({"do": "strat"}, "did you mean start"),
        ({"do": []}, "unknown command"),
        ({"do": "speed", "value": 7}, "speed is 7"),
        ({"do": "speed", "value": True}, "speed is True"),
        ({"do": "take", "side": 2}, "side is 2"),
        ({"do": "take", "side": 0, "values": {"beta1": 0.9}}, "a hand turns"),
        ({"do": "take", "side": 0, "values": {"generator_lr_factor": float("nan")}}, "must lie between"),
        ({"do": "take", "side": 0, "values": {"loss": {}}}, "loss"),
        ({"do": "take", "side": 0, "values": {"loss": "this:x"}}, "unknown loss"),
        ({"do": "take", "side": 0, "values": {"ratio": "this:x"}}, "unknown ratio"),
        ({"do": "new", "setting": {"left": "this:x"}}, "unknown scheduler"),
        ({"do": "new", "setting": {"family": "this:x"}}, "unknown family"),
        ({"do": "new"}, "needs a setting"),
        ({"do": "new", "setting": {"left": "defalt"}}, "did you mean default"),
        ({"do": "new", "setting": {"family": "drawing", "drawing": ""}}, "0 points"),
    ],
)
def test_a_command_that_cannot_be_done_is_told_in_words(page, command, words):
    before = page.session.match
    status, answer = told(page, command)
    assert status == 400 and words in json.loads(answer)["error"]
    assert page.session.match is before
    assert "this" not in sys.modules, "a name from a link imports nothing"


def frames(page: Page, until: Any) -> list[dict[str, Any]]:
    """Frames of the stream until one of them is as wanted, and what was told of the match before each."""
    connection = http.client.HTTPConnection("127.0.0.1", page.server.server_port, timeout=60)
    connection.request("GET", f"/{page.server.token}/stream")
    answer = connection.getresponse()
    assert answer.status == 200 and answer.getheader("Content-Type") == "text/event-stream"
    found, event = [], ""
    while not found or not until(found[-1]):
        line = answer.readline().decode()
        if line.startswith("event: "):
            event = line[7:].strip()
        elif line.startswith("data: ") and event == "match":
            match = json.loads(line[6:])
        elif line.startswith("data: "):
            found.append({"match": match, **json.loads(line[6:])})
    connection.close()
    return found


def test_a_run_goes_from_start_to_finish_over_the_stream():
    with served() as page:
        assert told(page, {"do": "start"})[0] == 200
        seen = frames(page, lambda frame: frame["state"]["finished"])
        history: list[Any] = []
        for frame in seen:
            assert frame["from"] == len(history), "no part of the history is missing or told twice"
            history += frame["history"]
        assert [entry[0] for entry in history] == list(range(0, 3072 + 1, FRAME))
        assert seen[-1]["match"]["setting"] == asdict(PLAIN) and seen[-1]["match"]["engine"] in ("native", "torch")
        assert not seen[-1]["state"]["running"]
        assert frames(page, lambda frame: True)[0]["history"] == history, "a page that comes later sees it all"
        told(page, {"do": "start"})
        assert frames(page, lambda frame: frame["state"]["updates"] > 0)[-1]["state"]["updates"] <= 3072


def test_a_page_that_is_loaded_again_finds_its_own_run(page):
    told(page, {"do": "new", "setting": asdict(PLAIN)})
    before = page.session.match
    assert told(page, {"do": "new", "setting": asdict(PLAIN), "keep": True})[0] == 200 and page.session.match is before
    assert told(page, {"do": "new", "setting": {**asdict(PLAIN), "seed": 5}, "keep": True})[0] == 200
    assert page.session.match is not before


def test_what_is_on_offer_can_be_picked(page):
    _, _, body = asked(page, "GET", f"/{page.server.token}/about")
    about = json.loads(body)["told"]
    names = [each["name"] for each in about["schedulers"]]
    assert {"default", "constant", "cosine", "ucb"} <= set(names) and "pbt" not in names
    assert set(about["knobs"]) == {"generator_lr_factor", "discriminator_lr_factor", "penalty_weight", "ratio", "loss"}
    assert json.loads(asked(page, "GET", f"/{page.server.token}/folder")[2])["told"] is None
    assert "import torch" in json.loads(asked(page, "GET", f"/{page.server.token}/code?side=1")[2])["told"]


# ---- folders and the command


def test_a_training_run_brings_its_policy_and_curves(tmp_path):
    from metagan_rl.agents import TrainConfig
    from metagan_rl.agents.learners.run_folder import write_config, write_progress
    from metagan_rl.agents.learners.shipped import shipped_policy

    run = tmp_path / "mine"
    run.mkdir()
    shutil.copy(shipped_policy("loop"), run / "policy.safetensors")
    write_config(TrainConfig(updates=100).settled(), run)
    write_progress(run, [{"iteration": n, "gan_updates": 100 * n, "validation/distance": 1 / n} for n in (1, 2)])
    with served(directory=run) as page:
        told_of = json.loads(asked(page, "GET", f"/{page.server.token}/folder")[2])["told"]
        assert [each["name"] for each in told_of["schedulers"]] == ["mine/policy"]
        assert told_of["name"] == "mine" and told_of["curves"][0]["points"] == [[100, 1.0], [200, 0.5]]
        assert told(page, {"do": "new", "setting": {**asdict(PLAIN), "left": "mine/policy"}})[0] == 200
        assert page.session.match.sides[0].name == "mine/policy"
        (run / "policy.safetensors").write_bytes(b"damaged")
        status, answer = told(page, {"do": "new", "setting": {**asdict(PLAIN), "left": "mine/policy"}})
        assert status == 400 and "policy.safetensors" in json.loads(answer)["error"]


def test_a_benchmark_brings_its_standings(tmp_path):
    from robustness.damage import BENCHMARK, ROW

    from metagan_rl.experiments.benchmark.records import append_lines
    from metagan_rl.experiments.watch.folder import Folder
    from metagan_rl.records import write_record

    write_record(tmp_path / "benchmark.json", BENCHMARK)
    rows = [("constant", 0, 0.4), ("constant", 1, 0.1), ("cosine", 0, 0.1), ("cosine", 1, 0.1), ("cosine", 2, 9.0)]
    append_lines(tmp_path / "rows.jsonl", [{**ROW, "scheduler": s, "seed": n, "distance": d} for s, n, d in rows])
    standings = Folder(tmp_path).told()["standings"]
    assert [each["scheduler"] for each in standings] == ["cosine", "constant"], "only runs that both have finished"
    assert [each["distance"] for each in standings] == pytest.approx([0.1, 0.2])
    assert [each["runs"] for each in standings] == [2, 2]


@pytest.mark.parametrize("kind", ["nothing", "empty", "file", "damaged"])
def test_a_folder_that_holds_nothing_to_show_is_one_line_and_status_2(kind, tmp_path, capsys):
    folder = tmp_path / "folder"
    if kind == "file":
        folder.write_text("x")
    elif kind != "nothing":
        folder.mkdir()
    if kind == "damaged":
        (folder / "policy.safetensors").write_bytes(b"no policy")
    assert main(["watch", str(folder), "--no-browser"]) == 2
    error = capsys.readouterr().err
    assert error.startswith("metagan-rl: ") and error.count("\n") == 1 and str(folder) in error


def test_a_port_that_is_taken_or_is_none_is_one_line_and_status_2(page, capsys):
    for port in (page.server.server_port, 70000, -1):
        assert main(["watch", "--no-browser", "--port", str(port)]) == 2
        error = capsys.readouterr().err
        assert f"port {port} cannot be opened" in error and error.count("\n") == 1


def test_the_command_tells_its_address_and_ctrl_c_ends_it_in_one_line():
    command = [sys.executable, "-m", "metagan_rl", "watch", "--no-browser"]
    heard = signal.signal(signal.SIGINT, signal.default_int_handler)  # who tests in the background ignores Ctrl-C
    running = subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True)
    signal.signal(signal.SIGINT, heard)
    assert running.stdout is not None
    address = running.stdout.readline().removeprefix("watch at ").removesuffix("  (Ctrl-C ends it)\n")
    with urllib.request.urlopen(address, timeout=60) as answer:
        assert b"Two GANs" in answer.read()
    running.send_signal(signal.SIGINT)
    told, wrong = running.communicate(timeout=60)
    assert running.returncode == 0 and wrong == "" and told == "\nstopped\n"


def test_no_browser_is_no_fault(monkeypatch):
    from metagan_rl.experiments.watch import command

    monkeypatch.setenv("DISPLAY", ":0")

    asked = []

    def broken(address: str) -> bool:
        asked.append(address)
        raise RuntimeError("no browser")

    monkeypatch.setattr("webbrowser.open", broken)
    command.open_browser("http://127.0.0.1:1/")
    assert asked == ["http://127.0.0.1:1/"]
    if sys.platform == "linux":  # without windows, webbrowser would open one inside the terminal
        monkeypatch.delenv("DISPLAY")
        monkeypatch.delenv("WAYLAND_DISPLAY", raising=False)
        command.open_browser("http://127.0.0.1:1/")
        assert len(asked) == 1


def test_the_docs_have_the_figures_of_the_rows():
    from metagan_rl.experiments.benchmark.records import ROWS, read_lines
    from metagan_rl.experiments.studies.watch_speed import as_markdown

    text = (ROOT / "docs" / "watch.md").read_text(encoding="utf-8")
    assert as_markdown(read_lines(ROOT / "experiments" / "results" / "watch" / ROWS)) in text
    assert f"covers {FRAME} updates" in text
