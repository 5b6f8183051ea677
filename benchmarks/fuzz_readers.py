"""What is fuzzed: every reader of jsnas, by the command that a user would give the file to."""

from __future__ import annotations

import json
import random
import shutil
from collections.abc import Callable
from dataclasses import dataclass
from hashlib import sha256
from pathlib import Path

import yaml

from benchmarks.fuzz_files import ValidFiles
from benchmarks.fuzz_mutations import mutate_bytes, mutate_safetensors, mutate_text, mutate_words


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
    """A kind of input, how often it is drawn, and how one is made of valid files, in a folder, by a generator."""

    name: str
    share: int
    make: Callable[[ValidFiles, Path, random.Random], Case]


def _image(valid: ValidFiles, folder: Path, rng: random.Random) -> Case:
    name = rng.choice(list(valid.images))
    data = mutate_bytes(valid.images[name], list(valid.images.values()), rng)
    path, out = _write(folder / f"in{Path(name).suffix}", data), folder / "out.h5"
    task = rng.choice((["sr", "--scale", "2"], ["denoise"], ["deblock", "--quality", "10"]))
    return Case(["pack", str(path), str(out), "--task", *task], (out,))


def _packed(valid: ValidFiles, folder: Path, rng: random.Random) -> Case:
    return Case(["verify", str(_write(folder / "in.h5", mutate_bytes(valid.h5, [], rng)))])


def _weights(valid: ValidFiles, folder: Path, rng: random.Random) -> Case:
    path, out = _write(folder / "in.safetensors", mutate_safetensors(valid.checkpoint, rng)), folder / "out.svg"
    return Case(["verify", str(path)]) if rng.random() < 0.7 else Case(["draw", str(path), str(out)], (out,))


def _official(valid: ValidFiles, folder: Path, rng: random.Random) -> Case:
    data, out = rng.choice(valid.pickles), folder / "out.safetensors"
    data = data if rng.random() < 0.1 else mutate_bytes(data, valid.pickles, rng)
    return Case(["import-official", str(_write(folder / "in.pt", data)), str(out)], (out,))


def _resumable(valid: ValidFiles, folder: Path, rng: random.Random) -> Case:
    data = rng.choice((valid.state, *valid.pickles))
    if rng.random() < 0.5:  # with a checksum that fits: the stranger can count too
        data = mutate_bytes(data, valid.pickles, rng)
        data += sha256(data).digest()
    else:
        data = mutate_bytes(data, [], rng)
    return Case(["verify", str(_write(folder / "00000004.pt", data))])


def _genotype(valid: ValidFiles, folder: Path, rng: random.Random) -> Case:
    text, out = valid.genotype, folder / "out.svg"
    path = _write(folder / rng.choice(("in.json", "in.yaml")), mutate_text(text, json.loads(text), rng))
    return Case(["verify", str(path)]) if rng.random() < 0.8 else Case(["draw", str(path), str(out)], (out,))


def _nni_sample(valid: ValidFiles, folder: Path, rng: random.Random) -> Case:
    sample = {"operation_0_1": "rdb_sep", "operation_0_2": "skip", "operation_1_2": "rdb_light", "attention_0_1": "ca"}
    path, out = folder / "in.json", folder / "out.safetensors"
    _write(path, mutate_text(json.dumps(sample).encode(), sample, rng))
    return Case(["export", str(path), str(out), "--task", "sr", "--scale", "2", "--modules", "1"], (out,))


def _config(valid: ValidFiles, folder: Path, rng: random.Random) -> Case:
    text, out = valid.config, folder / "out"
    path = _write(folder / "in.yaml", mutate_text(text, yaml.safe_load(text), rng))
    return Case(["search", "--config", str(path), "--out", str(out)], (out,), imports=True)


def _run_folder(valid: ValidFiles, folder: Path, rng: random.Random) -> Case:
    run = folder / "run"
    shutil.copytree(valid.folder / "train", run, ignore=shutil.ignore_patterns("states", ".lock", "report.html"))
    for _ in range(rng.choice((1, 2))):
        name = rng.choice(("config.yaml", "genotype.json", "run.json", "metrics.jsonl", "checkpoint.safetensors"))
        data = (run / name).read_bytes()
        if name.endswith(".safetensors"):
            data = mutate_safetensors(valid.checkpoint, rng)
        elif name == "metrics.jsonl":
            lines = valid.metrics.splitlines()
            lines[rng.randrange(len(lines))] = mutate_text(lines[0], json.loads(lines[0]), rng)
            data = b"\n".join(lines)
        else:
            data = mutate_text(data, yaml.safe_load((valid.folder / "train" / name).read_bytes()), rng)
        (run / name).write_bytes(data)
    return Case(["report", str(run)], (run / "report.html",))


def _table(valid: ValidFiles, folder: Path, rng: random.Random) -> Case:
    shutil.copytree(valid.folder / "table", folder / "table")
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


OVERRIDES = (
    "--search.modules=2",
    "--train.learning_rate",
    "1e-3",
    "--strategy.args.partial=2",
    "--datasets.workers=0",
)
# None of these finds data to train on, so none runs for long.
COMMANDS = (
    f"search --config {{tiny}} --data {{missing}} --out {{out}} --strategy darts --seed 1 {' '.join(OVERRIDES)}",
    "train --config sr-x2 --data {missing} --out {out} --genotype jsnet-sr --iterations 5",
    f"compare random grid --config {{tiny}} --data {{missing}} --out {{out}} --budget 4 {' '.join(OVERRIDES)}",
    "pack {valid}/images {out}.h5 --task sr --scale 2",
    "pack {valid}/images {out}.h5 --task deblock --quality 10",
    "evaluate {checkpoint} {valid}/images --json {out}.json --border 2 --channel y",
    "restore {checkpoint} {valid}/images/0.png --out {out} --overwrite",
    "export {valid}/train {out}.py",
    "export jsnet-sr {out}.safetensors --scale 3 --modules 2",
    "cost {checkpoint} --size 48x64 --json {out}.json",
    "draw jsnet-sr {out}.svg --against rb-esa",
    "verify {valid}/data.h5 {checkpoint}",
    "import-official {valid}/pickles/0.pt {out}.safetensors",
    "list operations",
    "tournament random luck --config {tiny} --data {missing} --out {out} --seeds 2",
    "bench fill {out} --config {tiny} --data {missing} --genotypes 2",
    "bench export {valid}/table {out}.csv",
    "block check nothing:Here --channels 8",
    "experiment --view {folder}/no-run --port 0 --no-browser",
)
OTHER_WORDS = ("--help", "-h", "--plugin", "--resume", "--config", "--out", "--task", "--scale", "2", "3.5")


def _words(valid: ValidFiles, folder: Path, rng: random.Random) -> Case:
    tiny = str(valid.folder / "tiny.yaml")
    places = {
        "tiny": tiny,
        "valid": str(valid.folder),
        "checkpoint": str(valid.folder / "train/checkpoint.safetensors"),
        "folder": str(folder),
        "out": str(folder / "out"),
        "missing": str(folder / "missing.h5"),
    }
    commands = [[word.format(**places) for word in command.split()] for command in COMMANDS]
    pool = (*OTHER_WORDS, tiny, *OVERRIDES, *(command[0] for command in commands))
    mutated = mutate_words(rng.choice(commands), pool, rng)
    if mutated and mutated[0] == "demo":
        mutated[0] = "list"
    # Whatever word stands where a name for writing is asked for is a named file.
    named = tuple(folder / word for word in mutated if word and "\x00" not in word and len(word) < 200)
    return Case(mutated, (*named, folder / "runs"), imports=True)


READERS = (
    Reader("images", 10, _image),
    Reader("packed H5", 8, _packed),
    Reader("checkpoint (safetensors)", 6, _weights),
    Reader("authors' checkpoint (.pt)", 6, _official),
    Reader("resumable state", 6, _resumable),
    Reader("genotype (JSON, YAML)", 6, _genotype),
    Reader("NNI sample (JSON)", 1, _nni_sample),
    Reader("config (YAML)", 2, _config),
    Reader("run folder", 1, _run_folder),
    Reader("table of trainings (folder, CSV, Parquet)", 3, _table),
    Reader("command-line words", 4, _words),
)


def _write(path: Path, data: bytes) -> Path:
    path.write_bytes(data)
    return path
