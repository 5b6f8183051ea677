"""What was asked and what came out: one sentence and up to four figures."""

from __future__ import annotations

from jsnas.report.cost_section import RunCost
from jsnas.report.markup import Html, el
from jsnas.report.run_data import DEMO, RunData
from jsnas.report.run_files import get, number, whole
from jsnas.report.svg_shapes import MINUS, TIMES
from jsnas.report.svg_style import shorten

_FIGURES = 4
_MOST_SETS = 4


def headline(run: RunData) -> str:
    """What the run is, in a few words."""
    kinds = {"search": "Search", "train": "Training", DEMO: "Demo"}
    return f"{kinds[run.kind]} for {task_words(run)}"


def task_words(run: RunData) -> str:
    """The task with its level."""
    scale, sigma, quality = (number(get(run.config, key)) for key in ("scale", "sigma", "quality"))
    words = {
        "sr": "super-resolution" + (f" {TIMES}{scale:g}" if scale else ""),
        "denoise": "denoising" + (f", sigma {sigma:g}" if sigma else ""),
        "deblock": "JPEG deblocking" + (f", quality {quality:g}" if quality else ""),
    }
    name = run.task_name
    return "a task that its files do not name" if name is None else words.get(name, shorten(name, 40))


def sentence(run: RunData, running: bool) -> str:
    """The run in one sentence; what its files do not say is left out."""
    clauses = []
    search, train = run.search, run.train
    if search is not None:
        asked = whole(get(search.config, "search", "total_iter"))
        strategy = get(search.config, "strategy", "name")
        done = search.metrics.last_iteration if search.metrics is not None else 0
        trials = search.metrics is not None and search.metrics.of_trials
        if trials:
            asked = whole(get(search.config, "search", "max_trials"))
        clause = f"a search with {shorten(str(strategy), 60)}" if strategy else "a search"
        clause += f" of {asked:,} {'trials' if trials else 'iterations'}" if asked else ""
        if search.genotype is not None:
            edges = len(search.genotype.operations) + len(search.genotype.attentions)
            clause += f" derived a module of {edges} edges"
        elif done:
            clause += f" {'is' if running else 'stopped'} at {done:,}"
        clauses.append(clause)
    if train is not None:
        asked = whole(get(train.config, "train", "total_iter"))
        clause = "training" + (f" of {asked:,} iterations" if asked else "")
        best, at = (get(train.checkpoint, "metrics", key) for key in ("validation_psnr_db", "iteration"))
        if (value := number(best)) is not None:
            clause += f" reached {value:.2f} dB on the held-out images" + (f" at iteration {at:,}" if whole(at) else "")
        elif train.metrics is not None and len(train.metrics):
            clause += f" {'is' if running else 'stopped'} at {train.metrics.last_iteration:,}"
        clauses.append(clause)
    psnr, gain = number(get(run.summary, "psnr_db")), number(get(run.summary, "gain_db"))
    restored = get(run.summary, "images")
    if psnr is not None and gain is not None:
        seen = f"{len(restored)} " if isinstance(restored, list) else ""
        other = "bicubic interpolation" if run.task_name == "sr" else "the input"
        side = "above" if gain >= 0 else "below"
        clauses.append(f"the network restores {seen}unseen images at {psnr:.2f} dB, {abs(gain):.2f} dB {side} {other}")
    for dataset, value, count in evaluations(run):
        images = f" of {count} image{'s' * (count > 1)}" if count else ""
        clauses.append(f"jsnas evaluate measured {value:.2f} dB on {dataset}{images}")
    if not clauses:
        return "Nothing has been written by this run yet."
    whole_sentence = "; ".join(clauses) + "."
    return whole_sentence[0].upper() + whole_sentence[1:]


def figures(run: RunData, cost: RunCost | str) -> list[tuple[str, str, str]]:
    """The four most telling figures that the run has: value, unit, what it is."""
    found: list[tuple[str, str, str]] = []
    psnr, gain = number(get(run.summary, "psnr_db")), number(get(run.summary, "gain_db"))
    if psnr is not None:
        found.append((f"{psnr:.2f}", "dB", "PSNR of the restored images"))
    if gain is not None:
        found.append(
            (
                f"{gain:+.2f}".replace("-", MINUS),
                "dB",
                "against " + ("bicubic" if run.task_name == "sr" else "the input"),
            )
        )
    for dataset, value, _ in evaluations(run)[:1]:
        found.append((f"{value:.2f}", "dB", f"PSNR on {dataset}"))
    best = number(get(run.checkpoint, "metrics", "validation_psnr_db"))
    if psnr is None and best is not None:
        found.append((f"{best:.2f}", "dB", "best PSNR on the held-out images"))
    if not isinstance(cost, str):
        found.append((f"{cost.parameters / 1e3:,.0f}", "k", "parameters"))
        found.append((f"{cost.multiply_adds / 1e9:.1f}", "G", f"multiply-adds at 1280 {TIMES} 720"))
    metrics = run.search.metrics if run.search is not None else None
    if metrics is not None:
        if series := metrics.series("psnr_db"):
            top = max(y for _, y in series) if metrics.of_trials else series[-1][1]
            found.append((f"{top:.2f}", "dB", "PSNR of the best trial" if metrics.of_trials else "supernet's PSNR"))
        if metrics.edges:
            sure = sum(edge.values[edge.winners[-1]][-1] for edge in metrics.edges) / len(metrics.edges)
            found.append((f"{100 * sure:.0f}", "%", "mean probability of the winners"))
            found.append((str(len(metrics.genotype_changes)), "", "changes of the genotype"))
    metrics = run.train.metrics if run.train is not None else None
    if metrics is not None and (series := metrics.series("loss")):
        found.append((f"{series[-1][1]:.3g}", "", "last loss of the training"))
    return found[:_FIGURES]


def evaluations(run: RunData) -> list[tuple[str, float, int | None]]:
    """Set, PSNR in dB and number of images of the first few results in ``evaluation.json``, whatever the convention."""
    results = get(run.evaluation, "results")
    found: list[tuple[str, float, int | None]] = []
    for entry in results if isinstance(results, list) else []:
        psnr = number(get(entry, "psnr_db"))
        if psnr is not None and len(found) < _MOST_SETS:
            found.append((shorten(str(entry.get("dataset")), 40), psnr, whole(entry.get("images"))))
    return found


def figure_list(found: list[tuple[str, str, str]]) -> Html | None:
    """The figures as tiles."""
    tiles = [el("div", el("dd", value, el("small", " ", unit) if unit else None), el("dt", words))
             for value, unit, words in found]  # fmt: skip
    return el("dl", tiles, class_="figures") if tiles else None
