"""Several processes that train one GAN."""

import subprocess
import sys
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parent.parent

BEGIN = """
import sys, torch, torch.distributed as dist
from pathlib import Path
from metagan_rl import GANScheduler
rank = int(sys.argv[1])
networks = torch.nn.Linear(2, 2), torch.nn.Linear(2, 1)
g, d = (torch.optim.Adam(network.parameters(), 1e-2) for network in networks)
# After the optimizers. They import torch._dynamo, and torch.distributed.nn with it, whose functions have the world's
# group as a default argument. Imported later, these would keep the group. Then destroy_process_group cannot end gloo's
# threads, and one of them may ask for the interpreter while it shuts down, which aborts (pytorch issue 190489).
dist.init_process_group("gloo", init_method=sys.argv[2], rank=rank, world_size=2)
"""
END = """
dist.destroy_process_group()
threads = [path.read_text().strip() for path in Path("/proc/self/task").glob("*/comm")]  # only Linux has them
assert not any("gloo" in name for name in threads), threads
"""
FOLLOW = """
from metagan_rl.errors import InvalidValueError
try:
    GANScheduler("cosine", g, d, total_steps=8 + rank, interval=2)
except InvalidValueError as error:
    assert rank == 1 and "differ in total_steps and interval: [9, 2] here" in str(error), error
else:
    assert rank == 0
scheduler = GANScheduler("random", g, d, total_steps=8, interval=2, seed=rank, change=3.0)
rates = [scheduler.get_last_lr()]
for step in range(8):
    scheduler.step(discriminator_loss=1.0 if rank else float("nan") if step > 5 else 1.3)
    rates.append(scheduler.get_last_lr())
print(rates, scheduler.controls.advice.status, scheduler.controls.advice.roll_back_to, scheduler.controls.fallen_back)
dist.barrier()
"""
SHORTER = """
scheduler = GANScheduler("cosine", g, d, total_steps=8, interval=2)
for step in range(8 if rank == last else 3):
    scheduler.step(discriminator_loss=1.3)
print(scheduler.last_step, scheduler.get_last_lr())
"""


def run(code, tmp_path):
    """What both processes print, once both have ended without an error."""
    command = [sys.executable, "-W", "ignore", "-c", BEGIN + code + END]
    workers = [
        subprocess.Popen([*command, str(rank), f"file://{tmp_path}/meet"], cwd=ROOT, stdout=-1, stderr=-1, text=True)
        for rank in range(2)
    ]
    try:
        outputs = [worker.communicate() for worker in workers]
    finally:
        for worker in workers:
            worker.kill()
    assert [worker.returncode for worker in workers] == [0, 0], outputs
    return [out for out, _ in outputs]


def test_all_processes_follow_the_first_and_other_plans_are_refused(tmp_path):
    one, other = run(FOLLOW, tmp_path)
    assert one == other and one.rstrip().endswith("diverged 6 True")


@pytest.mark.parametrize("last", [0, 1])
def test_a_process_that_goes_on_alone_keeps_what_was_agreed_on(last, tmp_path):
    """The other one is over after three steps; the last decision of both was at step 2."""
    outputs = run(f"last = {last}\n" + SHORTER, tmp_path)
    steps, rates = zip(*(output.split(" ", 1) for output in outputs), strict=True)
    assert steps[last] == "8" and steps[1 - last] == "3" and rates[0] == rates[1]
