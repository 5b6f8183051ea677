"""A block of a user's own, through search, export, checkpoint, cost, picture, source and the command line."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import pytest
import torch
from safetensors import safe_open

from jsnas import candidates
from jsnas.attentions import ATTENTIONS
from jsnas.candidates import register_plugin, resolve_operations
from jsnas.checkpoint import load_checkpoint, save_checkpoint
from jsnas.cost import cost_of, parameters_of
from jsnas.errors import InputError
from jsnas.export import export
from jsnas.genotype import Genotype
from jsnas.lookup import network_of
from jsnas.network import JSNet
from jsnas.operations import OPERATIONS
from jsnas.report.module_svg import draw_genotype
from trainers.cli import main
from trainers.search import search
from trainers.train import train
from trainers.trial import search_size

BLOCKS = '''
"""Blocks of my own."""

import torch
from torch import nn

WIDTH = 2  # used by the block, so the exported source needs it


class GhostBlock(nn.Module):
    """``ghost``: half of the features are made from the other half by a cheap convolution."""

    def __init__(self, channels):
        super().__init__()
        self.primary = nn.Conv2d(channels, max(channels // WIDTH, 1), 1)
        self.cheap = nn.Conv2d(max(channels // WIDTH, 1), channels - max(channels // WIDTH, 1), 3, padding=1)

    def forward(self, x):
        y = torch.relu(self.primary(x))
        return x + torch.cat([y, self.cheap(y)], 1)


class MeanGate(nn.Module):
    """``mean``: a gate from the mean of each channel."""

    def __init__(self, channels):
        super().__init__()
        self.scale = nn.Parameter(torch.ones(1, channels, 1, 1))

    def gate(self, x):
        return torch.sigmoid(self.scale * x.mean((2, 3), keepdim=True))

    def forward(self, x):
        return x * self.gate(x)


class BrokenBlock(nn.Module):
    def __init__(self, channels):
        super().__init__()
        self.conv = nn.Conv2d(channels, channels, 3)

    def forward(self, x):
        return self.conv(x)
'''


@pytest.fixture
def package(tmp_path: Path, monkeypatch: pytest.MonkeyPatch):
    """A package of blocks on the path; what is imported is forgotten afterwards."""
    folder = tmp_path / "mine" / "my_package"
    folder.mkdir(parents=True)
    (folder / "__init__.py").touch()
    (folder / "blocks.py").write_text(BLOCKS)
    monkeypatch.syspath_prepend(str(folder.parent))
    yield folder.parent
    for name in [n for n in sys.modules if n.split(".")[0] == "my_package"]:
        del sys.modules[name]


def own_config(tiny_config, **more):
    return tiny_config(
        search__operations=["my_package.blocks:GhostBlock"], search__attentions=["my_package.blocks:MeanGate"], **more
    )


def forget() -> None:
    for table in (OPERATIONS, ATTENTIONS):
        for name in ("GhostBlock", "MeanGate"):
            table.pop(name, None)


@pytest.mark.parametrize("strategy", ["pc_darts", "proxyless", "random"])
def test_from_search_to_every_form_of_the_result(tiny_config, tmp_path: Path, package: Path, strategy: str) -> None:
    config = own_config(tiny_config, strategy={"name": strategy})
    genotype = search(config, tmp_path / "run")
    assert set(dict(genotype.operations).values()) == {"GhostBlock"}
    assert set(dict(genotype.attentions).values()) == {"MeanGate"}
    assert "my_package" not in (tmp_path / "run" / "genotype.json").read_text()
    network = JSNet(genotype, search_size(config))
    assert cost_of(network, (64, 64)).parameters == parameters_of(network) > 0
    assert "GhostBlock" in draw_genotype(genotype)

    task = config.to_task()
    save_checkpoint(tmp_path / "own.safetensors", network, task)
    with safe_open(tmp_path / "own.safetensors", "pt") as file:
        assert "GhostBlock" in str(file.metadata()) and "my_package" not in str(file.metadata())
    x = 255 * torch.rand(1, 3, 17, 20)
    with torch.no_grad():
        expected = network.eval()(x)
        assert torch.equal(load_checkpoint(tmp_path / "own.safetensors")(x), expected)
    export(network, task, tmp_path / "jsnet.py")
    code = (
        "import runpy, sys, torch\n"
        "sys.modules['my_package'] = None\n"  # the file must not need it
        "y = runpy.run_path(sys.argv[1])['load']()(torch.load(sys.argv[2]))\n"
        "torch.save(y.detach(), sys.argv[3])\n"
    )
    torch.save(x, tmp_path / "x.pt")
    files = [str(tmp_path / name) for name in ("jsnet.py", "x.pt", "y.pt")]
    subprocess.run([sys.executable, "-W", "ignore", "-c", code, *files], check=True)
    torch.testing.assert_close(torch.load(tmp_path / "y.pt"), expected, rtol=1e-4, atol=1e-3)


def test_a_short_name_is_never_imported_by_itself(tiny_config, tmp_path: Path, package: Path) -> None:
    search(own_config(tiny_config), tmp_path / "run")
    forget()
    with pytest.raises(InputError, match=r"--plugin package\.module:Class") as error:
        network_of(str(tmp_path / "run"))
    assert "'GhostBlock'" in str(error.value)
    register_plugin("my_package.blocks:GhostBlock")
    register_plugin("my_package.blocks:MeanGate")
    assert network_of(str(tmp_path / "run")).genotype.operations


def test_training_knows_the_plugins_of_its_config(tiny_config, tmp_path: Path, package: Path) -> None:
    search(own_config(tiny_config), tmp_path / "run")
    forget()
    plugins = ["my_package.blocks:GhostBlock", "my_package.blocks:MeanGate"]
    config = tiny_config(
        train={"genotype": str(tmp_path / "run"), "total_iter": 2},
        plugins=plugins,
        network={"modules": 1, "channels": 16},
    )
    from trainers.plugins import use_plugins

    use_plugins(config)
    assert train(config, tmp_path / "trained").genotype.operations[0][1] == "GhostBlock"


def test_entry_points_are_offered_by_name(package: Path, tmp_path: Path, monkeypatch, tiny_config) -> None:
    info = package / "my_package-1.0.dist-info"
    info.mkdir()
    (info / "METADATA").write_text("Metadata-Version: 2.1\nName: my-package\nVersion: 1.0\n")
    (info / "entry_points.txt").write_text(
        "[jsnas.operations]\nghost = my_package.blocks:GhostBlock\n"
        "[jsnas.attentions]\nmean = my_package.blocks:MeanGate\n"
    )
    genotype = Genotype.from_names("sr", ["ghost"], ["mean"], 2)
    genotype.save(tmp_path / "own.json")
    assert "my_package" not in sys.modules
    with pytest.raises(InputError, match="installed but not in use; add --plugin ghost"):
        network_of(str(tmp_path / "own.json"))
    assert "my_package" not in sys.modules  # looking does not import
    config = tiny_config(search__operations=["ghost", "skip"], search__attentions=["mean"])
    assert set(dict(search(config, tmp_path / "run").operations).values()) <= {"ghost", "skip"}
    OPERATIONS.pop("ghost")
    ATTENTIONS.pop("mean")
    assert (register_plugin("ghost"), register_plugin("mean")) == ("ghost", "mean")
    assert network_of(str(tmp_path / "own.json")).genotype == genotype
    with pytest.raises(InputError, match="did you mean 'ghost'"):
        register_plugin("ghosts")


def test_command_line_walk_through(package: Path, tmp_path: Path, tiny_config, capsys) -> None:
    assert main(["block", "check", "my_package.blocks:GhostBlock"]) == 0
    assert "no fault found" in capsys.readouterr().out
    assert main(["block", "check", "my_package.blocks:BrokenBlock"]) == 2
    shown = capsys.readouterr()
    assert "the shape must stay" in shown.out and "has 1 fault" in shown.err
    search(own_config(tiny_config), tmp_path / "run")
    forget()
    capsys.readouterr()
    assert main(["cost", str(tmp_path / "run"), "--size", "64x64"]) == 2
    assert "--plugin" in capsys.readouterr().err
    plugins = ["--plugin", "my_package.blocks:GhostBlock", "--plugin", "my_package.blocks:MeanGate"]
    assert main(["cost", str(tmp_path / "run"), "--size", "64x64", *plugins]) == 0


@pytest.mark.parametrize(
    ("kind", "body", "reason"),
    [
        ("operation", "return self.conv(x)[:, :, 1:]", "the shape must stay"),
        ("operation", "return self.conv(x), x", "It returns a tuple"),
        ("operation", "return self.cnov(x)", "AttributeError"),
        ("operation", "return nn.functional.interpolate(nn.functional.avg_pool2d(x, 2), scale_factor=2)", "19 x 20"),
        ("operation", "return x.add_(1)", "changes its input in place"),
        ("operation", "raise SystemExit(7)", "SystemExit"),
        ("attention", "return self.conv(x)[:, :1]", "the shape must stay"),
    ],
)
def test_a_faulty_block_is_told_before_the_run(
    package: Path, tmp_path: Path, tiny_config, kind: str, body: str, reason: str
) -> None:
    code = BLOCKS.replace("(channels, channels, 3)", "(channels, channels, 1)")
    (package / "my_package" / "faulty.py").write_text(code.replace("return self.conv(x)", body))
    config = tiny_config(**{f"search__{kind}s": ["skip", "my_package.faulty:BrokenBlock"]}, datasets__patch_size=18)
    with pytest.raises(InputError, match=f"The {kind} 'BrokenBlock' cannot be used") as error:
        search(config, tmp_path / "run")
    assert reason in str(error.value) and "`jsnas block check my_package.faulty:BrokenBlock`" in str(error.value)
    assert not (tmp_path / "run").exists()  # so that the same command goes on when it is mended
    names = {each: "BrokenBlock" if each == kind else "skip" for each in ("operation", "attention")}
    Genotype.from_edges("sr", {"0>1": names["operation"]}, {"0>1": names["attention"]}).save(tmp_path / "faulty.json")
    training = tiny_config(
        train={"genotype": str(tmp_path / "faulty.json"), "total_iter": 2},
        plugins=["my_package.faulty:BrokenBlock"],
        datasets__patch_size=18,
    )
    with pytest.raises(InputError, match=f"The {kind} 'BrokenBlock' cannot be used"):
        train(training, tmp_path / "training")
    assert not (tmp_path / "training").exists()


@pytest.mark.parametrize(
    ("names", "message"),
    [
        (["my_package.blocks:Ghost"], "cannot be imported"),
        (["my_package.blocks"], "Unknown operation"),
        (["my package:Ghost"], "no path of a class"),
        (["my_package.blocks:WIDTH"], "no torch.nn.Module class"),
        (["my_package.blocks:GhostBlock", "my_package.blocks:GhostBlock"], "called 'GhostBlock'"),
        (["torch.nn:Conv2d"], "cannot be made from its channels alone"),
        (["jsnas.attentions:SkipAttention", "jsnas.operations:Skip", "skip", "skip"], "called 'skip'"),
    ],
)
def test_what_is_no_candidate_is_said_in_a_sentence(package: Path, names: list[str], message: str) -> None:
    with pytest.raises(InputError, match=message):
        resolve_operations(names)


def test_a_name_that_nni_or_we_use_is_refused(package: Path) -> None:
    (package / "my_package" / "more.py").write_text(BLOCKS.replace("GhostBlock", "gate"))
    with pytest.raises(InputError, match="cannot be called 'gate'"):
        resolve_operations(["my_package.more:gate"])
    (package / "my_package" / "other.py").write_text(BLOCKS)
    resolve_operations(["my_package.blocks:GhostBlock"])
    with pytest.raises(InputError, match="Two candidate operations are called 'GhostBlock'"):
        resolve_operations(["my_package.other:GhostBlock"])
    assert ("none", "skip", *[n for n in OPERATIONS if n.startswith("rdb_")]) == candidates.ALL_OPERATIONS
