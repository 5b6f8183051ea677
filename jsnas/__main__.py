"""``python -m jsnas`` is the command line."""

import sys

from trainers.cli import main

sys.exit(main())
