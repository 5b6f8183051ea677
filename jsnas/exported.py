"""Exports that certify themselves: made in memory, compared with the network, and only then written."""

from __future__ import annotations

import io
import json
from pathlib import Path

import torch

from jsnas.certificate import PRECISIONS, Certificate, certify, own_rounding, store_certificate
from jsnas.checkpoint import describe
from jsnas.data.atomic import atomic_file
from jsnas.errors import InputError, unknown_name
from jsnas.network import JSNet
from jsnas.onnx_form import OnnxSession, half_onnx_bytes, onnx_bytes, quantized_onnx_bytes
from jsnas.portable import export_program, portable, smallest_side
from jsnas.quality import image_pairs, measure_loss
from jsnas.task import Task


def export_onnx(
    network: JSNet, task: Task, out: Path, precision: str = "fp32", images: Path | None = None
) -> Certificate:
    """Writes an ONNX file with free sizes, and its certificate beside it.

    Args:
        network: The network, on the CPU.
        task: What it is for.
        out: The file, ``.onnx``.
        precision: ``fp32``, ``fp16``, or ``int8`` (the convolutions of the modules).
        images: Folder of high-quality images on which fewer bits are measured; every second one sets the ranges of
            ``int8`` and the others are scored. By default photographs that ship with scikit-image.

    Raises:
        InputError: If the extra ``onnx`` is missing, the precision is unknown, or the file fails its check; then
            nothing is written.
    """
    if precision not in PRECISIONS:
        raise unknown_name("precision", precision, PRECISIONS)
    quality = None
    if precision == "fp32":
        file = onnx_bytes(network, task)
        session = OnnxSession(file)
    else:
        pairs = image_pairs(task, images)
        if precision == "int8":
            file = quantized_onnx_bytes(onnx_bytes(network, task), [lq for _, _, lq in pairs[::2]])
            pairs = pairs[1::2]
        else:
            file = half_onnx_bytes(network, task)
        session = OnnxSession(file)
        quality = measure_loss(network, session, task, pairs)
    runtime = f"onnxruntime {session.version}"
    return _keep(network, task, out, file, certify(network, task, session, "onnx", runtime, precision, quality))


def export_pt2(network: JSNet, task: Task, out: Path) -> Certificate:
    """Writes a program of ``torch.export`` with free sizes, and its certificate beside it.

    ``torch.export.load(out).module()`` maps B x C x H x W float32 in [0, 255] to the same, s times as large.

    Args:
        network: The network, on the CPU.
        task: What it is for.
        out: The file, ``.pt2``.

    Raises:
        InputError: If it cannot be traced or fails its check; then nothing is written.
    """
    buffer = io.BytesIO()
    description = {"jsnas.json": json.dumps({"format": "jsnas-pt2/1", **describe(network, task)})}
    torch.export.save(export_program(portable(network), smallest_side(network)), buffer, extra_files=description)
    file = buffer.getvalue()
    program = torch.export.load(io.BytesIO(file)).module()
    return _keep(network, task, out, file, certify(network, task, program, "pt2", f"torch {torch.__version__}"))


def _keep(network: JSNet, task: Task, out: Path, file: bytes, certificate: Certificate) -> Certificate:
    """Writes a file that passes, and its certificate."""
    faults = certificate.faults()
    if faults:
        own = f" By rounding alone the network is {own_rounding(network, task):.3g} off its own result in float64."
        raise InputError(f"'{out}' was not written, since the export fails its check: {'; '.join(faults)}.{own}")
    with atomic_file(out) as temporary:
        temporary.write_bytes(file)
    store_certificate(out, file, certificate)
    return certificate
