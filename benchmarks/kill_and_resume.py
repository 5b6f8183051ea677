"""Whether a search and a training that are killed at any moment end like those that were not.

    python -m benchmarks.kill_and_resume --kills 20 --json kills.json

For each command: one run that is left alone, then so many runs that SIGKILL ends at a random moment of their work and
that `--resume` carries on. Equal means: the same bytes of the genotype, the checkpoint and the metrics, and the same
content of the last state (weights, optimizers, moving average, random generators). A moment is so many lines of the
log, drawn evenly, and a part of the time to the next line. Processes are forked from one that imported everything, so
that a kill costs seconds.
"""

from __future__ import annotations

import argparse
import json
import math
import multiprocessing
import os
import random
import shutil
import signal
import sys
import tempfile
import time
from collections.abc import Iterator
from hashlib import sha256
from pathlib import Path
from typing import Any

import torch

from benchmarks import tiny_runs
from benchmarks.machine import machine
from trainers.state import read_state

_FILES = {
    "search": ("genotype.json", "metrics.jsonl", "states/*.pt"),
    "train": ("genotype.json", "checkpoint.safetensors", "metrics.jsonl", "states/*.pt"),
}
_LIMIT_SECONDS = 600.0


def hashes(folder: Path, command: str) -> dict[str, str]:
    """SHA-256 of what a finished run leaves; of the states only the last counts."""
    found = {}
    for pattern in _FILES[command]:
        paths = sorted(folder.glob(pattern))
        if not paths:
            found[pattern] = "missing"
        elif pattern.startswith("states"):
            found[pattern] = sha256("".join(_leaves(read_state(paths[-1]))).encode()).hexdigest()
        else:
            found[pattern] = sha256(paths[-1].read_bytes()).hexdigest()
    return found


def _leaves(content: Any) -> Iterator[str]:
    """Every value of a state as text, tensors by their bytes: equal states may be pickled into unequal files."""
    if isinstance(content, dict):
        for key, value in content.items():
            yield f"{key!r}:"
            yield from _leaves(value)
    elif isinstance(content, (list, tuple)):
        yield f"{type(content).__name__} {len(content)} "
        for value in content:
            yield from _leaves(value)
    elif isinstance(content, torch.Tensor):
        values = content.contiguous().reshape(-1).view(torch.uint8).numpy().tobytes()
        yield f"{content.dtype} {tuple(content.shape)} {sha256(values).hexdigest()} "
    else:
        yield f"{content!r} "


def kill_and_resume(command: str, kills: int, seed: int, folder: Path, extra: tuple[str, ...] = ()) -> dict[str, Any]:
    """Kills and carries on.

    Returns:
        The hashes of the run left alone, and for every kill its moment, how far the run had come, and what differed.
    """
    rng = random.Random(seed)
    kept = folder / f"{command}-whole"
    _run(tiny_runs.words(command, folder, kept, extra))
    whole, lines = hashes(kept, command), _lines(kept)
    results = []
    for number in range(kills):
        out = folder / f"{command}-{number}"
        moment = rng.uniform(0, lines)
        killed = _run(tiny_runs.words(command, folder, out, extra), out, moment)
        done = max((int(path.stem) for path in (out / "states").glob("*.pt")), default=0)
        left = sorted(str(path.relative_to(out)) for path in out.rglob("*.part"))
        _run(tiny_runs.words(command, folder, out, (*extra, "--resume")))
        found = hashes(out, command)
        results.append(
            {
                "kill_after_lines": round(moment, 3),
                "killed": killed,
                "newest_state": done,
                "unfinished_files": left,
                "different": [name for name in whole if found[name] != whole[name]],
            }
        )
        shutil.rmtree(out)
    return {"command": command, "lines": lines, "hashes": whole, "kills": results}


def _run(words: list[str], out: Path | None = None, kill_at: float = math.inf) -> bool:
    """Runs ``jsnas`` in a process of its own; whether it was killed, at so many lines of the log in ``out``."""
    process = multiprocessing.get_context("forkserver").Process(target=_main, args=(words,))
    process.start()
    assert process.pid is not None
    start = time.monotonic()
    if out is not None:
        _wait(process, out, kill_at)
    else:
        process.join(_LIMIT_SECONDS)
    killed = process.is_alive()
    if killed:
        os.kill(process.pid, signal.SIGKILL)
        process.join()
    if time.monotonic() - start > _LIMIT_SECONDS:
        raise RuntimeError(f"`jsnas {' '.join(words)}` took more than {_LIMIT_SECONDS:.0f} s")
    if not killed and process.exitcode != 0:
        raise RuntimeError(f"`jsnas {' '.join(words)}` ended with {process.exitcode}")
    return killed


def _wait(process: Any, out: Path, lines: float) -> None:
    """Waits for so many lines of a run's log; a part of a line is that part of the time the line before it took."""
    start = last = time.monotonic()
    seen, step = -1, 0.0
    while process.is_alive() and time.monotonic() - start < _LIMIT_SECONDS:
        now = time.monotonic()
        found = _lines(out) if (out / "config.yaml").exists() else -1
        if found > seen:
            seen, step, last = found, now - last, now
        if seen >= int(lines) and now - last >= (lines - int(lines)) * min(step, 1.0):
            return
        time.sleep(0.002)


def _lines(out: Path) -> int:
    try:
        return (out / "metrics.jsonl").read_bytes().count(b"\n")
    except FileNotFoundError:
        return 0


def _main(words: list[str]) -> None:
    from trainers.cli import main

    torch.set_num_threads(1)
    os.dup2(os.open(os.devnull, os.O_WRONLY), 1)
    sys.exit(main(words))


def main(arguments: list[str] | None = None) -> int:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--kills", type=int, default=20, help="kills of each command (default: 20)")
    parser.add_argument("--seed", type=int, default=0, help="of the moments")
    parser.add_argument("--commands", nargs="+", choices=list(_FILES), default=list(_FILES), help="what is killed")
    parser.add_argument("--json", type=Path, help="where to write the figures")
    options = parser.parse_args(arguments)
    multiprocessing.get_context("forkserver").set_forkserver_preload(["trainers.search", "trainers.train"])
    results = []
    with tempfile.TemporaryDirectory() as temporary:
        folder = Path(temporary)
        tiny_runs.make(folder)
        for command in options.commands:
            results.append(kill_and_resume(command, options.kills, options.seed, folder))
            kills = results[-1]["kills"]
            faults = [kill for kill in kills if kill["different"]]
            iterations = sorted({kill["newest_state"] for kill in kills})
            print(
                f"{command}: {len(kills)} moments, {sum(kill['killed'] for kill in kills)} of them before its end "
                f"(newest states {iterations}); {len(kills) - len(faults)} resumed to the hashes of the run left alone."
            )
            for fault in faults:
                print(f"  differs: {fault}")
    if options.json:
        report = {"benchmark": "kill_and_resume", **machine(torch.device("cpu")), "runs": results}
        options.json.write_text(json.dumps(report, indent=2) + "\n", encoding="utf-8")
    return int(any(kill["different"] for run in results for kill in run["kills"]))


if __name__ == "__main__":
    sys.exit(main())
