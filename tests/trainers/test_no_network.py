"""A search, a training and an evaluation reach for no network, and open nothing to it."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

ROOT = Path(__file__).resolve().parents[2]
WATCHED = """
import sys
seen = []
EVENTS = ("connect", "bind", "getaddrinfo", "gethostbyname", "sendto")
def watch(event, arguments):
    kind, _, name = event.partition(".")
    if kind == "socket" and name in EVENTS:
        address = arguments[:1] if name.startswith("get") else arguments[-1]
        local = isinstance(address, (str, bytes)) or address[0] in ("127.0.0.1", "::1", "localhost")  # a text: a file
        if not local:
            seen.append((event, repr(address)))
            raise OSError("no network in this test")
sys.addaudithook(watch)
from pathlib import Path
from trainers.cli import main
folder = Path(sys.argv[1])
files = ["--config", str(folder / "tiny.yaml"), "--data", str(folder / "data.h5")]
codes = [
    main(["search", *files, "--out", str(folder / "net-search")]),
    main(["train", *files, "--genotype", str(folder / "net-search"), "--out", str(folder / "net-train")]),
    main(["evaluate", str(folder / "net-train" / "checkpoint.safetensors"), str(folder / "images")]),
]
print("codes", codes, "seen", seen)
"""


def test_nothing_leaves_the_machine_and_nothing_is_open_to_others(tiny: Path) -> None:
    words = [sys.executable, "-c", WATCHED, str(tiny)]
    done = subprocess.run(words, cwd=ROOT, capture_output=True, text=True, timeout=600, check=False)
    assert "codes [0, 0, 0] seen []" in done.stdout, done.stdout + done.stderr


def test_the_watch_sees_a_connection(tiny: Path) -> None:
    code = WATCHED.partition("from pathlib")[0] + (
        "import socket\ntry:\n    socket.create_connection(('192.0.2.1', 80), timeout=1)\n"
        "except OSError:\n    print(seen)\n"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, timeout=60, check=False)
    assert "192.0.2.1" in done.stdout
