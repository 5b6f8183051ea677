"""Packing images and restoring them."""

from __future__ import annotations

import os
import sys
from collections.abc import Sequence
from pathlib import Path

from jsnas.errors import InputError
from trainers.commands.outputs import check_output
from trainers.commands.parser import Command, Parser, checkpoint_of, name_of, path_of, task_of


def _pack(words: Sequence[str]) -> None:
    parser = Parser("pack", COMMANDS["pack"].summary)
    parser.add_argument("images", type=path_of, help="folder of images, or a DIV2K tree")
    parser.add_argument("out", type=path_of, help="H5 file to write, or with --shard-images a folder of them")
    parser.add_argument("--task", required=True, help="sr, denoise or deblock")
    parser.add_argument("--scale", type=int, help="2, 3 or 4, for sr")
    parser.add_argument("--quality", type=int, help="JPEG quality from 1 to 100, for deblock (default: 10)")
    parser.add_argument("--processes", type=int, default=os.cpu_count() or 1, help="processes (default: one a core)")
    parser.add_argument("--shard-images", type=int, metavar="N", help="write a folder of files of N images each")
    options = parser.parse_args(words)
    from jsnas.data.pack import pack
    from trainers.progress import counting

    task = task_of(options.task, options.scale, None, options.quality)
    if options.shard_images is None:
        check_output(options.out, "packed images")
    show = counting("pack", "images")
    summary = pack(options.images, options.out, task, show, options.processes, options.shard_images)
    if summary.kept:
        print(f"{summary.kept} images had been packed before, by a run that was cut short.")
    print(
        f"Packed {summary.images} images ({summary.pixels / 1e6:.1f} megapixels) into {options.out}, "
        f"{summary.bytes / 1e6:.1f} MB, in {summary.seconds:.1f} s."
    )


def _restore(words: Sequence[str]) -> None:
    parser = Parser("restore", COMMANDS["restore"].summary)
    parser.add_argument(
        "checkpoint", type=checkpoint_of, help="checkpoint (.safetensors), run folder of a training, or exported .onnx"
    )
    parser.add_argument("images", nargs="+", help="images, folders, patterns in quotes, or - for standard input")
    parser.add_argument(
        "--out", type=name_of, required=True, help="folder for the restored images (PNG), or - for standard output"
    )
    parser.add_argument("--overwrite", action="store_true", help="replace files that are there")
    parser.add_argument("--backend", "--device", default="auto", help="auto, cpu, cuda, cuda:1, or onnx")
    parser.add_argument("--tile", type=int, help="cut images into tiles of this side in pixels (default: exact strips)")
    parser.add_argument("--overlap", type=int, help="overlap of tiles in pixels (default: 72)")
    parser.add_argument("--batch", type=int, help="tiles that are computed at once (default: 1)")
    options = parser.parse_args(words)
    from jsnas.tiles.layout import Tiling
    from trainers.progress import Progress
    from trainers.restore import open_restorer, restore_files, restore_one
    from trainers.restore_files import find_inputs

    given = {
        name: getattr(options, name) for name in ("tile", "overlap", "batch") if getattr(options, name) is not None
    }
    restorer, task = open_restorer(options.checkpoint, options.backend, Tiling(**given) if given else None)
    if "-" in (options.out, *options.images):
        if options.out != "-" or len(options.images) != 1:
            raise InputError("A pipe takes one image and gives one; say `jsnas restore CHECKPOINT - --out -`.")
        (word,) = options.images
        if word == "-" and sys.stdin is None:
            raise InputError("Standard input is closed, so there is no image to read; give a pipe or a file.")
        source = sys.stdin.buffer if word == "-" else find_inputs([word])
        if isinstance(source, list) and len(source) != 1:
            raise InputError(f"'{word}' names {len(source)} images, but standard output takes one; give a folder.")
        restore_one(restorer, task, source[0] if isinstance(source, list) else source, sys.stdout.buffer)
        return
    files = find_inputs(options.images)
    with Progress("restore", len(files), "images") as bar:
        result = restore_files(
            restorer,
            task,
            files,
            Path(options.out),
            options.overwrite,
            lambda done, total, name: bar.update(done, {"image": name}),
        )
    print(f"Restored into {options.out}: {result}.")
    if result.failed:
        raise InputError(f"{len(result.failed)} of {len(files)} images were not restored: {' '.join(result.failed)}")


def _verify(words: Sequence[str]) -> None:
    parser = Parser("verify", COMMANDS["verify"].summary)
    parser.add_argument(
        "files", type=path_of, nargs="+", help="packed images (.h5), checkpoints, states of a run, genotypes"
    )
    options = parser.parse_args(words)
    from trainers.verify import verify

    for file in options.files:
        print(f"{file}: whole ({verify(file)}).")


COMMANDS = {
    "pack": Command("Pack images into one H5 file.", _pack),
    "verify": Command("Read a file whole and compare it with its hashes: packed images, checkpoints, states.", _verify),
    "restore": Command("Restore images with a checkpoint.", _restore),
}
