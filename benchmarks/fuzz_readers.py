"""What is fuzzed: every reader of jsnas, by the command that a user would give the file to."""

from __future__ import annotations

import json
import math
import os
import pickle
import random
import shutil
from collections.abc import Callable
from dataclasses import dataclass
from io import BytesIO
from pathlib import Path
from typing import Any

import numpy as np
import torch
import yaml
from PIL import Image

from benchmarks import tiny_runs
from benchmarks.fuzz_mutations import CANARY, mutate_bytes, mutate_safetensors, mutate_text, mutate_words
from jsnas.bench import SUFFIXES, Bench, Row, export_table
from jsnas.genotype import Genotype, shipped_genotypes

CANARY_CODE = (
    "from pathlib import Path\nPath({0!r}).touch()\nfrom torch import nn\nclass Block(nn.Identity):\n    pass\n"
)


@dataclass(frozen=True)
class Case:
    """One input.

    Attributes:
        words: What is given to ``jsnas``.
        named: Files and folders that the words name for writing.
        imports: Whether the words or a config may name a class that is imported.
    """

    words: list[str]
    named: tuple[Path, ...] = ()
    imports: bool = False


@dataclass(frozen=True)
class Reader:
    """A kind of input, how often it is drawn, and how one is made in a folder from a random generator."""

    name: str
    share: int
    make: Callable[[Path, random.Random], Case]


def readers(valid: Path) -> list[Reader]:
    """All readers; ``valid`` is the folder that ``make_valid`` filled."""
    images = {path.name: path.read_bytes() for path in sorted((valid / "odd").iterdir())}
    texts = {
        name: (valid / name).read_bytes()
        for name in ("genotype.json", "tiny.yaml", "train/metrics.jsonl", "train/run.json")
    }
    h5, checkpoint = (valid / "data.h5").read_bytes(), (valid / "train/checkpoint.safetensors").read_bytes()
    state = sorted((valid / "train/states").glob("*.pt"))[-1].read_bytes()
    pickles = [path.read_bytes() for path in sorted((valid / "pickles").iterdir())]
    sample = {"operation_0_1": "rdb_sep", "operation_0_2": "skip", "operation_1_2": "rdb_light", "attention_0_1": "ca"}

    def image(folder: Path, rng: random.Random) -> Case:
        name = rng.choice(list(images))
        path = _write(folder / f"in{Path(name).suffix}", mutate_bytes(images[name], list(images.values()), rng))
        task = rng.choice((["sr", "--scale", "2"], ["denoise"], ["deblock", "--quality", "10"]))
        return Case(["pack", str(path), str(folder / "out.h5"), "--task", *task], (folder / "out.h5",))

    def packed(folder: Path, rng: random.Random) -> Case:
        return Case(["verify", str(_write(folder / "in.h5", mutate_bytes(h5, [], rng)))])

    def weights(folder: Path, rng: random.Random) -> Case:
        path, out = _write(folder / "in.safetensors", mutate_safetensors(checkpoint, rng)), folder / "out.svg"
        return Case(["verify", str(path)]) if rng.random() < 0.7 else Case(["draw", str(path), str(out)], (out,))

    def official(folder: Path, rng: random.Random) -> Case:
        data, out = rng.choice(pickles), folder / "out.safetensors"
        data = data if rng.random() < 0.1 else mutate_bytes(data, pickles, rng)
        return Case(["import-official", str(_write(folder / "in.pt", data)), str(out)], (out,))

    def resumable(folder: Path, rng: random.Random) -> Case:
        data = rng.choice((state, *pickles))
        if rng.random() < 0.5:  # with a checksum that fits: the stranger can count too
            from hashlib import sha256

            data = mutate_bytes(data, pickles, rng)
            data += sha256(data).digest()
        else:
            data = mutate_bytes(data, [], rng)
        return Case(["verify", str(_write(folder / "00000004.pt", data))])

    def genotype(folder: Path, rng: random.Random) -> Case:
        text, out = texts["genotype.json"], folder / "out.svg"
        path = _write(folder / rng.choice(("in.json", "in.yaml")), mutate_text(text, json.loads(text), rng))
        return Case(["verify", str(path)]) if rng.random() < 0.8 else Case(["draw", str(path), str(out)], (out,))

    def nni_sample(folder: Path, rng: random.Random) -> Case:
        path, out = folder / "in.json", folder / "out.safetensors"
        _write(path, mutate_text(json.dumps(sample).encode(), sample, rng))
        words = ["export", str(path), str(out), "--task", "sr", "--scale", "2", "--modules", "1"]
        return Case(words, (out,))

    def config(folder: Path, rng: random.Random) -> Case:
        text, out = texts["tiny.yaml"], folder / "out"
        path = _write(folder / "in.yaml", mutate_text(text, yaml.safe_load(text), rng))
        return Case(["search", "--config", str(path), "--out", str(out)], (out,), imports=True)

    def run_folder(folder: Path, rng: random.Random) -> Case:
        run = folder / "run"
        shutil.copytree(valid / "train", run, ignore=shutil.ignore_patterns("states", ".lock", "report.html"))
        for _ in range(rng.choice((1, 2))):
            name = rng.choice(("config.yaml", "genotype.json", "run.json", "metrics.jsonl", "checkpoint.safetensors"))
            data = (run / name).read_bytes()
            if name.endswith(".safetensors"):
                data = mutate_safetensors(checkpoint, rng)
            elif name == "metrics.jsonl":
                lines = texts["train/metrics.jsonl"].splitlines()
                lines[rng.randrange(len(lines))] = mutate_text(lines[0], json.loads(lines[0]), rng)
                data = b"\n".join(lines)
            else:
                data = mutate_text(data, yaml.safe_load((valid / "train" / name).read_bytes()), rng)
            (run / name).write_bytes(data)
        return Case(["report", str(run)], (run / "report.html",))

    def table(folder: Path, rng: random.Random) -> Case:
        shutil.copytree(valid / "table", folder / "table")
        form = rng.choice(("folder", "csv", "parquet"))
        given = folder / "table" if form == "folder" else folder / f"table/table.{form}"
        rows, protocols = ("rows/*.json", "protocols/*.json") if form == "folder" else (given.name, "*.protocols.json")
        path = rng.choice(sorted((folder / "table").glob(rows if rng.random() < 0.8 else protocols)))
        data = path.read_bytes()
        if path.suffix == ".json":
            path.write_bytes(mutate_text(data, json.loads(data), rng))
        else:
            path.write_bytes(mutate_bytes(data, [], rng))
        out = folder / rng.choice(("out", "out.csv", "out.parquet"))
        if not out.suffix:
            return Case(["bench", "import", str(given), str(out)], (out,))
        if form == "folder":
            return Case(["bench", "export", str(given), str(out)], (out, out.with_suffix(".protocols.json")))
        return Case(["bench", "surrogate", str(given)])

    def words(folder: Path, rng: random.Random) -> Case:
        out, missing = str(folder / "out"), str(folder / "missing.h5")
        tiny, run, checkpoint_path = (
            str(valid / "tiny.yaml"),
            str(valid / "train"),
            str(valid / "train/checkpoint.safetensors"),
        )
        overrides = (
            "--search.modules=2",
            "--train.learning_rate",
            "1e-3",
            "--strategy.args.partial=2",
            "--datasets.workers=0",
        )
        # None of these finds data to train on, so none runs for long.
        commands: tuple[list[str], ...] = (
            [
                "search",
                "--config",
                tiny,
                "--data",
                missing,
                "--out",
                out,
                "--strategy",
                "darts",
                "--seed",
                "1",
                *overrides,
            ],
            [
                "train",
                "--config",
                "sr-x2",
                "--data",
                missing,
                "--out",
                out,
                "--genotype",
                "jsnet-sr",
                "--iterations",
                "5",
            ],
            [
                "compare",
                "random",
                "grid",
                "--config",
                tiny,
                "--data",
                missing,
                "--out",
                out,
                "--budget",
                "4",
                *overrides,
            ],
            ["pack", str(valid / "images"), f"{out}.h5", "--task", "sr", "--scale", "2"],
            ["pack", str(valid / "images"), f"{out}.h5", "--task", "deblock", "--quality", "10"],
            [
                "evaluate",
                checkpoint_path,
                str(valid / "images"),
                "--json",
                f"{out}.json",
                "--border",
                "2",
                "--channel",
                "y",
            ],
            ["restore", checkpoint_path, str(valid / "images/0.png"), "--out", out, "--overwrite"],
            ["export", run, f"{out}.py"],
            ["export", "jsnet-sr", f"{out}.safetensors", "--scale", "3", "--modules", "2"],
            ["cost", checkpoint_path, "--size", "48x64", "--json", f"{out}.json"],
            ["draw", "jsnet-sr", f"{out}.svg", "--against", "rb-esa"],
            ["verify", str(valid / "data.h5"), checkpoint_path],
            ["import-official", str(valid / "pickles/0.pt"), f"{out}.safetensors"],
            ["list", "operations"],
            ["tournament", "random", "luck", "--config", tiny, "--data", missing, "--out", out, "--seeds", "2"],
            ["bench", "fill", out, "--config", tiny, "--data", missing, "--genotypes", "2"],
            ["bench", "export", str(valid / "table"), f"{out}.csv"],
            ["block", "check", "nothing:Here", "--channels", "8"],
            ["experiment", "--view", str(folder / "no-run"), "--port", "0", "--no-browser"],
        )
        pool = (
            "--help",
            "-h",
            "--plugin",
            "--resume",
            "--config",
            "--out",
            "--task",
            "--scale",
            "2",
            "3.5",
            tiny,
            *overrides,
        )
        mutated = mutate_words(rng.choice(commands), (*pool, *(command[0] for command in commands)), rng)
        if mutated and mutated[0] == "demo":
            mutated[0] = "list"
        # Whatever word stands where a name for writing is asked for is a named file.
        named = tuple(folder / word for word in mutated if word and "\x00" not in word and len(word) < 200)
        return Case(mutated, (*named, folder / "runs"), imports=True)

    return [
        Reader("images", 10, image),
        Reader("packed H5", 8, packed),
        Reader("checkpoint (safetensors)", 6, weights),
        Reader("authors' checkpoint (.pt)", 6, official),
        Reader("resumable state", 6, resumable),
        Reader("genotype (JSON, YAML)", 6, genotype),
        Reader("NNI sample (JSON)", 1, nni_sample),
        Reader("config (YAML)", 2, config),
        Reader("run folder", 1, run_folder),
        Reader("table of trainings (folder, CSV, Parquet)", 3, table),
        Reader("command-line words", 4, words),
    ]


class _Code:
    def __reduce__(self) -> tuple[Any, tuple[str]]:
        return (__import__, (CANARY,))


def make_valid(folder: Path) -> None:
    """Fills a folder with one valid input of every kind, made by jsnas itself."""
    from trainers.cli import main

    tiny_runs.make(folder)
    words = tiny_runs.words("train", folder, folder / "train", ["--iterations", "8", "--logger.tensorboard=false"])
    if main(words) != 0:
        raise RuntimeError("the training that the fuzzed files come from failed")
    _make_table(folder / "table")
    (folder / "pickles").mkdir()
    tensors = {"up.0.weight": torch.zeros(128, 32, 3, 3), "head.0.weight": torch.zeros(64, 3, 3, 3)}
    for number, content in enumerate((tensors, {"a": _Code()}, [1, {"b": 2}])):
        torch.save(content, folder / "pickles" / f"{number}.pt")
    (folder / "pickles" / "3.pt").write_bytes(pickle.dumps(_Code()))
    (folder / "odd").mkdir()
    pixels = np.random.default_rng(0).integers(0, 256, (20, 24, 4), dtype=np.uint8)
    picture = Image.fromarray(pixels[..., :3])
    exif = Image.Exif()
    exif[0x0112] = 6
    for name, image, options in (
        ("rgb.png", picture, {"exif": exif}),
        ("rgba.png", Image.fromarray(pixels), {}),
        ("gray.png", picture.convert("L"), {}),
        ("deep.png", Image.fromarray(pixels[..., 0].astype(np.uint16) * 200), {}),
        ("palette.png", picture.quantize(7), {"transparency": 1}),
        ("photo.jpg", picture, {"exif": exif, "progressive": True}),
        ("cmyk.jpg", picture.convert("CMYK"), {}),
        ("lzw.tif", picture, {"compression": "tiff_lzw"}),
        ("cmyk.tif", picture.convert("CMYK"), {}),
        ("one.bmp", picture.crop((0, 0, 1, 1)), {}),
        ("photo.webp", picture, {}),
        ("raw.ppm", picture, {}),
    ):
        buffer = BytesIO()
        kind = {"jpg": "JPEG", "tif": "TIFF"}.get(name.rpartition(".")[2], name.rpartition(".")[2].upper())
        image.save(buffer, kind, **options)
        (folder / "odd" / name).write_bytes(buffer.getvalue())


def _make_table(folder: Path) -> None:
    """A table in its three forms, with figures of no training."""
    bench, rng = Bench(folder), random.Random(0)
    protocol = bench.add_protocol({"task": "sr-x2"})
    for name in shipped_genotypes():
        for seed in (0, 1):
            psnr_db = math.nan if seed and rng.random() < 0.3 else rng.uniform(28, 31)
            failed = "it diverged" if math.isnan(psnr_db) else ""
            genotype = Genotype.load(name)
            bench.add(Row(protocol, genotype, seed, 100, psnr_db, 1000, 10**9, 0.01, 1.0, "a machine", failed))
    for suffix in SUFFIXES:
        export_table(bench.rows(), bench.protocols(), folder / f"table{suffix}")


def _write(path: Path, data: bytes) -> Path:
    path.write_bytes(data)
    return path


def canary(folder: Path) -> Path:
    """Puts a module on the path that leaves a mark when it is imported; returns the mark."""
    mark = folder / "imported"
    (folder / f"{CANARY}.py").write_text(CANARY_CODE.format(str(mark)), encoding="utf-8")
    os.environ["PYTHONPATH"] = os.pathsep.join(filter(None, (str(folder), os.environ.get("PYTHONPATH", ""))))
    return mark
