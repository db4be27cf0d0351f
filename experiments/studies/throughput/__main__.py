"""``python -m metagan_rl.experiments.studies.throughput [--quick] [--only KIND] [--out FILE]``."""

from metagan_rl.experiments.studies.command import run_command
from metagan_rl.experiments.studies.throughput.measuring import Throughput, write_rows

if __name__ == "__main__":
    run_command(Throughput, write_rows)
