"""The network: published counts, shapes for every task, and what it refuses."""

from __future__ import annotations

import pytest
import torch
from any_genotype import genotypes
from hypothesis import given, settings
from hypothesis import strategies as st
from torch import Tensor, nn

from jsnas.cost import cost_of, parameters_of
from jsnas.errors import InputError
from jsnas.genotype import Genotype
from jsnas.network import JSNet, MeanShift, NetworkSettings
from jsnas.task import Task

RELEASED = Genotype.load("jsnet-sr")


@pytest.mark.parametrize(("scale", "parameters"), [(2, 476_443), (3, 522_683), (4, 513_435)])
def test_released_network_has_the_released_count(scale: int, parameters: int) -> None:
    assert parameters_of(JSNet(RELEASED, NetworkSettings(3, scale, modules=5))) == parameters


@pytest.mark.parametrize("scale", [2, 3, 4])
def test_multiply_adds_at_720p_are_those_of_the_convolutions(scale: int) -> None:
    network = JSNet(RELEASED, NetworkSettings(3, scale, modules=5))
    shapes, counted = JSNet(RELEASED, network.settings).to("meta"), 0

    def count(module: nn.Module, inputs: tuple[Tensor], output: Tensor) -> None:
        nonlocal counted
        weight = module.weight
        assert isinstance(weight, Tensor)
        counted += weight.numel() * output.shape[2] * output.shape[3]

    for module in shapes.modules():
        if isinstance(module, (nn.Conv2d, MeanShift)):
            module.register_forward_hook(count)
    with torch.no_grad():
        shapes(torch.empty(1, 3, 720 // scale, 1280 // scale, device="meta"))
    assert cost_of(network).multiply_adds == counted


@settings(max_examples=25)
@given(
    genotype=genotypes(),
    modules=st.integers(1, 3),
    inner=st.sampled_from([1, 5, 16]),
    channels=st.sampled_from([8, 18]),
    height=st.integers(15, 21),
    width=st.integers(15, 21),
)
def test_any_size_gives_the_scaled_shape(
    genotype: Genotype, modules: int, inner: int, channels: int, height: int, width: int
) -> None:
    image_channels, scale = (3, genotype.scale or 2) if genotype.task == "sr" else (1, 1)
    network = JSNet(genotype, NetworkSettings(image_channels, scale, modules, channels, inner))
    x = 255 * torch.rand(1, image_channels, height, width)
    with torch.no_grad():
        assert network(x).shape == (1, image_channels, height * scale, width * scale)


def test_tasks_have_the_papers_number_of_modules() -> None:
    assert NetworkSettings.for_task(Task("sr", 2)).modules == 5
    assert NetworkSettings.for_task(Task("denoise", sigma=30)).modules == 6


def test_mean_shift_is_no_parameter_and_cancels() -> None:
    network = JSNet(RELEASED, NetworkSettings(3, 2, modules=1))
    names = {name for name, _ in network.named_parameters()}
    assert not any("mean" in name for name in names)
    x = torch.rand(1, 3, 4, 4) * 255
    torch.testing.assert_close(network.add_mean(network.subtract_mean(x)), x)
    torch.testing.assert_close(network.add_mean.bias, 255 * torch.tensor([0.4488, 0.4371, 0.4040]))


@pytest.mark.parametrize(
    ("shape", "sentence"),
    [((1, 3, 14, 20), "20x14 pixels.*15"), ((1, 1, 20, 20), "B x 3 x H x W"), ((3, 20, 20), "B x 3 x H x W")],
)
def test_an_input_that_does_not_fit_is_refused(shape: tuple[int, ...], sentence: str) -> None:
    network = JSNet(RELEASED, NetworkSettings(3, 2, modules=1))
    with pytest.raises(InputError, match=sentence):
        network(torch.zeros(shape))


def test_an_unknown_candidate_names_the_nearest() -> None:
    with pytest.raises(InputError, match="did you mean 'rdb_light'"):
        JSNet(Genotype.from_names("sr", ["rdb_lihgt"], []), NetworkSettings(3, 2, 1))


def test_a_genotype_of_another_task_is_refused() -> None:
    with pytest.raises(InputError, match="image channels"):
        JSNet(RELEASED, NetworkSettings(1, 1, 1))


@pytest.mark.parametrize(
    "values",
    [(2, 2, 1), (3, 5, 1), (3, 2, 0), (3, 2, 1, 7), (3, 2, 1, 8, 4, (2, 3)), (3, 2, 10**9)],
)
def test_settings_out_of_range_are_refused(values: tuple[int, ...]) -> None:
    with pytest.raises(InputError):
        NetworkSettings(*values)


def test_torch_compile_takes_the_network_in_one_piece() -> None:
    torch.manual_seed(0)
    network = JSNet(
        Genotype.load("jsnet-sr"), NetworkSettings(image_channels=3, scale=2, modules=1, channels=16)
    ).eval()
    x = 255 * torch.rand(1, 3, 16, 15)
    whole = torch.compile(network, fullgraph=True, backend="eager")
    with torch.no_grad():
        torch.testing.assert_close(whole(x), network(x))
