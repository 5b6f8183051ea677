"""Fills JSNet-Bench: trains a genotype unless the table knows the result, or many drawn at random."""

from __future__ import annotations

import dataclasses
import hashlib
import inspect
import tempfile
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
import torch

from jsnas.attentions import ATTENTIONS
from jsnas.bench import Bench, Row
from jsnas.candidates import is_ours, register_plugin
from jsnas.cost import cost_of
from jsnas.errors import DivergedError, InputError
from jsnas.genotype import EXCLUDED, Genotype, edge_list
from jsnas.network import JSNet
from jsnas.operations import OPERATIONS
from trainers.config import Config
from trainers.plugins import candidates, use_plugins
from trainers.progress import Progress
from trainers.run_record import machine_in_words
from trainers.streams import open_data, pick_device
from trainers.trial import run_trial, search_size

_RECIPE = 1  # raised when the same settings no longer give the same training
_LATENCY_INPUT = 128
_LATENCY_RUNS = 11


def protocol_of(config: Config) -> dict[str, Any]:
    """Everything that fixes the result of a trial but its genotype, seed and length.

    Raises:
        InputError: If the data cannot be used.
    """
    data, d, t = open_data(config), config.datasets, config.train
    names = data.images.names
    return {
        "recipe": _RECIPE,
        "task": config.to_task().to_dict(),
        "network": dataclasses.asdict(search_size(config)),
        "data": data.images.sha256(),
        "learnt_on": [names[k] for k in data.split.weights],
        "scored_on": [names[k] for k in data.split.validation[: config.val.max_images]],
        "max_side": config.val.max_side,
        "patch_size": d.patch_size,
        "batch_size": d.batch_size,
        "augment": d.augment,
        "learning_rate": t.learning_rate,
        "betas": list(t.betas),
        "eps": t.eps,
        "halve_share": t.halve_every / t.total_iter,
        "precision": config.precision,
        "device": pick_device(config.device).type,
        "blocks": _own_blocks(config),
    }


def _own_blocks(config: Config) -> dict[str, str]:
    """Short name of each block that is not ours, and a hash of its source, which its author may change."""
    operations, attentions = candidates(config)
    found = operations | attentions
    for name in map(register_plugin, config.plugins):
        found[name] = OPERATIONS.get(name) or ATTENTIONS[name]
    own = {name: block for name, block in found.items() if not is_ours(block)}
    return {name: hashlib.sha256(inspect.getsource(block).encode()).hexdigest()[:12] for name, block in own.items()}


def trained(config: Config, genotype: Genotype, seed: int, bench: Bench) -> Row:
    """The row of a trial: from the table, or trained now and added to it.

    A training whose loss stops being finite is a result too: its PSNR is NaN.

    Args:
        config: Settings; the size is the search's, the length ``search.trial_iter``.
        genotype: What to train; its task and scale become the config's.
        seed: Of weights and patches.
        bench: The table.

    Raises:
        InputError: If a setting or the data cannot be used, or the table is damaged.
    """
    genotype = dataclasses.replace(genotype, task=config.task, scale=config.genotype_scale)
    use_plugins(config)
    protocol = bench.add_protocol(protocol_of(config))
    found = bench.find(protocol, genotype, seed, config.search.trial_iter)
    if found is not None:
        return found
    config = dataclasses.replace(config, manual_seed=seed)
    network = JSNet(genotype, search_size(config))
    cost, start, psnr_db, failed = cost_of(network), time.monotonic(), float("nan"), ""
    with tempfile.TemporaryDirectory(prefix="jsnas-bench-") as folder:
        run = Path(folder) / "run"
        try:
            psnr_db = run_trial(config, genotype, run).psnr_db
        except DivergedError as error:
            failed = str(error)
    row = Row(
        protocol,
        genotype,
        seed,
        config.search.trial_iter,
        psnr_db,
        cost.parameters,
        cost.multiply_adds,
        _latency(network, pick_device(config.device)),
        time.monotonic() - start,
        machine_in_words(),
        failed,
    )
    bench.add(row)
    return row


def random_genotype(config: Config, rng: np.random.Generator) -> Genotype:
    """A genotype of the config's space, every candidate of an edge equally likely; all edges are kept.

    Raises:
        InputError: If a candidate is unknown.
    """
    drawn = [
        [str(rng.choice(names)) for _ in range(edges)]
        for names, edges in zip(candidates_of(config), _edges(config), strict=True)
    ]
    return Genotype.from_names(config.task, drawn[0], drawn[1], config.genotype_scale)


def candidates_of(config: Config) -> tuple[list[str], list[str]]:
    """Short names of the config's operations, without ``none``, and attentions.

    Raises:
        InputError: If one is unknown.
    """
    operations, attentions = candidates(config)
    return [name for name in operations if name != EXCLUDED], list(attentions)


def fill(config: Config, bench: Bench, genotypes: int, seeds: int, repeated: int, first: int = 0) -> int:
    """Trains genotypes drawn at random, and adds what the table lacks.

    The k-th genotype is the same in every run with the same space, so that a table that was begun is gone on with. In a
    small space the same one may be drawn more than once; it is trained once.

    Args:
        config: Settings of the trials.
        bench: The table.
        genotypes: How many.
        seeds: Trainings of each of the ``repeated`` first, with seeds from ``manual_seed`` on.
        repeated: How many of them are trained more than once, which tells how far seeds alone make ranks differ.
        first: Number of the first genotype, for a table that several processes fill.

    Returns:
        How many rows were new.

    Raises:
        InputError: If a number is out of its range; as ``trained``.
    """
    if genotypes < 1 or seeds < 1 or repeated < 0 or first < 0:
        raise InputError(
            f"{genotypes} genotypes, {seeds} seeds, {repeated} of them repeated and {first} as the first were given; "
            "give 1 or more of the former two, 0 or more of the latter."
        )
    jobs = [(first + k, seed) for seed in range(seeds) for k in range(genotypes if seed == 0 else repeated)]
    new = 0
    protocol = bench.add_protocol(protocol_of(config))
    with Progress("bench", len(jobs), "trainings") as progress:
        for done, (number, seed) in enumerate(jobs, start=1):
            genotype = random_genotype(config, np.random.default_rng([2022, number]))
            new += bench.find(protocol, genotype, config.manual_seed + seed, config.search.trial_iter) is None
            row = trained(config, genotype, config.manual_seed + seed, bench)
            progress.update(done, {"psnr_db": row.psnr_db})
    return new


def _latency(network: JSNet, device: torch.device) -> float:
    """The least of a few runs, in seconds: what the machine can do when nothing else happens."""
    network = network.to(device).eval()
    x = torch.zeros(1, network.settings.image_channels, _LATENCY_INPUT, _LATENCY_INPUT, device=device)
    with torch.inference_mode():
        return min(_timed(network, x) for _ in range(_LATENCY_RUNS))


def _timed(network: JSNet, x: torch.Tensor) -> float:
    start = time.perf_counter()
    network(x)
    if x.device.type == "cuda":
        torch.cuda.synchronize(x.device)
    return time.perf_counter() - start


def singles(config: Config) -> Iterator[tuple[str, Genotype]]:
    """Networks that hold one candidate everywhere, the other part being ``skip``: name and genotype of each."""
    (operations, attentions), (n, m) = candidates_of(config), _edges(config)
    scale = config.genotype_scale
    for name in operations if n else ():
        yield f"all {name}", Genotype.from_names(config.task, [name] * n, ["skip"] * m, scale)
    for name in attentions if m else ():
        if name != "skip" or not n:
            yield f"all {name}", Genotype.from_names(config.task, ["skip"] * n, [name] * m, scale)


def _edges(config: Config) -> tuple[int, int]:
    """Edges of the operation and of the attention graph of the config's space; a part that it lacks has none."""
    n, m = config.search.nodes
    return len(edge_list(n)), len(edge_list(m))
