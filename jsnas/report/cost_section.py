"""What the network costs, beside the published networks of the paper's Table 7."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import torch

from jsnas.cost import PAPER_SIZE, cost_of
from jsnas.errors import InputError
from jsnas.genotype import Genotype
from jsnas.network import JSNet, NetworkSettings
from jsnas.paper import OURS
from jsnas.paper import table as paper_table
from jsnas.report.cost_chart import Point, cost_chart
from jsnas.report.line_chart import Line
from jsnas.report.markup import Child, Html, el
from jsnas.report.run_data import RunData
from jsnas.report.run_files import get, number, whole
from jsnas.report.search_sections import chart_card
from jsnas.report.section import Missing, Outcome, Section
from jsnas.report.svg_shapes import TIMES
from jsnas.report.tables import folded, table

_SETS = ("Set5", "Set14", "BSD100", "Urban100")
_OUTPUT = f"{PAPER_SIZE[1]} {TIMES} {PAPER_SIZE[0]}"
_METRICS = ("parameters", "multiply_adds")
_MOST_CHANNELS, _MOST_MODULES = 1024, 64  # of a stranger's network that is counted here


@dataclass(frozen=True)
class RunCost:
    """What this run's network costs.

    Attributes:
        parameters: Trainable ones.
        multiply_adds: For a 1280 x 720 output.
        scale: The network's.
        source: From what it was counted.
    """

    parameters: int
    multiply_adds: int
    scale: int
    source: str


def run_cost(run: RunData) -> RunCost | str:
    """Counts the network of the checkpoint, or of the genotype at the size the settings ask for; else says why not."""
    try:
        if run.checkpoint is not None:
            genotype = Genotype.from_dict(run.checkpoint.get("genotype"))
            settings = _settings(get(run.checkpoint, "settings"))
            source = "the checkpoint"
        elif run.genotype is not None:
            genotype = run.genotype
            size = get(run.config, "network")
            channels = 3 if genotype.task == "sr" else 1
            scale = whole(get(run.config, "scale")) or genotype.scale or 2
            modules = get(size, "modules") or (5 if genotype.task == "sr" else 6)
            settings = _settings(
                {**(size or {}), "modules": modules, "image_channels": channels, "scale": scale if channels == 3 else 1}
            )
            source = "the genotype at the size that config.yaml asks for"
        else:
            return "There is neither a checkpoint nor a genotype yet, so no cost is counted."
        # Shapes alone: no memory for weights, and no number drawn that a run which goes on would miss.
        with torch.random.fork_rng(devices=[]), torch.device("meta"):
            network = JSNet(genotype, settings)
        cost = cost_of(network, PAPER_SIZE)
    except (InputError, TypeError, RuntimeError) as error:
        return f"The network's cost is not counted: {error}"
    return RunCost(cost.parameters, cost.multiply_adds, settings.scale, source)


def cost_section(run: RunData, cost: RunCost | str) -> Outcome:
    """The charts and the table."""
    if isinstance(cost, str):
        return Missing(cost)
    words: list[Child] = [
        f"Counted from {cost.source}: {cost.parameters:,} parameters and {cost.multiply_adds / 1e9:.1f} G "
        f"multiply-adds for a {_OUTPUT} output (half of what torch's counter finds in convolutions). "
    ]
    if run.task_name != "sr":
        words.append("The paper's Table 7 is about super-resolution, so no published networks stand beside it.")
        return Section("cost", "What it costs", (el("p", words),))
    measured = measured_psnr(run, cost.scale)
    dataset = next((name for name in _SETS if name in measured), "Set5")
    if measured:
        words.append(f"Our PSNR was measured with jsnas evaluate (evaluation.json): the point is at {dataset}.")
    else:
        words.append(
            "This run holds no evaluation.json with one of the table's test sets, so its PSNR does not compare: it is "
            "a dashed line at its cost. "
        )
        words += [el("code", "jsnas evaluate CHECKPOINT IMAGES --json RUN/evaluation.json"), " makes it a point."]
    rows = _published(cost.scale)
    charts = []
    for metric, x_label in (("parameters", "parameters"), ("multiply_adds", f"multiply-adds for a {_OUTPUT} output")):
        points = [
            Point("JSNet (paper)" if name == OURS else name, row[metric], row.get(dataset), "paper" if name == OURS else
                  "published")
            for name, row in rows.items() if metric in row
        ]  # fmt: skip
        ours = measured.get(dataset)
        name = "this run (measured)" if ours is not None else "this run"
        points.append(Point(name, float(getattr(cost, metric)), ours, "run"))
        label = f"PSNR on {dataset} {TIMES}{cost.scale} against {x_label}; the table below has the figures."
        chart = cost_chart(points, x_label, f"PSNR on {dataset} {TIMES}{cost.scale}, dB", label)
        charts.append(chart_card(f"PSNR against {x_label.partition(' for')[0]}", [Line("", [])], chart))
    legend = el(
        "ul",
        el("li", el("i", class_="key published"), "published (Table 7)"),
        el("li", el("i", class_="key paper"), "JSNet as published"),
        el("li", el("i", class_="key run"), "this run, cost counted" + (", PSNR measured" if measured else "")),
        class_="legend",
    )
    listing = folded("Table 7 and this run as a table", _table(rows, cost, measured))
    body = (el("p", words), legend, el("div", charts, class_="cards wide"), listing)
    return Section("cost", "What it costs, beside published networks", body)


def measured_psnr(run: RunData, scale: int) -> dict[str, float]:
    """PSNR in dB by test set, from an evaluation at this scale by the paper's convention."""
    evaluation = run.evaluation
    if get(evaluation, "format") != "jsnas-evaluation/1" or get(evaluation, "convention", "name") != "sr":
        return {}
    results = get(evaluation, "results")
    found = {}
    for entry in results if isinstance(results, list) else []:
        psnr = number(get(entry, "psnr_db"))
        same = get(entry, "task") == "sr" and get(entry, "scale") == scale and get(entry, "convention") == "sr"
        if psnr is not None and same and get(entry, "dataset") in _SETS:
            found[str(entry["dataset"])] = psnr
    return found


def _settings(content: Any) -> NetworkSettings:
    """Settings of a moderate network; anything else is not counted."""
    sizes = {
        key: whole(get(content, key)) for key in ("image_channels", "scale", "modules", "channels", "inner_channels")
    }
    kernels = get(content, "fusion_kernels")
    if any(value is None for value in sizes.values()) or not (kernels is None or isinstance(kernels, (list, tuple))):
        raise InputError("its settings are incomplete.")
    known = {key: value for key, value in sizes.items() if value is not None}
    if max(known["channels"], known["inner_channels"]) > _MOST_CHANNELS or known["modules"] > _MOST_MODULES:
        raise InputError("it is larger than this page counts.")
    return NetworkSettings(**known, fusion_kernels=tuple(kernels) if kernels is not None else None)


def _published(scale: int) -> dict[str, dict[str, float]]:
    rows: dict[str, dict[str, float]] = {}
    for cell in paper_table("7"):
        if cell.level == scale and cell.value is not None and cell.metric in (*_METRICS, "psnr_db"):
            rows.setdefault(cell.method, {})[cell.dataset or cell.metric] = cell.value
    return rows


def _table(rows: dict[str, dict[str, float]], cost: RunCost, measured: dict[str, float]) -> Html:
    def figures(row: dict[str, float]) -> list[str]:
        counts = [f"{row['parameters'] / 1e3:,.0f} k", f"{row['multiply_adds'] / 1e9:,.1f} G"]
        return counts + [f"{row[name]:.2f}" if name in row else "not measured" for name in _SETS]

    own = {"parameters": cost.parameters, "multiply_adds": cost.multiply_adds, **measured}
    body: list[tuple[Child, ...]] = [
        (el("b", "this run"), *figures(own), "counted, measured" if measured else "counted")
    ]
    body += [(name, *figures(row), "published") for name, row in rows.items()]
    head = ("network", "parameters", "multiply-adds", *(f"{name}, dB" for name in _SETS), "source")
    return table(head, body, f"PSNR and cost at scale {TIMES}{cost.scale}", len(_SETS) + 2)
