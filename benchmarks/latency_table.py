"""How well the latency table predicts: measured latency of random genotypes against the sum of the table.

python -m benchmarks.latency_table --json latency_table.json
"""

from __future__ import annotations

import argparse
import json
import statistics
import tempfile
from pathlib import Path

import numpy as np
import torch

from benchmarks.machine import machine
from jsnas.cost_table import plain_genotype
from jsnas.latency import latency_table, machine_name, times_of
from jsnas.network import JSNet, NetworkSettings
from jsnas.process import prepare_process
from trainers.bench import random_genotype
from trainers.config_file import load_config


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--json", type=Path, help="where to write the figures")
    parser.add_argument("--genotypes", type=int, default=20, help="random genotypes that are measured")
    parser.add_argument("--modules", type=int, default=4, help="modules of their networks")
    parser.add_argument("--channels", type=int, default=64, help="channels of their networks")
    parser.add_argument("--size", default="256x256", help="output height x width")
    parser.add_argument("--device", default="cpu", help="cpu or cuda")
    parser.add_argument("--seed", type=int, default=0, help="seed of the genotypes")
    options = parser.parse_args()
    prepare_process()  # as the command line does
    height, width = (int(side) for side in options.size.split("x"))
    device, size = torch.device(options.device), (height, width)
    settings = NetworkSettings(3, 2, options.modules, options.channels)
    with tempfile.TemporaryDirectory() as cache:
        table = latency_table(settings, plain_genotype("sr", 4, 4), device, output_size=size, cache=Path(cache))
    config, rng = load_config("sr-x2"), np.random.default_rng(options.seed)
    genotypes = [random_genotype(config, rng) for _ in range(options.genotypes)]
    x = 255 * torch.rand(1, 3, height // 2, width // 2, device=device)
    measured = times_of([(JSNet(genotype, settings).to(device).eval(), x) for genotype in genotypes])
    print(f"{machine_name(device)}; rest {table.rest * 1e3:.1f} ms")
    errors = []
    for genotype, seconds in zip(genotypes, measured, strict=True):
        predicted = table.predicted(genotype)
        errors.append(predicted / seconds - 1)
        print(f"predicted {predicted * 1e3:7.2f} ms, measured {seconds * 1e3:7.2f} ms, {errors[-1]:+.1%}")
    mean, bias = statistics.mean(map(abs, errors)), statistics.mean(errors)
    print(f"mean error {mean:.1%}, bias {bias:+.1%}")
    if options.json:
        figures = {"benchmark": "latency_table", **machine(device), "mean_error": mean, "bias": bias, "errors": errors}
        options.json.write_text(json.dumps(figures, indent=2) + "\n", encoding="utf-8")


if __name__ == "__main__":
    main()
