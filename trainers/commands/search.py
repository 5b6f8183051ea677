"""Searching: one search, several compared, an experiment under NNI's page, a block tried first."""

from __future__ import annotations

import argparse
import shlex
import sys
from collections.abc import Sequence
from pathlib import Path

from jsnas.errors import InputError
from trainers.commands.parser import RESUMES, Command, Parser, config_of, path_of, run_parser, settings_help


def _search(words: Sequence[str]) -> None:
    parser = run_parser("search", COMMANDS["search"].summary)
    parser.add_argument("--warmup", dest="weight_warmup_iters", help="iterations on the weights alone at the start")
    parser.add_argument("--strategy", help="search strategy (see `jsnas list strategies`)")
    parser.add_argument("--evaluator", help="train (default), or surrogate: ask a model fitted on --bench")
    parser.add_argument("--bench", help="table of trainings (`jsnas bench`) for the surrogate")
    options, overrides = parser.parse_known_args(words)
    config = config_of(
        options,
        overrides,
        {
            "evaluator": "search.evaluator",
            "bench": "search.bench",
            "iterations": "search.total_iter",
            "weight_warmup_iters": "search.weight_warmup_iters",
            "strategy": "strategy.name",
            "devices": "devices",
            "num_nodes": "num_nodes",
        },
    )
    out = options.out or Path("runs") / f"{config.to_task().label}-search"
    from trainers.search import search
    from trainers.strategies import is_one_shot, make_strategy

    if (options.iterations or options.weight_warmup_iters) and not is_one_shot(make_strategy(config)):
        raise InputError(
            f"Strategy '{config.strategy.name}' trains {config.search.max_trials} networks for "
            f"{config.search.trial_iter} iterations each; give --search.max_trials and --search.trial_iter in place of "
            "--iterations and --warmup."
        )
    genotype = search(config, out, options.resume)
    print(f"{genotype}\nGenotype in {out / 'genotype.json'}; this trains it:\n{_training_of(out)}")


def _training_of(found: Path) -> str:
    """The command that trains what a search found, with the settings of its run."""
    words = ["--config", str(found / "config.yaml"), "--genotype", str(found), "--out", f"{found}-trained"]
    return f"  jsnas train {shlex.join(words)}"


def _compare(words: Sequence[str]) -> None:
    parser = Parser("compare", COMMANDS["compare"].summary, settings_help())
    parser.add_argument("strategies", nargs="+", help="strategies (see `jsnas list strategies`)")
    parser.add_argument("--config", required=True, help="YAML file, or name of a shipped config (`jsnas list configs`)")
    parser.add_argument("--data", help="H5 file of `jsnas pack`")
    parser.add_argument("--budget", type=int, required=True, help="iterations that each search may take")
    parser.add_argument("--seeds", type=int, default=1, help="searches of each strategy (default: 1)")
    parser.add_argument("--seed", help="first of the seeds")
    parser.add_argument("--out", type=path_of, help="run folder (default: runs/TASK-compare)")
    parser.add_argument("--resume", action="store_true", help="carry on the comparison in the folder")
    options, overrides = parser.parse_known_args(words)
    # Settings may stand among the names, as in `--search.modules 1`.
    config = config_of(options, overrides, {})
    out = options.out or Path("runs") / f"{config.to_task().label}-compare"
    from trainers.compare import compare, comparison_table

    print(comparison_table(compare(config, options.strategies, options.budget, options.seeds, out, options.resume)))
    print(f"Figures of all searches in {out / 'comparison.json'}.", file=sys.stderr)


def _block(words: Sequence[str]) -> None:
    parser = Parser("block", COMMANDS["block"].summary)
    parser.add_argument("action", choices=["check"], help="check: try a block before it is searched")
    parser.add_argument("block", help="package.module:Class, or a name (`jsnas list operations`)")
    parser.add_argument(
        "--channels", type=int, nargs="+", help="channels to try (default: those of the paper's searches)"
    )
    options = parser.parse_args(words)
    from jsnas.block_check import check_block

    report = check_block(options.block, tuple(options.channels) if options.channels else None)
    print(report)
    if report.faults:
        raise InputError(
            f"'{options.block}' has {len(report.faults)} fault{'s' * (len(report.faults) > 1)}; see above."
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
        out = options.out or Path("runs") / f"{config.to_task().label}-experiment"
    summary = experiment(config, out, page, resume=options.resume is not None)
    found = [trial for trial in summary["trials"] if "psnr_db" in trial]
    if not found:
        raise InputError(f"No trial came to a result; their messages are in '{out / 'experiment.json'}'.")
    print(
        f"Best of {len(summary['trials'])} trials: number {found[0]['number']} with {found[0]['psnr_db']:.2f} dB. "
        f"Genotype in {out / 'genotype.json'}; this trains it:\n{_training_of(out)}"
    )


COMMANDS = {
    "search": Command("Search an architecture; leaves a genotype.", _search, RESUMES),
    "compare": Command("Compare strategies under one budget.", _compare, RESUMES),
    "block": Command("Try a candidate block of your own before it is searched.", _block),
    "experiment": Command(
        "Search with trials under NNI's web page; leaves the best genotype.", _experiment, f"{RESUMES} FOLDER"
    ),
}
