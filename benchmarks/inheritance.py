"""Does it pay to start a derived network from its supernet's weights? Both ways at equal steps, in pairs of one seed.

    python -m benchmarks.inheritance --json benchmarks/inheritance.json --page benchmarks/inheritance.md

For every seed a search (the demo's settings) on the photographs of scikit-image, then two trainings of what it found
that differ in `train.inherit` alone. A measurement that was stopped goes on where it was when it is started again.
"""

from __future__ import annotations

import dataclasses
import json
import sys
import time
from pathlib import Path
from typing import Any

import torch

from benchmarks.machine import machine
from benchmarks.measured_page import make_page, page_parser
from benchmarks.photograph_data import SPLIT, packed
from trainers.config import Config
from trainers.config_file import load_config
from trainers.search import search
from trainers.statistics import CONFIDENCE, NO_DIFFERENCE, Interval, difference, interval, significant, verdict
from trainers.train import train

WAYS = ("from scratch", "inherited")


def settings(folder: Path, iterations: int, every: int) -> Config:
    """The demo's settings, the network as wide as the supernet."""
    config = load_config("demo", [*SPLIT, "--device=cpu", "--logger.tensorboard=false"])
    t = config.train
    return dataclasses.replace(
        config,
        datasets=dataclasses.replace(config.datasets, path=str(packed(config.to_task(), folder))),
        network=dataclasses.replace(config.network, channels=config.search.channels, modules=config.search.modules),
        train=dataclasses.replace(t, total_iter=iterations, halve_every=max(1, iterations // 4)),
        val=dataclasses.replace(config.val, val_freq=every),
    )


def pair(config: Config, seed: int, folder: Path) -> dict[str, Any]:
    """PSNR by step of the two trainings of what one search found."""
    result = folder / f"{seed}.json"
    if result.is_file():
        kept: dict[str, Any] = json.loads(result.read_text(encoding="utf-8"))
        return kept
    start = time.monotonic()
    config = dataclasses.replace(config, manual_seed=seed)
    found = folder / f"search-{seed}"
    genotype = search(config, found, resume=found.exists())
    curves: dict[str, Any] = {}
    for way in WAYS:
        out = folder / f"{way.replace(' ', '-')}-{seed}"
        inherited = str(found) if way == "inherited" else None
        t = dataclasses.replace(config.train, genotype=str(found), inherit=inherited)
        train(dataclasses.replace(config, train=t), out, resume=out.exists())
        lines = [json.loads(line) for line in (out / "metrics.jsonl").read_text(encoding="utf-8").splitlines()]
        curves[way] = {str(line["iteration"]): line["psnr_db"] for line in lines if "psnr_db" in line}
    summary = json.loads((folder / f"inherited-{seed}" / "inheritance.json").read_text(encoding="utf-8"))["summary"]
    measured = {"seed": seed, "genotype": str(genotype), "start": summary, "psnr_db": curves}
    result.write_text(json.dumps({**measured, "seconds": time.monotonic() - start}, indent=2) + "\n", encoding="utf-8")
    return pair(config, seed, folder)


def page(content: dict[str, Any]) -> str:
    """The figures as a page."""
    pairs, used = content["pairs"], content["settings"]
    steps = _shown(sorted(map(int, pairs[0]["psnr_db"][WAYS[0]])))
    by_way = {way: {n: [p["psnr_db"][way][str(n)] for p in pairs] for n in steps} for way in WAYS}
    gaps = {n: difference(by_way["inherited"][n], by_way["from scratch"][n]) for n in steps}
    kept = significant({str(n): gap.p_value for n, gap in gaps.items()}, 1 - CONFIDENCE)
    rows = [
        f"| {n} | {_mean(by_way['from scratch'][n])} | {_mean(by_way['inherited'][n])} | {gaps[n]} | "
        f"{_word(gaps[n], str(n) in kept)} |"
        for n in steps
    ]
    last = verdict("a network that inherits", "one from scratch", gaps[steps[-1]], str(steps[-1]) in kept)
    whole = sum(p["start"].endswith(" 0 fresh") for p in pairs)
    return f"""# Starting from the supernet's weights

Does `jsnas train --inherit` pay at equal steps? {len(pairs)} searches on the photographs of scikit-image, with seeds of
their own; what each found was trained twice, from scratch and from the supernet, all else equal (the fresh weights and
the order of patches too). PSNR on four photographs that no training has seen, in dB, mean over the seeds; the
difference is that of the pairs, with its Student interval of {CONFIDENCE:.0%}. "Shown" is after Holm's correction over
the steps.

| step | from scratch | inherited | difference | |
|---|---|---|---|---|
{chr(10).join(rows)}

**After {steps[-1]} steps: {last}.**

In {whole} of {len(pairs)} pairs nothing started fresh; of the first, {pairs[0]["start"]}.

Settings: super-resolution x2, `demo` with {used["search_iterations"]} iterations of search (K = {used["partial"]}),
{used["train_iterations"]} of training, {used["channels"]} channels ({used["inner_channels"]} in the operation graph),
{used["modules"]} module. An iteration of search is not counted as a step of training: the inherited weights have learnt
in the search, which had to be paid anyway.

Made by `python -m benchmarks.inheritance --json benchmarks/inheritance.json --page benchmarks/inheritance.md`, on
{content["machine"]["date"][:10]}, {content["machine"]["processor"]}, {content["machine"]["threads"]} thread,
torch {content["machine"]["versions"]["torch"]}, {content["seconds"] / 60:.0f} minutes. All figures:
[inheritance.json](inheritance.json); `--from benchmarks/inheritance.json` writes this page from them.
"""


def _shown(steps: list[int]) -> list[int]:
    """The first step and its doublings, and the last: few enough to be compared one by one."""
    shown = [n for n in steps if n % steps[0] == 0 and (n // steps[0]).bit_count() == 1]
    return shown if shown[-1] == steps[-1] else [*shown, steps[-1]]


def _mean(values: list[float]) -> str:
    return f"{interval(values).mean:.2f}"


def _word(gap: Interval, shown: bool) -> str:
    return NO_DIFFERENCE if not shown else "shown: better" if gap.mean > 0 else "shown: worse"


def measure(seeds: int, iterations: int, every: int, folder: Path) -> dict[str, Any]:
    """All pairs."""
    config = settings(folder, iterations, every)
    pairs = []
    for seed in range(seeds):
        pairs.append(pair(config, seed, folder))
        print(f"seed {seed}: {pairs[-1]['psnr_db']}", file=sys.stderr, flush=True)
    return {
        "benchmark": "inheritance",
        "machine": machine(torch.device("cpu")),
        "settings": {
            "search_iterations": config.search.total_iter,
            "train_iterations": iterations,
            "partial": config.strategy.args["partial"],
            "channels": config.network.channels,
            "inner_channels": config.network.inner_channels,
            "modules": config.network.modules,
        },
        "seconds": sum(p["seconds"] for p in pairs),
        "pairs": pairs,
    }


def main() -> None:
    parser = page_parser(__doc__, "runs/inheritance")
    parser.add_argument("--seeds", type=int, default=10, help="pairs")
    parser.add_argument("--iterations", type=int, default=1200, help="of each training")
    parser.add_argument("--every", type=int, default=100, help="steps between two validations")
    a = parser.parse_args()
    make_page(a, lambda: measure(a.seeds, a.iterations, a.every, a.work), page)


if __name__ == "__main__":
    main()
