"""Several strategies compared under one budget."""

from __future__ import annotations

import sys
from collections.abc import Sequence

from trainers.commands.parser import RESUMES, Command, Parser, config_of, folder_of, path_of, settings_help


def _compare(words: Sequence[str]) -> None:
    parser = Parser("compare", COMMANDS["compare"].summary, settings_help())
    parser.add_argument("strategies", nargs="+", help="strategies (see `jsnas list strategies`)")
    parser.add_argument("--config", required=True, help="YAML file, or name of a shipped config (`jsnas list configs`)")
    parser.add_argument("--data", help="H5 file of `jsnas pack`")
    parser.add_argument("--budget", type=int, required=True, help="iterations that each search may take")
    parser.add_argument("--seeds", type=int, default=1, help="searches of each strategy (default: 1)")
    parser.add_argument("--seed", help="first of the seeds")
    parser.add_argument("--out", type=path_of, help="run folder (default: runs/TASK-compare)")
    parser.add_argument("--resume", action="store_true", help="carry on the comparison in the folder")
    options, overrides = parser.parse_known_args(words)
    # Settings may stand among the names, as in `--search.modules 1`.
    config = config_of(options, overrides, {})
    out = folder_of(options.out, config, "compare")
    from trainers.compare import compare, comparison_table

    print(comparison_table(compare(config, options.strategies, options.budget, options.seeds, out, options.resume)))
    print(f"Figures of all searches in {out / 'comparison.json'}.", file=sys.stderr)


COMMANDS = {
    "compare": Command("Compare strategies under one budget.", _compare, RESUMES),
}
