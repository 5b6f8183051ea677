"""What NNI starts as a trial: ``python -m trainers.experiment.trial_main``.

It watches over the worker that does the work, so that the trial's log says why even when the worker was killed, as
happens to a process that takes too much memory. It imports nothing that takes time or memory.
"""

from __future__ import annotations

import signal
import subprocess
import sys
from collections.abc import Sequence


def main(words: Sequence[str]) -> int:
    """Runs the worker with the same words.

    Returns:
        Its exit code; NNI shows a trial whose code is not 0 as failed.
    """
    with subprocess.Popen([sys.executable, "-m", "trainers.experiment.trial_worker", *words]) as worker:
        for number in (signal.SIGINT, signal.SIGTERM):  # NNI tells this process alone to stop
            signal.signal(number, lambda *_: worker.send_signal(signal.SIGINT))
        code = worker.wait()
    if code < 0:
        name = signal.Signals(-code).name
        why = "; the machine may have run out of memory" if -code == signal.SIGKILL else ""
        print(f"jsnas: The trial was killed by {name}{why}.", file=sys.stderr)
        return 128 - code
    return code


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
