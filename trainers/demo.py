"""The whole path on real photographs, end to end: pack, search, export, train, evaluate, restore, draw.

The photographs ship inside the scikit-image package, so nothing is downloaded. Every step is the recipe that the
full run uses; only numbers in ``configs/demo.yaml`` differ.
"""

from __future__ import annotations

import dataclasses
import shutil
import time
from pathlib import Path
from typing import Any

import numpy as np

from jsnas.conventions import preset
from jsnas.cost import cost_of
from jsnas.data.atomic import atomic_file
from jsnas.data.degrade import crop_to_multiple, degrade, upscale
from jsnas.data.images import write_png
from jsnas.data.pack import pack
from jsnas.export import export
from jsnas.metrics import quantize
from jsnas.photographs import photograph, read_for
from jsnas.report.module_svg import draw_genotype
from jsnas.restore import restore_array
from jsnas.task import Task
from trainers.config import Config
from trainers.config_file import load_config
from trainers.model_card import NAME as CARD_NAME
from trainers.model_card import ModelCard
from trainers.progress import Progress, counting
from trainers.report import LiveReport
from trainers.run_folder import RunFolder
from trainers.search import search
from trainers.streams import open_data, pick_device
from trainers.train import train

# In the order of the split in the demo's configs: 8 for the weights, 2 for the architecture, 1 for validation.
TRAINING_PHOTOGRAPHS = (
    "astronaut.png",
    "motorcycle_left.png",
    "motorcycle_right.png",
    "ihc.png",
    "hubble_deep_field.jpg",
    "retina.jpg",
    "coins.png",
    "brick.png",
    "grass.png",
    "gravel.png",
    "camera.png",
)
HELD_OUT_PHOTOGRAPHS = ("chelsea.png", "coffee.png", "rocket.jpg")
CONFIGS = {"sr": "demo", "denoise": "demo-denoise", "deblock": "demo-deblock"}


def demo(task_name: str, out: Path, overrides: list[str]) -> dict[str, Any]:
    """Runs everything and leaves a folder with what came out.

    The folder holds ``genotype.json``, ``checkpoint.safetensors``, ``jsnet.py`` (the network as one file),
    ``report.html``, ``model_card.md``, ``architecture.svg``, ``restored/``, ``summary.json``, and the run folders
    ``search/`` and ``train/``.

    Args:
        task_name: ``"sr"``, ``"denoise"`` or ``"deblock"``.
        out: The folder; it must not hold a demo yet.
        overrides: Dotted settings, such as ``["--train.total_iter", "2000"]``.

    Returns:
        What ``summary.json`` holds.

    Raises:
        InputError: If the folder is in use or a setting is wrong.
    """
    start = time.monotonic()
    config = load_config(CONFIGS[task_name], overrides)
    photographs = str(out / "photographs.h5")
    config = dataclasses.replace(config, datasets=dataclasses.replace(config.datasets, path=photographs))
    with RunFolder(out, config, "demo", resume=False) as run:
        run.page = LiveReport(out, "demo", config)
        summary = _run(config, run, start)
        run.page.done()
    return summary


def _run(config: Config, run: RunFolder, start: float) -> dict[str, Any]:
    """The steps, from the photographs to ``summary.json``."""
    out, task, device = run.path, config.to_task(), pick_device(config.device)
    page, data_path = run.page, out / "photographs.h5"
    pack([photograph(name) for name in TRAINING_PHOTOGRAPHS], data_path, task, counting("pack", "photographs"))
    data = open_data(config)
    if page is not None:
        page.note_data(data.images)
    genotype = search(config, out / "search", page=page)
    print(f"Derived: {genotype}", flush=True)
    config = dataclasses.replace(config, train=dataclasses.replace(config.train, genotype=str(out / "search")))
    network = train(config, out / "train", page=page).to(device)

    convention = preset(task)
    scores: list[dict[str, Any]] = []
    restored_folder = out / "restored"
    restored_folder.mkdir(exist_ok=True)
    with Progress("evaluate", len(HELD_OUT_PHOTOGRAPHS), "photographs") as progress:
        for done, path in enumerate(map(photograph, HELD_OUT_PHOTOGRAPHS), start=1):
            hq, lq = _truth_and_input(path, task)
            before = upscale(lq, task.scale) if task.scale > 1 else lq
            after = restore_array(network, lq, device)
            for kind, image in (("input", before), ("restored", after), ("truth", hq)):
                write_png(restored_folder / f"{path.stem}-{kind}.png", quantize(image))
            if task.scale > 1:
                write_png(restored_folder / f"{path.stem}-lq.png", quantize(lq))
            input_score, score = (convention.score(image, hq, task.scale) for image in (before, after))
            scores.append(
                {"image": path.name, "psnr_db": score.psnr_db, "ssim": score.ssim, "psnr_input_db": input_score.psnr_db}
            )
            progress.update(done)
    psnr_db, psnr_input_db = (float(np.mean([s[key] for s in scores])) for key in ("psnr_db", "psnr_input_db"))

    cost = cost_of(network, (512, 512))
    summary: dict[str, Any] = {
        "task": task.to_dict(),
        "psnr_db": psnr_db,
        "psnr_bicubic_db" if task.name == "sr" else "psnr_input_db": psnr_input_db,
        "gain_db": psnr_db - psnr_input_db,
        "ssim": float(np.mean([s["ssim"] for s in scores])),
        "convention": convention.name,
        "parameters": cost.parameters,
        "multiply_adds_512x512": cost.multiply_adds,
        "genotype": genotype.to_dict(),
        "images": scores,
        "seconds": time.monotonic() - start,
    }
    iteration = int(network.metadata["metrics"]["iteration"])
    network.metadata["metrics"] = {key: summary[key] for key in ("psnr_db", "gain_db", "convention")}
    export(network.cpu(), task, out / "jsnet.py")
    for part, name in (("search", "genotype.json"), ("train", "checkpoint.safetensors")):
        with atomic_file(out / name) as temporary:
            shutil.copyfile(out / part / name, temporary)
    figures = {"PSNR, dB": psnr_db, "SSIM": summary["ssim"], "PSNR gain over the input, dB": summary["gain_db"]}
    card = ModelCard(network, data, config).text(iteration, figures, f"{len(scores)} photographs not learnt on")
    run.write_text(CARD_NAME, card)
    run.write_text("architecture.svg", draw_genotype(genotype))
    summary["seconds"] = time.monotonic() - start
    run.write_json("summary.json", summary)
    return summary


def _truth_and_input(path: Path, task: Task) -> tuple[np.ndarray, np.ndarray]:
    hq = crop_to_multiple(read_for(path, task), task.scale)
    return hq, degrade(hq, task, np.random.default_rng(0))
