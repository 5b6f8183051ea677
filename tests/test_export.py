"""The generated file gives the network's outputs in a process that has no jsnas and no NNI."""

from __future__ import annotations

import json
import subprocess
import sys
from pathlib import Path

import pytest
import torch
from any_genotype import genotypes
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from jsnas import Genotype, InputError, JSNet, NetworkSettings, Task, load_checkpoint, save_checkpoint
from jsnas.export import export
from jsnas.lookup import network_of
from jsnas.source import source_of

ALONE = """
import sys
for name in ("jsnas", "nni", "search_spaces", "trainers", "pytorch_lightning", "safetensors"):
    sys.modules[name] = None  # importing it raises
import torch
sys.path.insert(0, sys.argv[1])
import shipped
x, y = torch.load(sys.argv[1] + "/pair.pt")
network = shipped.load(*sys.argv[2:])
with torch.no_grad():
    print("difference", (network(x) - y).abs().max().item())
"""


def run_alone(folder: Path, *arguments: str) -> float:
    done = subprocess.run(
        [sys.executable, "-I", "-c", ALONE, str(folder), *arguments], capture_output=True, text=True, check=False
    )
    assert done.returncode == 0, done.stderr
    return float(done.stdout.split()[-1])


@pytest.fixture
def network(tmp_path: Path) -> JSNet:
    torch.manual_seed(0)
    network = JSNet(Genotype.load("jsnet-sr"), NetworkSettings(3, 3, modules=2)).eval()
    x = 255 * torch.rand(1, 3, 17, 21)
    with torch.no_grad():
        torch.save((x, network(x)), tmp_path / "pair.pt")
    return network


def test_one_file_with_weights_runs_alone(tmp_path: Path, network: JSNet) -> None:
    export(network, Task("sr", 3), tmp_path / "shipped.py")
    assert run_alone(tmp_path) == 0


def test_a_file_without_weights_reads_a_checkpoint(tmp_path: Path, network: JSNet) -> None:
    export(network, Task("sr", 3), tmp_path / "shipped.py", with_weights=False)
    save_checkpoint(tmp_path / "c.safetensors", network, Task("sr", 3))
    assert run_alone(tmp_path, str(tmp_path / "c.safetensors")) == 0
    assert len((tmp_path / "shipped.py").read_text().splitlines()) < 400


@settings(max_examples=30, suppress_health_check=[HealthCheck.too_slow])
@given(genotype=genotypes(), fused=st.booleans(), modules=st.integers(1, 2))
def test_source_of_any_genotype_equals_the_network(genotype: Genotype, fused: bool, modules: int) -> None:
    scale = (genotype.scale or 2) if genotype.task == "sr" else 1
    size = NetworkSettings(3 if genotype.task == "sr" else 1, scale, modules, 8, 4, (5, 3) if fused else None)
    torch.manual_seed(0)
    network = JSNet(genotype, size).eval()
    module: dict[str, object] = {"__name__": "shipped", "__file__": "shipped.py"}
    exec(compile(source_of(network, "A network.", with_weights=True), "shipped.py", "exec"), module)
    x = 255 * torch.rand(1, size.image_channels, 16, 15)
    with torch.no_grad():
        assert torch.equal(module["load"]()(x), network(x))  # type: ignore[operator]


def test_a_checkpoint_keeps_its_metrics_when_exported(tmp_path: Path, network: JSNet) -> None:
    network.metadata = {"metrics": {"psnr_db": 31.0}}
    export(network, Task("sr", 3), tmp_path / "c.safetensors")
    assert load_checkpoint(tmp_path / "c.safetensors").metadata["metrics"] == {"psnr_db": 31.0}


def test_an_unknown_suffix_names_the_known_ones(tmp_path: Path, network: JSNet) -> None:
    with pytest.raises(InputError, match=r"\.safetensors or \.py"):
        export(network, Task("sr", 3), tmp_path / "net.pth")


def test_sources_of_a_network(tmp_path: Path, network: JSNet) -> None:
    assert network_of("jsnet-sr").settings == NetworkSettings(3, 2, 5)
    (tmp_path / "genotype.json").write_text(Genotype.load("jsnet-sr").with_scale(4).to_json())
    assert network_of(tmp_path).settings.scale == 4
    save_checkpoint(tmp_path / "checkpoint.safetensors", network, Task("sr", 3))
    assert network_of(tmp_path).settings.modules == 2
    (tmp_path / "empty").mkdir()
    with pytest.raises(InputError, match="holds neither"):
        network_of(tmp_path / "empty")


def test_a_sample_of_nni_is_exported(tmp_path: Path) -> None:
    sample = {"operation_0_1": "rdb_sep", "attention_0_1": "pa", "attention_inputs_2": [1], "attention_1_2": "ca"}
    (tmp_path / "sample.json").write_text(json.dumps({**sample, "attention_0_2": "skip"}))
    network = network_of(tmp_path / "sample.json", task="sr", scale=3)
    assert [name for _, name in network.genotype.attentions] == ["pa", "ca"]
    assert network.settings.scale == 3
    with pytest.raises(InputError, match="--task"):
        network_of(tmp_path / "sample.json")


def test_a_checkpoint_keeps_its_scale(tmp_path: Path, network: JSNet) -> None:
    save_checkpoint(tmp_path / "c.safetensors", network, Task("sr", 3))
    with pytest.raises(InputError, match="of its own"):
        network_of(tmp_path / "c.safetensors", scale=2)
