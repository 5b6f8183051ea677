"""One search."""

from __future__ import annotations

from collections.abc import Sequence

from jsnas.errors import InputError
from trainers.commands.parser import (
    RESUMES,
    Command,
    config_of,
    folder_of,
    run_parser,
    training_of,
)


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
    out = folder_of(options.out, config, "search")
    from trainers.search import search
    from trainers.strategies import is_one_shot, make_strategy

    if (options.iterations or options.weight_warmup_iters) and not is_one_shot(make_strategy(config)):
        raise InputError(
            f"Strategy '{config.strategy.name}' trains {config.search.max_trials} networks for "
            f"{config.search.trial_iter} iterations each; give --search.max_trials and --search.trial_iter in place of "
            "--iterations and --warmup."
        )
    genotype = search(config, out, options.resume)
    print(f"{genotype}\nGenotype in {out / 'genotype.json'}; this trains it:\n{training_of(out)}")


COMMANDS = {
    "search": Command("Search an architecture; leaves a genotype.", _search, RESUMES),
}
