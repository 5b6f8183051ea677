"""A checkpoint opened through spandrel gives our output."""

from __future__ import annotations

import importlib.util
import sys
import types
from pathlib import Path

import pytest
import torch

from jsnas import Genotype, InputError, JSNet, NetworkSettings, Task, load_checkpoint, save_checkpoint
from jsnas.basicsr import write_basicsr

needs_spandrel = pytest.mark.skipif(importlib.util.find_spec("spandrel") is None, reason="needs the extra spandrel")


@pytest.fixture
def loadable(monkeypatch: pytest.MonkeyPatch) -> None:
    """Spandrel imports three names of torchvision for other architectures; its wheel needs a CUDA build of torch."""
    try:
        import torchvision  # noqa: F401
    except (ImportError, RuntimeError):
        for name in [name for name in sys.modules if name.partition(".")[0] == "torchvision"]:
            monkeypatch.delitem(sys.modules, name)
        functional = types.ModuleType("torchvision.transforms.functional")
        for missing in ("InterpolationMode", "rotate", "normalize"):
            setattr(functional, missing, None)
        for name in ("torchvision", "torchvision.transforms"):
            monkeypatch.setitem(sys.modules, name, types.ModuleType(name))
        monkeypatch.setitem(sys.modules, "torchvision.transforms.functional", functional)


def network_of(task: Task) -> JSNet:
    torch.manual_seed(0)
    edges = ((0, 1), (1, 2))  # a pruned genotype: the edge 0>2 is missing, and skip has no tensors
    genotype = Genotype(
        task.name,
        (((0, 1), "rdb_light"), ((1, 2), "skip")),
        tuple(zip(edges, ("esa", "skip"), strict=True)),
        task.scale if task.name == "sr" else None,
    )
    return JSNet(genotype, NetworkSettings.for_task(task, 2, 16, 8)).eval()


@needs_spandrel
@pytest.mark.filterwarnings("ignore")  # spandrel's and timm's own
@pytest.mark.parametrize("task", [Task("sr", 3), Task("denoise", sigma=30)], ids=lambda task: task.label)
def test_spandrel_gives_our_output(tmp_path: Path, loadable: None, task: Task) -> None:
    from spandrel import ImageModelDescriptor, ModelLoader

    from jsnas.spandrel_arch import install

    path, network = tmp_path / "c.safetensors", network_of(task)
    save_checkpoint(path, network, task)
    install()
    install()
    model = ModelLoader().load_from_file(path)
    assert isinstance(model, ImageModelDescriptor)
    assert (model.architecture.id, model.scale, model.input_channels) == ("JSNet", task.scale, task.image_channels)
    assert (model.purpose, model.size_requirements.minimum) == ("SR" if task.name == "sr" else "Restoration", 15)
    x = 255 * torch.rand(1, task.image_channels, 23, 19)
    with torch.no_grad():
        expected = load_checkpoint(path)(x).clamp(0, 255)
    torch.testing.assert_close(255 * model(x / 255), expected, rtol=0, atol=1e-3)


def test_without_the_extra_one_sentence_names_it(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delitem(sys.modules, "jsnas.spandrel_arch", raising=False)
    monkeypatch.setitem(sys.modules, "spandrel", None)
    with pytest.raises(InputError, match=r"jsnas\[spandrel\]"):
        import jsnas.spandrel_arch  # noqa: F401


def test_the_layout_of_basicsr(tmp_path: Path) -> None:
    task = Task("sr", 2)
    network = network_of(task)
    write_basicsr(network, task, tmp_path / "net.pth")
    content = torch.load(tmp_path / "net.pth", weights_only=True)
    assert set(content) == {"params", "params_ema", "metadata"}
    for key in ("params", "params_ema"):  # BasicSR loads either one strictly
        torch.manual_seed(1)
        other = JSNet(network.genotype, network.settings).eval()
        other.load_state_dict(content[key], strict=True)
        x = 255 * torch.rand(1, 3, 16, 17)
        with torch.no_grad():
            assert torch.equal(other(x), network(x))
