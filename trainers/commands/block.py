"""A candidate block tried before it is searched."""

from __future__ import annotations

from collections.abc import Sequence

from jsnas.errors import InputError
from trainers.commands.parser import Command, Parser


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


COMMANDS = {
    "block": Command("Try a candidate block of your own before it is searched.", _block),
}
