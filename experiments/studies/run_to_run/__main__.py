"""See the package."""

from metagan_rl.experiments.studies.command import run_command
from metagan_rl.experiments.studies.run_to_run.study import RunToRun, study

if __name__ == "__main__":
    run_command(RunToRun, study)
