"""Does the search pay? Every strategy against random search, luck and fixed networks, on photographs.

    python -m benchmarks.tournament --json benchmarks/tournament.json --page benchmarks/tournament.md

It runs `jsnas tournament` with the config `tournament` on the photographs of scikit-image, and goes on where it was
when it is started again. `--from benchmarks/tournament.json` writes the page from these figures; nothing is run.
"""

from __future__ import annotations

import argparse
from pathlib import Path
from typing import Any

from benchmarks.measured_page import make_page, page_parser
from benchmarks.photograph_data import packed
from jsnas.task import Task
from trainers.config_file import load_config
from trainers.tournament.page import chart_file, markdown_page
from trainers.tournament.run import tournament
from trainers.tournament.verdict import judge

COMMAND = "python -m benchmarks.tournament --json benchmarks/tournament.json --page benchmarks/tournament.md"


def command(content: dict[str, Any]) -> str:
    """The command that gave the figures."""
    return f"{COMMAND} --seeds {content['settings']['seeds']}"


def measure(arguments: argparse.Namespace) -> dict[str, Any]:
    words = [f"--datasets.path={packed(Task('sr', 2), arguments.work)}", "--device=cpu"]
    words += [f"--tournament.seeds={arguments.seeds}", f"--tournament.reference={arguments.reference}"]
    if arguments.contestants:
        words.append(f"--tournament.contestants=[{', '.join(arguments.contestants)}]")
    if arguments.bench:
        words.append(f"--tournament.bench={arguments.bench}")
    out = arguments.work / "run"
    return tournament(load_config("tournament", words), out, resume=out.exists())


def main() -> None:
    parser = page_parser(__doc__, "runs/tournament")
    parser.add_argument("--contestants", nargs="+", help="who takes part (default: the config's)")
    parser.add_argument("--reference", default="random", help="whom they are compared with")
    parser.add_argument("--seeds", type=int, default=5, help="searches of each")
    parser.add_argument("--bench", type=Path, help="folder of the table of trainings (default: one in the work folder)")
    arguments = parser.parse_args()
    content = make_page(
        arguments, lambda: measure(arguments), lambda found: markdown_page(found, judge(found), command(found))
    )
    if arguments.page:
        arguments.page.with_suffix(".svg").write_text(chart_file(judge(content)), encoding="utf-8")


if __name__ == "__main__":
    main()
