"""Does the tournament call luck luck? Real searches and trainings, on spaces of which the answer is known.

    python -m benchmarks.planted_tournament --json planted.json

In the flat space three candidates are the same block, begun with other random numbers; in the other, two drown what
comes in in noise and one does not. Each repeat is a tournament with seeds of its own.
"""

from __future__ import annotations

import argparse
import json
import tempfile
from pathlib import Path
from typing import Any

import torch

from benchmarks.machine import machine
from benchmarks.photograph_data import SPLIT, packed
from jsnas.task import Task
from trainers.config_file import load_config
from trainers.statistics import NO_DIFFERENCE
from trainers.tournament.run import tournament
from trainers.tournament.verdict import judge

SPACES = {"flat": ("FlatA", "FlatB", "FlatC"), "one better": ("NoisyA", "Clear", "NoisyB")}
SMALL = [
    *("--search.modules=1", "--search.channels=8", "--search.inner_channels=8", "--network.modules=1"),
    *("--network.channels=8", "--network.inner_channels=8", "--search.space=operation", "--search.operation_nodes=4"),
    *("--datasets.patch_size=16", "--datasets.batch_size=2", "--val.max_side=64", "--val.max_images=2"),
    *("--search.trial_iter=20", "--search.total_iter=60", "--train.total_iter=40", "--train.halve_every=20"),
    *("--network.fusion_kernels=null", "--tournament.test=13-14", "--tournament.contestants=[random, luck, singles]"),
    *("--logger.tensorboard=false", "--device=cpu"),
]


def measure(repeats: int, seeds: int, work: Path) -> dict[str, Any]:
    data = packed(Task("sr", 2), work)
    said: dict[str, list[str]] = {}
    for space, blocks in SPACES.items():
        names = ", ".join(f"benchmarks.planted_blocks:{name}" for name in blocks)
        said[space] = []
        for k in range(repeats):
            words = [*SPLIT, *SMALL, f"--search.operations=[{names}]", f"--tournament.seeds={seeds}"]
            words += [f"--manual_seed={1000 * k}", f"--datasets.path={data}"]
            out = work / space.replace(" ", "-") / str(k)
            content = tournament(load_config("tournament", words), out, resume=out.exists())
            said[space].append(judge(content).verdict)
            print(f"{space} {k}: {said[space][-1]}", flush=True)
    return said


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--json", type=Path, help="where to write the figures")
    parser.add_argument("--repeats", type=int, default=20, help="tournaments in each space")
    parser.add_argument("--seeds", type=int, default=8, help="of each contestant")
    parser.add_argument("--work", type=Path, help="folder of the runs, to carry them on (default: a temporary one)")
    arguments = parser.parse_args()
    torch.set_num_threads(1)
    with tempfile.TemporaryDirectory() as folder:
        said = measure(arguments.repeats, arguments.seeds, arguments.work or Path(folder))
    flat = sum(NO_DIFFERENCE in words and "better" not in words and "worse" not in words for words in said["flat"])
    better = sum("all Clear is better than" in words for words in said["one better"])
    print(f"\n| space | said | in |\n|---|---|---|\n| flat | {NO_DIFFERENCE} | {flat} of {len(said['flat'])} |")
    print(f"| one better | all Clear is better | {better} of {len(said['one better'])} |")
    if arguments.json:
        result = {"benchmark": "planted_tournament", **machine(torch.device("cpu")), "said": said}
        result |= {"flat_no_difference": flat, "better_named": better, "repeats": arguments.repeats}
        arguments.json.write_text(json.dumps(result, indent=2) + "\n", encoding="utf-8")


if __name__ == "__main__":
    main()
