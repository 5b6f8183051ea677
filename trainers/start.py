"""Where the command ``jsnas`` begins: so light that Ctrl-C ends it in one line while torch is imported."""

from __future__ import annotations

import os
import signal
from types import FrameType


def main() -> int:
    """Runs the command line; returns its exit code, 130 after Ctrl-C."""
    # An exception in the middle of an import is swallowed, or breaks numpy and torch.
    hears = signal.getsignal(signal.SIGINT) is signal.default_int_handler
    if hears:
        signal.signal(signal.SIGINT, _stop)
    from trainers.cli import main as run

    if hears:
        signal.signal(signal.SIGINT, signal.default_int_handler)
    return run()


def _stop(number: int, frame: FrameType | None) -> None:
    os.write(2, b"jsnas: stopped.\n")
    os._exit(130)
