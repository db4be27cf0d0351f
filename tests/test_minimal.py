"""The small trainer and the study of published recipes: they train, stop and go on; the table says what rows say."""

import json

import pytest
import torch

from metagan_rl.errors import FileFormatError, InvalidValueError, MetaGANError, UnknownNameError
from metagan_rl.experiments.studies import recipe_study
from metagan_rl.experiments.studies.minimal import RECIPES, GANRunner, images_of
from metagan_rl.experiments.studies.minimal.recipes import gradient_penalty
from metagan_rl.experiments.studies.minimal.runner import _to_images, _to_points
from metagan_rl.metrics.quality import WORST_DISTANCE
from metagan_rl.tasks import Task


@pytest.fixture(scope="module")
def digits():
    return images_of("digits")


def weights(runner):
    return torch.cat([value.double().flatten() for value in runner.average.state_dict().values()])


def runner_of(task, recipe="dcgan", steps=6, **options):
    return GANRunner(task, recipe, steps=steps, channels=4, **options)


@pytest.mark.parametrize("recipe", RECIPES)
@pytest.mark.parametrize("scheduler", [None, "gap-aware"])
def test_every_recipe_trains_with_and_without_a_scheduler(digits, recipe, scheduler):
    runner = runner_of(digits, recipe, scheduler=scheduler)
    before = runner.distance()
    runner.train()
    assert runner.step == 6 and runner.distance() != before
    assert runner.sample(3).shape == (3, 8, 8) and float(runner.sample(64).abs().max()) <= 1


def test_watching_changes_nothing(digits):
    off, log, on = (
        runner_of(digits, "sngan", scheduler=name, mode=mode, steps=8)
        for name, mode in ((None, "both"), ("cosine", "log"), ("cosine", "both"))
    )
    for runner in (off, log, on):
        runner.train()
    assert torch.equal(weights(off), weights(log))
    assert not torch.equal(weights(off), weights(on))  # it multiplies the recipe's own decay


def test_a_stopped_run_goes_on_exactly(digits, tmp_path):
    whole, stopped, resumed = (runner_of(digits, "wgan-gp", scheduler="r3gan") for _ in range(3))
    whole.train()
    for _ in range(4):
        stopped.train_step()
    stopped.save(tmp_path / "checkpoint.pt")
    resumed.load(tmp_path / "checkpoint.pt")
    resumed.train()
    assert resumed.step == whole.step and torch.equal(weights(resumed), weights(whole))
    content = (tmp_path / "checkpoint.pt").read_bytes()
    (tmp_path / "checkpoint.pt").write_bytes(content[: len(content) // 2])
    with pytest.raises(FileFormatError, match=r"checkpoint\.pt is not a checkpoint"):
        resumed.load(tmp_path / "checkpoint.pt")


@pytest.mark.parametrize("options", [{"recipe": "dcgan"}, {"steps": 9}, {"factor": 2.0}, {"scheduler": None}])
def test_a_checkpoint_of_another_run_is_refused_and_changes_nothing(digits, tmp_path, options):
    made = {"recipe": "sngan", "steps": 6, "scheduler": "cosine"}
    stopped = runner_of(digits, **made)
    stopped.train_step()
    stopped.save(tmp_path / "checkpoint.pt")
    other = runner_of(digits, **{**made, **options})
    before = weights(other).clone()
    if options == {"scheduler": None}:
        with pytest.raises(FileFormatError, match="only one of the two has a scheduler"):
            other.load(tmp_path / "checkpoint.pt")
    else:
        with pytest.raises(FileFormatError, match=f"its {next(iter(options))} is"):
            other.load(tmp_path / "checkpoint.pt")
    assert torch.equal(weights(other), before) and other.step == 0


@pytest.mark.parametrize("content", [b"garbage", b""])
def test_what_is_no_checkpoint_is_told(digits, tmp_path, content):
    (tmp_path / "checkpoint.pt").write_bytes(content)
    with pytest.raises(FileFormatError, match="not a checkpoint"):
        runner_of(digits).load(tmp_path / "checkpoint.pt")


@pytest.mark.parametrize("mode", ["both", "discriminator", "log"])
def test_rates_fall_as_published_under_any_scheduler(digits, mode):
    runner = runner_of(digits, "sngan", scheduler="constant", mode=mode, steps=4)
    runner.train_step()
    assert [each.param_groups[0]["lr"] for each in runner.optimizers] == pytest.approx([0.75 * 2e-4] * 2)


def test_grids_and_checkpoints_are_left_on_the_way(digits, tmp_path):
    runner_of(digits, steps=4).train(out=tmp_path, every=2)
    names = sorted(path.name for path in tmp_path.iterdir())
    assert names == ["checkpoint.pt", "samples-000002.png", "samples-000004.png"]


def test_images_and_points_are_the_same_thing(digits):
    points = digits.data().report_reference
    images = _to_images(digits, 16.0, points)
    assert float(images.min()) >= -1 and float(images.max()) <= 1
    assert torch.allclose(_to_points(digits, 16.0, images.squeeze(1)), points, atol=1e-5)


def test_real_images_are_near_and_broken_ones_are_worst(digits, monkeypatch):
    runner = runner_of(digits)
    real = _to_images(digits, 16.0, digits.data().train).squeeze(1).repeat(2, 1, 1)
    monkeypatch.setattr(runner, "sample", lambda count, seed=0: real[:count])
    assert runner.distance() < 0.25
    monkeypatch.setattr(runner, "sample", lambda count, seed=0: real[:count] * float("nan"))
    assert runner.distance() == WORST_DISTANCE


def test_the_penalty_is_zero_where_slopes_are_one():
    slope = torch.nn.Linear(4, 1, bias=False)
    slope.weight.data = torch.tensor([[0.5, 0.5, 0.5, 0.5]])
    network = torch.nn.Sequential(torch.nn.Flatten(), slope, torch.nn.Flatten(0))
    real, fake, random = torch.rand(8, 1, 2, 2), torch.rand(8, 1, 2, 2), torch.Generator().manual_seed(0)
    assert gradient_penalty(network, real, fake, random).item() == pytest.approx(0.0, abs=1e-10)
    slope.weight.data *= 3
    assert gradient_penalty(network, real, fake, random).item() == pytest.approx(4.0, abs=1e-5)


def test_bad_input_is_named(digits):
    with pytest.raises(UnknownNameError, match="dcgn"):
        GANRunner(digits, "dcgn")
    with pytest.raises(InvalidValueError, match="steps is 0"):
        GANRunner(digits, steps=0)
    with pytest.raises(InvalidValueError, match="family 'ring' and has 2 columns"):
        GANRunner(Task("ring", "ring", 2))


def test_the_study_runs_what_is_missing_and_tells_arms_apart(tmp_path, monkeypatch):
    monkeypatch.setattr(recipe_study, "FACTORS", (1.0,))
    options = recipe_study.RecipeStudy(tmp_path, ("digits",), ("gap-aware",), ("dcgan",), seeds=1, steps=8, workers=0)
    lines = []
    summary = recipe_study.run_recipes(options, show=lines.append).read_text()
    assert len(lines) == 3
    rows = {row["arm"]: row for row in map(json.loads, (tmp_path / "rows.jsonl").read_text().splitlines())}
    assert rows["off"]["curve"] == rows["log"]["curve"] and len(rows["off"]["curve"]) == 9
    assert rows["off"]["advice"] is None and rows["log"]["advice"] in ("ok", "saturated")
    assert "| dcgan | 1x |" in summary and "off 0, log 0, gap-aware 0" in summary
    recipe_study.run_recipes(recipe_study.RecipeStudy(**{**vars(options), "seeds": 2}), show=lines.append)
    assert len(lines) == 6
    longer = recipe_study.RecipeStudy(**{**vars(options), "steps": 9})
    only = recipe_study.run_recipes(longer, command="again", show=lines.append).read_text()
    assert len(lines) == 9 and "Made by `again`" in only  # rows of other lengths are kept, and not in the table
    assert (
        f"| dcgan | 1x | {json.loads((tmp_path / 'rows.jsonl').read_text().splitlines()[6])['distance']:.3g} |" in only
    )


@pytest.mark.parametrize(
    ("wrong", "words"),
    [({"data": ("digits", "mnst")}, "mnist"), ({"recipes": ("dcgan", "sngn")}, "sngan"), ({"seeds": 0}, "seeds is 0")],
)
def test_misspelt_names_are_told_before_anything_is_run(wrong, words, tmp_path):
    with pytest.raises(MetaGANError, match=words):
        recipe_study.run_recipes(recipe_study.RecipeStudy(tmp_path / "new", **wrong, workers=0))
    assert not (tmp_path / "new").exists()


@pytest.mark.parametrize(("schedulers", "words"), [(("gap-awre",), "gap-aware"), (("default",), "quality")])
def test_what_no_loop_can_use_is_told_before_anything_is_kept(schedulers, words, tmp_path):
    with pytest.raises(MetaGANError, match=words):
        recipe_study.run_recipes(recipe_study.RecipeStudy(tmp_path / "new", ("digits",), schedulers, workers=0))
    assert not (tmp_path / "new").exists()
