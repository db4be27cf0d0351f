"""What the recipes share: a user's folder with a file that makes a tiny suite."""

import pytest
from desk import Desk

TINY = """
import numpy as np
from metagan_rl.tasks import Base, Networks, Suite, register_suite, sample_task

def tiny(**conditions):
    rng = np.random.default_rng(0)
    networks = conditions.pop("networks", Networks(latent_dim=2, width=8, depth=1))
    base = conditions.pop("base", Base(batch_size=16))
    tasks = [
        sample_task("ring", rng, name=f"ring/{i}", budget=96, networks=networks, base=base, **conditions)
        for i in range(3)
    ]
    return Suite("tiny", 1, "for a recipe", {"train": tasks[:1], "val": tasks[1:2], "test": tasks[2:]})
"""
"""A suite of runs so short that a recipe takes seconds."""


@pytest.fixture
def desk(tmp_path):
    """An empty folder of a user's, with a file that makes a tiny suite."""
    desk = Desk(tmp_path)
    desk.write("tiny_suite.py", TINY)
    return desk
