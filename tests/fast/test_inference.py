"""The fast form of a network is the network: every candidate, task, scale and size, in double precision."""

from __future__ import annotations

import copy
from pathlib import Path

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from torch import Tensor, nn

from jsnas.attentions import ATTENTIONS, Attention
from jsnas.errors import InputError
from jsnas.fast.inference.convolution import FastConvolution, fused_operators_work
from jsnas.fast.inference.network import fast_network
from jsnas.fast.inference.rows import Program
from jsnas.genotype import Genotype, edge_list
from jsnas.network import JSNet, NetworkSettings
from jsnas.official import import_official
from jsnas.operations import OPERATIONS, RDBCommon


def random_network(
    genotype: Genotype, network_settings: NetworkSettings, seed: int, **blocks: dict[str, type[nn.Module]]
) -> JSNet:
    torch.manual_seed(seed)
    network = JSNet(genotype, network_settings, **blocks).double().eval()
    with torch.no_grad():
        for parameter in network.parameters():  # biases and gains away from their defaults, too
            parameter.add_(0.1 * torch.randn_like(parameter))
    return network


def run(program: Program, x: Tensor, rows: int, quantum: int) -> Tensor:
    chunks: list[Tensor] = []

    def write(row: int, chunk: Tensor) -> None:
        assert row == sum(c.shape[2] for c in chunks)
        chunks.append(chunk.clone())

    with torch.no_grad():
        program.run(x, rows, quantum, write)
    return torch.cat(chunks, 2)


def relative_error(a: Tensor, b: Tensor) -> float:
    return float((a - b).abs().max() / a.abs().max())


@st.composite
def genotypes(draw: st.DrawFn) -> Genotype:
    task = draw(st.sampled_from(["sr", "denoise", "deblock"]))
    nodes = draw(st.tuples(st.integers(2, 4), st.integers(2, 4)))
    parts = []
    for count, names in zip(nodes, (OPERATIONS, ATTENTIONS), strict=True):
        known = sorted(set(names) - {"none"})
        parts.append(tuple((edge, draw(st.sampled_from(known))) for edge in edge_list(count)))
    return Genotype(task, parts[0], parts[1], draw(st.sampled_from([2, 3, 4])) if task == "sr" else None)


@settings(max_examples=25, derandomize=True)
@given(
    genotype=genotypes(),
    size=st.tuples(st.integers(15, 41), st.integers(15, 33)),
    rows=st.integers(1, 48),
    quantum=st.sampled_from([1, 8]),
    kernels=st.sampled_from([(3, 3), (5, 3), None]),
)
def test_fast_is_plain(
    genotype: Genotype, size: tuple[int, int], rows: int, quantum: int, kernels: tuple[int, int] | None
) -> None:
    colours = 3 if genotype.task == "sr" else 1
    shape = NetworkSettings(colours, genotype.scale or 1, 2, 16, 6, kernels)
    network = random_network(genotype, shape, seed=0)
    x = 255 * torch.rand(1, colours, *size, dtype=torch.float64)
    with torch.no_grad():
        plain = network(x)
    fast = fast_network(network)
    assert relative_error(plain, fast(x)) < 1e-6
    assert fast.columns is not None
    fast.thrifty.whole = fast.columns.whole = frozenset()  # without packing
    for program in (fast.kept, fast.thrifty):
        assert relative_error(plain, run(program, x, max(rows, quantum), quantum)) < 1e-6
    by_columns = run(fast.columns, x.transpose(2, 3), max(rows, quantum), quantum).transpose(2, 3)
    assert relative_error(plain, by_columns) < 1e-6


@pytest.mark.parametrize("part", ["operation", "attention"])
def test_every_candidate_alone(part: str) -> None:
    for name in OPERATIONS if part == "operation" else ATTENTIONS:
        operation, attention = (name, "skip") if part == "operation" else ("skip", name)
        genotype = Genotype("deblock", (((0, 1), operation),), (((0, 1), attention),))
        network = random_network(genotype, NetworkSettings(1, 1, 1, 16, 5, (3, 3)), seed=1)
        x = 255 * torch.rand(2, 1, 37, 22, dtype=torch.float64)
        with torch.no_grad():
            assert relative_error(network(x), fast_network(network)(x)) < 1e-6, name


@pytest.mark.parametrize("nodes", [(0, 0), (0, 3), (3, 0)])
def test_parts_left_out(nodes: tuple[int, int]) -> None:
    genotype = Genotype(
        "denoise",
        tuple((edge, "rdb_light") for edge in edge_list(nodes[0])),
        tuple((edge, "esa") for edge in edge_list(nodes[1])),
    )
    network = random_network(genotype, NetworkSettings(1, 1, 2, 16, 8), seed=2)
    x = 255 * torch.rand(1, 1, 50, 31, dtype=torch.float64)
    with torch.no_grad():
        assert relative_error(network(x), fast_network(network)(x)) < 1e-6


class Mirror(nn.Module):
    """Somebody's own operation, which looks at the whole map."""

    def __init__(self, channels: int) -> None:
        super().__init__()
        self.conv = nn.Conv2d(channels, channels, 7, padding=3)

    def forward(self, x: Tensor) -> Tensor:
        y: Tensor = self.conv(x.flip(2, 3)) + x.view(x.shape[0], -1).mean()
        return y


class Bright(Attention):
    def __init__(self, channels: int) -> None:
        super().__init__()

    def gate(self, x: Tensor) -> Tensor:
        return torch.sigmoid(x / x.abs().amax((1, 2, 3), keepdim=True))


def test_blocks_of_others_are_called_as_they_are() -> None:
    genotype = Genotype(
        "sr",
        (((0, 1), "mirror"), ((0, 2), "rdb_sep"), ((1, 2), "mirror")),
        (((0, 1), "bright"), ((0, 2), "esa"), ((1, 2), "bright")),
        2,
    )
    blocks = {"operations": OPERATIONS | {"mirror": Mirror}, "attentions": ATTENTIONS | {"bright": Bright}}
    network = random_network(genotype, NetworkSettings(3, 2, 2, 16, 8), seed=3, **blocks)
    x = 255 * torch.rand(1, 3, 40, 23, dtype=torch.float64)
    fast = fast_network(network)
    with torch.no_grad():
        plain = network(x)
    assert relative_error(plain, fast(x)) < 1e-6
    assert relative_error(plain, run(fast.kept, x, 8, 8)) < 1e-6


def test_subclass_of_our_block_is_somebody_elses() -> None:
    class Louder(RDBCommon):
        def forward(self, x: Tensor) -> Tensor:
            y: Tensor = 2 * super().forward(x)
            return y

    genotype = Genotype("deblock", (((0, 1), "louder"),), (((0, 1), "pa"),))
    network = random_network(genotype, NetworkSettings(1, 1, 1, 16, 8), 4, operations=OPERATIONS | {"louder": Louder})
    x = 255 * torch.rand(1, 1, 20, 20, dtype=torch.float64)
    with torch.no_grad():
        assert relative_error(network(x), fast_network(network)(x)) < 1e-6


@pytest.mark.parametrize("name", [name for name in OPERATIONS if name.startswith("rdb")])
def test_one_channel_inside(name: str) -> None:
    genotype = Genotype("sr", (((0, 1), name),), (), 2)  # a convolution in groups of one channel has one group here
    network = random_network(genotype, NetworkSettings(3, 2, 1, 16, 1), 4)
    x = 255 * torch.rand(1, 3, 12, 13, dtype=torch.float64)
    with torch.no_grad():
        assert relative_error(network(x), fast_network(network)(x)) < 1e-6


@pytest.mark.parametrize("name", ["ca", "cca", "pa"])
@pytest.mark.parametrize("channels", [24, 32])
def test_chunks_of_one_pixel_leave_gates_as_they_are(name: str, channels: int) -> None:
    genotype = Genotype("sr", (((0, 1), "rdb_sep"),), (((0, 1), name), ((0, 2), name), ((1, 2), "skip")), 2)
    network = random_network(genotype, NetworkSettings(3, 2, 1, channels, 8, None), 4)
    x = 255 * torch.rand(1, 3, 23, 1, dtype=torch.float64)
    with torch.no_grad():
        assert relative_error(network(x), run(fast_network(network).kept, x, 1, 1)) < 1e-6


def test_weights_that_are_loaded_are_those_that_compute() -> None:
    genotype, size = Genotype.load("jsnet-sr").with_scale(2), NetworkSettings(3, 2, 1, 32, 16)
    one, other = (fast_network(random_network(genotype, size, seed).float()) for seed in (1, 2))
    x = 255 * torch.rand(1, 3, 20, 24)
    one(x)  # which packs its kernels
    one.load_state_dict(other.state_dict())
    assert relative_error(other(x), one(x)) < 1e-6


def test_released_network_on_the_255_scale(shared: Path) -> None:
    for scale in (2, 4):
        network, _ = import_official(shared / "weights" / "official" / f"jsnet_x{scale}.pt")
        with np.load(shared / "golden" / f"official_x{scale}.npz") as golden:
            inputs = [golden[key] for key in golden.files if golden[key].dtype == np.uint8]
        fast = fast_network(network.eval())
        for lq in inputs:
            x = torch.from_numpy(lq[:1]).float()
            with torch.no_grad():
                assert float((network(x) - fast(x)).abs().max()) < 0.01


def test_batches_and_errors() -> None:
    genotype = Genotype.load("jsnet-sr").with_scale(2)
    network = random_network(genotype, NetworkSettings(3, 2, 1, 16, 8), seed=5)
    fast = fast_network(network)
    x = 255 * torch.rand(3, 3, 19, 24, dtype=torch.float64)
    with torch.no_grad():
        assert relative_error(network(x), fast(x)) < 1e-6
    for wrong in (x[:, :1], x[0], x[..., :14]):
        with pytest.raises(InputError) as plain_error:
            network(wrong)
        with pytest.raises(InputError) as fast_error:
            fast(wrong)
        assert str(fast_error.value) == str(plain_error.value)


@pytest.mark.parametrize("fused", [True, False])
@settings(max_examples=25, derandomize=True)
@given(
    widths=st.lists(st.integers(1, 17), min_size=1, max_size=3),
    outputs=st.integers(1, 33),
    kernel=st.sampled_from([1, 3, 5]),
    dilation=st.integers(1, 3),
    size=st.tuples(st.integers(1, 9), st.integers(1, 9)),
    activation=st.sampled_from(["none", "relu", "sigmoid"]),
    added=st.booleans(),
    cut=st.booleans(),
)
def test_fast_convolution_is_a_convolution(
    fused: bool,
    widths: list[int],
    outputs: int,
    kernel: int,
    dilation: int,
    size: tuple[int, int],
    activation: str,
    added: bool,
    cut: bool,
) -> None:
    if fused and not fused_operators_work():
        pytest.skip("this torch has other internal operators")
    dtype = torch.float32 if fused else torch.float64
    torch.manual_seed(0)
    plain = nn.Conv2d(sum(widths), outputs, kernel, padding=dilation * (kernel // 2), dilation=dilation).double()
    weights = [w.to(dtype) for w in torch.split(plain.weight.detach(), widths, 1)]
    conv = FastConvolution(weights, plain.bias.detach().to(dtype), dilation)  # type: ignore[union-attr]
    x = torch.randn(1, sum(widths), size[0] + 1, size[1], dtype=torch.float64)[:, :, int(cut) :]
    onto = torch.randn(1, outputs, *x.shape[2:], dtype=torch.float64) if added else None
    with torch.no_grad():
        expected = plain(x) if onto is None else plain(x) + onto
        expected = {"none": lambda y: y, "relu": torch.relu, "sigmoid": torch.sigmoid}[activation](expected)
        inputs = [part.to(dtype) for part in torch.split(x, widths, 1)]
        for again in (conv, copy.deepcopy(conv)):  # packed by the first call, and a copy made after it
            start = None if onto is None else onto.to(dtype, memory_format=torch.channels_last, copy=True)
            y = again(inputs, activation, start)
            assert torch.allclose(y.double(), expected, rtol=1e-5, atol=1e-5 if fused else 1e-10)


@pytest.mark.parametrize("channels", [(16, 8), (32, 16)])  # the second ones are for the loops in C
def test_fast_is_plain_in_single_precision(channels: tuple[int, int]) -> None:
    for seed, (operation, attention) in enumerate((o, a) for o in sorted(OPERATIONS) for a in sorted(ATTENTIONS)):
        if "none" in (operation, attention):
            continue
        genotype = Genotype(
            "sr",
            tuple((edge, operation) for edge in edge_list(3)),
            tuple((edge, attention) for edge in edge_list(3)),
            2,
        )
        network = random_network(genotype, NetworkSettings(3, 2, 1, *channels), seed)
        x = 255 * torch.rand(1, 3, 29, 37, dtype=torch.float64)
        with torch.no_grad():
            expected = network(x)
        fast = fast_network(network.float())
        assert relative_error(expected, fast(x.float())) < 1e-4, (operation, attention)
        for rows, quantum in ((8, 8), (1, 1), (5, 1)):
            by_rows = run(fast.kept, x.float(), rows, quantum)
            assert relative_error(expected, by_rows) < 1e-4, (operation, attention, rows)


def test_fast_under_autocast() -> None:
    """Maps of two types meet then; loops in C must not take one for the other."""
    network = random_network(Genotype.load("jsnet-sr").with_scale(2), NetworkSettings(3, 2, 1, 32, 16), seed=3)
    x = 255 * torch.rand(1, 3, 24, 40, dtype=torch.float64)
    with torch.no_grad():
        expected = network(x)
        fast = fast_network(network.float())
        with torch.autocast("cpu", torch.bfloat16):
            plain_error = relative_error(expected, network(x.float()))
            assert relative_error(expected, fast(x.float())) < 2 * plain_error
