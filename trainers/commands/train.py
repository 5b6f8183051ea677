"""The demo, and training what a search found."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path

from jsnas.errors import unknown_name
from trainers.commands.parser import RESUMES, Command, Parser, config_of, path_of, run_parser, settings_help


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


def _train(words: Sequence[str]) -> None:
    parser = run_parser("train", COMMANDS["train"].summary)
    parser.add_argument("--genotype", help="genotype file, folder of a search, or name of a shipped one")
    parser.add_argument("--inherit", metavar="RUN", help="folder of a search: start from its supernet's weights")
    options, overrides = parser.parse_known_args(words)
    short = {"iterations": "train.total_iter", "genotype": "train.genotype", "inherit": "train.inherit"}
    config = config_of(options, overrides, {**short, "devices": "devices", "num_nodes": "num_nodes"})
    if options.plugin:  # for the processes of other devices, which do not see the option
        config = replace(config, plugins=[*config.plugins, *options.plugin])
    out = options.out or Path("runs") / f"{config.to_task().label}-train"
    from trainers.train import train

    network = train(config, out, options.resume)
    metrics = network.metadata["metrics"]
    print(
        f"Best checkpoint in {out / 'checkpoint.safetensors'}: {metrics['validation_psnr_db']:.2f} dB on the held-out "
        f"images, at iteration {metrics['iteration']}."
    )


COMMANDS = {
    "demo": Command(
        "Search, train and evaluate on photographs that ship with scikit-image.",
        _demo,
        "; a demo starts anew, in another --out",
    ),
    "train": Command("Train the network of a genotype; leaves a checkpoint.", _train, RESUMES),
}
