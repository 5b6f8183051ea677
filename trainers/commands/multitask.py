"""Several tasks at once: one supernet for all of them, and what was found tried on each other's task."""

from __future__ import annotations

import sys
from collections.abc import Sequence
from pathlib import Path

from trainers.commands.parser import RESUMES, Command, Parser, config_of, path_of, settings_help, write_json


def _multitask(words: Sequence[str]) -> None:
    parser = Parser("multitask", COMMANDS["multitask"].summary, settings_help())
    parser.add_argument("--config", required=True, help="YAML file, or name of a shipped config (`jsnas list configs`)")
    parser.add_argument(
        "--data",
        dest="sources",
        nargs="+",
        required=True,
        metavar="TASK=FILE",
        help="packed images of each task, such as sr=a.h5 denoise-50=b.h5 deblock=c.h5",
    )
    parser.add_argument(
        "--out", type=path_of, default=Path("runs/multitask"), help="run folder (default: runs/multitask)"
    )
    parser.add_argument("--iterations", help="iterations of the search, each a step of every task")
    parser.add_argument("--warmup", dest="weight_warmup_iters", help="iterations on the weights alone at the start")
    parser.add_argument("--seed", help="seed of everything random")
    parser.add_argument(
        "--seeds", type=int, default=0, help="trainings of each genotype on each task afterwards (default: 0, none)"
    )
    parser.add_argument("--resume", action="store_true", help="carry on the run in the folder")
    options, overrides = parser.parse_known_args(words)
    options.data = None  # each task has its own
    short = {"iterations": "search.total_iter", "weight_warmup_iters": "search.weight_warmup_iters"}
    config = config_of(options, overrides, short)
    from trainers.multi_task import multi_task_search
    from trainers.task_data import task_configs
    from trainers.task_differences import differences, differences_table
    from trainers.transfer import judge, transfer, transfer_record, transfer_table

    genotypes = multi_task_search(config, options.sources, options.out, options.resume)
    found = differences(genotypes)
    print(f"{differences_table(found)}\n\nThe tasks differ on {found['differing']} of {found['of']} edges.")
    print(f"Genotypes in {', '.join(str(options.out / label) for label in genotypes)}.", file=sys.stderr)
    if options.seeds:
        configs = task_configs(config, options.sources)
        cells = transfer(configs, genotypes, options.seeds, options.out / "transfer", options.resume)
        matrix = judge(cells)
        print(f"\n{transfer_table(matrix)}\n\n{matrix.verdict}.")
        write_json(options.out / "transfer.json", transfer_record(matrix))


COMMANDS = {
    "multitask": Command("Search one architecture for each of several tasks on shared weights.", _multitask, RESUMES),
}
