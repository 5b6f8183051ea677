"""A JSNet in a file for others to use.

The network needs neither NNI nor the supernet. ``jsnas.checkpoint`` keeps it in a file, ``jsnas.source`` prints it.
"""

from __future__ import annotations

from pathlib import Path

from jsnas.basicsr import write_basicsr
from jsnas.certificate import Certificate
from jsnas.checkpoint import save_checkpoint
from jsnas.errors import InputError, unknown_name
from jsnas.exported import export_onnx, export_pt2
from jsnas.network import JSNet
from jsnas.source import write_source
from jsnas.task import Task

SUFFIXES = (".onnx", ".pt2", ".safetensors", ".py")
LAYOUTS = ("jsnas", "basicsr")


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
