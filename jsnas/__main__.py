"""``python -m jsnas`` is the command line."""

import sys

from trainers.start import main

if __name__ == "__main__":
    sys.exit(main())
