"""A signal of one's own is a name, a range, a formula and what a loop must tell for it."""

import subprocess
import sys

FILE = '''
import numpy as np
from metagan_rl.agents import Scheduler, register_scheduler
from metagan_rl.loop import Signal, register_signal
from metagan_rl.tasks import register_suite
from tiny_suite import tiny

register_suite(tiny())
register_signal(
    Signal(
        "speed_ratio", -1.0, 1.0, "log10(move of G's weights / move of D's)", "outputs",
        lambda known: np.log10(known.measured.generator_move / known.measured.discriminator_move),
    )
)

@register_scheduler("even-speed")
class EvenSpeed(Scheduler):
    """D's rate follows how fast G moves beside it."""

    needs = ("speed_ratio",)

    def propose(self, situation):
        ratio = np.nan_to_num(situation.signals.get("speed_ratio", np.zeros(len(situation))))
        return situation.base.replace(discriminator_lr_factor=10 ** np.clip(ratio, -1, 1))
'''


def test_from_import_to_a_row_and_the_report(desk):
    desk.write("signal_of_mine.py", FILE)
    names = ("--schedulers", "constant,even-speed", "--split", "test")
    desk.run("benchmark", "--import", "signal_of_mine.py", "--suite", "tiny", *names)
    distances = {row["scheduler"]: row["distance"] for row in desk.rows() if row["seed"] == 0}
    assert distances["constant"] != distances["even-speed"] and "even-speed" in desk.report()


def test_an_environment_shows_it_where_it_is_asked_for(desk):
    desk.write("signal_of_mine.py", FILE)
    desk.write(
        "look.py",
        "import gymnasium as gym\nimport metagan_rl\n"
        "metagan_rl.load_extension('signal_of_mine.py')\n"
        "asked = {'signals': ['progress', 'speed_ratio'], 'actions': 'discrete', 'reference': None}\n"
        "env = gym.make('MetaGAN/Suite-v1', suite='tiny', **asked)\n"
        "env.reset(seed=0)\nseen = env.step(env.action_space.sample())[0]\n"
        "assert seen.shape == (2,) and seen[1] != 0, seen\n",
    )
    subprocess.run([sys.executable, "look.py"], cwd=desk.folder, check=True)
