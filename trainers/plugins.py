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
from jsnas.genotype import ATTENTION, OPERATION, Genotype
from jsnas.network import NetworkSettings
from jsnas.operations import OPERATIONS
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


def try_blocks_of(genotype: Genotype, network: NetworkSettings, config: Config) -> None:
    """Tries the blocks of a network that will be trained.

    Raises:
        InputError: If one cannot be used.
    """
    known = {OPERATION: (OPERATIONS, network.inner_channels), ATTENTION: (ATTENTIONS, network.channels)}
    for kind, edges in genotype.parts:
        blocks, channels = known[kind]
        for name in sorted({name for _, name in edges} & set(blocks)):  # building the network tells the unknown
            try_block(kind, name, blocks[name], [channels], config)


def try_block(kind: str, name: str, block: BlockClass, channels: Sequence[int], config: Config) -> None:
    """Tries a block of the user's own at the channels that it will have, on patches of the config's size.

    Raises:
        InputError: If it cannot be used.
    """
    if not is_ours(block):
        refuse_faulty(kind, name, block, channels, config.datasets.patch_size)
