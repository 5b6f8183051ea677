"""The demo: search, training and restored photographs in one go."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

from jsnas.errors import unknown_name
from trainers.commands.parser import Command, Parser, path_of, settings_help


def _demo(words: Sequence[str]) -> None:
    parser = Parser("demo", COMMANDS["demo"].summary, settings_help())
    parser.add_argument(
        "--out", type=path_of, default=Path("runs/demo"), help="folder for the results (default: runs/demo)"
    )
    parser.add_argument("--task", default="sr", help="sr (default), denoise or deblock")
    options, overrides = parser.parse_known_args(words)
    from trainers.demo import CONFIGS, demo

    if options.task not in CONFIGS:
        raise unknown_name("task", options.task, CONFIGS)
    summary = demo(options.task, options.out, overrides)
    kind = "bicubic" if options.task == "sr" else "the input"
    before = summary["psnr_db"] - summary["gain_db"]
    print(
        f"Restored {len(summary['images'])} photographs it had not seen at {summary['psnr_db']:.2f} dB; {kind} has "
        f"{before:.2f} dB ({summary['gain_db']:+.2f} dB), in {summary['seconds']:.0f} s.\nResults in {options.out}: "
        "report.html, summary.json, genotype.json, checkpoint.safetensors, model_card.md, jsnet.py, architecture.svg, "
        "restored/"
    )


COMMANDS = {
    "demo": Command(
        "Search, train and evaluate on photographs that ship with scikit-image.",
        _demo,
        "; a demo starts anew, in another --out",
    ),
}
