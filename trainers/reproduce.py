"""Recipe: the certificate, which puts what can be measured here and now beside the paper's printed figures.

Bicubic and JPEG rows need images only, parameter and multiply-add counts need nothing, JSNet's rows need checkpoints
and images. Whatever was not measured in this run is listed as not run, with the reason.
"""

from __future__ import annotations

import hashlib
from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from pathlib import Path

import torch

from jsnas.checkpoint import load_checkpoint
from jsnas.conventions import Convention, preset
from jsnas.cost import cost_of, parameters_of
from jsnas.data.atomic import atomic_file
from jsnas.data.benchmarks import BenchmarkSet, DataHash, find_benchmark, load_pair
from jsnas.data.degrade import crop_to_multiple
from jsnas.data.images import read_luma
from jsnas.data.luma_bicubic import luma_bicubic
from jsnas.errors import InputError
from jsnas.genotype import Genotype
from jsnas.network import JSNet, NetworkSettings
from jsnas.official import import_official
from jsnas.paper import BICUBIC, OURS, Cell, table, tables, variants
from jsnas.task import SCALES, Task
from trainers.evaluate import Progress, mean_score, network_restorer, score_set
from trainers.paper_certificate import (
    AS_PUBLISHED,
    NOT_RUN,
    UNKNOWN_DATA,
    CheckpointRecord,
    DataRecord,
    Entry,
    PaperCertificate,
    judge,
)
from trainers.paper_certificate_page import certificate_page

# DataHash.hq of the published sets by (set, task, scale): Set5, Set14 and BSD100 cropped to a multiple of the scale,
# Classic5 and BSD68 as they are.
KNOWN_DATA: dict[tuple[str, str, int], str] = {
    ("Set5", "sr", 2): "feb05ad15b7b42eeebad0845e4f250420269d45c3370701bc4728fb499cee634",
    ("Set5", "sr", 3): "15358e74dede197fb14168dcfe38dcff63b1e8ec8879ee65e10353a99d38a056",
    ("Set5", "sr", 4): "feb05ad15b7b42eeebad0845e4f250420269d45c3370701bc4728fb499cee634",
    ("Set14", "sr", 2): "fc30e00ad324d86cdb62fa3fe90ebf961a87681b80805eba14f1cc2a3969f971",
    ("Set14", "sr", 3): "a529f8d5bf8ecd93efb3bae23fcd41fffcbace5e630280cbc1b52de131ae96e6",
    ("Set14", "sr", 4): "26f56e2b648d6edff606d3bc6030a74a87ab9f4a706e7b8cd55c1b0e15c29f4b",
    ("BSD100", "sr", 2): "d69907028ed907e18e139e3e8fc6e00ab9aa6258c843216f9d2ee63e03f70a50",
    ("BSD100", "sr", 3): "b779905d3765105db045c7d0250a820c8527c2478149d37662f7f7abb09533b4",
    ("BSD100", "sr", 4): "d69907028ed907e18e139e3e8fc6e00ab9aa6258c843216f9d2ee63e03f70a50",
    ("Classic5", "deblock", 1): "c7fb885064d679a14561c567fd9f24adb563c8e38521b388854d501ca650c0fb",
    ("BSD68", "denoise", 1): "2dcf0dce7cb758aafd2ac3e7b4e7348c8031ac570633b2e279551d30a310a643",
    ("BSD200", "denoise", 1): "3f13945e9e0fa534ff4db335fca1d95e4f912a235ab3901b3c9e5cf0133d4925",
}

LUMA_BICUBIC = Convention("luma-bicubic", "gray", border="scale")
JPEG_INPUT = Convention("deblock-uniform8", "gray", ssim_window="uniform8")
COUNTED = "counted"

_ALIASES = {"b100": "BSD100", "bsds100": "BSD100", "cbsd68": "BSD68", "kodak": "Kodak24", "bsds200": "BSD200"}
_TABLES = {"sr": ("7",), "denoise": ("9", "10"), "deblock": ("11",)}

Figures = dict[str, float | None]  # metric -> measured
Job = Callable[[], None]


@dataclass(frozen=True)
class _Loaded:
    network: JSNet
    task: Task
    name: str


def reproduce(
    checkpoints: Sequence[Path],
    images: Path | None,
    out: Path,
    device: torch.device | None = None,
    progress: Progress | None = None,
) -> PaperCertificate:
    """Measures what can be measured and writes ``certificate.html`` and ``certificate.json``.

    Args:
        checkpoints: Ours (``.safetensors``) or the authors' released ones (``.pt``, ``.pth``); may be empty.
        images: A folder that holds the test sets by their names (Set5, Set14, BSD100, Urban100, Classic5, LIVE1, BSD68,
            Kodak24, BSD200) in any layout of ``find_benchmark``, or one such set; None for no images.
        out: Folder for the two files; made if needed.
        device: Where to compute; None for the CPU.
        progress: Called with the number of measurements done and in all.

    Raises:
        InputError: If a checkpoint or image cannot be read, or the folder cannot be written.
    """
    if images is not None and not images.is_dir():
        raise InputError(f"There is no folder '{images}'; give the folder that holds the test sets.")
    run = _Run(images, device or torch.device("cpu"))
    loaded = [_load(path) for path in checkpoints]
    jobs = [run.count_architectures, *run.input_jobs()]
    for one in loaded:
        jobs += run.network_jobs(one)
    for done, job in enumerate(jobs, start=1):
        job()
        if progress:
            progress(done, len(jobs))
    records = [
        CheckpointRecord(
            str(path), hashlib.sha256(path.read_bytes()).hexdigest(), one.task.label, parameters_of(one.network)
        )
        for path, one in zip(checkpoints, loaded, strict=True)
    ]
    certificate = PaperCertificate(tuple(run.all_entries()), tuple(records), tuple(run.data.values()), str(run.device))
    _write(out, certificate)
    return certificate


class _Run:
    """What was measured so far."""

    def __init__(self, images: Path | None, device: torch.device) -> None:
        self.device = device
        self.data: dict[str, DataRecord] = {}
        self._measured: dict[Cell, list[Entry]] = {}
        self._reasons: dict[Cell, str] = {}
        self._folders: dict[str, Path] = {}
        if images is not None:
            inside = sorted(path for path in images.resolve().iterdir() if path.is_dir())
            for folder in (*inside, images.resolve()):
                self._folders.setdefault(_ALIASES.get(folder.name.lower(), folder.name).lower(), folder)

    def all_entries(self) -> list[Entry]:
        """Every cell of every table in order: what was measured of it, or that it was not run and why."""
        entries = []
        for cell in tables():
            reason = self._reasons.get(cell) or _default_reason(cell)
            entries += self._measured.get(cell) or [Entry(cell, None, None, None, None, NOT_RUN, reason)]
        return entries

    def count_architectures(self) -> None:
        """Parameters of the ablation rows, parameters and multiply-adds of JSNet."""
        for variant in variants():
            count = parameters_of(JSNet(variant.genotype, variant.settings))
            cells = [c for c in table(variant.table) if (c.method, c.metric) == (variant.method, "parameters")]
            self._record(cells, {"parameters": count}, "network built here", COUNTED)
        for scale in SCALES:
            cost = cost_of(JSNet(Genotype.load("jsnet-sr"), NetworkSettings(3, scale, 5)))
            cells = [cell for cell in table("7") if (cell.method, cell.level) == (OURS, scale)]
            figures: Figures = {"parameters": cost.parameters, "multiply_adds": cost.multiply_adds}
            self._record(cells, figures, "network built here", COUNTED)

    def input_jobs(self) -> list[Job]:
        """The bicubic and the JPEG rows, a job for each set and level."""
        groups: dict[tuple[str, str, Task], list[Cell]] = {}
        for cell in (*table(BICUBIC), *table("11")):
            if cell.method in ("Bicubic", "JPEG") and cell.task and cell.dataset:
                groups.setdefault((cell.method, cell.dataset, cell.task), []).append(cell)
        return [
            lambda cells=cells, key=key: self._measure_input(cells, *key)  # type: ignore[misc]
            for key, cells in groups.items()
        ]

    def network_jobs(self, loaded: _Loaded) -> list[Job]:
        """The rows that a checkpoint stands for, a job for each set."""
        network, task = loaded.network, loaded.task
        rows = {
            (variant.table, variant.method)
            for variant in variants()
            if _same(network, variant.genotype, variant.settings)
        }
        rows = rows or {(name, OURS) for name in _TABLES[task.name]}
        cells = [cell for cell in tables() if (cell.table, cell.method) in rows and cell.task in (None, task)]
        datasets = dict.fromkeys(cell.dataset for cell in cells if cell.dataset)
        jobs: list[Job] = [lambda: self._count(cells, loaded)]
        for dataset in datasets:
            part = [cell for cell in cells if cell.dataset == dataset]
            jobs.append(lambda part=part, dataset=dataset: self._measure_network(part, dataset, loaded))  # type: ignore[misc]
        return jobs

    def _count(self, cells: list[Cell], loaded: _Loaded) -> None:
        figures: Figures = {"parameters": parameters_of(loaded.network)}
        if loaded.task.name == "sr":
            figures["multiply_adds"] = cost_of(loaded.network).multiply_adds
        self._record(cells, figures, loaded.name, COUNTED)

    def _measure_network(self, cells: list[Cell], dataset: str, loaded: _Loaded) -> None:
        found = self._find(cells, dataset, loaded.task)
        if found is None:
            return
        restore = network_restorer(loaded.network, loaded.task, False, self.device)
        result = score_set(found, loaded.task, preset(loaded.task), restore)
        score = result.score
        if score is not None:
            data = self._data(
                dataset, loaded.task, len(result.images), result.hq_sha256, result.sha256, result.lq_as_preset
            )
            figures: Figures = {"psnr_db": score.psnr_db, "ssim": score.ssim}
            self._record(cells, figures, loaded.name, result.convention.name, data)

    def _measure_input(self, cells: list[Cell], method: str, dataset: str, task: Task) -> None:
        found = self._find(cells, dataset, task)
        if found is None:
            return
        convention = LUMA_BICUBIC if method == "Bicubic" else JPEG_INPUT
        hashes, scores = DataHash(), []
        for pair in found.pairs:
            loaded = load_pair(replace(pair, lq=None), task)
            hashes.add(loaded)
            restored, hq = loaded.lq, loaded.hq
            if method == "Bicubic":
                hq = crop_to_multiple(read_luma(pair.hq), task.scale)
                restored = luma_bicubic(hq, task.scale)
            scores.append(convention.score(restored, hq, task.scale))
        data, mean = self._data(dataset, task, len(scores), hashes.hq, hashes.pairs, True), mean_score(scores)
        self._record(cells, {"psnr_db": mean.psnr_db, "ssim": mean.ssim}, method, convention.name, data)

    def _find(self, cells: list[Cell], dataset: str, task: Task) -> BenchmarkSet | None:
        """The set of a name; where there is none or it does not serve this task, its cells get the reason."""
        folder = self._folders.get(dataset.lower())
        reason = f"no images of {dataset} were given"
        if folder is not None:
            try:
                return find_benchmark(folder, task)[0]
            except InputError as error:
                reason = str(error)
        self._reasons.update(dict.fromkeys(cells, reason))
        return None

    def _data(self, dataset: str, task: Task, images: int, hq: str, pairs: str, lq_as_preset: bool) -> DataRecord:
        known = KNOWN_DATA.get((dataset, task.name, task.scale))
        if not lq_as_preset:
            status = "its low-quality images are not what the preset makes"
        elif known is None:
            status = UNKNOWN_DATA
        else:
            status = AS_PUBLISHED if hq == known else "its pixels are not those of the published set"
        return self.data.setdefault(pairs, DataRecord(dataset, task.label, images, hq, pairs, status))

    def _record(
        self, cells: list[Cell], figures: Figures, subject: str, convention: str, data: DataRecord | None = None
    ) -> None:
        for cell in cells:
            ours = figures.get(cell.metric)
            if ours is not None:
                self._measured.setdefault(cell, []).append(judge(cell, ours, subject, convention, data))


def _same(network: JSNet, genotype: Genotype, settings: NetworkSettings) -> bool:
    mine = network.genotype
    return (mine.operations, mine.attentions, network.settings) == (genotype.operations, genotype.attentions, settings)


def _load(path: Path) -> _Loaded:
    if path.suffix in (".pt", ".pth"):
        network, task = import_official(path)
    else:
        network = load_checkpoint(path)
        task = network.metadata["task"]
    return _Loaded(network, task, path.name)


def _default_reason(cell: Cell) -> str:
    if cell.metric == "seconds":
        return "running time belongs to a machine; see the latency benchmark"
    if cell.metric == "gpu_days":
        return "the cost of a search is not measured here"
    own = {(variant.table, variant.method) for variant in variants()} | {
        (name, OURS) for name in ("7", "9", "10", "11")
    }
    return (
        "no checkpoint of it was given"
        if (cell.table, cell.method) in own
        else "another method; only the paper's figure"
    )


def _write(out: Path, certificate: PaperCertificate) -> None:
    try:
        out.mkdir(parents=True, exist_ok=True)
    except OSError as error:
        raise InputError(
            f"The folder '{out}' cannot be made ({error}); give another place for the certificate."
        ) from error
    for name, text in (
        ("certificate.html", certificate_page(certificate)),
        ("certificate.json", certificate.to_json()),
    ):
        with atomic_file(out / name) as temporary:
            temporary.write_text(text, encoding="utf-8")
