"""The study that takes the recipe of default apart: every variant can be trained, and the table has what was run."""

import pytest

from metagan_rl.errors import UnknownNameError
from metagan_rl.experiments.studies import ablations
from metagan_rl.experiments.studies.ablations import RECIPE, VARIANTS, Ablations, chosen, register_narrow, study, table


def test_every_variant_is_a_configuration_that_differs_from_the_recipe():
    register_narrow()
    recipe = VARIANTS["recipe"].config()
    for name, variant in VARIANTS.items():
        config = variant.config()
        assert (config == recipe and variant.first is None) == (name == "recipe"), name
        assert config.settled().reference in ("rule", "tuned-decay", "identified-rule")


def test_a_variant_that_is_none_is_refused():
    with pytest.raises(UnknownNameError, match="did you mean no memory"):
        chosen(Ablations(only=("no memoory",)))


def test_a_study_trains_runs_and_goes_on_where_it_stopped(tmp_path, monkeypatch, capsys):
    monkeypatch.setitem(RECIPE, "members", 2)
    monkeypatch.setattr(ablations, "SHOWN", ("all of these, G's rate x8",))
    options = Ablations(
        updates=2,
        only=("imitation, then PPO", "no memory", "two families"),
        runs=1,
        tasks=1,
        work=tmp_path / "work",
        out=tmp_path,
    )
    study(options)
    first = (tmp_path / "rows.jsonl").read_text()
    told = capsys.readouterr().out.splitlines()
    assert [line.split(" | ")[0] for line in told[-3:]] == ["| no memory", "| imitation, then PPO", "| two families"]
    before, after = (tmp_path / "work" / f"imitation, then PPO-0{part}" for part in ("-first", ""))
    assert (after / "start.safetensors").read_bytes() == (before / "policy.safetensors").read_bytes()
    study(options)
    assert (tmp_path / "rows.jsonl").read_text() == first


def test_the_table_leaves_out_what_was_not_run():
    assert len(table([]).splitlines()) == 2
    row = {"condition": "as trained", "task": "a", "seed": 0, "distance": 0.5}
    lines = table([{**row, "scheduler": name} for name in ("rule", "recipe")]).splitlines()
    assert len(lines) == 3 and "| 1.00 [nan, nan] |  |" in lines[2]
