"""A loss of one's own is a pair of formulas on logits; tasks name it, and agents choose it where they are told to."""

FILE = """
import math
import torch
from torch.nn.functional import softplus
from metagan_rl.losses import Loss, register_loss
from metagan_rl.tasks import Base, register_suite
from tiny_suite import tiny

register_loss(
    "smoothed",
    Loss(
        discriminator=lambda real, fake: (0.9 * softplus(-real) + 0.1 * softplus(real) + softplus(fake)).mean(dim=-1),
        generator=lambda real, fake: softplus(-fake).mean(dim=-1),
        ideal=math.log(4),
        generator_ideal=math.log(2),
        source="one-sided label smoothing, Salimans et al. 2016",
    ),
)
register_suite(tiny(base=Base(batch_size=16, loss="smoothed")))
"""


def test_from_import_to_a_row_and_the_report(desk):
    desk.write("smoothed.py", FILE)
    desk.run("benchmark", "--import", "smoothed.py", "--suite", "tiny", "--split", "test", "--schedulers", "constant")
    assert all(row["error"] is None for row in desk.rows()) and "smoothed" in desk.report()
    assert "smoothed" in desk.run("--import", "smoothed.py", "list", "losses")


def test_an_agent_chooses_it_and_shipped_policies_stay_readable(desk):
    desk.write("smoothed.py", FILE)
    short = ("--updates", "384", "--members", "4", "--horizon", "2", "--validate-every", "0")
    desk.run("train", "--import", "smoothed.py", "--suite", "tiny", "--knobs", "loss=hinge,smoothed", *short)
    policy = ("--policy", "runs/train/policy.safetensors", "--schedulers", "default,loop", "--split", "test")
    desk.run("benchmark", "--import", "smoothed.py", "--suite", "tiny", *policy)
    assert {row["scheduler"] for row in desk.rows()} == {"default", "loop", "learned"}
