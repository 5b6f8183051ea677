"""Scores of a checkpoint."""

from __future__ import annotations

import argparse
from collections.abc import Sequence
from dataclasses import replace
from typing import Any

from jsnas.errors import InputError
from trainers.commands.outputs import check_output
from trainers.commands.parser import Command, Parser, checkpoint_of, path_of, write_json


def _evaluate(words: Sequence[str]) -> None:
    parser = Parser("evaluate", COMMANDS["evaluate"].summary)
    parser.add_argument("checkpoint", type=checkpoint_of, help="checkpoint (.safetensors), or run folder of a training")
    parser.add_argument(
        "images", type=path_of, help="folder of high-quality images, a benchmark set, or a folder of sets"
    )
    parser.add_argument("--json", type=path_of, help="file for all figures")
    parser.add_argument("--device", default="auto", help="auto, cpu, cuda or cuda:1")
    parser.add_argument("--self-ensemble", action="store_true", help="average over the eight flips and rotations")
    parser.add_argument("--sigma", type=float, help="another noise level than the checkpoint's, for denoising")
    parser.add_argument("--quality", type=int, help="another JPEG quality than the checkpoint's, for deblocking")
    parser.add_argument("--channel", help="what is scored: y, y_rounded, y_full, rgb or gray (default: the task's)")
    parser.add_argument("--border", help="pixels cut off each side, or 'scale' (default: the task's)")
    parser.add_argument("--ssim-window", help="gaussian or uniform8 (default: gaussian)")
    parser.add_argument("--gray-images", help="score gray images as_rgb (default) or as_gray, for super-resolution")
    parser.add_argument("--not-rounded", action="store_true", help="score the output without rounding it to 8 bits")
    parser.add_argument("--conventions", action="store_true", help="score under all conventions that people mix up")
    parser.add_argument(
        "--explain", type=float, metavar="FIGURE", help="name the convention that explains this PSNR or SSIM"
    )
    options = parser.parse_args(words)
    from jsnas.checkpoint import load_checkpoint
    from trainers.evaluate import evaluate
    from trainers.explain import conventions_table
    from trainers.progress import counting
    from trainers.streams import pick_device

    if options.json:
        check_output(options.json, "figures")
    network, device = load_checkpoint(options.checkpoint), pick_device(options.device)
    task = network.metadata["task"]
    for name in ("sigma", "quality"):
        if getattr(options, name) is not None:
            task = replace(task, **{name: getattr(options, name)})
    convention, show = _convention(options, task), counting("evaluate", "images")
    report: Any
    if options.conventions or options.explain is not None:
        if convention is not None:
            raise InputError("--conventions scores under all conventions; leave --channel, --border and the like out.")
        report = conventions_table(
            network, options.images, task, options.explain, options.self_ensemble, device, progress=show
        )
    else:
        report = evaluate(network, options.images, task, convention, options.self_ensemble, device, progress=show)
    print(report.table())
    if options.json:
        write_json(options.json, report.to_dict())


def _convention(options: argparse.Namespace, task: Any) -> Any:
    """The task's convention with the deviations that were asked for; ``None`` without any."""
    from jsnas.conventions import deviating

    border = options.border
    if border not in (None, "scale"):
        if not border.isdecimal():
            raise InputError(f"A border of '{border}' was given; give a number of pixels, or 'scale'.")
        border = int(border)
    quantized = False if options.not_rounded else None
    changes = (options.channel, border, options.ssim_window, quantized, options.gray_images)
    return None if changes == (None,) * 5 else deviating(task, *changes)


COMMANDS = {
    "evaluate": Command("Score a checkpoint on images.", _evaluate),
}
