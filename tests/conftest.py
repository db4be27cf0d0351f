"""What every test relies on: one thread a process, and no denormal floats (a dead GAN's would slow it manyfold)."""

from collections import Counter

import pytest
import torch

from metagan_rl.errors import MissingDataError
from metagan_rl.tasks import FAMILIES

torch.set_num_threads(1)
torch.set_flush_denormal(True)

FASHION = {"fashion-mnist", "FashionMNIST", *(f"MetaGAN/FashionMNIST-v{version}" for version in range(3))}


@pytest.fixture
def data_there(request: pytest.FixtureRequest) -> None:
    """Skips what is parametrised with Fashion-MNIST where that is absent: no Python package brings it."""
    if FASHION & set(map(str, request.node.callspec.params.values())):
        try:
            FAMILIES["fashion-mnist"].rows({"classes": [0]})
        except MissingDataError:
            pytest.skip("for want of Fashion-MNIST; Debian's package dataset-fashion-mnist brings it")


def pytest_terminal_summary(terminalreporter: pytest.TerminalReporter) -> None:
    """Tells what was skipped in one line for each reason, wherever the tests lie."""
    reasons = Counter(
        report.longrepr[2].removeprefix("Skipped: ") for report in terminalreporter.stats.get("skipped", [])
    )
    for reason, count in sorted(reasons.items()):
        terminalreporter.write_line(f"SKIPPED {count}: {reason}")
