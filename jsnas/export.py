"""From what a search found to a JSNet, by genotype or by checkpoint, and from a JSNet to a file for others to use.

The network needs neither NNI nor the supernet. ``jsnas.checkpoint`` keeps it in a file, ``jsnas.source`` prints it.
"""

from __future__ import annotations

import json
from pathlib import Path

from jsnas.basicsr import write_basicsr
from jsnas.certificate import Certificate
from jsnas.checkpoint import load_checkpoint, save_checkpoint
from jsnas.errors import InputError, unknown_name
from jsnas.exported import export_onnx, export_pt2
from jsnas.genotype import Genotype
from jsnas.inheritance import inherit_weights
from jsnas.network import JSNet, NetworkSettings
from jsnas.sample import ATTENTION, OPERATION, genotype_from_sample
from jsnas.source import write_source
from jsnas.task import Task

SUFFIXES = (".onnx", ".pt2", ".safetensors", ".py")
LAYOUTS = ("jsnas", "basicsr")
_SAMPLE_LABELS = (f"{OPERATION}_", f"{ATTENTION}_")


def export(
    network: JSNet,
    task: Task,
    out: Path,
    with_weights: bool = True,
    *,
    precision: str = "fp32",
    images: Path | None = None,
    layout: str = "jsnas",
) -> Certificate | None:
    """Writes a network for others to use, in the form that the suffix names.

    Args:
        network: The network.
        task: What it is for.
        out: ``.onnx`` or ``.pt2`` (ONNX and ``torch.export`` with free sizes, checked against the network before they
            are kept), ``.safetensors`` for a checkpoint, ``.py`` for one self-contained Python file.
        with_weights: Whether a Python file holds the weights.
        precision: ``fp32``, or for ONNX ``fp16`` or ``int8``.
        images: Folder of high-quality images on which fewer bits are measured.
        layout: ``basicsr`` writes a ``.pth`` with ``params`` and ``params_ema`` instead.

    Returns:
        The certificate of an ONNX or ``torch.export`` file, which also lies beside it.

    Raises:
        InputError: If the suffix is unknown or does not go with an option, an extra is missing, a check fails, or a
            file cannot be written.
    """
    if layout not in LAYOUTS:
        raise unknown_name("layout", layout, LAYOUTS)
    if layout == "basicsr" and out.suffix != ".pth":
        raise InputError(f"The layout of BasicSR is a .pth file, but '{out}' was given; end it in .pth.")
    if out.suffix != ".onnx" and (precision != "fp32" or images is not None):
        raise InputError(f"A precision and images are for ONNX, but '{out}' was given; end it in .onnx.")
    if out.suffix == ".onnx":
        return export_onnx(network, task, out, precision, images)
    if out.suffix == ".pt2":
        return export_pt2(network, task, out)
    if layout == "basicsr":
        write_basicsr(network, task, out)
    elif out.suffix == ".safetensors":
        save_checkpoint(out, network, task, network.metadata.get("metrics"))
    elif out.suffix == ".py":
        write_source(out, network, f"JSNet for {task.label}, {network.settings.modules} modules.", with_weights)
    else:
        raise InputError(
            f"'{out}' does not end in a form that jsnas exports; end it in {', '.join(SUFFIXES[:-1])} or "
            f"{SUFFIXES[-1]}, or in .pth with --layout basicsr."
        )
    return None


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


__all__ = ["export", "inherit_weights", "load_checkpoint", "network_of", "save_checkpoint", "write_source"]
