"""``python -m jsnas`` is the command line."""

import sys

from trainers.cli import main

if __name__ == "__main__":
    sys.exit(main())
