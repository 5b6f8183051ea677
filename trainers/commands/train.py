"""Training what a search found."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace

from trainers.commands.parser import RESUMES, Command, config_of, folder_of, run_parser


def _train(words: Sequence[str]) -> None:
    parser = run_parser("train", COMMANDS["train"].summary)
    parser.add_argument("--genotype", help="genotype file, folder of a search, or name of a shipped one")
    parser.add_argument("--inherit", metavar="RUN", help="folder of a search: start from its supernet's weights")
    options, overrides = parser.parse_known_args(words)
    short = {"iterations": "train.total_iter", "genotype": "train.genotype", "inherit": "train.inherit"}
    config = config_of(options, overrides, {**short, "devices": "devices", "num_nodes": "num_nodes"})
    if options.plugin:  # for the processes of other devices, which do not see the option
        config = replace(config, plugins=[*config.plugins, *options.plugin])
    out = folder_of(options.out, config, "train")
    from trainers.train import train

    network = train(config, out, options.resume)
    metrics = network.metadata["metrics"]
    print(
        f"Best checkpoint in {out / 'checkpoint.safetensors'}: {metrics['validation_psnr_db']:.2f} dB on the held-out "
        f"images, at iteration {metrics['iteration']}."
    )


COMMANDS = {
    "train": Command("Train the network of a genotype; leaves a checkpoint.", _train, RESUMES),
}
