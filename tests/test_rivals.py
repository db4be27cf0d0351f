"""The study of other optimizers: rivals train the reference's own tasks, and the study goes on where it stopped."""

from dataclasses import replace

import pytest

from metagan_rl.errors import UnknownNameError
from metagan_rl.experiments.studies import rivals
from metagan_rl.experiments.studies.rivals import (
    CHOSEN,
    CONDITIONS,
    VARIANTS,
    Rivals,
    jobs_of,
    register_corrected,
    study,
)
from metagan_rl.experiments.studies.transfer.conditions import find_condition
from metagan_rl.optimizers import OPTIMIZERS


def test_a_rival_differs_from_the_reference_in_its_base_alone():
    register_corrected()
    for name in VARIANTS:
        (job,) = [each for each in jobs_of(Rivals(only=(name,), tasks=2)) if each.scheduler == name]
        usual = find_condition(job.condition).tasks("val", 2)
        assert [replace(task, base=old.base) for task, old in zip(job.tasks(), usual, strict=True)] == usual
        assert job.tasks()[0].base.optimizer in OPTIMIZERS


def test_what_is_hidden_multiplies_what_prodigy_finds():
    name = "prodigy, penalty, decay"
    jobs = [each for each in jobs_of(Rivals("test", only=(name,))) if each.scheduler == name]
    (job,) = [each for each in jobs if each.condition == "G's rate x8, hidden"]
    (task, *_) = job.tasks()
    assert (task.base.optimizer, task.base.generator_lr, task.hidden.factors(0.0)) == ("prodigy", 1.0, (8.0, 1.0))


@pytest.mark.parametrize(("name", "first", "last", "penalty"), [
    ("prodigy", 1.0, 1.0, 0.0), ("prodigy, penalty", 1.0, 1.0, 0.03), ("prodigy x0.3, penalty, decay", 0.3, 0.1, 0.03),
])  # fmt: skip
def test_rates_and_penalty_are_as_the_name_says(name, first, last, penalty):
    schedule = VARIANTS[name].schedule
    assert schedule.generator_lr == schedule.discriminator_lr == pytest.approx((first, last))
    assert schedule.penalty_weight == pytest.approx(penalty, rel=0.01)


def test_a_variant_that_is_none_is_refused():
    with pytest.raises(UnknownNameError, match="did you mean rmsprop x1"):
        jobs_of(Rivals(only=("rmsprop x1 ",)))


def test_what_runs_on_test_tasks_is_among_what_was_tried():
    assert set(CHOSEN) <= set(VARIANTS)
    jobs = jobs_of(Rivals("test", seeds=2))
    assert len(jobs) == 2 * len(CONDITIONS) * len(CHOSEN) == len({job.key for job in jobs})


def test_a_study_goes_on_where_it_stopped(tmp_path, monkeypatch, capsys):
    monkeypatch.setattr(rivals, "CONDITIONS", ("768 updates",))
    options = Rivals("test", only=("rmsprop x1", "prodigy"), tasks=1, workers=0, out=tmp_path)
    study(options)
    first = (tmp_path / "rows.jsonl").read_text()
    assert capsys.readouterr().out.splitlines()[-1].startswith("| 768 updates | 1 x 1 |")
    study(options)
    assert (tmp_path / "rows.jsonl").read_text() == first and first.count("\n") == 3
