"""Tries a candidate block before it is searched, and says in a sentence each what is wrong with it.

What a search asks of a block: it keeps the shape at any size and number of channels that the strategy makes it
with, its values are finite, all its parameters learn, in evaluation mode it is a function of its input alone, and it
can be exported. The check works on small random inputs, so a fault that needs special values is not found.
"""

from __future__ import annotations

import copy
import importlib
import sys
import tempfile
import warnings
from collections.abc import Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import torch
from torch import Tensor, nn

from jsnas.attentions import ATTENTIONS
from jsnas.candidates import BlockClass, import_block
from jsnas.cost import multiply_adds_of, parameters_of
from jsnas.errors import InputError, unknown_name
from jsnas.genotype import Genotype
from jsnas.network import JSNet, NetworkSettings
from jsnas.operations import OPERATIONS
from jsnas.source import source_of

# Edges have the operation graph's 16 channels, 16/K of them under a channel mask (K = 1, 2, 4, 8), or the trunk's 64.
DEFAULT_CHANNELS = (2, 4, 8, 16, 64)
_SIZES = ((32, 32), (17, 23), (33, 18), (19, 15))  # odd, even, wide, high; none below what ours take
_LARGEST_SMALLEST = 64
_ROUNDING = 1e-5  # a gradient so much smaller than the block's largest is zero but for rounding


@dataclass(frozen=True)
class BlockReport:
    """What a check found.

    Attributes:
        block: What was checked.
        faults: A sentence each; empty for a good block.
        smallest_input: Smallest side in pixels that it takes, or ``None`` where it fails at every size.
        parameters: Trainable parameters for each number of channels.
        multiply_adds: For one pixel, for each number of channels; empty where there are faults.
    """

    block: str
    faults: tuple[str, ...]
    smallest_input: int | None
    parameters: dict[int, int] = field(default_factory=dict)
    multiply_adds: dict[int, float] = field(default_factory=dict)

    def __str__(self) -> str:
        cost = ", ".join(f"{count:,} at {channels}" for channels, count in self.parameters.items())
        work = ", ".join(f"{count:,.0f} at {channels}" for channels, count in self.multiply_adds.items())
        lines = [f"{self.block}: {'no fault found' if not self.faults else f'{len(self.faults)} found'}."]
        lines += [f"  - {fault}" for fault in self.faults]
        if self.smallest_input is not None:
            lines.append(f"  smallest input: {self.smallest_input} pixels a side")
        if cost:
            lines.append(f"  parameters: {cost} channels")
        if work:
            lines.append(f"  multiply-adds a pixel: {work} channels")
        return "\n".join(lines)


def check_block(block: str | BlockClass, channels: tuple[int, ...] | None = None) -> BlockReport:
    """Tries a block.

    Args:
        block: The class, its ``package.module:Class``, or the short name of one of ours.
        channels: Numbers of channels to try; by default those of the paper's searches.

    Raises:
        InputError: If there is no such class, or a number of channels is below 1.
    """
    channels = channels or DEFAULT_CHANNELS
    if min(channels) < 1:
        raise InputError(f"{min(channels)} channels were given; give 1 or more.")
    made, name = _block_class(block)
    faults: list[str] = []
    with warnings.catch_warnings(), torch.random.fork_rng(devices=[]):
        warnings.simplefilter("ignore")  # of the block itself
        blocks = _make(made, channels, faults)
        smallest = None
        if blocks:
            for check in (_check_shapes, _check_range, _check_gradients, _check_evaluation, _check_gate):
                check(blocks, faults)
            smallest = _check_smallest(blocks, faults)
            if not faults:  # it would say the same again
                _check_export(made, blocks, faults)
        work = {} if faults else {c: multiply_adds_of(b.eval(), _input(c, 64, 64)) / 64**2 for c, b in blocks.items()}
    return BlockReport(name, tuple(faults), smallest, {c: parameters_of(b) for c, b in blocks.items()}, work)


def refuse_faulty(kind: str, name: str, block: BlockClass, channels: Sequence[int], side: int) -> None:
    """Tries shortly, before a search, what would stop it: that a block can be made, and keeps the shape of patches.

    Args:
        kind: ``"operation"`` or ``"attention"``.
        name: What the block is called.
        block: Its class.
        channels: Those that the search makes it with.
        side: Of a patch, in pixels; a side of an odd number is tried too, for images may have one.

    Raises:
        InputError: If it cannot.
    """
    faults: list[str] = []
    with warnings.catch_warnings(), torch.random.fork_rng(devices=[]):
        warnings.simplefilter("ignore")
        blocks = _make(block, tuple(channels), faults)
        if not faults:
            _check_shapes(blocks, faults, [(side, side), (side + 1 - side % 2, side + 2)])
    if faults:
        path = f"{block.__module__}:{block.__name__}"
        raise InputError(f"The {kind} '{name}' cannot be used. {faults[0]} Try it with `jsnas block check {path}`.")


def _block_class(block: str | BlockClass) -> tuple[BlockClass, str]:
    if isinstance(block, type):
        return block, block.__name__
    if ":" in block:
        return import_block("block", block), block
    for known in (OPERATIONS, ATTENTIONS):
        if block in known and not (block == "skip" and known is ATTENTIONS):
            return known[block], block
    raise unknown_name("block", block, [*OPERATIONS, *ATTENTIONS])


def _make(made: BlockClass, channels: tuple[int, ...], faults: list[str]) -> dict[int, nn.Module]:
    blocks: dict[int, nn.Module] = {}
    for c in channels:
        try:
            torch.manual_seed(0)
            blocks[c] = made(c)
        except (Exception, SystemExit) as error:  # a user's block may fail in any way
            faults.append(f"It cannot be made with {c} channels ({_reason(error)}).")
            return blocks
    return blocks


def _check_shapes(blocks: dict[int, nn.Module], faults: list[str], sizes: Sequence[tuple[int, int]] = _SIZES) -> None:
    for c, block in blocks.items():
        for height, width in sizes:
            x = _input(c, height, width, batch=2)
            given = x.clone()
            try:
                y = copy.deepcopy(block).train()(x)
            except (Exception, SystemExit) as error:
                faults.append(f"It fails on {c} x {height} x {width} in training mode ({_reason(error)}).")
                return
            if not isinstance(y, Tensor):
                faults.append(f"It returns a {type(y).__name__}; a tensor was expected.")
                return
            if y.shape != x.shape:
                faults.append(
                    f"It turns {c} x {height} x {width} into {' x '.join(map(str, y.shape[1:]))}; the shape must stay."
                )
                return
            if not torch.equal(x, given):
                faults.append("It changes its input in place, which other edges read too.")
                return
            if y.dtype != x.dtype:
                faults.append(f"It turns {x.dtype} into {y.dtype}; the type must stay.")
                return
            if not torch.isfinite(y).all():
                faults.append(f"Its output on {c} x {height} x {width} is not finite.")
                return


def _check_range(blocks: dict[int, nn.Module], faults: list[str]) -> None:
    if faults:
        return
    for c, block in blocks.items():
        for what, x in (
            ("zeros", torch.zeros(2, c, 24, 24)),
            ("values around 1,000", 1e3 * _input(c, 24, 24, batch=2)),
        ):
            if not torch.isfinite(copy.deepcopy(block).train()(x)).all():
                faults.append(f"Its output on {what} is not finite.")
                return


def _check_gradients(blocks: dict[int, nn.Module], faults: list[str]) -> None:
    if faults:
        return
    for c, block in blocks.items():
        # In evaluation mode, for batch normalisation would take out the bias of a convolution before it.
        trained = copy.deepcopy(block).eval()
        with torch.no_grad():  # a layer that starts at zero would hide what lies before it
            for k, parameter in enumerate(trained.parameters()):
                parameter.add_(0.05 * torch.randn(parameter.shape, generator=torch.Generator().manual_seed(k)))
        x = _input(c, 32, 32, batch=4).requires_grad_()
        y = trained(x)
        if not y.requires_grad:
            # A block of zeros, such as ``none``, has nothing to learn and passes nothing on.
            if parameters_of(trained) or y.detach().abs().sum() > 0:
                faults.append("No gradient flows through it; is its result detached or computed without gradients?")
                return
            continue
        (y * _input(c, 32, 32, batch=4, seed=1)).sum().backward()
        largest = max((p.grad.abs().max() for p in trained.parameters() if p.grad is not None), default=torch.zeros(()))
        for name, parameter in trained.named_parameters():
            if not parameter.requires_grad:
                continue
            if parameter.grad is None:
                faults.append(f"Its parameter '{name}' gets no gradient; is it used?")
                return
            if not torch.isfinite(parameter.grad).all():
                faults.append(f"The gradient of its parameter '{name}' is not finite.")
                return
            # Only at the widest: where there are few units, one that happens to be dead is no fault.
            if parameter.grad.abs().max() <= _ROUNDING * largest and c == max(blocks):
                faults.append(f"The gradient of its parameter '{name}' is zero, so it never learns.")
                return
        if x.grad is None or not torch.isfinite(x.grad).all():
            faults.append("The gradient of its input is missing or not finite.")
            return
        flat = torch.zeros(2, c, 24, 24).requires_grad_()
        copy.deepcopy(block).train()(flat).sum().backward()
        if flat.grad is not None and not torch.isfinite(flat.grad).all():
            faults.append("The gradient at an input of zeros is not finite, which a flat patch would bring.")
            return


def _check_evaluation(blocks: dict[int, nn.Module], faults: list[str]) -> None:
    if faults:
        return
    for c, block in blocks.items():
        evaluated = copy.deepcopy(block).eval()
        before = {name: value.clone() for name, value in evaluated.state_dict().items()}
        x = _input(c, 21, 26, batch=2)
        with torch.no_grad():
            torch.manual_seed(1)
            first = evaluated(x)
            torch.manual_seed(2)
            second = evaluated(x)
            alone = evaluated(x[:1])
        if not torch.equal(first, second):
            faults.append("In evaluation mode it gives two results for one input; is it random there?")
            return
        if any(not torch.equal(before[name], value) for name, value in evaluated.state_dict().items()):
            faults.append("In evaluation mode it changes its own parameters or buffers.")
            return
        if not torch.allclose(first[:1], alone, rtol=1e-4, atol=1e-4):
            faults.append("In evaluation mode the result of an image depends on the others of its batch.")
            return


def _check_gate(blocks: dict[int, nn.Module], faults: list[str]) -> None:
    """A mixture of attentions calls ``gate``, the network found calls ``forward``: they must agree."""
    if faults:
        return
    for c, block in blocks.items():
        if not hasattr(block, "gate"):
            return
        x = _input(c, 21, 26)
        evaluated: Any = copy.deepcopy(block).eval()
        try:
            with torch.no_grad():
                gated, y = x * evaluated.gate(x), evaluated(x)
        except Exception as error:
            faults.append(f"Its gate fails on {c} x 21 x 26 or does not broadcast to it ({_reason(error)}).")
            return
        if gated.shape != x.shape or not torch.allclose(gated, y, rtol=1e-4, atol=1e-5):
            faults.append("Its forward is not the input times its gate, as a search assumes of an attention.")
            return


def _check_smallest(blocks: dict[int, nn.Module], faults: list[str]) -> int | None:
    """The smallest side that works from there on, compared with what the class says."""
    if faults:
        return None
    c = max(blocks)
    evaluated = copy.deepcopy(blocks[c]).eval()
    declared = int(getattr(blocks[c], "smallest_input", 1))

    def works(side: int) -> bool:
        x = _input(c, side, side)
        try:
            with torch.no_grad():
                y = evaluated(x)
        except Exception:
            return False
        return y.shape == x.shape and bool(torch.isfinite(y).all())

    smallest = next((s for s in range(_LARGEST_SMALLEST, 0, -1) if not works(s)), 0) + 1
    if smallest > declared:
        faults.append(
            f"It takes no image below {smallest} pixels a side, but says smallest_input = {declared}; set the class's "
            f"smallest_input to {smallest}."
        )
    return smallest


def _check_export(made: BlockClass, blocks: dict[int, nn.Module], faults: list[str]) -> None:
    """Prints a network with the block as one file, runs the file, and compares."""
    c = 16 if 16 in blocks else min(blocks)
    name = made.__name__
    genotype = Genotype.from_names("deblock", [name], [])
    settings = NetworkSettings(1, 1, 1, channels=c, inner_channels=c, fusion_kernels=None)
    torch.manual_seed(0)
    network = JSNet(genotype, settings, {name: made}).eval()
    side = max(21, network.smallest_input)
    x = 255 * torch.rand(1, 1, side, side)
    try:
        text = source_of(network, f"{name}.", with_weights=True)
    except Exception as error:
        faults.append(
            f"It cannot be exported as source ({_reason(error)}); define it at the top of an importable file."
        )
        return
    with tempfile.TemporaryDirectory() as folder:
        module_name = "jsnas_checked_block"
        (Path(folder) / f"{module_name}.py").write_text(text, encoding="utf-8")
        sys.path.insert(0, folder)
        try:
            exported = importlib.import_module(module_name).load()
            with torch.no_grad():
                same = torch.allclose(exported(x), network(x), rtol=1e-4, atol=1e-3)
        except Exception as error:
            faults.append(f"The exported source does not run ({_reason(error)}).")
            return
        finally:
            sys.path.remove(folder)
            sys.modules.pop(module_name, None)
            importlib.invalidate_caches()
    if not same:
        faults.append("The exported source gives another result; does the block depend on something outside its class?")


def _input(channels: int, height: int, width: int, batch: int = 1, seed: int = 0) -> Tensor:
    return torch.randn(batch, channels, height, width, generator=torch.Generator().manual_seed(seed))


def _reason(error: BaseException) -> str:
    text = " ".join(str(error).split()).rstrip(".")
    return f"{type(error).__name__}: {text[:200]}" if text else type(error).__name__
