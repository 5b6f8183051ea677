"""The operation space alone: modules without an attention part, for the paper's Table 2."""

from __future__ import annotations

from collections.abc import Sequence

from search_spaces.joint import JointSearchSpace


class OperationSearchSpace(JointSearchSpace):
    """Searches the operation graph only; as in Table 2 there is neither attention nor fusion module by default.

    Args:
        task: ``"sr"``, ``"denoise"`` or ``"deblock"``.
        scale: 2, 3 or 4 for super-resolution, else 1.
        modules: Stacked modules M.
        channels: Width C of the trunk.
        inner_channels: Width of the operation graph.
        operation_nodes: Nodes of the operation graph, its input included.
        operations: Candidate operations; defaults to all seven.
        inputs: How many inputs a node keeps, or ``None`` for all.
        fusion_kernels: Kernel pair of the fusion module, or ``None`` for none.
    """

    def __init__(
        self,
        task: str = "sr",
        scale: int = 2,
        modules: int = 4,
        channels: int = 64,
        inner_channels: int = 16,
        operation_nodes: int = 4,
        operations: Sequence[str] | None = None,
        inputs: int | None = None,
        fusion_kernels: tuple[int, int] | None = None,
    ) -> None:
        super().__init__(
            task, scale, modules, channels, inner_channels, operation_nodes, 0, operations, None, inputs, fusion_kernels
        )
