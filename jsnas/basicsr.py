"""The weights as BasicSR keeps them: a ``.pth`` with ``params`` and ``params_ema``.

BasicSR reads one of the two, as ``path.param_key_g`` says, into a network class of the user's; the exported ``.py`` is
such a class. A network of ours has one set of weights, so both keys hold it. ``metadata`` says what the network is.
"""

from __future__ import annotations

from pathlib import Path

import torch

from jsnas.checkpoint import describe
from jsnas.data.atomic import atomic_file
from jsnas.network import JSNet
from jsnas.task import Task


def write_basicsr(network: JSNet, task: Task, out: Path) -> None:
    """Writes a network's weights in BasicSR's layout; ``torch.load(out, weights_only=True)`` reads it.

    Args:
        network: The network.
        task: What it is for.
        out: The file, ``.pth``.

    Raises:
        InputError: If the file cannot be written.
    """
    state = {name: value.detach().to("cpu", torch.float32).contiguous() for name, value in network.state_dict().items()}
    content = {"params": state, "params_ema": state, "metadata": describe(network, task)}
    with atomic_file(out) as temporary:
        torch.save(content, temporary)
