"""The paper's joint space: an operation graph and an attention graph in every module (Fig. 2)."""

from __future__ import annotations

from collections.abc import Sequence

from torch import Tensor

from jsnas.candidates import ALL_OPERATIONS, TASK_ATTENTIONS, resolve_attentions, resolve_operations
from jsnas.errors import InputError
from jsnas.genotype import ATTENTION, OPERATION
from jsnas.network import NetworkSettings, RestorationNetwork, search_module
from jsnas.strategy.choices import block_choice, node_maker
from jsnas.strategy.nni_api import ModelSpace
from jsnas.task import TASK_NAMES


class JointSearchSpace(ModelSpace):
    """Networks whose modules share one searched architecture, every edge a choice among candidates.

    Arguments are plain values, so that NNI can send a space to a trial. All stacked modules share the label of
    an edge (``operation_0_1``, ``attention_0_1``) and so its choice.

    Args:
        task: ``"sr"``, ``"denoise"`` or ``"deblock"``.
        scale: 2, 3 or 4 for super-resolution, else 1.
        modules: Stacked modules M; the paper searches with 4.
        channels: Width C of the trunk.
        inner_channels: Width of the operation graph.
        operation_nodes: Nodes of the operation graph, its input included; 0 puts the paper's residual block there.
        attention_nodes: Nodes of the attention graph; 0 leaves the attention part out.
        operations: Candidate operations: names, or ``package.module:Class``. Defaults to all seven.
        attentions: Candidate attentions. Defaults to the paper's for the task.
        inputs: How many inputs a node keeps (an ``InputChoice``), or ``None`` for the paper's sum of all.
        fusion_kernels: Kernel pair of the cross-scale fusion module, or ``None`` for no such module.

    Raises:
        InputError: If a value is out of its range or a candidate unknown.
    """

    def __init__(
        self,
        task: str = "sr",
        scale: int = 2,
        modules: int = 4,
        channels: int = 64,
        inner_channels: int = 16,
        operation_nodes: int = 4,
        attention_nodes: int = 4,
        operations: Sequence[str] | None = None,
        attentions: Sequence[str] | None = None,
        inputs: int | None = None,
        fusion_kernels: tuple[int, int] | None = (3, 3),
    ) -> None:
        super().__init__()
        if task not in TASK_NAMES:
            raise InputError(f"Task '{task}' is unknown; give one of {', '.join(TASK_NAMES)}.")
        for part, nodes in (("operation", operation_nodes), ("attention", attention_nodes)):
            if nodes != 0 and not 2 <= nodes <= 12:
                raise InputError(f"The {part} graph has {nodes} nodes; give 2 to 12, or 0 to leave the graph out.")
        if operation_nodes == attention_nodes == 0:
            raise InputError("Both graphs have 0 nodes, so nothing is searched; give at least one of them 2 nodes.")
        if inputs is not None and inputs < 1:
            raise InputError(f"Each node keeps {inputs} inputs; give 1 or more, or leave it out to keep all.")
        kernels = None if fusion_kernels is None else (fusion_kernels[0], fusion_kernels[1])
        settings = NetworkSettings(3 if task == "sr" else 1, scale, modules, channels, inner_channels, kernels)
        operation_classes = resolve_operations(operations or ALL_OPERATIONS)
        attention_classes = resolve_attentions(attentions or TASK_ATTENTIONS[task])
        if operation_nodes and set(operation_classes) == {"none"}:
            raise InputError("The only candidate operation is 'none', which never wins; name another, such as 'skip'.")
        self.task_name = task
        self.network = RestorationNetwork(
            settings,
            lambda: search_module(
                settings,
                operation_nodes,
                attention_nodes,
                lambda edge, width: block_choice(OPERATION, edge, width, operation_classes),
                lambda edge, width: block_choice(ATTENTION, edge, width, attention_classes),
                node_maker(OPERATION, inputs),
                node_maker(ATTENTION, inputs),
            ),
        )

    def forward(self, x: Tensor) -> Tensor:
        """B x image channels x H x W in [0, 255] to B x image channels x sH x sW, about [0, 255]."""
        y: Tensor = self.network(x)
        return y
