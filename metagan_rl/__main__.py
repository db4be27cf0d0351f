"""``python -m metagan_rl``: the command line, for when its script is not on the path."""

import sys

from metagan_rl.cli import main

if __name__ == "__main__":
    sys.exit(main())
