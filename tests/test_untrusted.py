"""Genotypes, checkpoints and configs of a stranger cost neither memory nor time, and import nothing by themselves."""

from __future__ import annotations

import json
import sys
from pathlib import Path

import pytest
import torch
import yaml
from safetensors.torch import safe_open, save_file

from jsnas import Genotype, InputError, JSNet, NetworkSettings, Task, load_checkpoint, save_checkpoint
from jsnas.genotype import edge_list, edge_name
from trainers.cli import main

CODE = (
    "import pathlib, torch\npathlib.Path({0!r}).touch()\nclass Block(torch.nn.Identity):\n    pass\nclass Other: ...\n"
)


@pytest.fixture
def mark(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A file that ``import stranger`` makes."""
    (tmp_path / "stranger.py").write_text(CODE.format(str(tmp_path / "imported")))
    monkeypatch.syspath_prepend(str(tmp_path))
    monkeypatch.delitem(sys.modules, "stranger", raising=False)
    return tmp_path / "imported"


@pytest.fixture
def checkpoint(tmp_path: Path) -> Path:
    network = JSNet(Genotype.load("rb-ca"), NetworkSettings(3, 2, modules=1, channels=16, inner_channels=4))
    save_checkpoint(tmp_path / "c.safetensors", network, Task("sr", 2))
    return tmp_path / "c.safetensors"


def with_metadata(path: Path, **changed: str) -> None:
    with safe_open(path, "pt") as file:
        tensors, metadata = {name: file.get_tensor(name) for name in file.keys()}, file.metadata()  # noqa: SIM118
    metadata.pop("sha256", None)
    save_file(tensors, path, {**metadata, **changed})


def test_a_graph_of_too_many_nodes_is_refused(tmp_path: Path) -> None:
    edges = {edge_name(edge): "skip" for edge in edge_list(33)}
    with pytest.raises(InputError, match=r"leads to node 32; a graph has at most 32 nodes"):
        Genotype.from_edges("sr", edges, {})
    million = {f"{i}>{i + j}": "skip" for i in range(1000) for j in range(1, 1001)}
    (tmp_path / "million.json").write_text(
        json.dumps({"format": "jsnas-genotype/1", "task": "sr", "operations": million, "attentions": {}})
    )
    with pytest.raises(InputError, match=r"million\.json' holds .* bytes; a genotype is a text of a few hundred"):
        Genotype.load(tmp_path / "million.json")


def test_a_network_of_too_many_blocks_is_refused() -> None:
    genotype = Genotype.from_names("sr", ["skip"] * len(edge_list(32)), [])
    with pytest.raises(InputError, match="blocks, more than"):
        JSNet(genotype, NetworkSettings(3, 2, modules=4000))


def test_a_checkpoint_that_asks_for_terabytes_takes_none(checkpoint: Path) -> None:
    settings = {"image_channels": 3, "scale": 2, "modules": 600, "channels": 4096, "inner_channels": 4096}
    with_metadata(checkpoint, settings=json.dumps(settings))
    with pytest.raises(InputError, match=r"its genotype asks for|lacks the tensor"):
        load_checkpoint(checkpoint)


@pytest.mark.parametrize("key", ["genotype", "settings", "task", "metrics"])
def test_metadata_nested_too_deeply_or_of_the_wrong_kind(checkpoint: Path, key: str) -> None:
    for text in ("[" * 200_000, '{"a":' * 100_000, "[]", "3", '"text"', "NaN", "null"):
        with_metadata(checkpoint, **{key: text})
        with pytest.raises(InputError, match=r"c\.safetensors"):
            load_checkpoint(checkpoint)


@pytest.mark.parametrize("name", ["stranger:Block", "stranger.Block", "stranger"])
def test_genotypes_and_checkpoints_import_nothing(
    checkpoint: Path, tmp_path: Path, mark: Path, name: str, capsys: pytest.CaptureFixture[str]
) -> None:
    content = Genotype.from_names("sr", ["skip"], ["ca"]).to_dict()
    content["operations"]["0>1"] = name
    (tmp_path / "g.json").write_text(json.dumps(content))
    with_metadata(checkpoint, genotype=json.dumps(content))
    for words in (["cost", str(tmp_path / "g.json")], ["cost", str(checkpoint)], ["verify", str(checkpoint)]):
        assert main(words) == 2
        assert f"'{name}'" in capsys.readouterr().err
    assert not mark.exists()


def test_pickles_with_code_are_not_run(tmp_path: Path, mark: Path, capsys: pytest.CaptureFixture[str]) -> None:
    class Code:
        def __reduce__(self):
            return __import__, ("stranger",)

    torch.save({"head.0.weight": Code()}, tmp_path / "code.pt")
    assert main(["import-official", str(tmp_path / "code.pt"), str(tmp_path / "out.safetensors")]) == 2
    assert "code.pt' cannot be read as a file of tensors" in capsys.readouterr().err
    assert not mark.exists() and not (tmp_path / "out.safetensors").exists()


def test_a_config_imports_the_class_that_it_names_and_nothing_else(
    tmp_path: Path, mark: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    def run(**search: object) -> str:
        (tmp_path / "c.yaml").write_text(yaml.safe_dump({"task": "sr", "scale": 2, **search}))
        assert main(["search", "--config", str(tmp_path / "c.yaml"), "--out", str(tmp_path / "out")]) == 2
        return capsys.readouterr().err

    for search in (
        {"search": {"operations": ["stranger"]}},
        {"search": {"class_path": "stranger.Block"}},
        {"network": {"class_path": "stranger.Block", "init_args": {}}},
        {"strategy": {"name": "stranger"}},
        {"strategy": {"args": {"class_path": "stranger.Block"}}},
    ):
        assert "jsnas: " in run(**search)
        assert not mark.exists(), search
    assert "is no torch.nn.Module class" in run(search={"operations": ["skip", "stranger:Other"]})
    assert mark.exists()
    for path in ("stranger:Block; import os", "..:x", ":", "a b:c", "os:system"):
        said = run(search={"operations": [path]})
        assert "no path of a class" in said or "is no torch.nn.Module class" in said, said


def test_a_module_that_ends_the_program_is_only_a_bad_block(tmp_path: Path, monkeypatch, capsys) -> None:
    (tmp_path / "quitter.py").write_text("raise SystemExit(7)\n")
    monkeypatch.syspath_prepend(str(tmp_path))
    assert main(["block", "check", "quitter:Block"]) == 2
    assert "'quitter:Block' cannot be imported" in capsys.readouterr().err


def test_names_are_shown_and_not_obeyed_by_the_terminal(capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["cost", "\x1b[2Jgone\nline"]) == 2
    said = capsys.readouterr().err
    assert "\\x1b[2Jgone\\nline" in said and said.count("\n") == 1
