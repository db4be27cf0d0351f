"""See the package."""

from metagan_rl.experiments.studies.command import run_command
from metagan_rl.experiments.studies.transfer.study import TransferStudy, study

if __name__ == "__main__":
    run_command(TransferStudy, study)
