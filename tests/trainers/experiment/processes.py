"""Whether a process still runs."""

from __future__ import annotations

import psutil


def alive(pid: int) -> bool:
    try:
        return psutil.Process(pid).status() != psutil.STATUS_ZOMBIE  # one that nobody has collected yet
    except psutil.NoSuchProcess:
        return False
