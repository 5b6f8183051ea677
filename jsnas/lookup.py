"""What a name or a path stands for: a genotype, or a network of it."""

from __future__ import annotations

import json
from pathlib import Path

from jsnas.checkpoint import load_checkpoint
from jsnas.errors import InputError
from jsnas.genotype import ATTENTION, OPERATION, Genotype
from jsnas.network import JSNet, NetworkSettings
from jsnas.sample import genotype_from_sample

_SAMPLE_LABELS = (f"{OPERATION}_", f"{ATTENTION}_")


def genotype_of(source: str | Path, task: str | None = None, scale: int | None = None) -> Genotype:
    """The genotype of a genotype file, a shipped name, or a sample that an NNI strategy exported as JSON.

    Args:
        source: File or name.
        task: What a sample was searched for, which it does not say.
        scale: Its scale.

    Raises:
        InputError: If the source is none of these, or a sample's task is missing.
    """
    path = Path(source)
    if path.suffix == ".json" and path.is_file():
        try:
            content = json.loads(path.read_bytes())
        except (ValueError, RecursionError):
            content = None  # the genotype's reader says what is wrong
        if isinstance(content, dict) and content and all(str(k).startswith(_SAMPLE_LABELS) for k in content):
            if task is None:
                raise InputError(f"'{path}' is a sample of NNI, which does not say its task; give --task and --scale.")
            return genotype_from_sample(content, task, scale)
    return Genotype.load(source)


def network_of(
    source: str | Path, task: str | None = None, scale: int | None = None, modules: int | None = None
) -> JSNet:
    """The network of a checkpoint, a run folder's checkpoint, or a genotype with fresh weights.

    Args:
        source: A ``.safetensors`` file, a folder that holds ``checkpoint.safetensors`` or ``genotype.json``, a
            genotype file, an NNI sample (JSON), or the name of a shipped genotype.
        task: What an NNI sample was searched for.
        scale: Scale of a genotype's network for super-resolution; the genotype's own by default, or 2.
        modules: Modules of a genotype's network; the paper's number for the task by default.

    Raises:
        InputError: If the source is none of these, or a scale or modules are given for a checkpoint.
    """
    path = Path(source)
    if path.is_dir():
        found = next((path / n for n in ("checkpoint.safetensors", "genotype.json") if (path / n).is_file()), None)
        if found is None:
            raise InputError(
                f"'{path}' holds neither checkpoint.safetensors nor genotype.json; give the folder of a run."
            )
        path = found
    if path.suffix == ".safetensors":
        if scale is not None or modules is not None:
            raise InputError(f"The checkpoint '{path}' has a scale and modules of its own; leave them out.")
        return load_checkpoint(path)
    genotype = genotype_of(path if path.is_file() else source, task, scale)
    if genotype.task == "sr":
        genotype = genotype.with_scale(scale or genotype.scale)
        settings = NetworkSettings(3, scale or genotype.scale or 2, 5 if modules is None else modules)
    elif scale not in (None, 1):
        raise InputError(f"Task '{genotype.task}' keeps the image size, but scale {scale} was given; leave it out.")
    else:
        settings = NetworkSettings(1, 1, 6 if modules is None else modules)
    return JSNet(genotype, settings)
