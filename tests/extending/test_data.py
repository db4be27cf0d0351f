"""Data of one's own: a family, a suite, an array or a file; to benchmark and to learn on."""

import numpy as np

FAMILY = '''
import numpy as np
from metagan_rl.envs import register_environment
from metagan_rl.tasks import Family, Suite, register_family, register_suite, sample_task

@register_family("cross")
class Cross(Family):
    """Two crossing lines; the angle differs from task to task."""

    def parameters(self, rng):
        return {"angle": float(rng.uniform(0, np.pi))}

    def points(self, parameters, count, rng):
        along, which = rng.uniform(-1, 1, count), rng.integers(2, size=count)
        turn = parameters["angle"] + which * np.pi / 2
        return along[:, None] * np.stack([np.cos(turn), np.sin(turn)], axis=1) + rng.normal(0, 0.05, (count, 2))

rng = np.random.default_rng(0)
tasks = [sample_task("cross", rng, name=f"cross/{i}", budget=96) for i in range(3)]
register_suite(Suite("crosses", 1, "crossing lines", {"train": tasks[:1], "val": tasks[1:2], "test": tasks[2:]}))
register_environment("Mine/Crosses-v0", "crosses", horizon=2)
'''


def test_a_family_and_a_suite_from_import_to_a_row_and_the_report(desk):
    desk.write("crosses.py", FAMILY)
    desk.run("benchmark", "--import", "crosses.py", "--suite", "crosses", "--split", "test", "--schedulers", "constant")
    (row,) = {(row["suite"], row["family"], row["tag"]) for row in desk.rows()}
    assert row == ("crosses", "cross", "own") and "crosses" in desk.report()


def test_a_scheduler_is_trained_on_ones_own_suite_and_on_ones_own_environment(desk):
    desk.write("crosses.py", FAMILY)
    short = ("--updates", "384", "--members", "4", "--validate-every", "0")
    desk.run_with_workers("train", "--import", "crosses.py", "--suite", "crosses", *short, "--horizon", "2")
    assert (desk.folder / "runs/train/policy.safetensors").exists()
    desk.run("train", "--import", "crosses.py", "--env", "Mine/Crosses-v0", *short, "--out", "runs/other")
    assert (desk.folder / "runs/other/policy.safetensors").exists()


def test_a_csv_file_is_a_suite_to_benchmark_to_tune_and_to_learn_on(desk):
    rows = np.random.default_rng(0).normal(size=(120, 3))
    np.savetxt(desk.folder / "mine.csv", rows, delimiter=",", header="a,b,c", comments="")
    short = ("--tasks", "1", "--seeds", "1", "--horizon", "2")
    desk.run("benchmark", "--suite", "mine.csv", "--split", "test", "--schedulers", "constant,cosine", *short)
    assert {row["tag"] for row in desk.rows()} == {"own"} and len(desk.rows()) == 2
    learn = ("--updates", "384", "--members", "4", "--horizon", "2", "--validate-every", "0")
    desk.run("train", "--suite", "mine.csv", *learn)
    policy = ("--policy", "runs/train/policy.safetensors", "--schedulers", "constant")
    desk.run("benchmark", "--suite", "mine.csv", "--split", "test", *policy, *short, "--out", "runs/learned")
    assert {row["scheduler"] for row in desk.rows("runs/learned")} == {"constant", "learned"}


def test_a_csv_file_with_words_is_refused_in_one_line(desk):
    desk.write("words.csv", "a,b\n1,2\n3,four\n")
    told = desk.run("benchmark", "--suite", "words.csv", "--schedulers", "constant", status=2)
    assert "line 3, column 'b': 'four' is not a number" in told and "Traceback" not in told


def test_a_schedule_that_was_tuned_on_ones_own_data_is_compared_like_a_policy(desk):
    rows = np.random.default_rng(0).normal(size=(120, 2))
    np.savetxt(desk.folder / "mine.csv", rows, delimiter=",")
    small = ("--trials", "2", "--tasks", "1", "--finalists", "1", "--horizon", "2", "--workers", "0")
    desk.run("tune", "--suite", "mine.csv", *small)
    policy = ("--policy", "runs/tune/tuned-constant.json", "--schedulers", "constant", "--split", "test")
    desk.run("benchmark", "--suite", "mine.csv", *policy, "--tasks", "1", "--seeds", "1", "--horizon", "2")
    assert {row["scheduler"] for row in desk.rows()} == {"constant", "tune"}
