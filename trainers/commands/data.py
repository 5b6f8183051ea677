"""Packing images and restoring them."""

from __future__ import annotations

import os
from collections.abc import Sequence
from pathlib import Path

from trainers.commands.parser import Command, Parser, task_of


def _pack(words: Sequence[str]) -> None:
    parser = Parser("pack", COMMANDS["pack"].summary)
    parser.add_argument("images", type=Path, help="folder of images, or a DIV2K tree")
    parser.add_argument("out", type=Path, help="H5 file to write, or with --shard-images a folder of them")
    parser.add_argument("--task", required=True, help="sr, denoise or deblock")
    parser.add_argument("--scale", type=int, help="2, 3 or 4, for sr")
    parser.add_argument("--quality", type=int, help="JPEG quality from 1 to 100, for deblock (default: 10)")
    parser.add_argument("--processes", type=int, default=os.cpu_count() or 1, help="processes (default: one a core)")
    parser.add_argument("--shard-images", type=int, metavar="N", help="write a folder of files of N images each")
    options = parser.parse_args(words)
    from jsnas.data.pack import pack
    from trainers.progress import counting

    task = task_of(options.task, options.scale, None, options.quality)
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
    parser.add_argument("checkpoint", type=Path, help="checkpoint (.safetensors)")
    parser.add_argument("images", type=Path, nargs="+", help="low-quality images, or folders of them")
    parser.add_argument("--out", type=Path, required=True, help="folder for the restored images")
    parser.add_argument("--overwrite", action="store_true", help="replace files that are there")
    parser.add_argument("--device", default="auto", help="auto, cpu, cuda or cuda:1")
    options = parser.parse_args(words)
    from jsnas.checkpoint import load_checkpoint
    from trainers.progress import counting
    from trainers.restore import restore_files
    from trainers.streams import pick_device

    network, device = load_checkpoint(options.checkpoint), pick_device(options.device)
    show = counting("restore", "images")
    written = restore_files(
        network, network.metadata["task"], options.images, options.out, device, options.overwrite, show
    )
    print(f"Restored {len(written)} images into {options.out}.")


COMMANDS = {
    "pack": Command("Pack images into one H5 file.", _pack),
    "restore": Command("Restore images with a checkpoint.", _restore),
}
