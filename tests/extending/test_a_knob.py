"""A knob of one's own is one entry: its name, range, levels and scale, its base value, and how it is applied."""

FILE = '''
import numpy as np
from metagan_rl.agents import Scheduler, register_scheduler
from metagan_rl.loop.knobs import NumberKnob, register_knob
from metagan_rl.loop.scales import DecayScale
from metagan_rl.tasks import register_suite
from tiny_suite import tiny

register_suite(tiny())
register_knob(
    NumberKnob(
        name="beta2",
        meaning="decay rate of Adam's second moment, of both networks",
        side="shared",
        default=False,
        levels=(0.5, 0.9, 0.99, 0.999),
        scale=DecayScale(0.0, 0.99999),
        base=lambda base: base.beta2,
        apply=lambda settings, values: settings.replace(beta2=values),
    )
)

@register_scheduler("short-memory")
class ShortMemory(Scheduler):
    """Adam's second moment forgets more as the run goes on."""

    def propose(self, situation):
        return situation.base.replace(beta2=0.99 - 0.4 * situation.progress)
'''


def test_from_import_to_a_row_and_the_report(desk):
    desk.write("knob.py", FILE)
    names = ("--schedulers", "constant,short-memory")
    desk.run("benchmark", "--import", "knob.py", "--suite", "tiny", "--split", "test", *names)
    constant, turned = sorted(
        (row for row in desk.rows() if row["seed"] == 0), key=lambda row: row["scheduler"] != "constant"
    )
    assert constant["distance"] != turned["distance"] and "short-memory" in desk.report()
    assert "beta2" in (desk.folder / "runs/benchmark/curves.jsonl").read_text(encoding="utf-8")


def test_an_agent_learns_to_turn_it_and_its_policy_file_tells_what_it_means(desk):
    desk.write("knob.py", FILE)
    short = ("--updates", "384", "--members", "4", "--horizon", "2", "--validate-every", "0")
    desk.run("train", "--import", "knob.py", "--suite", "tiny", "--knobs", "beta2", "ratio", *short)
    policy = ("--policy", "runs/train/policy.safetensors", "--schedulers", "constant", "--split", "test")
    desk.run("benchmark", "--import", "knob.py", "--suite", "tiny", *policy)
    assert {row["scheduler"] for row in desk.rows()} == {"constant", "learned"}
    told = desk.run("benchmark", "--suite", "planar", *policy, "--out", "runs/without", status=2)
    assert "unknown knob 'beta2'" in told
    desk.write("knob.py", FILE.replace("DecayScale(0.0, 0.99999)", "DecayScale(0.0, 0.9999)"))
    told = desk.run("benchmark", "--import", "knob.py", "--suite", "tiny", *policy, "--out", "runs/other", status=2)
    assert "knob beta2 means something else in it: its scale is" in told


def test_every_search_and_listing_knows_it(desk):
    desk.write("knob.py", FILE)
    assert "beta2  decay rate of Adam's second moment" in desk.run("--import", "knob.py", "list", "knobs")
