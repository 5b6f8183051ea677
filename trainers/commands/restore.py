"""Restoring images."""

from __future__ import annotations

import sys
from collections.abc import Sequence
from pathlib import Path

from jsnas.errors import InputError
from trainers.commands.parser import Command, Parser, checkpoint_of, name_of


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


COMMANDS = {
    "restore": Command("Restore images with a checkpoint.", _restore),
}
