"""What there is: blocks, strategies, spaces, genotypes, configs."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from jsnas.errors import unknown_name
from trainers.commands.parser import Command, Parser


def _list(words: Sequence[str]) -> None:
    parser = Parser("list", COMMANDS["list"].summary)
    kinds = ["operations", "attentions", "strategies", "spaces", "genotypes", "configs"]
    parser.add_argument("kind", nargs="?", help=f"one of {', '.join(kinds)}; all by default")
    kind = parser.parse_args(words).kind
    if kind is not None and kind not in kinds:
        raise unknown_name("list", kind, kinds)
    from jsnas.attentions import ATTENTIONS
    from jsnas.genotype import shipped_genotypes
    from jsnas.operations import OPERATIONS
    from trainers.catalogue import SPACES, STRATEGIES
    from trainers.config_file import shipped_configs

    def described(blocks: dict[str, Any]) -> dict[str, str]:
        return {name: (block.__doc__ or "").splitlines()[0].partition(": ")[2] for name, block in blocks.items()}

    tables = {
        "operations": described(OPERATIONS),
        "attentions": described(ATTENTIONS),
        "strategies": STRATEGIES,
        "spaces": SPACES,
        "genotypes": dict.fromkeys(shipped_genotypes(), ""),
        "configs": dict.fromkeys(shipped_configs(), ""),
    }
    for title, table in tables.items():
        if kind in (None, title):
            if kind is None:
                print(f"{title}:")
            for name, text in table.items():
                print(f"  {name:<14} {text}".rstrip())
                if kind == "strategies":
                    from trainers.strategies import settings_help  # imports NNI, which takes seconds

                    print(*(f"  {line}" for line in settings_help(name)), sep="\n")


COMMANDS = {
    "list": Command("List what there is: operations, attentions, strategies, spaces, genotypes, configs.", _list),
}
