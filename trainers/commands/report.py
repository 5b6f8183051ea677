"""The page of a run."""

from __future__ import annotations

from collections.abc import Sequence

from trainers.commands.parser import Command, Parser, path_of


def _report(words: Sequence[str]) -> None:
    parser = Parser("report", COMMANDS["report"].summary)
    parser.add_argument("run", type=path_of, help="run folder of a search, a training or a demo")
    options = parser.parse_args(words)
    from trainers.report import write_report

    print(f"Wrote {write_report(options.run)}.")


COMMANDS = {
    "report": Command("Write the page of a run: what was asked, how it went, what came out.", _report),
}
