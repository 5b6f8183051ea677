"""The shipped table: genotypes drawn at random, trained alike on photographs; and what a surrogate makes of them.

    python -m benchmarks.jsnet_bench --table benchmarks/jsnet-bench.csv --page benchmarks/jsnet-bench.md

It is `jsnas bench fill` with the config `tournament` on the photographs of scikit-image, then `jsnas bench export`. It
goes on where it was when it is started again. `--add FOLDER ...` puts the trainings of other tables into it first, such
as those of `benchmarks.tournament` and `benchmarks.ablations`; `--from benchmarks/jsnet-bench.csv` writes the page from
that table, and nothing is trained.
"""

from __future__ import annotations

import argparse
from collections import Counter
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import torch

from benchmarks.photograph_data import packed
from jsnas.bench import Bench, Row, export_table, import_table, load_table
from jsnas.process import prepare_process
from jsnas.surrogate import LEAST_TO_JUDGE, groups, quality
from jsnas.task import Task
from trainers.bench import fill
from trainers.config_file import load_config

COMMAND = (
    "python -m benchmarks.jsnet_bench --table benchmarks/jsnet-bench.csv --page benchmarks/jsnet-bench.md "
    "--add runs/tournament/run/bench runs/ablations/bench"
)


def measure(a: argparse.Namespace) -> None:
    """Fills the table in the work folder."""
    config = load_config("tournament", [f"--datasets.path={packed(Task('sr', 2), a.work)}", "--device=cpu"])
    bench = Bench(a.work / "table")
    for other in a.add:
        import_table(other, bench)
    fill(config, bench, a.genotypes, a.seeds, a.repeated)


def page(rows: Sequence[Row], protocols: dict[str, dict[str, Any]]) -> str:
    """What the table holds, and how far a surrogate can be trusted with it."""
    kinds = Counter((row.protocol, row.iterations) for row in rows)
    lines = [
        "# JSNet-Bench",
        "",
        f"{len(rows):,} trainings of {len({row.genotype for row in rows}):,} genotypes, in `jsnet-bench.csv`: "
        "genotype, seed, length, PSNR, parameters, multiply-adds, latency, time, machine. Genotypes drawn at random "
        "have each candidate of an edge equally often. `jsnas bench import benchmarks/jsnet-bench.csv FOLDER` makes a "
        "table of it that can be added to.",
        "",
        "| protocol | task | network | iterations | scored on | trainings | genotypes |",
        "|---|---|---|---|---|---|---|",
    ]
    for (identity, iterations), count in sorted(kinds.items()):
        p = protocols[identity]
        task = Task(**p["task"]).label
        size = f"{p['network']['modules']} x {p['network']['channels']}"
        genotypes = {row.genotype for row in rows if (row.protocol, row.iterations) == (identity, iterations)}
        cells = [
            identity,
            task,
            size,
            f"{iterations:,}",
            ", ".join(p["scored_on"]),
            f"{count:,}",
            f"{len(genotypes):,}",
        ]
        lines.append(f"| {' | '.join(cells)} |")
    judged = [quality(group) for group in groups(rows) if len(group.psnr_db) >= LEAST_TO_JUDGE]
    lines += [
        "",
        "What `jsnas bench surrogate benchmarks/jsnet-bench.csv` says:",
        "",
        *(f"- {words}" for words in judged),
    ]
    machines = "; ".join(sorted({row.machine for row in rows}))
    return "\n".join([*lines, "", f"Made by `{COMMAND}` on {machines}.", ""])


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--table", type=Path, help="where to write the table, .csv or .parquet")
    parser.add_argument("--page", type=Path, help="where to write the page")
    parser.add_argument("--from", dest="source", type=Path, help="table to write the page from; nothing is trained")
    parser.add_argument("--add", type=Path, nargs="+", default=[], help="tables whose trainings are put in first")
    parser.add_argument("--work", type=Path, default=Path("runs/jsnet-bench"), help="folder of data and table")
    parser.add_argument("--genotypes", type=int, default=160, help="genotypes to draw")
    parser.add_argument("--repeated", type=int, default=40, help="how many of them are trained more than once")
    parser.add_argument("--seeds", type=int, default=2, help="trainings of each of these")
    arguments = parser.parse_args()
    if arguments.source is None:
        torch.set_num_threads(1)
        prepare_process()
        measure(arguments)
    rows, protocols = load_table(arguments.source or arguments.work / "table")
    if arguments.table:
        export_table(rows, protocols, arguments.table)
    text = page(rows, protocols)
    if arguments.page:
        arguments.page.write_text(text, encoding="utf-8")
    print(text)


if __name__ == "__main__":
    main()
