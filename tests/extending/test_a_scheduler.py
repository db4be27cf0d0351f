"""A scheduler of one's own is a class with ``propose``: signals in, controls out."""

FILE = '''
import numpy as np
from metagan_rl.agents import Controls, Scheduler, Situation, register_scheduler
from metagan_rl.tasks import register_suite
from tiny_suite import tiny

register_suite(tiny())

@register_scheduler("brake")
class Brake(Scheduler):
    """D's rate is halved while D orders most pairs rightly."""

    def propose(self, situation: Situation) -> Controls:
        sure = situation.signals.get("pair_accuracy", np.zeros(len(situation))) > 0.5
        return situation.base.replace(discriminator_lr_factor=np.where(sure, 0.5, 1.0))
'''


def test_from_import_to_a_row_and_the_report(desk):
    desk.write("brake.py", FILE)
    names = ("--suite", "tiny", "--split", "test", "--schedulers", "brake", "--workers", "1")
    desk.run_with_workers("benchmark", "--import", "brake.py", *names)
    assert {row["scheduler"] for row in desk.rows()} == {"brake"} and desk.rows()[0]["tag"] == "own"
    assert "brake" in desk.report()
    assert "brake  (own) D's rate is halved" in desk.run("--import", "brake.py", "list", "schedulers")


def test_by_module_and_attribute_it_need_not_be_registered(desk):
    desk.write("brake.py", FILE.replace('@register_scheduler("brake")', ""))
    desk.run("benchmark", "--import", "brake", "--suite", "tiny", "--split", "test", "--schedulers", "brake:Brake")
    assert {row["scheduler"] for row in desk.rows()} == {"brake:Brake"}


def test_a_file_that_fails_shows_the_users_own_traceback(desk):
    desk.write("broken.py", "def helper():\n    return 1 / 0\n\nhelper()\n")
    told = desk.run("--import", "broken.py", "list", "schedulers", status=2)
    assert "ZeroDivisionError" in told and 'broken.py", line 2' in told and "extensions.py" not in told


def test_a_name_that_is_nothing_offers_the_nearest(desk):
    desk.write("brake.py", FILE)
    told = desk.run("benchmark", "--import", "brake.py", "--suite", "tiny", "--schedulers", "brak", status=2)
    assert "did you mean brake" in told
