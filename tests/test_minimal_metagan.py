"""The file for teaching stands alone, and the notebook's cells run as they are."""

import ast
import json
import os
import subprocess
import sys
from pathlib import Path

ROOT = Path(__file__).parent.parent
FILE = ROOT / "experiments" / "minimal_metagan.py"
NOTEBOOK = ROOT / "docs" / "notebook.ipynb"


def test_it_trains_a_policy_and_ends_with_the_ratio(tmp_path):
    sizes = ["--iterations=10", "--gans=3", "--intervals=2", "--updates=1", "--seeds=2"]
    done = subprocess.run([sys.executable, "-W", "error", FILE, *sizes], cwd=tmp_path, capture_output=True, text=True)
    assert done.returncode == 0, done.stderr
    first, last = done.stdout.splitlines()
    assert first.startswith("iteration 10: mean return ") and last.startswith("learned / fixed: ")
    assert 0.3 < float(last.split()[3]) < 3  # two updates change little


def test_it_is_short_and_needs_only_torch():
    text = FILE.read_text(encoding="utf-8")
    assert len(text.splitlines()) < 250
    nodes = [each for each in ast.walk(ast.parse(text)) if isinstance(each, (ast.Import, ast.ImportFrom))]
    modules = {name for node in nodes for name in (getattr(node, "module", None), *(n.name for n in node.names))}
    assert not any(name.startswith("metagan") for name in modules if name)


def test_it_is_not_in_the_wheel(tmp_path):
    done = subprocess.run(
        [sys.executable, "setup.py", "-q", "build_py", "--build-lib", tmp_path],
        cwd=ROOT,
        capture_output=True,
        text=True,
    )
    assert done.returncode == 0, done.stderr
    built = {path.name for path in (tmp_path / "metagan_rl" / "experiments").glob("*.py")}
    assert "quickstart.py" in built and "minimal_metagan.py" not in built


def test_the_cells_of_the_notebook_run(tmp_path):
    notebook = json.loads(NOTEBOOK.read_text(encoding="utf-8"))
    assert (notebook["nbformat"], notebook["nbformat_minor"]) == (4, 5)
    cells = ["".join(cell["source"]) for cell in notebook["cells"] if cell["cell_type"] == "code"]
    assert all(cell["outputs"] == [] for cell in notebook["cells"] if cell["cell_type"] == "code")
    lines = [line for cell in cells for line in cell.splitlines() if line.strip()]
    assert len(lines) == 10
    script = "\n".join(cells).replace("horizon=64", "horizon=3")
    environment = {**os.environ, "PYTHONPATH": str(ROOT), "MPLBACKEND": "agg"}
    done = subprocess.run([sys.executable, "-c", script], cwd=tmp_path, env=environment, capture_output=True, text=True)
    assert done.returncode == 0, done.stderr
    assert done.stdout.count("\n") == 2
