"""The photographs of scikit-image, packed for the measurements that search and train on them.

The demo's eleven in the demo's split, and its three held-out ones for validation beside the demo's one.
"""

from __future__ import annotations

from pathlib import Path

from jsnas.data.pack import pack
from jsnas.photographs import photograph
from jsnas.task import Task
from trainers.demo import HELD_OUT_PHOTOGRAPHS, TRAINING_PHOTOGRAPHS

SPLIT = ["--datasets.weights=1-8", "--datasets.architecture=9-10", "--datasets.validation=11-14"]


def packed(task: Task, folder: Path) -> Path:
    """The H5 file of a task, made where it is not there yet."""
    path = folder / f"{task.label}.h5"
    if not path.exists():
        folder.mkdir(parents=True, exist_ok=True)
        pack([photograph(name) for name in (*TRAINING_PHOTOGRAPHS, *HELD_OUT_PHOTOGRAPHS)], path, task)
    return path
