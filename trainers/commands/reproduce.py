"""The authors' checkpoints, and the certificate of the paper's tables."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

from jsnas.errors import InputError
from trainers.commands.outputs import check_output
from trainers.commands.parser import Command, Parser, path_of


def _import_official(words: Sequence[str]) -> None:
    parser = Parser("import-official", COMMANDS["import-official"].summary)
    parser.add_argument("file", type=path_of, help="checkpoint released by the paper's authors (.pt)")
    parser.add_argument("out", type=path_of, help="checkpoint to write (.safetensors)")
    options = parser.parse_args(words)
    from jsnas.checkpoint import save_checkpoint
    from jsnas.cost import parameters_of
    from jsnas.official import import_official
    from trainers.model_card import write_card_beside

    if options.out.suffix != ".safetensors":
        raise InputError(f"'{options.out}' is no name for a checkpoint; end it in .safetensors.")
    check_output(options.out, "network")
    network, task = import_official(options.file)
    save_checkpoint(options.out, network, task, network.metadata.get("metrics"))
    write_card_beside(options.out, str(options.file), network, task)
    kept = sum(buffer.numel() for buffer in network.buffers())
    print(
        f"Found {task.label} with the genotype jsnet-sr, {network.settings.modules} modules: "
        f"{parameters_of(network):,} parameters and {kept} values of a trained mean shift. Wrote {options.out}."
    )


def _reproduce(words: Sequence[str]) -> None:
    parser = Parser("reproduce", COMMANDS["reproduce"].summary)
    parser.add_argument("checkpoints", type=path_of, nargs="*", help="checkpoints, ours or the authors' (.pt)")
    parser.add_argument("--images", type=path_of, help="folder that holds Set5, Set14, BSD100, Classic5, ...")
    parser.add_argument(
        "--out", type=path_of, default=Path("runs/certificate"), help="folder (default: runs/certificate)"
    )
    parser.add_argument("--device", default="auto", help="auto, cpu, cuda or cuda:1")
    options = parser.parse_args(words)
    from trainers.progress import counting
    from trainers.reproduce import reproduce
    from trainers.streams import pick_device

    certificate = reproduce(
        options.checkpoints, options.images, options.out, pick_device(options.device), counting("measure", "jobs")
    )
    counts = ", ".join(f"{number} {verdict}" for verdict, number in certificate.counts().items())
    print(f"Cells of the paper's tables: {counts}.\nCertificate in {options.out}: certificate.html, certificate.json.")


COMMANDS = {
    "import-official": Command("Turn a checkpoint of the paper's authors into one of ours.", _import_official),
    "reproduce": Command("Set our figures beside the paper's, on a page.", _reproduce),
}
