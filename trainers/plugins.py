"""The candidate blocks that a config names; the user's own are made known, and tried before a run.

Known, their short names work in genotypes and checkpoints; in the middle of a run their faults would be hard to tell
from ours.
"""

from __future__ import annotations

from collections.abc import Sequence

from jsnas.attentions import ATTENTIONS
from jsnas.block_check import refuse_faulty
from jsnas.candidates import (
    ALL_OPERATIONS,
    TASK_ATTENTIONS,
    BlockClass,
    is_ours,
    register_plugin,
    resolve_attentions,
    resolve_operations,
)
from jsnas.genotype import Genotype
from jsnas.network import NetworkSettings
from jsnas.operations import OPERATIONS
from jsnas.strategy.pc_darts import PartialChannelSettings
from trainers.config import Config


def use_plugins(config: Config) -> None:
    """Imports and registers every block that the config names by path or as a plug-in; nothing else is imported.

    Raises:
        InputError: If one cannot be imported, is no block, or has the name of another.
    """
    for plugin in config.plugins:
        register_plugin(plugin)
    if config.search.operations:
        resolve_operations(config.search.operations)
    if config.search.attentions:
        resolve_attentions(config.search.attentions)


def candidates(config: Config) -> tuple[dict[str, BlockClass], dict[str, BlockClass]]:
    """The operations and the attentions of a search by short name; the paper's where the config names none.

    Raises:
        InputError: If one is unknown.
    """
    return (
        resolve_operations(config.search.operations or ALL_OPERATIONS),
        resolve_attentions(config.search.attentions or TASK_ATTENTIONS[config.task]),
    )


def try_candidates(config: Config) -> None:
    """Tries the blocks of a search at the channels that its strategy makes them with.

    Raises:
        InputError: If one is unknown, or cannot be used.
    """
    s = config.search
    partial = config.strategy.args.get("partial", PartialChannelSettings().partial)
    parts = [s.inner_channels]
    if config.strategy.name == "pc_darts" and isinstance(partial, int) and partial and s.inner_channels % partial == 0:
        parts.append(s.inner_channels // partial)  # what does not divide is told by the strategy
    operations, attentions = candidates(config)
    for name, block in operations.items():
        _try("operation", name, block, parts, config)
    for name, block in attentions.items():
        _try("attention", name, block, [s.channels], config)


def try_blocks_of(genotype: Genotype, network: NetworkSettings, config: Config) -> None:
    """Tries the blocks of a network that will be trained.

    Raises:
        InputError: If one cannot be used.
    """
    known = {"operation": (OPERATIONS, network.inner_channels), "attention": (ATTENTIONS, network.channels)}
    for kind, edges in genotype.parts:
        blocks, channels = known[kind]
        for name in sorted({name for _, name in edges} & set(blocks)):  # building the network tells the unknown
            _try(kind, name, blocks[name], [channels], config)


def _try(kind: str, name: str, block: BlockClass, channels: Sequence[int], config: Config) -> None:
    if not is_ours(block):
        refuse_faulty(kind, name, block, channels, config.datasets.patch_size)
