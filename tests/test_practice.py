"""The study of practice: its loops, arms, plan, rows and tables."""

import copy
import itertools
import math
import sys

import numpy as np
import pytest
import torch
from elsewhere import needs
from torch import nn

from metagan_rl.agents.learners.shipped import shipped_policy
from metagan_rl.errors import FileFormatError, InvalidValueError, MissingDependencyError, UnknownNameError
from metagan_rl.experiments.benchmark.records import append_lines, read_lines
from metagan_rl.experiments.studies.practice import data, judge
from metagan_rl.experiments.studies.practice.arms import DECAYS, LIBRARIES, check_arms, optimizers_of
from metagan_rl.experiments.studies.practice.average import Average, ready
from metagan_rl.experiments.studies.practice.loops import LOOPS
from metagan_rl.experiments.studies.practice.options import PracticeStudy
from metagan_rl.experiments.studies.practice.plan import SEARCHED, best_factors, jobs_of, named, swept
from metagan_rl.experiments.studies.practice.running import KEY, POINTS, Job, judged, run_job, train
from metagan_rl.experiments.studies.practice.study import study
from metagan_rl.experiments.studies.practice.table import tables
from metagan_rl.files import file_digest

CPU = torch.device("cpu")
STEPS = 5


@pytest.fixture(autouse=True)
def small(monkeypatch):
    """Small batches, and few samples to judge."""
    for loop in LOOPS.values():
        monkeypatch.setattr(loop, "batch_size", 20)
    monkeypatch.setattr(judge, "MOST", 64)
    judge.judge_of.cache_clear()
    yield
    judge.judge_of.cache_clear()


def trained(name, scheduler=None, arm="off", seed=0, **options):
    loop = LOOPS[name](seed, STEPS, CPU)
    average, *_ = train(loop, optimizers_of(loop, arm, 1.0), scheduler, STEPS, **options)
    return [each.detach() for network in (loop.generator, loop.discriminator, average.network)
            for each in network.parameters()]  # fmt: skip


def alike(one, other):
    return all(map(torch.equal, one, other))


@pytest.mark.parametrize("name", LOOPS)
def test_a_loop_can_be_repeated_and_a_watching_scheduler_leaves_it_as_it_is(name):
    off = trained(name)
    assert all(each.isfinite().all() for each in off)
    assert alike(off, trained(name))
    assert alike(off, trained(name, "on-top", mode="log", interval=1))
    assert alike(off, trained(name, "constant", interval=1))
    assert not alike(off, trained(name, "on-top", interval=1))


def test_another_seed_is_another_run():
    one, other = (LOOPS["mlp"](seed, STEPS, CPU) for seed in (0, 1))
    assert not torch.equal(one.noise(), other.noise())
    assert not torch.equal(one.generator[0].weight, other.generator[0].weight)


def test_a_patch_discriminator_begins_later_and_the_adversarial_term_is_weighted():
    loop = LOOPS["patch"](0, 10, CPU)
    made, before = optimizers_of(loop, "off", 1.0), copy.deepcopy(loop.discriminator.state_dict())
    told = [loop.round(made.generator, made.discriminator) for _ in range(loop.adversarial_from)]
    assert loop.adversarial_from == 2 and told == [{}, {}]
    assert all(map(torch.equal, before.values(), loop.discriminator.state_dict().values()))
    assert loop.round(made.generator, made.discriminator).keys() >= {"real_logits", "generator_loss"}
    weights = [each.clone() for each in loop.discriminator.parameters()]
    loop.round(made.generator, made.discriminator)
    assert not alike(weights, list(loop.discriminator.parameters()))


def test_both_slopes_at_the_last_layer_are_balanced():
    loop = LOOPS["patch"](0, 10, CPU)
    images, last = loop.real(), loop.generator.last.weight
    made = loop.generator(images)
    losses = (made - images).abs().mean(), -loop.discriminator(made).mean()
    slopes = [torch.autograd.grad(each, last, retain_graph=True)[0].norm() for each in losses]
    assert float(loop.balance(*losses) * slopes[1] / slopes[0]) == pytest.approx(0.8, rel=0.05)


@pytest.mark.parametrize("name", ["wgan-gp", "r3gan"])
def test_penalties_are_those_of_the_papers(name):
    """Of a linear D the slope is known everywhere."""
    loop = LOOPS[name](0, 10, CPU)
    loop.discriminator = nn.Sequential(nn.Flatten(), nn.Linear(784, 1))
    real = loop.real()
    *_, penalty = loop.judged(real, torch.zeros_like(real))
    norm = float(loop.discriminator[1].weight.detach().norm())
    expected = 10 * (norm - 1) ** 2 if name == "wgan-gp" else 0.5 / 2 * 2 * norm**2
    assert float(penalty.detach()) == pytest.approx(expected, rel=1e-4)


def test_modes_give_rows_back():
    rows = data.halves_of(data.TABLE).train
    modes = LOOPS["ctgan"](0, 1, CPU).modes
    places, ones = modes.encoded(rows, torch.Generator().manual_seed(0))
    assert (ones.sum(dim=-1) == 1).all() and places.abs().max() <= 0.99
    there = modes.there.expand_as(ones)
    assert not ones[~there].any()
    back = modes.decoded(places, ones)
    inside = places.abs() < 0.99
    assert inside.float().mean() > 0.99 and torch.equal(back[:, -1], rows[:, -1])
    gap = (back[:, :-1] - rows[:, :-1]).abs() / rows[:, :-1].std(dim=0)
    assert gap[inside].max() < 1e-3


def test_a_table_is_scored_by_a_model_that_saw_generated_rows():
    loop, rows = LOOPS["ctgan"](0, 1, CPU), data.halves_of(data.TABLE).train
    assert loop.scored(rows)["accuracy"] > 0.9
    assert loop.scored(torch.cat([rows[:, :-1], 1 - rows[:, -1:]], dim=1))["accuracy"] < 0.1
    assert loop.scored(rows * torch.nan)["accuracy"] == 0.0


def test_an_average_follows_and_its_batch_statistics_are_its_own():
    network = nn.Sequential(nn.Linear(1, 1), nn.BatchNorm1d(1))
    average = Average(network)
    nn.init.constant_(average.network[0].weight, 0.0)
    nn.init.constant_(network[0].weight, 1.0)
    average.follow(20)  # half-life: a twentieth of 20 rounds
    assert average.network[0].weight.item() == pytest.approx(0.5)
    copied = ready(network, lambda one: one(torch.tensor([[1.0], [3.0]])))
    assert copied[1].running_mean.item() == pytest.approx(2 + network[0].bias.item()) and not copied.training
    assert network.training and network[1].running_mean.item() == 0.0


def test_decays_are_what_their_names_say():
    assert [DECAYS["late-decay"](each) for each in (0.0, 0.5, 0.75, 1.0)] == pytest.approx([1, 1, 0.1**0.5, 0.1])
    assert [DECAYS["cosine"](each) for each in (0.0, 0.5, 1.0)] == pytest.approx([1.0, 0.5, 0.0])
    loop = LOOPS["patch"](0, STEPS, CPU)
    _, course, _ = train(loop, optimizers_of(loop, "late-decay", 10.0), None, STEPS)
    assert course[0] == pytest.approx([2.88e-3] * 2) and course[-1][0] == pytest.approx(2.88e-3 * 0.1**0.6, rel=0.01)


def test_momentum_can_be_left_out():
    loop = LOOPS["mlp"](0, STEPS, torch.device("cpu"), None)
    for arm, beta1 in (("off", 0.5), ("no-momentum", 0.0)):
        made = optimizers_of(loop, arm, 2.0)
        groups = [each.param_groups[0] for each in (made.generator, made.discriminator)]
        assert [(group["betas"], group["lr"]) for group in groups] == [((beta1, 0.999), 4e-4)] * 2


def test_momentum_can_be_turned_off_by_a_scheduler_that_is_plugged_in(tmp_path):
    usual, without = (Job("mlp", 1.0, name, 0, STEPS) for name in ("rate-check", "rate-check, beta1 0"))
    assert (without.scheduler, without.digest) == ("rate-check", usual.digest) and without.key != usual.key
    rows = [run_job(each) for each in (usual, without)]
    assert rows[0]["arm"] != rows[1]["arm"] == without.arm and rows[0]["last"] != rows[1]["last"]
    path = tmp_path / "mine.safetensors"
    assert named(f"{path}, beta1 0") == ("mine, beta1 0", path)
    assert Job("mlp", 1.0, "mine, beta1 0", 0, STEPS, policy=path).scheduler == path


@pytest.mark.parametrize("arm", LIBRARIES)
def test_an_absent_rival_tells_what_to_install(arm, monkeypatch):
    monkeypatch.setitem(sys.modules, LIBRARIES[arm][0], None)
    with pytest.raises(MissingDependencyError, match=f"the arm '{arm}' needs .*pip install"):
        check_arms([arm])


@needs("prodigyopt", "schedulefree", "dadaptation")
def test_rivals_train():
    off = trained("ctgan")
    runs = [trained("ctgan", arm=arm) for arm in LIBRARIES]
    assert not any(alike(off, each) for each in runs) and all(each.isfinite().all() for run in runs for each in run)


def test_a_run_is_a_row_and_nan_is_the_worst():
    row = run_job(Job("ctgan", 0.1, "on-top", 0, STEPS))
    assert row["average"].keys() >= {"distance", "precision", "coverage", "accuracy"} and not row["diverged"]
    assert set(KEY) <= row.keys() and row["digest"] == file_digest(shipped_policy("on-top"))[:12]
    assert sum(row["advice"].values()) <= POINTS
    assert row["rates"]["generator"][0] == row["rates"]["discriminator"][0] == 2e-5
    loop = LOOPS["mlp"](0, STEPS, CPU)
    nn.init.constant_(loop.generator[0].weight, math.nan)
    assert judged(loop, loop.generator, None)["distance"] == 20


def test_real_images_are_at_the_floor():
    found, halves = judge.judge_of("mnist", None), data.halves_of("mnist")
    assert found(halves.train[: found.count])["distance"] == pytest.approx(found.floor, abs=0.15)
    assert found(torch.zeros_like(halves.train[: found.count]))["distance"] > 1.5


def test_packed_data_are_the_same_and_damage_is_told(tmp_path):
    file = tmp_path / "practice.npz"
    data.pack(file)
    for name in (data.MNIST, data.FASHION, data.TABLE):
        one, other = data.halves_of(name), data.halves_of(name, file)
        assert one.name == other.name and torch.equal(one.train, other.train)
    file.write_bytes(file.read_bytes()[:-9])
    data.halves_of.cache_clear()
    with pytest.raises(FileFormatError, match="make it again"):
        data.halves_of(data.MNIST, file)


def test_rows_are_resumed_and_the_time_is_kept(tmp_path, monkeypatch, capsys):
    asked = {"schedulers": ("constant",), "arms": (), "loops": ("mlp",), "steps": 2, "seeds": 1, "workers": 0}
    study(PracticeStudy(**asked, minutes=0, out=tmp_path))
    assert not (tmp_path / "rows.jsonl").exists()
    study(PracticeStudy(**asked, out=tmp_path))
    rows = read_lines(tmp_path / "rows.jsonl")
    keys = [tuple(row[name] for name in KEY) for row in rows]
    assert len(set(keys)) == len(rows) and [row["arm"] for row in rows[:4]] == ["off", "constant"] * 2
    best = best_factors(rows, 2)["mlp"]
    assert {(row["factor"], row["arm"]) for row in rows if row["seed"] == 0} == {
        (factor, arm) for factor in {0.1, 1.0, 10.0, best} for arm in ("off", "constant")
    }
    before = (tmp_path / "rows.jsonl").read_bytes()
    study(PracticeStudy(**asked, out=tmp_path))
    assert (tmp_path / "rows.jsonl").read_bytes() == before
    assert "| `constant` | 1.00 | 1.00 | 1.00 | 1.00 |" in capsys.readouterr().out


def row(loop, factor, arm, distance, seed=0, steps=9, digest=None, **more):
    return {
        "loop": loop, "data": "mnist", "factor": factor, "arm": arm, "digest": digest, "seed": seed, "steps": steps,
        "device": "cpu", "last": {"distance": 2 * distance}, "average": {"distance": distance}, "diverged": False,
        "floor": 0.1, **more,
    }  # fmt: skip


def tuned(loop, best, steps=9):
    return [row(loop, each, "off", 1.0 + (each != best), 100, steps) for each in SEARCHED]


def test_what_a_choice_waits_for_comes_once_it_is_there():
    asked = PracticeStudy(schedulers=("on-top",), arms=("cosine", "prodigy", "sweep"), loops=("mlp", "dcgan"), steps=9)
    begun = [(job.loop, job.factor, job.arm) for job in itertools.islice(jobs_of(asked, []), 4)]
    assert begun == [(loop, 1.0, arm) for loop in ("mlp", "dcgan") for arm in ("off", "on-top")]

    def at(jobs, factor):
        return {(job.loop, job.arm) for job in jobs if job.factor == factor and job.seed < 100}

    assert at(jobs_of(asked, []), 0.3) == set()
    rows = [*tuned("mlp", 0.3), row("mlp", 10.0, "off", 0.01)]  # which no seed of the tables may choose
    assert at(jobs_of(asked, rows), 0.3) == {("mlp", arm) for arm in ("off", "on-top", "cosine")}
    assert {job.factor for job in jobs_of(asked, rows) if job.arm == "prodigy"} == {1.0}
    trials = [row("dcgan", each, "off", 1 + each, 100, 3) for each in (0.01, 0.1, 1.0)]
    assert swept(trials, "dcgan", 0.1, 9) == 0.01 and swept(trials, "dcgan", 1.0, 9) is None
    assert at(jobs_of(asked, trials), 0.01) == {("dcgan", "off")}


def test_the_tables_have_the_known_answer():
    rows = [*tuned("mlp", 3.0), *tuned("dcgan", 1.0)]
    for seed in (0, 1):
        rows += [row(loop, factor, "off", 2.0, seed) for loop in ("mlp", "dcgan") for factor in (0.1, 1.0, 10.0)]
        rows += [row("mlp", 3.0, "off", 1.0, seed), row("mlp", 3.0, "on-top", 1.5, seed)]
        rows += [row("mlp", 1.0, "on-top", 1.0, seed, diverged=True), row("dcgan", 1.0, "on-top", 4.0, seed)]
        rows += [row("mlp", 1.0, "prodigy", 0.5, seed)]
    rows += [row("mlp", each, "off", each, 100, 3) for each in (0.1, 1.0, 10.0)]
    by_rate, last, by_loop, reached, _ = (each.splitlines() for each in tables(rows))
    assert by_rate[2].startswith("| `on-top` |  | 1.00 [")
    assert by_rate[2].split(" | ")[4].startswith("1.73")  # 1.5 and 2, at each loop's best
    assert by_rate[3] == "| `prodigy` | 0.25 | 0.25 | 0.25 | 0.50 |"
    assert by_rate[4] == "| `sweep` |  | 1.00 |  |  |"
    assert last[2] == by_rate[2]
    (line,) = [each for each in by_loop if each.startswith("| x1 | `on-top` |")]
    assert line.split(" | ")[2:4] == ["4", "2"] and line.endswith("| dcgan 2.00 | 0.50 | 2.00 |")
    assert reached[2] == "| mlp | mnist | 3 | 2.000 | 2.000 | 2.000 | 1.000 | 0.100 |"
    assert reached[3].startswith("| dcgan | mnist | 1 |")


def test_files_of_one_name_are_told_apart():
    rows = [row("mlp", 1.0, "off", 2.0), *(row("mlp", 1.0, "auto", 1.0, digest=each) for each in ("aa", "bb"))]
    lines = tables(rows)[0].splitlines()
    assert [line.split("`")[1] for line in lines[2:]] == ["auto aa", "auto bb"]


def test_the_tables_take_rows_as_files_hold_them(tmp_path):
    append_lines(tmp_path / "rows.jsonl", [row("mlp", 1.0, "off", 2.0), row("mlp", 1.0, "rule", 1.0)])
    assert tables(read_lines(tmp_path / "rows.jsonl", KEY))[0].endswith("| `rule` |  | 0.50 |  |  |")
    assert all(np.isfinite(len(each)) for each in tables([]))


def test_unknown_names_are_told(tmp_path):
    with pytest.raises(UnknownNameError, match="did you mean mlp"):
        study(PracticeStudy(loops=("mpl",), out=tmp_path))
    with pytest.raises(UnknownNameError, match="did you mean cosine"):
        study(PracticeStudy(arms=("cosin",), out=tmp_path))
    with pytest.raises(InvalidValueError, match="has the name of an arm"):
        study(PracticeStudy(schedulers=("cosine.safetensors",), out=tmp_path))
    with pytest.raises(InvalidValueError, match="needs signals of a quality metric"):
        study(PracticeStudy(schedulers=("default",), out=tmp_path))
