"""The search space that a config describes."""

from __future__ import annotations

from typing import Any

from jsnas.candidates import ALL_OPERATIONS
from jsnas.errors import InputError, unknown_name
from jsnas.genotype import EXCLUDED
from jsnas.strategy.pc_darts import PartialChannelSettings
from search_spaces import AttentionSearchSpace, JointSearchSpace, OperationSearchSpace
from trainers.catalogue import SPACES
from trainers.config import Config
from trainers.plugins import candidates, try_block
from trainers.strategies import searches_none


def build_space(config: Config) -> JointSearchSpace:
    """The search space that the config describes.

    ``none`` is a candidate only for strategies that can leave it out of what they derive.

    Raises:
        InputError: If the space or a candidate is unknown, a size out of its range, or a patch too small for it.
    """
    _try_candidates(config)
    space = _space(config)
    if config.datasets.patch_size < space.network.smallest_input:
        raise InputError(
            f"The patches have {config.datasets.patch_size} pixels a side, but a candidate takes "
            f"{space.network.smallest_input} or more; raise datasets.patch_size or leave the candidate out."
        )
    return space


def _try_candidates(config: Config) -> None:
    """Tries the blocks of a search at the channels that its strategy makes them with."""
    s = config.search
    partial = config.strategy.args.get("partial", PartialChannelSettings().partial)
    parts = [s.inner_channels]
    if config.strategy.name == "pc_darts" and isinstance(partial, int) and partial and s.inner_channels % partial == 0:
        parts.append(s.inner_channels // partial)  # what does not divide is told by the strategy
    operations, attentions = candidates(config)
    for name, block in operations.items():
        try_block("operation", name, block, parts, config)
    for name, block in attentions.items():
        try_block("attention", name, block, [s.channels], config)


def _space(config: Config) -> JointSearchSpace:
    s = config.search
    operations = s.operations
    if not searches_none(config):
        operations = [name for name in operations or ALL_OPERATIONS if name != EXCLUDED]
    size: dict[str, Any] = {"task": config.task, "scale": config.scale, "modules": s.modules, "channels": s.channels}
    if s.space == "joint":
        return JointSearchSpace(
            **size,
            inner_channels=s.inner_channels,
            operation_nodes=s.operation_nodes,
            attention_nodes=s.attention_nodes,
            operations=operations,
            attentions=s.attentions,
            inputs=s.inputs,
            fusion_kernels=config.network.fusion_kernels,
        )
    if s.space == "operation":
        return OperationSearchSpace(
            **size,
            inner_channels=s.inner_channels,
            operation_nodes=s.operation_nodes,
            operations=operations,
            inputs=s.inputs,
        )
    if s.space == "attention":
        return AttentionSearchSpace(**size, attention_nodes=s.attention_nodes, attentions=s.attentions, inputs=s.inputs)
    raise unknown_name("search space", s.space, SPACES)
