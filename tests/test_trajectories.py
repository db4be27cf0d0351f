"""Trajectories of schedulers as a Minari data set: what was played is what is written, and what is read."""

from pathlib import Path

import gymnasium as gym
import numpy as np
import pytest

from metagan_rl.agents import make_scheduler
from metagan_rl.errors import FileFormatError, InvalidValueError, MissingDependencyError
from metagan_rl.experiments.benchmark.records import ROWS, read_lines
from metagan_rl.experiments.studies import trajectories
from metagan_rl.experiments.studies.full_form import RESULTS
from metagan_rl.experiments.studies.trajectories import VALUES, Trajectories, play, study, table
from metagan_rl.loop.drive import drive
from metagan_rl.tasks import get_suite

SHORT = {"horizon": 3, "interval_updates": 12}
TASKS = list(get_suite("ring8").split("train"))[:2]


@pytest.mark.parametrize("agent", ["gap-aware", "tuned-decay", "default"])
def test_episodes_are_what_the_scheduler_does_elsewhere(agent):
    episodes = play(make_scheduler(agent), "MetaGAN/Ring8-v2", TASKS, [7, 8], **SHORT)
    _, trace = drive(make_scheduler(agent), TASKS, [7, 8], **SHORT)
    for member, episode in enumerate(episodes):
        assert (len(episode.observations), len(episode.actions), len(episode.rewards)) == (4, 3, 3)
        distances = [values[member] for values in trace.distance]
        np.testing.assert_allclose(episode.told["distance"], distances, rtol=2e-2)  # float32 actions round the rates
        assert episode.task == TASKS[member].name and episode.seed == 7 + member


def test_schedulers_of_several_gans_are_refused():
    with pytest.raises(InvalidValueError, match="trains 8 GANs for each run"):
        play(make_scheduler("pbt"), "MetaGAN/Ring8-v2", TASKS, [7, 8], **SHORT)


def test_minari_is_asked_for(monkeypatch):
    monkeypatch.setattr(trajectories.importlib.util, "find_spec", lambda name: None)
    with pytest.raises(MissingDependencyError, match=r"needs minari; install it with"):
        study(Trajectories())


@pytest.mark.filterwarnings("ignore")  # those of Minari are its own
def test_a_data_set_is_written_and_read_and_its_environment_plays_the_same(tmp_path, monkeypatch, capsys):
    minari = pytest.importorskip("minari", reason="for want of the package minari")
    pytest.importorskip("h5py", reason="for want of the package h5py")
    monkeypatch.setenv("MINARI_DATASETS_PATH", str(tmp_path))
    monkeypatch.setattr(trajectories, "VALUES", {**VALUES, **SHORT})
    options = Trajectories("MetaGAN/Ring8-v2", ("gap-aware", "tuned-decay"), episodes=3, out=tmp_path / "rows")
    study(options)
    rows = read_lines(tmp_path / "rows" / ROWS)
    assert [(row["dataset"], row["episodes"], row["steps"]) for row in rows] == [
        ("metagan/ring8/gap-aware-v0", 3, 9), ("metagan/ring8/tuned-decay-v0", 3, 9)
    ]  # fmt: skip
    assert table(rows) in capsys.readouterr().out
    data = minari.load_dataset("metagan/ring8/tuned-decay-v0")
    env = data.recover_environment()
    for episode in data.iterate_episodes():
        metadata = data.storage.get_episode_metadata([episode.id])
        given = next(iter(metadata))["options"]
        observation, _ = env.reset(options={"task": str(given["task"]), "gan_seed": int(given["gan_seed"])})
        np.testing.assert_allclose(observation, episode.observations[0], atol=1e-3)
        rewards = [env.step(action)[1] for action in episode.actions]
        np.testing.assert_allclose(rewards, episode.rewards, atol=1e-2)
        assert episode.terminations.tolist() == [False, False, True] and len(episode.infos["score"]) == 4
    with pytest.raises(FileFormatError, match="take another --version, or --read it"):
        study(options)
    study(Trajectories("MetaGAN/Ring8-v2", ("gap-aware",), read=True))
    with pytest.raises(FileFormatError, match="leave out --read"):
        study(Trajectories("MetaGAN/Ring8-v2", ("constant",), read=True))
    assert isinstance(gym.make(env.spec).action_space, gym.spaces.Box)


def test_the_page_shows_what_was_written():
    page = (Path(__file__).parent.parent / "docs" / "suite.md").read_text(encoding="utf-8")
    assert table(read_lines(RESULTS / "trajectories" / ROWS)) in page
