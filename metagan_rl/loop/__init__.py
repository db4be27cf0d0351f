"""The main loop: a scheduler sets the controls of GAN runs, they train for an interval, and it sees the result.

Read in this order: ``knobs`` (what can be set), ``controls`` (what is set now), ``runs`` (train and evaluate for an
interval), ``parts`` (the same part by part, for those who look on), ``ledger`` (what is known of a run: ``signals``,
stability, ``reward``), ``scheduler`` (the interface of all schedulers), and ``drive`` (the loop itself).
"""

from metagan_rl.loop.controls import Controls
from metagan_rl.loop.drive import Trace, drive
from metagan_rl.loop.knobs import KNOBS, Knob, NumberKnob, choose_knobs, register_knob
from metagan_rl.loop.ledger import Ledger, Outcome
from metagan_rl.loop.parts import Parts
from metagan_rl.loop.reward import REWARDS, Reward
from metagan_rl.loop.runs import RunOptions, Runs
from metagan_rl.loop.scheduler import SCHEDULERS, Scheduler, Situation, register_scheduler
from metagan_rl.loop.signals import SIGNALS, Signal, choose_signals, register_signal
from metagan_rl.loop.snapshots import load_snapshot, save_snapshot

__all__ = [
    "KNOBS",
    "REWARDS",
    "SCHEDULERS",
    "SIGNALS",
    "Controls",
    "Knob",
    "Ledger",
    "NumberKnob",
    "Outcome",
    "Parts",
    "Reward",
    "RunOptions",
    "Runs",
    "Scheduler",
    "Signal",
    "Situation",
    "Trace",
    "choose_knobs",
    "choose_signals",
    "drive",
    "load_snapshot",
    "register_knob",
    "register_scheduler",
    "register_signal",
    "save_snapshot",
]
