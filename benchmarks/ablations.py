"""The paper's ablations (Tables 2 to 5) under a small equal budget: is the order of the rows the paper's?

    python -m benchmarks.ablations --json benchmarks/ablations.json --page benchmarks/ablations.md

Each table is `jsnas tournament --config ablation-N` with fewer modules, channels and iterations, on the photographs of
scikit-image at x4. It goes on where it was when it is started again; `--from benchmarks/ablations.json` writes the page
from these figures.
"""

from __future__ import annotations

import math
from pathlib import Path
from typing import Any

from benchmarks.measured_page import make_page, page_parser
from benchmarks.photograph_data import packed
from jsnas.paper import TITLES
from jsnas.task import Task
from trainers.config_file import load_config
from trainers.tournament.page import HEAD, standings_rows
from trainers.tournament.paper_order import paper_order
from trainers.tournament.run import tournament
from trainers.tournament.verdict import judge

COMMAND = "python -m benchmarks.ablations --json benchmarks/ablations.json --page benchmarks/ablations.md"
SMALL = [
    *("--network.modules=2", "--network.channels=32", "--search.modules=1", "--search.channels=32"),
    *("--datasets.patch_size=24", "--datasets.batch_size=4", "--datasets.weights=1-8", "--datasets.architecture=9-10"),
    *("--datasets.validation=11-12", "--tournament.test=11-14", "--val.max_side=256", "--search.trial_iter=100"),
    *("--train.learning_rate=2e-3", "--logger.tensorboard=false", "--device=cpu"),
]


def measure(tables: list[str], seeds: int, iterations: int, work: Path) -> dict[str, Any]:
    data = packed(Task("sr", 4), work)
    results = {}
    for number in tables:
        words = [*SMALL, f"--datasets.path={data}", f"--tournament.seeds={seeds}", f"--train.total_iter={iterations}"]
        words += [f"--train.halve_every={max(1, iterations // 4)}", f"--tournament.bench={work / 'bench'}"]
        out = work / f"table-{number}"
        results[number] = tournament(load_config(f"ablation-{number}", words), out, resume=out.exists())
    return {"tables": results}


def page(content: dict[str, Any]) -> str:
    parts = [
        "# The order of the paper's ablations",
        "",
        "Tables 2 to 5 of the paper compare blocks at x4. Here every row is trained alike on the photographs of "
        "scikit-image, much smaller and shorter than there, so a row may need more than it gets; the figures are not "
        "the paper's, their order could be. Differences are from the reference row, in pairs of the same seed; one is "
        "shown if it stands after Holm's correction. Where rows do not differ by more than their intervals, an order "
        "that differs from the paper's says nothing against it, nor one that agrees for it.",
    ]
    for number, result in content["tables"].items():
        judgement, s = judge(result), result["settings"]
        order = paper_order(judgement, number)
        rows = [[*HEAD, "paper (Set5, Set14)"], ["---"] * (len(HEAD) + 1)]
        rows += [[*row, f"{order.paper.get(row[0], math.nan):.2f}"] for row in standings_rows(judgement)]
        keep = [k for k, name in enumerate(rows[0]) if name not in ("search (s)", "latency (ms)", "front")]
        parts += ["", f"## {TITLES[number]}", "", f"**{order}** {judgement.verdict}.", ""]
        parts += ["| " + " | ".join(row[k] for k in keep) + " |" for row in rows]
        parts += [
            "",
            f"{s['modules']} modules of {s['channels']} channels, {s['iterations']:,} iterations, {s['seeds']} seeds, "
            f"scored on images {s['test']}.",
        ]
    result = next(iter(content["tables"].values()))
    made_by = f"{COMMAND} --seeds {result['settings']['seeds']} --iterations {result['settings']['iterations']}"
    parts += ["", f"Made by `{made_by}` on {result['date']}, {result['machine']}.", ""]
    return "\n".join(parts)


def main() -> None:
    parser = page_parser(__doc__, "runs/ablations")
    parser.add_argument("--tables", nargs="+", default=["2", "3", "4", "5"], choices=["2", "3", "4", "5"])
    parser.add_argument("--seeds", type=int, default=5, help="trainings of each row")
    parser.add_argument("--iterations", type=int, default=400, help="of each training")
    a = parser.parse_args()
    make_page(a, lambda: measure(a.tables, a.seeds, a.iterations, a.work), page)


if __name__ == "__main__":
    main()
