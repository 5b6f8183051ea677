"""Checkpoints: one safetensors file that rebuilds its network.

The tensors are the state dict; the metadata (text only, so nothing is unpickled) holds the genotype, all
settings, the value range, the smallest input and what was measured.
"""

from __future__ import annotations

import hashlib
import json
from collections.abc import Callable, Mapping
from dataclasses import asdict, fields
from pathlib import Path
from typing import Any

import torch
from safetensors import SafetensorError, safe_open
from safetensors.torch import save
from torch import Tensor, nn

from jsnas.data.atomic import atomic_file
from jsnas.errors import InputError, unknown_name
from jsnas.genotype import Genotype
from jsnas.network import JSNet, NetworkSettings
from jsnas.task import Task

FORMAT = "jsnas-checkpoint/1"
DESCRIPTION = "jsnas.description"  # a tensor: the bytes of the description, for tools that drop metadata (spandrel)


def save_checkpoint(
    path: Path,
    network: JSNet,
    task: Task,
    metrics: Mapping[str, Any] | None = None,
    state: Mapping[str, Tensor] | None = None,
) -> None:
    """Writes a network to a file, whole or not at all.

    Args:
        path: The file, ``.safetensors``.
        network: The network; its genotype and settings go along.
        task: What it was trained for, the level of degradation included.
        metrics: What was measured, such as ``{"psnr_db": 31.2}``; anything that JSON can hold.
        state: Weights to write instead of the network's own, such as their moving average.
    """
    metadata = {"format": FORMAT, **describe(network, task), "metrics": json.dumps(dict(metrics or {}))}
    tensors = {
        name: value.detach().to("cpu", torch.float32).contiguous()
        for name, value in (state or network.state_dict()).items()
    }
    metadata["sha256"] = _fingerprint(metadata, tensors)
    tensors[DESCRIPTION] = torch.tensor(list(json.dumps(describe(network, task)).encode()), dtype=torch.uint8)
    with atomic_file(path) as temporary:
        temporary.write_bytes(_ordered(save(tensors, metadata)))


def describe(network: JSNet, task: Task) -> dict[str, str]:
    """What a file says about its network, as text: genotype, settings, task, value range, smallest input."""
    return {
        "genotype": json.dumps(network.genotype.to_dict()),
        "settings": json.dumps(asdict(network.settings)),
        "task": json.dumps(task.to_dict()),
        "value_range": "[0, 255]",
        "smallest_input": str(network.smallest_input),
    }


def _fingerprint(metadata: Mapping[str, str], tensors: Mapping[str, Tensor]) -> str:
    """SHA-256 of the metadata but the hash itself, and of every tensor's name, type, shape and values."""
    digest = hashlib.sha256(json.dumps(sorted((k, v) for k, v in metadata.items() if k != "sha256")).encode())
    for name in sorted(tensors):
        value = tensors[name].contiguous()
        digest.update(json.dumps([name, str(value.dtype), list(value.shape)]).encode())
        digest.update(value.reshape(-1).view(torch.uint8).numpy().data)
    return digest.hexdigest()


def _ordered(data: bytes) -> bytes:
    """The same safetensors file with its metadata in order, so that equal networks give equal files."""
    start = 8 + int.from_bytes(data[:8], "little")
    header = json.loads(data[8:start])
    header["__metadata__"] = dict(sorted(header["__metadata__"].items()))
    text = json.dumps(header, separators=(",", ":"), ensure_ascii=False).encode()
    text += b" " * (-len(text) % 8)  # the values start at a multiple of 8
    return len(text).to_bytes(8, "little") + text + data[start:]


def load_checkpoint(path: str | Path) -> JSNet:
    """Rebuilds the network of a checkpoint, in evaluation mode on the CPU.

    The result maps float images B x C x H x W in [0, 255] to the same, s times as large. Its ``genotype`` and
    ``settings`` are the checkpoint's; ``metadata`` holds ``task`` (a ``Task``), ``metrics`` and ``format``.

    Args:
        path: A file of ``save_checkpoint``; blocks of your own that it names are made known before
            (``jsnas.candidates.register_plugin``).

    Raises:
        InputError: If the file is missing, damaged, no checkpoint of ours, or its tensors do not fit its genotype.
    """
    path = Path(path)
    metadata, tensors = _read(path)
    try:
        metrics = _json(metadata, "metrics")
        if not isinstance(metrics, dict):
            raise InputError(f"The checkpoint's metrics are a {type(metrics).__name__}; a mapping was expected.")
        expected = _planned(lambda: described_network(metadata))
    except InputError as error:
        raise InputError(f"In '{path}': {error}") from error
    if expected is not None:
        check_tensors(expected, tensors, path)
    network = described_network(metadata)
    network.metadata |= {"format": FORMAT, "metrics": metrics}
    load_strictly(network, tensors, path)
    if metadata.get("sha256") not in (None, _fingerprint(metadata, tensors)):  # older files have none
        raise InputError(
            f"'{path}' is damaged or was altered: its content does not fit its hash; take another copy, or write it "
            "with jsnas.save_checkpoint."
        )
    return network.eval()


def _planned(make: Callable[[], JSNet]) -> dict[str, Tensor] | None:
    """The tensors that a network will have, before memory is taken for it: a stranger's settings may ask for any size.

    ``None`` where a block of the user's cannot be made without memory.
    """
    try:
        with torch.device("meta"):
            return make().state_dict()
    except InputError:
        raise
    except Exception:  # a user's block may fail in any way
        return None


def described_network(description: Mapping[str, str]) -> JSNet:
    """A network with fresh weights from what ``describe`` said about one; its ``metadata`` hold the task.

    Raises:
        InputError: If the description lacks something or names an unknown block.
    """
    genotype = Genotype.from_dict(_json(description, "genotype"))
    settings = _settings(_json(description, "settings"))
    task = _task(_json(description, "task"))
    network = JSNet(genotype, settings)
    network.metadata = {"task": task}
    return network


def load_strictly(network: nn.Module, tensors: Mapping[str, Tensor], path: Path) -> None:
    """Fills a network with tensors that must fit exactly.

    Raises:
        InputError: If a tensor is missing, extra or misshapen; the sentence names it.
    """
    check_tensors(network.state_dict(), tensors, path)
    network.load_state_dict(dict(tensors))


def check_tensors(expected: Mapping[str, Tensor], tensors: Mapping[str, Tensor], path: Path) -> None:
    """Raises an InputError unless names and shapes are those expected; see ``load_strictly``."""
    for name, value in expected.items():
        if name not in tensors:
            raise InputError(f"'{path}' lacks the tensor '{name}' {tuple(value.shape)} that its genotype asks for.")
        if tensors[name].shape != value.shape:
            raise InputError(
                f"In '{path}' the tensor '{name}' has shape {tuple(tensors[name].shape)}; its genotype asks for "
                f"{tuple(value.shape)}."
            )
    for name in tensors:
        if name not in expected:
            raise InputError(f"'{path}' holds the tensor '{name}', which its genotype has no place for.")


def _read(path: Path) -> tuple[dict[str, str], dict[str, Tensor]]:
    if not path.is_file():
        raise InputError(f"There is no checkpoint '{path}'; give a .safetensors file.")
    try:
        with safe_open(path, "pt") as file:
            metadata = file.metadata() or {}
            if metadata.get("format") != FORMAT:
                raise InputError(
                    f"'{path}' is a safetensors file of format {metadata.get('format')!r}, not a checkpoint of jsnas "
                    f"('{FORMAT}')."
                )
            return metadata, {name: file.get_tensor(name) for name in file.keys() if name != DESCRIPTION}  # noqa: SIM118
    except (SafetensorError, OSError, UnicodeDecodeError, ValueError) as error:
        if isinstance(error, InputError):
            raise
        raise InputError(
            f"'{path}' cannot be read as a safetensors file ({error}); is it damaged or cut short?"
        ) from error


def _json(metadata: Mapping[str, str], key: str) -> Any:
    try:
        return json.loads(metadata[key])
    except KeyError as error:
        raise InputError(f"The metadata lack the key '{key}'; the checkpoint was not written by jsnas.") from error
    except (ValueError, RecursionError) as error:
        raise InputError(f"The metadata's '{key}' is no JSON; the checkpoint is damaged.") from error


def _settings(content: Any) -> NetworkSettings:
    known = [field.name for field in fields(NetworkSettings)]
    if not isinstance(content, dict):
        raise InputError(f"The checkpoint's settings are a {type(content).__name__}; a mapping was expected.")
    for key in content:
        if key not in known:
            raise unknown_name("setting", key, known)
    for key, value in content.items():
        pair = key == "fusion_kernels" and (value is None or isinstance(value, list))
        if not pair and type(value) is not int:
            raise InputError(f"The checkpoint's setting '{key}' is {value!r}; a whole number was expected.")
    kernels = content.get("fusion_kernels")
    try:
        return NetworkSettings(**{**content, "fusion_kernels": tuple(kernels) if kernels is not None else None})
    except TypeError as error:
        raise InputError(f"The checkpoint's settings are incomplete ({error}).") from error


def _task(content: Any) -> Task:
    types: dict[str, type | tuple[type, ...]] = {"name": str, "scale": int, "sigma": (int, float), "quality": int}
    if not isinstance(content, dict) or not isinstance(content.get("name"), str):
        raise InputError("The checkpoint does not say its task; it was not written by jsnas.")
    for key, value in content.items():
        if key not in types:
            raise unknown_name("field of the task", key, types)
        if not isinstance(value, types[key]):
            raise InputError(f"The checkpoint's task has {key} {value!r}, which is of the wrong type.")
    return Task(**content)
