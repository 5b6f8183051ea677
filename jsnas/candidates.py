"""Candidate lists: from the names in a config to block classes, a user's own among them.

A name is one of ours (``rdb_light``), ``package.module:Class``, or the name under which an installed package
offers a block (entry-point group ``jsnas.operations`` or ``jsnas.attentions``). Naming a block on purpose is the
only thing that makes us import anything. From then on its short name is known in this process: the class's own
name, or the entry point's. Genotypes and checkpoints hold short names, never an import path.
"""

from __future__ import annotations

import importlib
import inspect
from collections.abc import Sequence
from importlib.metadata import EntryPoint, entry_points

from torch import nn

from jsnas.attentions import ATTENTIONS
from jsnas.errors import InputError, unknown_name
from jsnas.operations import OPERATIONS
from jsnas.task import TASK_NAMES

BlockClass = type[nn.Module]

ALL_OPERATIONS = tuple(OPERATIONS)
_SR_ATTENTIONS = ("skip", "ca", "pa", "cea", "esa")
# CCA and SA are searched for denoising and deblocking only (paper, Sec. 3.1.2).
TASK_ATTENTIONS = {name: _SR_ATTENTIONS if name == "sr" else (*_SR_ATTENTIONS, "cca", "sa") for name in TASK_NAMES}

GROUPS = {"operation": "jsnas.operations", "attention": "jsnas.attentions"}
_KNOWN = {"operation": OPERATIONS, "attention": ATTENTIONS}
# NNI makes attributes of candidates' names, and these are taken.
_RESERVED = ("forward", "key", "names", "length", "reduction", "return_mask", "gate")


def resolve_operations(names: Sequence[str]) -> dict[str, BlockClass]:
    """Short name to class of a list of operations; a user's own become known by their short names.

    Raises:
        InputError: If a name is unknown, doubled, or cannot be imported.
    """
    return _resolve("operation", names)


def resolve_attentions(names: Sequence[str]) -> dict[str, BlockClass]:
    """Short name to class of a list of attentions; a user's own become known by their short names.

    Raises:
        InputError: If a name is unknown, doubled, or cannot be imported.
    """
    return _resolve("attention", names)


def register_plugin(plugin: str) -> str:
    """Makes a block known on both kinds of edge, for genotypes and checkpoints that hold its short name.

    Args:
        plugin: ``package.module:Class``, or the name of an installed entry point.

    Returns:
        Its short name.

    Raises:
        InputError: If it cannot be imported, is no block class, or has the name of another block.
    """
    if ":" in plugin:
        block = import_block("plug-in", plugin)
        short = block.__name__
        for kind in GROUPS:
            _register(kind, short, block)
        return short
    offered = {kind: entry for kind in GROUPS if (entry := _offered(kind).get(plugin)) is not None}
    if not offered:
        names = [name for kind in GROUPS for name in _offered(kind)]
        raise unknown_name("plug-in (neither package.module:Class nor an installed entry point)", plugin, names)
    for kind, entry in offered.items():
        _register(kind, plugin, _load(kind, entry))
    return plugin


def unknown_block(kind: str, name: str) -> InputError:
    """The error for a short name that a genotype or checkpoint holds and nobody has made known.

    Args:
        kind: ``"operation"`` or ``"attention"``.
        name: The short name.
    """
    entry = _offered(kind).get(name)
    if entry is not None:
        return InputError(f"The {kind} '{name}' is a plug-in that is installed but not in use; add --plugin {name}.")
    error = unknown_name(kind, name, _KNOWN[kind])
    return InputError(f"{str(error)[:-1]}, or if it is a plug-in's, name its class with --plugin package.module:Class.")


def is_ours(block: type[nn.Module]) -> bool:
    """Whether a block's class is one of jsnas; a plug-in's stands in the same tables."""
    return block.__module__.partition(".")[0] == "jsnas"


def import_block(kind: str, path: str) -> BlockClass:
    """The class that ``package.module:Class`` names.

    Raises:
        InputError: If it cannot be imported or is no ``torch.nn.Module`` class that takes ``channels``.
    """
    module_name, _, class_name = path.partition(":")
    if not class_name.isidentifier() or not all(part.isidentifier() for part in module_name.split(".")):
        raise InputError(f"The {kind} '{path}' is no path of a class; write package.module:Class.")
    try:
        block = getattr(importlib.import_module(module_name), class_name)
    except (Exception, SystemExit) as error:  # a user's module may fail in any way
        reason = f"{type(error).__name__}: {error}"
        raise InputError(f"The {kind} '{path}' cannot be imported ({reason}); is its package installed?") from error
    return _checked(kind, path, block)


def _checked(kind: str, path: str, block: object) -> BlockClass:
    if not (isinstance(block, type) and issubclass(block, nn.Module)):
        raise InputError(f"The {kind} '{path}' is no torch.nn.Module class; name a block class.")
    try:
        inspect.signature(block).bind(16)
    except TypeError as error:
        raise InputError(
            f"The {kind} '{path}' cannot be made from its channels alone ({error}); give it __init__(self, channels)."
        ) from error
    return block


def _resolve(kind: str, names: Sequence[str]) -> dict[str, BlockClass]:
    if not names:
        raise InputError(f"The list of candidate {kind}s is empty; name at least one, such as 'skip'.")
    known = _KNOWN[kind]
    resolved: dict[str, BlockClass] = {}
    for name in names:
        if ":" in name:
            block = import_block(kind, name)
            short = block.__name__
            _register(kind, short, block)
        elif name in known:
            block, short = known[name], name
        elif (entry := _offered(kind).get(name)) is not None:
            block, short = _load(kind, entry), name
            _register(kind, short, block)
        else:
            raise unknown_name(kind, name, [*known, *_offered(kind)])
        if short in resolved:
            raise InputError(f"Two candidate {kind}s are called '{short}'; give each its own name.")
        resolved[short] = block
    return resolved


def _register(kind: str, short: str, block: BlockClass) -> None:
    if short in _RESERVED or short.startswith("_") or not short.isidentifier():
        raise InputError(f"A {kind} cannot be called '{short}', which has a meaning of its own; rename the class.")
    if _KNOWN[kind].get(short, block) is not block:
        raise InputError(f"Two candidate {kind}s are called '{short}'; give each its own name.")
    _KNOWN[kind][short] = block


def _offered(kind: str) -> dict[str, EntryPoint]:
    """Entry points of installed packages, by name; none is imported."""
    return {entry.name: entry for entry in entry_points(group=GROUPS[kind])}


def _load(kind: str, entry: EntryPoint) -> BlockClass:
    return import_block(kind, entry.value.replace(" ", ""))
