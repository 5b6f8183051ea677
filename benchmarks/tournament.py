"""Does the search pay? Every strategy against random search, luck and fixed networks, on photographs.

    python -m benchmarks.tournament --json benchmarks/tournament.json --page benchmarks/tournament.md

It runs `jsnas tournament` with the config `tournament` on the photographs of scikit-image, and goes on where it was
when it is started again. `--from benchmarks/tournament.json` writes the page from these figures; nothing is run.
"""

from __future__ import annotations

import argparse
import json
from pathlib import Path

import torch

from benchmarks.photograph_data import packed
from jsnas.memory import keep_freed_memory
from jsnas.task import Task
from trainers.config import load_config
from trainers.tournament import judge, tournament
from trainers.tournament_page import chart_file, markdown_page

COMMAND = "python -m benchmarks.tournament --json benchmarks/tournament.json --page benchmarks/tournament.md"


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--json", type=Path, help="where to write the figures")
    parser.add_argument("--page", type=Path, help="where to write the page; its chart goes beside it")
    parser.add_argument("--from", dest="figures", type=Path, help="figures to write the page from; nothing is run")
    parser.add_argument("--contestants", nargs="+", help="who takes part (default: the config's)")
    parser.add_argument("--reference", default="random", help="whom they are compared with")
    parser.add_argument("--seeds", type=int, default=5, help="searches of each")
    parser.add_argument("--work", type=Path, default=Path("runs/tournament"), help="folder of the runs")
    parser.add_argument("--bench", type=Path, help="folder of the table of trainings (default: one in the work folder)")
    arguments = parser.parse_args()
    if arguments.figures is not None:
        content = json.loads(arguments.figures.read_text(encoding="utf-8"))
    else:
        torch.set_num_threads(1)
        keep_freed_memory()
        words = [f"--datasets.path={packed(Task('sr', 2), arguments.work)}", "--device=cpu"]
        words += [f"--tournament.seeds={arguments.seeds}", f"--tournament.reference={arguments.reference}"]
        if arguments.contestants:
            words.append(f"--tournament.contestants=[{', '.join(arguments.contestants)}]")
        if arguments.bench:
            words.append(f"--tournament.bench={arguments.bench}")
        out = arguments.work / "run"
        content = tournament(load_config("tournament", words), out, resume=out.exists())
    judgement = judge(content)
    text = markdown_page(content, judgement, COMMAND)
    if arguments.json:
        arguments.json.write_text(json.dumps(content, indent=1) + "\n", encoding="utf-8")
    if arguments.page:
        arguments.page.write_text(text, encoding="utf-8")
        arguments.page.with_suffix(".svg").write_text(chart_file(judgement), encoding="utf-8")
    print(text)


if __name__ == "__main__":
    main()
