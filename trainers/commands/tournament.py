"""Does the search pay? The tournament."""

from __future__ import annotations

import sys
from collections.abc import Sequence

from trainers.commands.parser import RESUMES, Command, Parser, config_of, folder_of, path_of, settings_help


def _tournament(words: Sequence[str]) -> None:
    parser = Parser("tournament", COMMANDS["tournament"].summary, settings_help())
    parser.add_argument("contestants", nargs="*", help="strategies, genotypes, luck, singles (default: the config's)")
    parser.add_argument("--config", default="tournament", help="YAML file, or shipped config (default: tournament)")
    parser.add_argument("--data", help="H5 file of `jsnas pack`, or a folder of them")
    parser.add_argument("--budget", type=int, help="iterations that each search may take, the warm-up in proportion")
    parser.add_argument("--seeds", help="searches of each contestant")
    parser.add_argument("--bench", help="folder of the table of trainings (default: one in the run folder)")
    parser.add_argument("--seed", help="first of the seeds")
    parser.add_argument("--out", type=path_of, help="run folder (default: runs/TASK-tournament)")
    parser.add_argument("--resume", action="store_true", help="carry on the tournament in the folder")
    parser.add_argument("--nni", action="store_true", help="play the entries as trials under NNI's web page")
    parser.add_argument("--port", type=int, help="port of that page; 0 for any free one (default: 8080)")
    options, overrides = parser.parse_known_args(words)
    if options.contestants:
        overrides = [*overrides, f"--tournament.contestants=[{', '.join(options.contestants)}]"]
    short = {"seeds": "tournament.seeds", "bench": "tournament.bench"}
    config = config_of(options, overrides, short)
    out = folder_of(options.out, config, "tournament")
    from trainers.compare import with_budget
    from trainers.tournament.page import HEAD, standings_rows, write_pages
    from trainers.tournament.paper_order import paper_order
    from trainers.tournament.run import tournament
    from trainers.tournament.verdict import judge

    if options.budget is not None:
        config = with_budget(config, options.budget)

    if options.nni:
        from trainers.experiment.tournament_trials import play_under_nni

        play_under_nni(config, out, options.port, options.resume)
    content = tournament(config, out, options.resume or options.nni)
    judgement = judge(content)
    write_pages(content, out)
    for row in [HEAD, ["---"] * len(HEAD), *standings_rows(judgement)]:
        print(f"| {' | '.join(row)} |")
    print(f"\n{judgement.verdict}.\nProxy and longer training: Kendall's tau {judgement.tau[0]:.2f}.")
    if content["settings"]["table"]:
        print(paper_order(judgement, content["settings"]["table"]))
    print(f"Page in {out / 'tournament.html'}, figures in {out / 'tournament.json'}.", file=sys.stderr)


COMMANDS = {
    "tournament": Command(
        "Compare strategies and networks with luck, and say whether the search pays.", _tournament, RESUMES
    ),
}
