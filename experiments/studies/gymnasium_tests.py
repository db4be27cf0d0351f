"""Runs Gymnasium's own tests on our environments.

``python -m metagan_rl.experiments.studies.gymnasium_tests CHECKOUT``, where ``CHECKOUT`` is a checkout of Gymnasium
at the version that is installed, as its tests are in no package. They are copied into a temporary folder. There,
environments that are tested by a list become ours, and CartPole becomes one of ours. Nothing else is changed. So a
test that has the shape of CartPole's observation written into it fails, as do those of environments that are not
installed; the study leaves both out by name.
"""

import os
import re
import shutil
import subprocess
import sys
import tempfile
from collections.abc import Sequence
from dataclasses import dataclass
from importlib.metadata import version
from pathlib import Path

import tyro

from metagan_rl.errors import FileFormatError
from metagan_rl.experiments.studies.command import run_command, show_line

IDS = ("Ring8-v2", "Ring8-Moves-v2", "Ring8-Box-v2", "Dirac-v2", "Unknown-v0")
"""Those that take the place of all that Gymnasium registers."""
INSTEAD_OF_CARTPOLE = "MetaGAN/Ring8-Moves-v2"
FILES = (
    "envs/test_envs.py",
    "vector/test_vector_env.py",
    "vector/test_vector_env_info.py",
    "wrappers/vector/test_dict_info_to_list.py",
    "wrappers/vector/test_record_episode_statistics.py",
    "wrappers/vector/test_vector_wrappers.py",
)
LEFT_OUT = "not CarRacing and not RescaleObservation"
"""CarRacing needs Box2D; RescaleObservation is given limits of CartPole's four numbers."""
UTILITIES = "envs/utils.py"
LISTED = '"gymnasium.envs." in env_spec.entry_point'
"""The condition by which Gymnasium's utilities list what is tested."""


@dataclass(frozen=True)
class GymnasiumTests:
    """Gymnasium's own tests on our environments."""

    checkout: tyro.conf.Positional[Path]
    """Checkout of Gymnasium."""


def adapted(text: str, *, listing: bool) -> str:
    """A file of the tests with our environments in place of Gymnasium's.

    Raises:
        FileFormatError: it lists what is tested in another way than expected.
    """
    if listing and LISTED not in text:
        raise FileFormatError(f"{UTILITIES} does not hold {LISTED!r}; take a checkout of {version('gymnasium')}")
    ids = ", ".join(repr(f"MetaGAN/{name}") for name in IDS)
    text = text.replace(LISTED, f"env_spec.id in ({ids})").replace('"CartPole-v1"', f'"{INSTEAD_OF_CARTPOLE}"')
    return re.sub(r"^import gymnasium as gym$", "import metagan_rl\nimport gymnasium as gym", text, count=1, flags=re.M)


def prepared(checkout: Path, folder: Path) -> None:
    """Copies the tests into a folder, and adapts those that are run.

    Raises:
        FileFormatError: there are no tests in the checkout, or not those that are expected.
    """
    if not (checkout / "tests" / UTILITIES).is_file():
        raise FileFormatError(f"{checkout} has no tests/{UTILITIES}; give a checkout of Gymnasium")
    shutil.copytree(checkout / "tests", folder / "tests")
    for name in (UTILITIES, *FILES):
        path = folder / "tests" / name
        path.write_text(adapted(path.read_text(encoding="utf-8"), listing=name == UTILITIES), encoding="utf-8")


def counts(output: str) -> dict[str, int]:
    """How many tests passed, failed and so on, from pytest's last line."""
    last = output.strip().splitlines()[-1] if output.strip() else ""
    return {what: int(number) for number, what in re.findall(r"(\d+) (passed|failed|skipped|errors?)", last)}


def run(folder: Path, files: Sequence[str] = FILES) -> str:
    """Runs the files one by one; a table of what came out, as Markdown."""
    lines = ["| file | passed | failed | skipped |", "|---|--:|--:|--:|"]
    path = os.pathsep.join([str(folder), *(each for each in sys.path if each)])
    environment = {**os.environ, "PYTHONPATH": path, "OMP_NUM_THREADS": "1"}
    for name in files:
        command = [sys.executable, "-m", "pytest", "-q", "-p", "no:cacheprovider", "-k", LEFT_OUT, f"tests/{name}"]
        done = subprocess.run(command, cwd=folder, env=environment, capture_output=True, text=True, check=False)
        found = counts(done.stdout)
        failed = sum(number for what, number in found.items() if what.startswith(("failed", "error")))
        lines.append(f"| `{name}` | {found.get('passed', 0)} | {failed} | {found.get('skipped', 0)} |")
        show_line(lines[-1])
        if failed or done.returncode:
            show_line(done.stdout[-2000:])
    return "\n".join(lines)


def study(options: GymnasiumTests) -> None:
    """Prepares and runs the tests, and shows the table."""
    with tempfile.TemporaryDirectory() as folder:
        prepared(options.checkout, Path(folder))
        show_line(run(Path(folder)))


if __name__ == "__main__":
    run_command(GymnasiumTests, study)
