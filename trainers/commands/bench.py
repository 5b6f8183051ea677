"""The table of trainings."""

from __future__ import annotations

from collections.abc import Sequence

from jsnas.errors import InputError
from trainers.commands.outputs import check_output
from trainers.commands.parser import Command, Parser, config_of, path_of, settings_help


def _bench(words: Sequence[str]) -> None:
    if not words or words[0] not in _ACTIONS:
        shown = "\n".join(f"  {name:<10}{action.summary}" for name, action in _ACTIONS.items())
        if words and words[0] in ("-h", "--help"):
            print(f"usage: jsnas bench ACTION ...\n\n{COMMANDS['bench'].summary}\n\n{shown}")
            return
        given = f"'{words[0]}' is no action" if words else "No action was given"
        raise InputError(f"{given}; give one of {', '.join(_ACTIONS)} after `jsnas bench`.")
    _ACTIONS[words[0]].run(words[1:])


def _fill(words: Sequence[str]) -> None:
    parser = Parser("bench fill", _ACTIONS["fill"].summary, settings_help())
    parser.add_argument("table", type=path_of, help="folder of the table")
    parser.add_argument("--config", default="tournament", help="YAML file, or shipped config (default: tournament)")
    parser.add_argument("--data", help="H5 file of `jsnas pack`, or a folder of them")
    parser.add_argument("--genotypes", type=int, default=100, help="genotypes to draw (default: 100)")
    parser.add_argument("--first", type=int, default=0, help="number of the first (default: 0)")
    parser.add_argument("--seeds", type=int, default=1, help="trainings of each that is repeated (default: 1)")
    parser.add_argument("--repeated", type=int, default=0, help="how many of them are repeated (default: 0)")
    parser.add_argument("--iterations", help="of each training")
    parser.add_argument("--seed", help="first of the seeds")
    options, overrides = parser.parse_known_args(words)
    config = config_of(options, overrides, {"iterations": "search.trial_iter"})
    from jsnas.bench import Bench
    from trainers.bench import fill

    numbers = (options.genotypes, options.seeds, options.repeated, options.first)
    print(f"Added {fill(config, Bench(options.table), *numbers)} trainings to {options.table}.")


def _export(words: Sequence[str]) -> None:
    parser = Parser("bench export", _ACTIONS["export"].summary)
    parser.add_argument("table", type=path_of, help="folder of the table")
    parser.add_argument("out", type=path_of, help=".csv or .parquet file")
    options = parser.parse_args(words)
    from jsnas.bench import export_table, load_table

    check_output(options.out, "table")
    rows, protocols = load_table(options.table)
    export_table(rows, protocols, options.out)
    print(f"Wrote {len(rows)} trainings to {options.out}.")


def _import(words: Sequence[str]) -> None:
    parser = Parser("bench import", _ACTIONS["import"].summary)
    parser.add_argument("source", type=path_of, help="folder, .csv or .parquet file of a table")
    parser.add_argument("table", type=path_of, help="folder of the table to add to")
    options = parser.parse_args(words)
    from jsnas.bench import Bench, import_table

    print(f"Added {import_table(options.source, Bench(options.table))} trainings to {options.table}.")


def _surrogate(words: Sequence[str]) -> None:
    parser = Parser("bench surrogate", _ACTIONS["surrogate"].summary)
    parser.add_argument("table", type=path_of, help="folder, .csv or .parquet file of a table")
    options = parser.parse_args(words)
    from jsnas.bench import load_table
    from jsnas.surrogate import LEAST_TO_JUDGE, groups, quality

    found = groups(load_table(options.table)[0])
    for group in [group for group in found if len(group.psnr_db) >= LEAST_TO_JUDGE] or found[:1]:
        print(quality(group))


_ACTIONS = {
    "fill": Command("Train genotypes drawn at random, and add what the table lacks.", _fill),
    "export": Command("Write a table as CSV or Parquet.", _export),
    "import": Command("Add the trainings of another table.", _import),
    "surrogate": Command("Say how well a model fitted on a table ranks genotypes it has not seen.", _surrogate),
}


COMMANDS = {
    "bench": Command("The table of trainings: fill, export, import, surrogate.", _bench),
}
