"""Parameters and multiply-adds."""

from __future__ import annotations

import re
from collections.abc import Sequence
from dataclasses import asdict

from jsnas.errors import InputError
from trainers.commands.outputs import check_output
from trainers.commands.parser import Command, Parser, path_of, write_json


def _cost(words: Sequence[str]) -> None:
    parser = Parser("cost", COMMANDS["cost"].summary)
    parser.add_argument("source", help="genotype, shipped genotype's name, checkpoint or run folder")
    parser.add_argument("--size", default="720x1280", help="output height x width in pixels (default: 720x1280)")
    parser.add_argument("--scale", type=int, help="2, 3 or 4, where the source is a genotype for sr")
    parser.add_argument("--json", type=path_of, help="file for the figures")
    options = parser.parse_args(words)
    from jsnas.cost import cost_of
    from jsnas.lookup import network_of

    size = re.fullmatch(r"(\d{1,6})x(\d{1,6})", options.size)
    if not size:
        raise InputError(f"'{options.size}' is no size; give height x width, such as 720x1280.")
    if options.json:
        check_output(options.json, "figures")
    network = network_of(options.source, scale=options.scale)
    cost = cost_of(network, (int(size[1]), int(size[2])))
    print(f"{cost}\nMultiply-adds are half of what torch's counter finds in convolutions.")
    if options.json:
        write_json(options.json, asdict(cost))


COMMANDS = {
    "cost": Command("Count parameters and multiply-adds.", _cost),
}
