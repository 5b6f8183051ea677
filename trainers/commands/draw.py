"""Pictures of genotypes."""

from __future__ import annotations

from collections.abc import Sequence

from trainers.commands.outputs import check_output
from trainers.commands.parser import Command, Parser, path_of


def _draw(words: Sequence[str]) -> None:
    parser = Parser("draw", COMMANDS["draw"].summary)
    parser.add_argument("genotype", help="genotype file, name of a shipped one, run folder or checkpoint")
    parser.add_argument("out", type=path_of, help="file to write (.svg, .png or .pdf)")
    parser.add_argument("--against", help="a second genotype; differences are marked")
    options = parser.parse_args(words)
    from jsnas.lookup import network_of
    from jsnas.report.module_svg import draw_comparison, draw_genotype
    from jsnas.report.picture_files import write_picture

    check_output(options.out, "drawing")
    genotype = network_of(options.genotype).genotype
    if options.against is None:
        picture = draw_genotype(genotype)
    else:
        other = network_of(options.against).genotype
        picture = draw_comparison(genotype, other, (options.genotype, options.against))
    write_picture(options.out, picture)
    print(f"Wrote {options.out}.")


COMMANDS = {
    "draw": Command("Draw a genotype as SVG, PNG or PDF, alone or against another.", _draw),
}
