"""A search with trials under NNI's page."""

from __future__ import annotations

import argparse
from collections.abc import Sequence

from jsnas.errors import InputError
from trainers.commands.parser import (
    RESUMES,
    Command,
    Parser,
    config_of,
    folder_of,
    path_of,
    settings_help,
    training_of,
)


def _experiment(words: Sequence[str]) -> None:
    parser = Parser("experiment", COMMANDS["experiment"].summary, settings_help())
    parser.add_argument("--config", help="YAML file, or name of a shipped config (`jsnas list configs`)")
    parser.add_argument("--data", help="H5 file of `jsnas pack`")
    parser.add_argument("--strategy", help="search strategy (see `jsnas list strategies`)")
    parser.add_argument("--max-trials", type=int, help="trials in all")
    parser.add_argument("--training-service", help="YAML file of NNI's training_service, for trials on other machines")
    parser.add_argument("--seed", help="seed of everything random")
    parser.add_argument("--out", type=path_of, help="run folder (default: runs/TASK-experiment)")
    parser.add_argument("--resume", type=path_of, metavar="DIR", help="carry on the experiment in a run folder")
    parser.add_argument(
        "--view", type=path_of, metavar="DIR", help="only show the experiment in a run folder of your own"
    )
    parser.add_argument("--port", type=int, help="port of the page on this machine; 0 for any free one (default: 8080)")
    parser.add_argument(
        "--listen-everywhere",
        action="store_true",
        help="let other machines reach the page: whoever knows its URL can read your files and run commands as you",
    )
    parser.add_argument("--no-browser", action="store_true", help="only print the page's URL")
    parser.add_argument(
        "--keep-open",
        action=argparse.BooleanOptionalAction,
        help="whether the page stays when all trials are done (default: in a terminal)",
    )
    options, overrides = parser.parse_known_args(words)
    from trainers.experiment.run import Page, experiment, saved_config, view

    page = Page(options.port, options.listen_everywhere, not options.no_browser, options.keep_open)
    folder = options.resume or options.view
    if folder is not None:
        fixed = ("config", "data", "strategy", "training_service", "seed", "out")
        given = [name.replace("_", "-") for name in fixed if getattr(options, name) is not None]
        if (options.resume and options.view) or given or overrides:
            extra = "both --resume and --view" if options.resume and options.view else f"--{[*given, *overrides][0]}"
            raise InputError(
                f"An experiment in a folder keeps its settings, but {extra.replace('----', '--')} was given; "
                "leave it out."
            )
    if options.view:
        view(options.view, page)
        return
    if options.resume:
        out, config = options.resume, saved_config(options.resume, options.max_trials)
    else:
        if options.config is None:
            raise InputError("No config was given; name one with --config, or a folder with --resume or --view.")
        short = {"strategy": "strategy.name", "max_trials": "experiment.max_trials"}
        config = config_of(options, overrides, {**short, "training_service": "experiment.training_service"})
        out = folder_of(options.out, config, "experiment")
    summary = experiment(config, out, page, resume=options.resume is not None)
    found = [trial for trial in summary["trials"] if "psnr_db" in trial]
    if not found:
        raise InputError(f"No trial came to a result; their messages are in '{out / 'experiment.json'}'.")
    print(
        f"Best of {len(summary['trials'])} trials: number {found[0]['number']} with {found[0]['psnr_db']:.2f} dB. "
        f"Genotype in {out / 'genotype.json'}; this trains it:\n{training_of(out)}"
    )


COMMANDS = {
    "experiment": Command(
        "Search with trials under NNI's web page; leaves the best genotype.", _experiment, f"{RESUMES} FOLDER"
    ),
}
