"""Packing images, and reading files whole."""

from __future__ import annotations

import os
from collections.abc import Sequence

from trainers.commands.outputs import check_output
from trainers.commands.parser import Command, Parser, path_of, task_of


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

    task = task_of(options.task, options.scale, options.quality)
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
}
