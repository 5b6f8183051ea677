"""The documentation does what it says: its commands and its Python run as they stand, at the size of a test.

The pages share a folder, in which the page "Search your own images" was followed first. The commands are the pages'
own; only options that make networks small and runs short are added to those that search or train.
"""

from __future__ import annotations

import ast
import importlib
import itertools
import re
import shlex
from pathlib import Path

import pytest
import torch
from pages import DOCS, ROOT, Block, blocks_of, written_pages
from PIL import Image
from skimage import data

from docs.pictures import idea_pictures
from jsnas.genotype import Genotype
from jsnas.network import JSNet, NetworkSettings
from jsnas.official import official_names
from jsnas.report.module_svg import read_genotype
from trainers.cli import main
from trainers.commands import COMMANDS

OWN_IMAGES, *OTHERS = [*written_pages(), ROOT / "README.md"]
KINDS = {"sh", "python", "text", "yaml", "json", "{eval-rst}", "{toctree}"}
SMALL = {
    "network.modules": 1, "network.channels": 16, "network.inner_channels": 8, "search.modules": 1,
    "search.channels": 16, "search.inner_channels": 8, "search.operation_nodes": 3, "search.attention_nodes": 2,
    "search.total_iter": 4, "search.weight_warmup_iters": 1, "search.trial_iter": 2, "search.max_trials": 2,
    "train.total_iter": 4, "datasets.patch_size": 16, "datasets.batch_size": 2, "val.val_freq": 4, "val.max_side": 64,
    "val.max_images": 1, "logger.print_freq": 2, "logger.save_checkpoint_freq": 2, "logger.tensorboard": "false",
}  # fmt: skip
KEPT = ("datasets.patch_size", "search.channels")  # what a page is about
SHORTER = {"--iterations": lambda n: max(2, min(4, n // 100)), "--warmup": lambda n: 1, "--budget": lambda n: 4}
SHORTER |= {"--seeds": lambda n: 1, "--search.max_trials": lambda n: 2, "--search.trial_iter": lambda n: 2}
SHORTER |= {"--network.channels": lambda n: 16}
RUNS_ARE_MADE_BY = ("search", "train", "compare", "multitask", "tournament", "bench fill")


@pytest.fixture(scope="module")
def place(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder as a reader has it who followed the first tutorial, with the downloads that other pages name."""
    folder = tmp_path_factory.mktemp("reader")
    (folder / "benchmarks" / "Set5").mkdir(parents=True)
    (folder / "DIV2K" / "DIV2K_train_HR").mkdir(parents=True)
    for k, photograph in enumerate((data.astronaut, data.chelsea, data.coffee, data.rocket)):
        pixels = photograph()
        Image.fromarray(pixels[100:148, 150:206]).save(folder / "benchmarks" / "Set5" / f"{k}.png")
        Image.fromarray(pixels[:160, :160]).save(folder / "DIV2K" / "DIV2K_train_HR" / f"{k + 1:04d}.png")
    torch.manual_seed(0)
    network = JSNet(Genotype.load("jsnet-sr"), NetworkSettings(3, 2, 5))
    state = network.state_dict()
    torch.save({theirs: state[ours] for ours, theirs in official_names(network).items()}, folder / "jsnet_x2.pt")
    return folder


@pytest.fixture(scope="module")
def followed(place: Path) -> Path:
    with pytest.MonkeyPatch.context() as patch:
        follow(OWN_IMAGES, place, patch)
    return place


def follow(page: Path, place: Path, patch: pytest.MonkeyPatch) -> None:
    """Does what a page says."""
    patch.chdir(place)
    patch.syspath_prepend(place)
    blocks = blocks_of(page)
    for block, after in itertools.pairwise([*blocks, Block("", "")]):
        if block.file_name is not None:
            (place / block.file_name).write_text(block.text)
            importlib.invalidate_caches()
        elif block.kind == "python":
            exec(compile(block.text, str(page), "exec"), {"__name__": "__main__"})
        elif block.kind == "sh":
            expected = after.text.strip() if after.kind == "text" and after.text.startswith("jsnas:") else None
            run_shell(block, expected)


def run_shell(block: Block, expected: str | None) -> None:
    ci = (ROOT / ".ci" / "run").read_text(encoding="utf-8")
    for line in block.commands:
        if line.startswith("pip "):
            assert line in ci, f"{line!r} is not run by .ci/run"
            continue
        words = shlex.split(line, comments=True)
        assert words[0] == "jsnas", f"only jsnas is run here: {line!r}"
        try:
            code = main(at_test_size(words[1:]))
        except SystemExit as stop:  # --help
            code = stop.code
        assert code == (2 if expected else 0), line


def at_test_size(words: list[str]) -> list[str]:
    """The command, its run short and its networks small."""
    words = list(words)
    for k, (option, value) in enumerate(itertools.pairwise(words)):
        if option in SHORTER:
            words[k + 1] = str(SHORTER[option](int(value)))
    if words[0] in RUNS_ARE_MADE_BY or " ".join(words[:2]) in RUNS_ARE_MADE_BY:
        kept = [name for name in KEPT if f"--{name}" in words]
        words += [f"--{name}={value}" for name, value in SMALL.items() if name not in kept and f"--{name}" not in words]
    return words


def test_the_first_tutorial_leads_to_a_network(followed: Path) -> None:
    for name in ("module.svg", "runs/train/evaluation.json", "runs/train/report.html", "runs/train/model_card.md"):
        assert (followed / name).stat().st_size > 500
    with (
        Image.open(followed / "unseen" / "chelsea.png") as small,
        Image.open(followed / "enlarged/chelsea.png") as large,
    ):
        assert large.size == (2 * small.width, 2 * small.height)


@pytest.mark.filterwarnings("ignore:.*skip connections:UserWarning")  # so short a search may end in skips
@pytest.mark.parametrize("page", OTHERS, ids=lambda page: str(page.relative_to(ROOT)))
def test_a_page_does_what_it_says(
    page: Path, followed: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    follow(page, followed, monkeypatch)
    said = capsys.readouterr().err
    blocks = blocks_of(page)
    for block, after in itertools.pairwise(blocks):
        if block.kind == "sh" and after.kind == "text" and after.text.startswith("jsnas:"):
            assert after.text.strip() in said


@pytest.mark.parametrize("page", written_pages(), ids=lambda page: str(page.relative_to(DOCS)))
def test_no_command_escapes_the_tests(page: Path) -> None:
    for block in blocks_of(page):
        assert block.kind in KINDS or block.is_marked or block.kind.startswith("{image}"), block
        if block.kind == "text":
            assert not re.search(r"^(\$|jsnas [a-z]|pip |python )", block.text, re.MULTILINE), block
        if block.is_marked:  # the commands exist, with these options
            for line in block.commands:
                if line.startswith("jsnas"):
                    assert shlex.split(line)[1] in COMMANDS


def messages() -> set[str]:
    """Every text in the sources, ``…`` where a value is filled in."""
    found = set()
    for source in (path for folder in ("jsnas", "trainers") for path in (ROOT / folder).rglob("*.py")):
        for node in ast.walk(ast.parse(source.read_text(encoding="utf-8"))):
            if isinstance(node, ast.JoinedStr):
                found.add("".join(v.value if isinstance(v, ast.Constant) else "…" for v in node.values))
            elif isinstance(node, ast.Constant) and isinstance(node.value, str):
                found.add(node.value)
    return found


def test_errors_that_are_only_quoted_are_in_the_sources() -> None:
    quoted = [
        block.text.strip().removeprefix("jsnas: ") for block in blocks_of(DOCS / "errors.md") if "…" in block.text
    ]
    assert len(quoted) > 4
    assert set(quoted) <= messages()


def test_the_pictures_of_the_idea_are_of_a_search(followed: Path) -> None:
    pictures = idea_pictures(followed / "runs" / "search")
    assert read_genotype(pictures["found"]) == Genotype.load(followed / "runs" / "search" / "genotype.json")
    assert set(dict(read_genotype(pictures["space"]).operations).values()) == {"7 candidates"}
    assert pictures["edge"].startswith('<svg xmlns="http://www.w3.org/2000/svg"') and "rdb_sep" in pictures["edge"]
    for name in pictures:
        assert read_committed(name)


def read_committed(name: str) -> bool:
    return (DOCS / "pictures" / f"{name}.svg").read_text(encoding="utf-8").startswith("<svg")
