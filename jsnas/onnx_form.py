"""ONNX: a network as bytes of an ONNX file, in 32, 16 or 8 bits, and ONNX Runtime that computes with it.

Input ``x`` and output ``y`` are float32, B x C x H x W, on the 0-255 scale in every precision; batch, height and width
are free. What the network is stands in the file's metadata. The packages come with the extra ``onnx`` and are imported
when they are needed.
"""

from __future__ import annotations

import contextlib
import importlib
import io
import logging
import os
import tempfile
import warnings
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt
import torch
from torch import Tensor, nn
from torch.export import ExportedProgram

from jsnas.checkpoint import describe
from jsnas.errors import InputError
from jsnas.network import JSNet
from jsnas.portable import export_program, portable, smallest_side
from jsnas.task import Task

FORMAT = "jsnas-onnx/1"
Floats = npt.NDArray[np.float32]


def need(*packages: str) -> list[Any]:
    """Imports packages of the extra ``onnx``.

    Raises:
        InputError: If one is missing; the sentence names the extra.
    """
    try:
        return [importlib.import_module(package) for package in packages]
    except ModuleNotFoundError as error:
        raise InputError(
            f"ONNX needs the package {error.name}, which is not installed; say `pip install 'jsnas[onnx]'`."
        ) from error


def onnx_bytes(network: JSNet, task: Task) -> bytes:
    """The network as an ONNX file in 32 bits, by torch's exporter."""
    need("onnx", "onnxscript")
    return program_bytes(export_program(portable(network), smallest_side(network)), _metadata(network, task))


def half_onnx_bytes(network: JSNet, task: Task) -> bytes:
    """The network as an ONNX file that computes in 16 bits; the mean shifts, whose values are large, stay in 32."""
    need("onnx", "onnxscript")
    model = portable(network)
    body = model.network
    body.half()
    body.subtract_mean = nn.Sequential(body.subtract_mean.float(), _To(torch.float16))  # type: ignore[assignment]
    body.add_mean = nn.Sequential(_To(torch.float32), body.add_mean.float())  # type: ignore[assignment]
    return program_bytes(export_program(model, smallest_side(network)), _metadata(network, task))


def quantized_onnx_bytes(onnx_file: bytes, samples: Sequence[Floats]) -> bytes:
    """The same network with the convolutions of its modules in 8 bits, by ONNX Runtime's static quantisation.

    The first and the last convolutions, the mean shifts among them, stay in 32 bits: they carry the image itself.

    Args:
        onnx_file: Of ``onnx_bytes``.
        samples: Low-quality images, 1 x C x H x W of [0, 255], from which the ranges of the activations are taken.
    """
    onnx, quantization = need("onnx", "onnxruntime.quantization")

    class Samples(quantization.CalibrationDataReader):  # type: ignore[name-defined, misc]
        def __init__(self) -> None:
            self.rest = iter(samples)

        def get_next(self) -> dict[str, Floats] | None:
            sample = next(self.rest, None)
            return None if sample is None else {"x": sample}

    convolutions = [node.name for node in onnx.load_from_string(onnx_file).graph.node if node.op_type == "Conv"]
    with tempfile.TemporaryDirectory() as folder, _quiet():
        source, target = Path(folder) / "float.onnx", Path(folder) / "quantized.onnx"
        source.write_bytes(onnx_file)
        quantization.quantize_static(
            source,
            target,
            Samples(),
            quant_format=quantization.QuantFormat.QDQ,
            op_types_to_quantize=["Conv"],
            per_channel=True,
            activation_type=quantization.QuantType.QUInt8,
            weight_type=quantization.QuantType.QInt8,
            nodes_to_exclude=[*convolutions[:2], *convolutions[-2:]],
        )
        return target.read_bytes()


def program_bytes(
    program: ExportedProgram,
    metadata: Mapping[str, str],
    inputs: Sequence[str] = ("x",),
    outputs: Sequence[str] = ("y",),
) -> bytes:
    """A traced program as an ONNX file, by torch's exporter.

    Args:
        program: Of ``torch.export``.
        metadata: Text that goes along.
        inputs: Names of the inputs.
        outputs: Names of the outputs.
    """
    with _quiet():
        exported = torch.onnx.export(
            program, dynamo=True, input_names=list(inputs), output_names=list(outputs), verbose=False
        )
    assert exported is not None
    exported.model.metadata_props.update(metadata)
    file = io.BytesIO()
    need("onnx")[0].save(exported.model_proto, file)
    return file.getvalue()


def _metadata(network: JSNet, task: Task) -> dict[str, str]:
    return {"format": FORMAT, **describe(network, task), "smallest_input": str(smallest_side(network))}


class OnnxSession:
    """A loaded ONNX file; computes on the CPU, on as many threads as torch.

    Args:
        file: The file's bytes.

    Attributes:
        metadata: The text in the file.
        version: Of ONNX Runtime.

    Raises:
        InputError: If the extra is missing or ONNX Runtime cannot read the file.
    """

    def __init__(self, file: bytes) -> None:
        (runtime,) = need("onnxruntime")
        options = runtime.SessionOptions()
        options.intra_op_num_threads = torch.get_num_threads()
        options.inter_op_num_threads = 1
        options.log_severity_level = 3
        try:
            self._session = runtime.InferenceSession(file, options, providers=["CPUExecutionProvider"])
        except Exception as error:  # of a dozen classes of its own
            raise InputError(f"ONNX Runtime cannot read the file ({str(error).splitlines()[0]}).") from error
        self.metadata: dict[str, str] = dict(self._session.get_modelmeta().custom_metadata_map)
        self.version: str = runtime.__version__

    def run(self, **inputs: npt.NDArray[Any]) -> list[Floats]:
        """All outputs for the inputs by name."""
        outputs: list[Floats] = self._session.run(None, inputs)
        return outputs

    def __call__(self, x: Tensor) -> Tensor:
        """The network's output for B x C x H x W on the CPU."""
        return torch.from_numpy(self.run(x=x.contiguous().numpy())[0])


class _To(nn.Module):
    """A change of the number format."""

    def __init__(self, dtype: torch.dtype) -> None:
        super().__init__()
        self.dtype = dtype

    def forward(self, x: Tensor) -> Tensor:
        """The same values."""
        return x.to(self.dtype)


@contextlib.contextmanager
def _quiet() -> Iterator[None]:
    """Keeps back what torch's exporter and ONNX Runtime's quantiser tell about themselves."""
    disabled = logging.root.manager.disable
    logging.disable(logging.WARNING)
    try:
        with warnings.catch_warnings(), open(os.devnull, "w") as sink, contextlib.redirect_stdout(sink):  # noqa: PTH123
            warnings.simplefilter("ignore")
            yield
    finally:
        logging.disable(disabled)
