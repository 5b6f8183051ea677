"""Exports, pictures, pages and lists."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from jsnas.errors import unknown_name
from trainers.commands.outputs import check_output
from trainers.commands.parser import Command, Parser, path_of, task_of


def _export(words: Sequence[str]) -> None:
    parser = Parser("export", COMMANDS["export"].summary)
    parser.add_argument("source", help="run folder, checkpoint, genotype, name of a shipped one, or NNI sample (.json)")
    parser.add_argument("out", type=path_of, help="file to write: .onnx, .pt2 (torch.export), .safetensors, .py")
    parser.add_argument("--task", help="what an NNI sample was searched for: sr, denoise or deblock")
    parser.add_argument("--scale", type=int, help="scale of a genotype's network (default: its own, or 2)")
    parser.add_argument("--modules", type=int, help="modules of a genotype's network (default: the paper's)")
    parser.add_argument("--precision", default="fp32", help="of ONNX: fp32 (default), fp16 or int8")
    parser.add_argument(
        "--images", type=path_of, help="folder of high-quality images that fp16 and int8 are measured on"
    )
    parser.add_argument("--layout", default="jsnas", help="jsnas (default), or basicsr for a .pth with params_ema")
    options = parser.parse_args(words)
    from jsnas.export import export, network_of

    check_output(options.out, "network")
    network = network_of(options.source, options.task, options.scale, options.modules)
    trained = "task" in network.metadata
    task = network.metadata["task"] if trained else task_of(network.genotype.task, network.settings.scale, None, None)
    certificate = export(
        network,
        task,
        options.out,
        with_weights=trained,
        precision=options.precision,
        images=options.images,
        layout=options.layout,
    )
    if certificate is not None:
        print(certificate)
    if options.out.suffix == ".safetensors":
        from trainers.model_card import write_card_beside

        write_card_beside(options.out, options.source, network, task)
    print(f"Wrote {options.out}" + ("" if trained else " (an untrained network: the source is a genotype)") + ".")


def _draw(words: Sequence[str]) -> None:
    parser = Parser("draw", COMMANDS["draw"].summary)
    parser.add_argument("genotype", help="genotype file, name of a shipped one, run folder or checkpoint")
    parser.add_argument("out", type=path_of, help="file to write (.svg, .png or .pdf)")
    parser.add_argument("--against", help="a second genotype; differences are marked")
    options = parser.parse_args(words)
    from jsnas.export import network_of
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


def _report(words: Sequence[str]) -> None:
    parser = Parser("report", COMMANDS["report"].summary)
    parser.add_argument("run", type=path_of, help="run folder of a search, a training or a demo")
    options = parser.parse_args(words)
    from trainers.report import write_report

    print(f"Wrote {write_report(options.run)}.")


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
    "export": Command("Write a found network as ONNX, torch.export, checkpoint or Python file.", _export),
    "draw": Command("Draw a genotype as SVG, PNG or PDF, alone or against another.", _draw),
    "report": Command("Write the page of a run: what was asked, how it went, what came out.", _report),
    "list": Command("List what there is: operations, attentions, strategies, spaces, genotypes, configs.", _list),
}
