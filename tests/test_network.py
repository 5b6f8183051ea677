"""The network: published counts, shapes for every task, and what it refuses."""

from __future__ import annotations

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from jsnas.cost import cost_of, parameters_of
from jsnas.errors import InputError
from jsnas.genotype import Genotype
from jsnas.network import JSNet, NetworkSettings
from jsnas.task import Task

RELEASED = Genotype.load("jsnet-sr")
OPERATIONS = [name for _, name in RELEASED.operations]
ATTENTIONS = [name for _, name in RELEASED.attentions]


@pytest.mark.parametrize(("scale", "parameters"), [(2, 476_443), (3, 522_683), (4, 513_435)])
def test_released_network_has_the_released_count(scale: int, parameters: int) -> None:
    assert parameters_of(JSNet(RELEASED, NetworkSettings(3, scale, modules=5))) == parameters


@pytest.mark.parametrize(("scale", "giga"), [(2, 104.8), (3, 51.6), (4, 35.3)])
def test_multiply_adds_at_720p_are_the_counted_ones(scale: int, giga: float) -> None:
    network = JSNet(RELEASED, NetworkSettings(3, scale, modules=5))
    assert cost_of(network).multiply_adds / 1e9 == pytest.approx(giga, abs=0.05)


@pytest.mark.parametrize(
    ("operations", "attentions", "kernels", "printed"),
    [
        (["rdb_common"] * 6, [], None, 631),  # Table 2
        (["rdb_light"] * 6, [], None, 484),
        (["rdb_shallow"] * 6, [], None, 520),
        (OPERATIONS, [], None, 588),
        ([], [], None, 610),  # Table 3 and 4
        ([], ["ca"], None, 615),
        (OPERATIONS, ATTENTIONS, None, 629),
        ([], [], (3, 3), 411),
        (OPERATIONS, ATTENTIONS, (3, 3), 430),
    ],
)
def test_ablations_have_the_printed_count_in_thousands(
    operations: list[str], attentions: list[str], kernels: tuple[int, int] | None, printed: int
) -> None:
    genotype = Genotype.from_names("sr", operations, attentions)
    network = JSNet(genotype, NetworkSettings(3, 4, modules=4, fusion_kernels=kernels))
    assert parameters_of(network) // 1000 == printed


@pytest.mark.parametrize(
    ("name", "printed"),
    [("rdb-common", 631), ("rdb-light", 484), ("rdb-shallow", 520), ("rdb-searched", 588), ("rb", 610), ("rb-ca", 615)],
)
def test_ablation_rows_ship_by_name(name: str, printed: int) -> None:
    network = JSNet(Genotype.load(name), NetworkSettings(3, 4, modules=4, fusion_kernels=None))
    assert parameters_of(network) // 1000 == printed


@settings(max_examples=25)
@given(
    task=st.sampled_from(
        [Task("sr", 2), Task("sr", 3), Task("sr", 4), Task("denoise", sigma=30), Task("deblock", quality=10)]
    ),
    modules=st.integers(1, 3),
    nodes=st.integers(2, 5),
    inner=st.sampled_from([1, 5, 16]),
    channels=st.sampled_from([8, 18]),
    height=st.integers(15, 21),
    width=st.integers(15, 21),
)
def test_any_size_gives_the_scaled_shape(
    task: Task, modules: int, nodes: int, inner: int, channels: int, height: int, width: int
) -> None:
    edges = nodes * (nodes - 1) // 2
    genotype = Genotype.from_names(
        task.name, ["rdb_dil"] * edges, ["esa", "ca", "skip", "cea", "pa", "sa", "cca"][:1] * edges
    )
    network = JSNet(genotype, NetworkSettings.for_task(task, modules, channels, inner))
    x = 255 * torch.rand(1, task.image_channels, height, width)
    with torch.no_grad():
        assert network(x).shape == (1, task.image_channels, height * task.scale, width * task.scale)


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
