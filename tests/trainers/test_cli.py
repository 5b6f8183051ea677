"""The command line as a user meets it: what it does, and one sentence and exit code 2 for every mistake."""

from __future__ import annotations

import json
import re
import shlex
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest
import yaml
from PIL import Image
from tiny_runs import metrics_of, run

from jsnas import Genotype, load_checkpoint
from trainers.catalogue import STRATEGIES
from trainers.cli import main


@pytest.fixture(scope="module")
def folder(tiny: Path) -> Path:
    return tiny


@pytest.fixture(scope="module")
def searched(folder: Path) -> Path:
    assert run(folder, "search", "search") == 0
    return folder / "search"


@pytest.fixture(scope="module")
def trained(folder: Path, searched: Path) -> Path:
    assert run(folder, "train", "train", "--genotype", str(searched)) == 0
    return folder / "train"


def test_a_search_leaves_its_run_folder(searched: Path) -> None:
    genotype = Genotype.load(searched / "genotype.json")
    assert (genotype.task, genotype.scale) == ("sr", 2)
    assert len(genotype.operations) == 3 and len(genotype.attentions) == 1
    assert "none" not in [name for _, name in genotype.operations]
    lines = metrics_of(searched)
    assert [line["iteration"] for line in lines] == [2, 4, 6, 8]
    assert [line["phase"] for line in lines] == ["warm-up", "search", "search", "search"]
    assert all("psnr_db" in line for line in lines if line["iteration"] % 4 == 0)
    assert "architecture_loss" not in lines[0] and "architecture_loss" in lines[1]
    probabilities = [value for key, value in lines[-1].items() if key.startswith("probability/operation_0_1/")]
    assert len(probabilities) == 7 and sum(probabilities) == pytest.approx(1)
    assert yaml.safe_load((searched / "config.yaml").read_text())["search"]["total_iter"] == 8
    assert list((searched / "tensorboard").iterdir())


def test_a_training_leaves_a_checkpoint_that_evaluates_and_restores(folder: Path, trained: Path) -> None:
    network = load_checkpoint(trained / "checkpoint.safetensors")
    assert network.metadata["metrics"]["iteration"] in (4, 8)
    lines = metrics_of(trained)
    assert [line["learning_rate"] for line in lines] == [2e-4, 2e-4, 1e-4, 1e-4]
    checkpoint = str(trained / "checkpoint.safetensors")
    assert main(["evaluate", checkpoint, str(folder / "images"), "--json", str(folder / "figures.json")]) == 0
    results = json.loads((folder / "figures.json").read_text())["results"]
    assert results[0]["images"] == 5 and np.isfinite(results[0]["psnr_db"])
    assert main(["restore", checkpoint, str(folder / "images"), "--out", str(folder / "restored")]) == 0
    with Image.open(folder / "restored" / "0.png") as restored:
        assert restored.size == (140, 120)
    assert main(["restore", checkpoint, str(folder / "images"), "--out", str(folder / "restored")]) == 2
    assert main(["restore", checkpoint, str(folder / "images"), "--out", str(folder / "restored"), "--overwrite"]) == 0


@pytest.mark.parametrize("suffix", ["safetensors", "py"])
def test_a_run_is_exported(folder: Path, trained: Path, suffix: str) -> None:
    assert main(["export", str(trained), str(folder / f"net.{suffix}")]) == 0
    assert (folder / f"net.{suffix}").stat().st_size > 1000


@pytest.mark.parametrize("command", ["search", "train"])
def test_a_resumed_run_equals_one_that_never_stopped(folder: Path, searched: Path, trained: Path, command: str) -> None:
    whole = folder / command
    more = ("--genotype", str(searched)) if command == "train" else ()
    assert run(folder, command, f"{command}-cut", "--iterations", "4", *more) == 0
    assert run(folder, command, f"{command}-cut", "--resume", *more) == 0
    cut = folder / f"{command}-cut"
    name = "genotype.json" if command == "search" else "checkpoint.safetensors"
    assert (cut / name).read_bytes() == (whole / name).read_bytes()
    states = [path / "states" / "00000008.pt" for path in (whole, cut)]
    assert states[0].read_bytes() == states[1].read_bytes()
    lines = [(path / "metrics.jsonl").read_text().splitlines() for path in (whole, cut)]
    assert lines[0] == lines[1]


def test_a_damaged_state_is_passed_over_for_the_one_before(folder: Path, trained: Path) -> None:
    import shutil

    shutil.copytree(trained, folder / "train-damaged")
    newest = folder / "train-damaged" / "states" / "00000008.pt"
    data = bytearray(newest.read_bytes())
    data[len(data) // 2] ^= 1
    newest.write_bytes(data)
    with pytest.warns(UserWarning, match="damaged"):
        assert run(folder, "train", "train-damaged", "--genotype", str(folder / "search"), "--resume") == 0
    restored = folder / "train-damaged" / "checkpoint.safetensors"
    assert restored.read_bytes() == (trained / "checkpoint.safetensors").read_bytes()


def test_one_seed_gives_one_genotype_and_another_seed_another_stream(folder: Path, searched: Path) -> None:
    assert run(folder, "search", "search-again") == 0
    assert (folder / "search-again" / "metrics.jsonl").read_text() == (searched / "metrics.jsonl").read_text()
    assert run(folder, "search", "search-other", "--seed", "1") == 0
    assert (folder / "search-other" / "metrics.jsonl").read_text() != (searched / "metrics.jsonl").read_text()


def bad_inputs(folder: Path) -> dict[str, tuple[list[str], str]]:
    config, data = str(folder / "tiny.yaml"), str(folder / "data.h5")
    small = str(folder / "small")
    (folder / "small").mkdir(exist_ok=True)
    Image.new("RGB", (20, 20)).save(folder / "small" / "small.png")
    (folder / "empty").mkdir(exist_ok=True)
    (folder / "broken").mkdir(exist_ok=True)
    whole = (folder / "images" / "0.png").read_bytes()
    (folder / "broken" / "cut.png").write_bytes(whole[: len(whole) // 2])
    main(["pack", small, str(folder / "small.h5"), "--task", "sr", "--scale", "2"])
    search = ["search", "--out", str(folder / "bad"), "--config", config]
    ranges = [
        f"--datasets.{part}={r}" for part, r in (("weights", "1-1"), ("architecture", "1-1"), ("validation", "1-1"))
    ]
    return {
        "unknown command": (["serach"], "did you mean 'search'"),
        "unknown option": (["list", "--al"], "--al"),
        "misspelt option of a command": ([*search, "--dta", data], "did you mean '--data'"),
        "no images": (["pack", str(folder / "empty"), str(folder / "x.h5"), "--task", "sr", "--scale", "2"], "empty"),
        "no folder": (["pack", str(folder / "no"), str(folder / "x.h5"), "--task", "sr", "--scale", "2"], "no"),
        "broken png": (
            ["pack", str(folder / "broken"), str(folder / "x.h5"), "--task", "sr", "--scale", "2"],
            "cut.png",
        ),
        "scale 5": (
            ["pack", str(folder / "images"), str(folder / "x.h5"), "--task", "sr", "--scale", "5"],
            "2, 3 or 4",
        ),
        "no scale": (["pack", str(folder / "images"), str(folder / "x.h5"), "--task", "sr"], "--scale"),
        "unknown task": (["pack", str(folder / "images"), str(folder / "x.h5"), "--task", "blur"], "blur"),
        "quality without JPEG": (
            ["pack", str(folder / "images"), str(folder / "x.h5"), "--task=sr", "--scale=2", "--quality=10"],
            "no JPEG quality",
        ),
        "no checkpoint of the authors": (
            ["import-official", str(folder / "images" / "0.png"), str(folder / "x.safetensors")],
            r"0\.png' cannot be read as a file of tensors alone; give (?!.*weights_only)",
        ),
        "small image": (
            [*search, "--data", str(folder / "small.h5"), *ranges[:1], "--datasets.architecture=1-1"],
            "1-1|3",
        ),
        "no data": (search, "--data"),
        "no such data": ([*search, "--data", str(folder / "no.h5")], r"no\.h5"),
        "not an h5": ([*search, "--data", config], r"tiny\.yaml"),
        "wrong task": ([*search, "--data", data, "--task=deblock", "--scale=1", "--quality=10"], "deblock"),
        "wrong scale": ([*search, "--data", data, "--scale=4"], "x4|scale 4"),
        "unknown key": ([*search, "--data", data, "--search.total_itr=3"], r"search\.total_iter"),
        "unknown candidate": ([*search, "--data", data, "--search.operations=[rdb_lihgt]"], "rdb_light"),
        "unknown strategy": ([*search, "--data", data, "--strategy", "pc_dart"], "pc_darts"),
        "unknown strategy setting": ([*search, "--data", data, "--strategy.args.partail=2"], "partial"),
        "K does not divide": ([*search, "--data", data, "--strategy.args.partial=3"], "K = 3"),
        "unknown config": (["search", "--config", "sr-x5"], "did you mean 'sr-x"),
        "betas": ([*search, "--data", data, "--search.betas=[2, 3]"], r"search\.betas"),
        "betas of the architecture": ([*search, "--data", data, "--strategy.args.betas=[2, 3]"], "betas"),
        "warm-up only": ([*search, "--data", data, "--warmup", "8"], "--warmup"),
        "only none": ([*search, "--data", data, "--search.operations=[none]"], "never wins"),
        "unknown device": ([*search, "--data", data, "--device=gpu9"], "gpu9"),
        "patch too large": ([*search, "--data", data, "--datasets.patch_size=64"], "patch"),
        "patch too small": ([*search, "--data", data, "--datasets.patch_size=8"], "8 pixels a side, .* takes 15"),
        "no candidates": ([*search, "--data", data, "--search.attentions=[]"], r"search\.attentions"),
        "bad range": ([*search, "--data", data, "--datasets.weights=9-12"], "9-12"),
        "no genotype": (["train", "--config", config, "--data", data, "--out", str(folder / "bad")], "--genotype"),
        "genotype of no run": (
            ["train", "--config", config, "--data", data, "--out", str(folder / "bad"), "--genotype", "jsnet-rs"],
            "jsnet-sr",
        ),
        "no checkpoint": (["evaluate", str(folder / "no.safetensors"), str(folder / "images")], "no.safetensors"),
        "foreign checkpoint": (["evaluate", config, str(folder / "images")], r"tiny\.yaml"),
        "bad size": (["cost", "jsnet-sr", "--size", "big"], "720x1280"),
        "size too small": (["cost", "jsnet-sr", "--size", "16x16"], "15"),
        "unknown list": (["list", "operation"], "operations"),
        "unknown suffix": (["export", "jsnet-sr", str(folder / "net.pth")], r"\.safetensors"),
    }


def test_every_mistake_gets_one_sentence_and_exit_code_2(folder: Path, capsys: pytest.CaptureFixture[str]) -> None:
    cases = bad_inputs(folder)
    capsys.readouterr()
    for name, (words, sentence) in cases.items():
        code = main(words)
        captured = capsys.readouterr()
        lines = captured.err.strip().splitlines()
        assert code == 2, name
        assert len(lines) == 1 and lines[0].startswith("jsnas: "), (name, captured.err)
        assert re.search(sentence, lines[0]), (name, lines[0])
        assert not (folder / "x.h5").exists(), name


def test_a_run_folder_is_not_overwritten(folder: Path, searched: Path, capsys: pytest.CaptureFixture[str]) -> None:
    before = (searched / "genotype.json").read_bytes()
    assert run(folder, "search", "search") == 2
    assert "--resume" in capsys.readouterr().err
    assert (searched / "genotype.json").read_bytes() == before


def test_a_run_that_is_not_there_or_is_longer_is_not_taken_for_one_to_carry_on(
    folder: Path, searched: Path, trained: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    before = (searched / "config.yaml").read_bytes()
    assert run(folder, "search", "search", "--resume", "--iterations", "6") == 2
    assert (searched / "config.yaml").read_bytes() == before
    assert "has done 8 iterations, more than the 6 asked for" in capsys.readouterr().err
    assert run(folder, "train", "train", "--resume", "--iterations", "6", "--genotype", str(searched)) == 2
    assert "has done 8 iterations" in capsys.readouterr().err
    assert run(folder, "search", "search-typo", "--resume") == 0
    assert "search-typo' holds no run yet; it starts from the beginning." in capsys.readouterr().err


def test_a_search_says_how_to_train_what_it_found(
    folder: Path, searched: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    assert run(folder, "search", "search-3", "--search.inner_channels=8", "--train.learning_rate=3e-4") == 0
    command = capsys.readouterr().out.strip().splitlines()[-1]
    words = shlex.split(command)
    assert words[0] == "jsnas" and main([*words[1:], "--iterations", "4"]) == 0
    assert load_checkpoint(folder / "search-3-trained" / "checkpoint.safetensors")
    assert "learning_rate: 0.0003" in (folder / "search-3-trained" / "config.yaml").read_text()


def test_trials_are_not_counted_in_iterations(folder: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert run(folder, "search", "trials", "--strategy", "random", "--iterations", "8") == 2
    assert "--search.max_trials and --search.trial_iter" in capsys.readouterr().err


def test_a_run_is_not_carried_on_with_other_settings(
    folder: Path, searched: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    assert run(folder, "search", "search", "--resume", "--search.channels=16") == 2
    assert "search.channels 8" in capsys.readouterr().err


def test_cost_and_list_need_no_files(capsys: pytest.CaptureFixture[str], tmp_path: Path) -> None:
    assert main(["cost", "jsnet-sr", "--json", str(tmp_path / "cost.json")]) == 0
    assert json.loads((tmp_path / "cost.json").read_text())["parameters"] == 476_443
    assert "104.8 G" in capsys.readouterr().out
    for kind in ("operations", "attentions", "strategies", "spaces", "genotypes", "configs"):
        assert main(["list", kind]) == 0
        assert len(capsys.readouterr().out.splitlines()) >= 1


def test_every_setting_of_a_strategy_has_a_help_line(capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["list", "strategies"]) == 0
    said = capsys.readouterr().out
    blocks = re.split(r"^  (?=\w)", said, flags=re.MULTILINE)[1:]
    told = {
        block.split()[0]: dict(re.findall(r"^    --strategy\.args\.(\w+)  (\S.*)$", block, re.MULTILINE))
        for block in blocks
    }
    assert set(told) == set(STRATEGIES)
    paper = ["weight_warmup_iters", "learning_rate", "betas", "weight_decay", "gradient_clip", "seed"]
    assert set(told["pc_darts"]) == {*paper, "partial", "mask", "edge_normalization", "second_order", "fast"}
    assert "1/K" in told["pc_darts"]["partial"]
    assert set(told["random"]) == {"dedup", "seed"}


def test_importing_jsnas_imports_neither_nni_nor_lightning() -> None:
    code = "import sys, jsnas; print([m for m in ('nni', 'pytorch_lightning', 'lightning_fabric') if m in sys.modules])"
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert done.stdout.strip() == "[]"


def test_the_module_is_the_command_line() -> None:
    done = subprocess.run([sys.executable, "-m", "jsnas", "serach"], capture_output=True, text=True, check=False)
    assert done.returncode == 2 and done.stderr.count("\n") == 1 and "search" in done.stderr
