"""What the command ``metagan-rl`` and ``python -m metagan_rl`` call.

The command line takes seconds to import. Until it is there, Ctrl-C and other troubles are met here.
"""

import sys

from metagan_rl.reproducible import asked, reproducible, restart


def main() -> int:
    """Runs the command line; returns the exit status."""
    if asked(sys.argv[1:]) and not reproducible():
        restart()
    try:
        from metagan_rl.cli import main as run
    except KeyboardInterrupt:
        print("metagan-rl: interrupted before anything was done", file=sys.stderr)
        return 130
    return run()


if __name__ == "__main__":
    sys.exit(main())
