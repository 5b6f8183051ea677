"""Reads the authors' released checkpoints: their parameter names in ours, strictly.

Source of the names: the checkpoints released with the paper (x2, x3, x4), which share one genotype.
"""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path

import torch
from torch import Tensor

from jsnas.errors import InputError
from jsnas.genotype import Genotype, edge_list
from jsnas.network import JSNet, NetworkSettings
from jsnas.task import Task

_RELEASED = "a released JSNet checkpoint"
_MODULE_LAYERS = {"reduce": "process", "fuse": "op_nodes_fusion"}
_NETWORK_LAYERS = {
    "subtract_mean": "sub_mean",
    "add_mean": "add_mean",
    "head": "head",
    "gather": "fusion",
    "upsample": "up",
}
_WEIGHT_NORM = {"weight_g": "parametrizations.weight.original0", "weight_v": "parametrizations.weight.original1"}
_CHANNEL_ATTENTION = {"squeeze": "at.1", "excite": "at.3"}
_FUSION_ATTENTIONS = {"ca_up1": "ca_1_2", "ca_down1": "ca_1_1", "ca_up2": "ca_2_1", "ca_down2": "ca_2_2"}
_RDB = {"cell1": "op1", "cell2": "op2", "fuse": "reduce"}

# Ours to theirs, the layers of every block; an empty name is the block itself.
BLOCK_LAYERS: dict[str, dict[str, str]] = {
    "skip": {},
    "rdb_common": _RDB,
    "rdb_sep": _RDB,
    "rdb_dil": _RDB,
    "rdb_light": _RDB,
    "rdb_shallow": _RDB,
    "ca": _CHANNEL_ATTENTION,
    "cca": {"squeeze": "conv_du.0", "excite": "conv_du.2"},
    "pa": {"layers": "at"},
    "cea": {"squeeze": "at.0", "expand": "at.1"},
    "sa": {"conv": "at.1"},
    "esa": {
        "squeeze": "conv1",
        "stride": "conv2",
        "convs.0": "conv_max",
        "convs.2": "conv3",
        "convs.4": "conv3_",
        "shortcut": "conv_f",
        "expand": "conv4",
    },
    "csfm": {
        "reduce": "process",
        "pa_up.conv": "pa_1.k3",
        "pa_up.gate": "pa_1.k2",
        "pa_down.conv": "pa_2.k3",
        "pa_down.gate": "pa_2.k2",
        **{
            f"{ours}.{layer}": f"{theirs}.{name}"
            for ours, theirs in _FUSION_ATTENTIONS.items()
            for layer, name in _CHANNEL_ATTENTION.items()
        },
    },
}


def rename_block(block: str, theirs: Mapping[str, Tensor]) -> dict[str, Tensor]:
    """The parameters of one block under our names.

    Args:
        block: A candidate's name, or ``"csfm"``.
        theirs: Its parameters under the authors' names.

    Raises:
        InputError: If a parameter belongs to no layer of the block.
    """
    renamed = {}
    for key, value in theirs.items():
        for ours, name in BLOCK_LAYERS[block].items():
            if key.startswith(name + "."):
                rest = key[len(name) + 1 :]
                renamed[f"{ours}.{_WEIGHT_NORM.get(rest, rest)}"] = value
                break
        else:
            raise InputError(f"The checkpoint's tensor '{key}' belongs to no layer of block '{block}'.")
    return renamed


def import_official(path: str | Path) -> tuple[JSNet, Task]:
    """Reads one of the released checkpoints; nothing is left out or folded away.

    The scale comes from the upsampling layers; the genotype is the released one, ``jsnet-sr``, which the shapes of all
    tensors must fit. The mean shifts stay as they were trained (3 x 3 matrix and bias).

    Args:
        path: A released file, a plain dictionary of tensors saved by torch.

    Returns:
        The network in evaluation mode on the CPU, and its task. ``save_checkpoint`` makes a file of ours of it.

    Raises:
        InputError: If the file is missing, cannot be read as tensors alone, or a tensor is missing, extra or misshapen;
            the sentence names the tensor as the file does.
    """
    path = Path(path)
    theirs = _read(path)
    task = Task("sr", scale=_scale(path, theirs))
    network = JSNet(Genotype.load("jsnet-sr"), NetworkSettings.for_task(task))
    expected = network.state_dict()
    names = official_names(network)
    for ours, name in names.items():
        if name not in theirs:
            raise InputError(f"'{path}' lacks the tensor '{name}' {tuple(expected[ours].shape)} of {_RELEASED}.")
        if theirs[name].shape != expected[ours].shape or not theirs[name].is_floating_point():
            raise InputError(
                f"In '{path}' the tensor '{name}' is {_describe(theirs[name])}; {_RELEASED} has floats "
                f"{tuple(expected[ours].shape)} there."
            )
    extra = theirs.keys() - set(names.values())
    if extra:
        name = min(extra)
        raise InputError(
            f"'{path}' holds the tensor '{name}' {_describe(theirs[name])}; {_RELEASED} has no such tensor."
        )
    network.load_state_dict({ours: theirs[name].float() for ours, name in names.items()})
    network.metadata = {"task": task, "metrics": {}}
    return network.eval(), task


def official_names(network: JSNet) -> dict[str, str]:
    """Our name to the authors' for every tensor of a network with a full genotype.

    Raises:
        InputError: If the network has a part that the released ones do not have.
    """
    genotype = network.genotype
    blocks = {
        "operation_part": ("ops", dict(genotype.operations), edge_list(genotype.operation_nodes)),
        "attention_part": ("atts", dict(genotype.attentions), edge_list(genotype.attention_nodes)),
    }
    tail = f"up.{len(network.upsample)}"
    names = {}
    for ours in network.state_dict():
        first, _, rest = ours.partition(".")
        if first == "body":
            module, part, inner = rest.split(".", 2)
            if inner.startswith("graph.edges."):
                label, within = inner.removeprefix("graph.edges.").split(".", 1)
                i, j = map(int, label.split("_"))
                folder, chosen, edges = blocks[part]
                name = f"cells.{module}.{folder}.{edges.index((i, j))}.{_in_block(chosen[i, j], within)}"
            else:
                layer, _, parameter = inner.partition(".")
                if layer not in _MODULE_LAYERS:
                    raise InputError(f"The tensor '{ours}' has no counterpart in {_RELEASED}.")
                name = f"cells.{module}.{_MODULE_LAYERS[layer]}.{parameter}"
        elif first == "fusion":
            name = f"cpam.{_in_block('csfm', rest)}"
        else:
            name = f"{tail if first == 'tail' else _NETWORK_LAYERS[first]}.{rest}"
        names[ours] = name
    return names


def _in_block(block: str, ours: str) -> str:
    """The authors' name of one of a block's parameters: the inverse of ``rename_block``."""
    for normalised, parameter in _WEIGHT_NORM.items():
        if ours.endswith("." + parameter):
            return _in_block(block, ours.removesuffix(parameter) + normalised)
    for layer, theirs in BLOCK_LAYERS.get(block, {}).items():
        if ours.startswith(layer + "."):
            return theirs + ours[len(layer) :]
    raise InputError(f"The parameter '{ours}' of block '{block}' has no counterpart in {_RELEASED}.")


def _read(path: Path) -> dict[str, Tensor]:
    if not path.is_file():
        raise InputError(f"There is no file '{path}'; give a checkpoint that the authors released (.pt).")
    try:
        content = torch.load(path, map_location="cpu", weights_only=True)
    except Exception as error:
        # torch raises half a dozen kinds for damaged, foreign and code-carrying files, and may advise to run the code.
        raise InputError(f"'{path}' cannot be read as a file of tensors alone; give {_RELEASED}.") from error
    if not isinstance(content, dict) or not content:
        raise InputError(f"'{path}' holds a {type(content).__name__}; {_RELEASED} is a dictionary of tensors.")
    for name, value in content.items():
        if not isinstance(name, str) or not isinstance(value, Tensor):
            raise InputError(f"'{path}' holds a {type(value).__name__} under {name!r}; {_RELEASED} has tensors only.")
    return content


def _scale(path: Path, theirs: Mapping[str, Tensor]) -> int:
    """The scale by the layers ``up.*``: 32 * 9 channels for x3, 32 * 4 once for x2 and twice for x4."""
    if "up.0.weight" not in theirs:
        raise InputError(f"'{path}' lacks the tensor 'up.0.weight', the first upsampling layer of {_RELEASED}.")
    shape = tuple(theirs["up.0.weight"].shape)
    if not shape or shape[0] not in (128, 288):
        raise InputError(
            f"In '{path}' the tensor 'up.0.weight' has shape {shape}; {_RELEASED} has 128 channels there (x2, x4) "
            "or 288 (x3)."
        )
    if shape[0] == 288:
        return 3
    second = theirs.get("up.2.weight")
    twice = any(name.startswith("up.4.") for name in theirs) or (second is not None and second.shape[:1] == (128,))
    return 4 if twice else 2


def _describe(tensor: Tensor) -> str:
    kind = "floats" if tensor.is_floating_point() else str(tensor.dtype).removeprefix("torch.")
    return f"{kind} {tuple(tensor.shape)}"
