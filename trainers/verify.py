"""The full check of a file that jsnas wrote: everything in it is read and compared with its hashes."""

from __future__ import annotations

from pathlib import Path

from jsnas.checkpoint import load_checkpoint
from jsnas.data.h5 import H5Images
from jsnas.errors import InputError
from jsnas.genotype import Genotype
from trainers.state import read_state


def verify(path: Path) -> str:
    """Reads a file whole.

    Args:
        path: Packed images (.h5, or a folder of shards), a checkpoint (.safetensors), a run's resumable state (.pt) or
            a genotype (.json, .yaml).

    Returns:
        What it is, in words.

    Raises:
        InputError: If it is missing, damaged, altered or none of these.
    """
    if path.is_dir() and not any(path.glob("*.h5")):
        raise InputError(f"'{path}' is a folder without packed images; give a file, such as a checkpoint.")
    if not path.exists():
        raise InputError(f"There is no file '{path}'; give packed images, a checkpoint, a state or a genotype.")
    match path.suffix.lower():
        case ".safetensors":
            network = load_checkpoint(path)
            task = network.metadata["task"].label
            return f"checkpoint for {task}, {sum(t.numel() for t in network.state_dict().values()):,} values"
        case ".pt":
            return f"state after iteration {read_state(path)['iteration']}"
        case ".json" | ".yaml" | ".yml":
            return f"genotype: {Genotype.load(path)}"
        case _:
            images = H5Images(path)
            images.verify()
            return f"{len(images)} images packed for {images.task.label}"
