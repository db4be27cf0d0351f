"""See the package."""

from metagan_rl.experiments.studies.command import run_command
from metagan_rl.experiments.studies.practice.options import PracticeStudy
from metagan_rl.experiments.studies.practice.study import study

if __name__ == "__main__":
    run_command(PracticeStudy, study)
