"""Where the command ``jsnas`` begins: so light that Ctrl-C is heard while torch is imported."""

from __future__ import annotations

import sys


def main() -> int:
    """Runs the command line; returns its exit code, 130 after Ctrl-C."""
    try:
        from trainers.cli import main as run

        return run()
    except KeyboardInterrupt:
        print("jsnas: stopped.", file=sys.stderr)
        return 130
