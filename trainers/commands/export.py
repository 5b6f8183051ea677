"""A network in a form for others to use."""

from __future__ import annotations

from collections.abc import Sequence

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
    from jsnas.export import export
    from jsnas.lookup import network_of

    check_output(options.out, "network")
    network = network_of(options.source, options.task, options.scale, options.modules)
    trained = "task" in network.metadata
    task = network.metadata["task"] if trained else task_of(network.genotype.task, network.settings.scale, None)
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


COMMANDS = {
    "export": Command("Write a found network as ONNX, torch.export, checkpoint or Python file.", _export),
}
