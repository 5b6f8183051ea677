"""The attention space alone: residual blocks with a searched attention part, for the paper's Table 3."""

from __future__ import annotations

from collections.abc import Sequence

from search_spaces.joint import JointSearchSpace


class AttentionSearchSpace(JointSearchSpace):
    """Searches the attention graph only, after a plain residual block; no fusion module by default, as in Table 3.

    Args:
        task: ``"sr"``, ``"denoise"`` or ``"deblock"``.
        scale: 2, 3 or 4 for super-resolution, else 1.
        modules: Stacked modules M.
        channels: Width C of the trunk.
        attention_nodes: Nodes of the attention graph, its input included.
        attentions: Candidate attentions; defaults to the paper's for the task.
        inputs: How many inputs a node keeps, or ``None`` for all.
        fusion_kernels: Kernel pair of the fusion module, or ``None`` for none.
    """

    def __init__(
        self,
        task: str = "sr",
        scale: int = 2,
        modules: int = 4,
        channels: int = 64,
        attention_nodes: int = 4,
        attentions: Sequence[str] | None = None,
        inputs: int | None = None,
        fusion_kernels: tuple[int, int] | None = None,
    ) -> None:
        super().__init__(
            task, scale, modules, channels, 16, 0, attention_nodes, None, attentions, inputs, fusion_kernels
        )
