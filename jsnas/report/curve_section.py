"""Loss, PSNR and learning rate of a search and of a training."""

from __future__ import annotations

from collections.abc import Sequence

from jsnas.report.line_chart import Line, line_chart
from jsnas.report.markup import Html, el
from jsnas.report.run_data import Part, RunData
from jsnas.report.run_files import get, number
from jsnas.report.search_sections import chart_card, warmup_end
from jsnas.report.section import Missing, Outcome, Section
from jsnas.report.tables import folded, table

_MOST_ROWS = 60


def curve_section(run: RunData) -> Outcome:
    """The curves of both parts, as far as the run has them."""
    cards: list[Html] = []
    notes: list[str] = []
    listings: list[Html] = []
    for part, word in ((run.search, "search"), (run.train, "training")):
        if part is None or part.metrics is None or not len(part.metrics):
            if part is run.train and part is not None:
                notes.append(f"{part.prefix}metrics.jsonl is missing or empty, so the training has no curves.")
            continue
        found = _part_cards(part, word)
        cards += found
        if found:
            listings.append(_listing(part, word))
        if word == "search" and not part.metrics.series("learning_rate"):
            rate = number(get(part.config, "search", "learning_rate"))
            if rate is not None and not part.metrics.of_trials:
                notes.append(f"The search's metrics record no learning rate; its settings ask for {rate:g}.")
    if not cards:
        where = "metrics.jsonl is missing or holds no such figures"
        return Missing(f"{where}, so loss, PSNR and learning rates are not shown.")
    body = (el("p", " ".join(notes)) if notes else None, el("div", cards, class_="cards"), *listings)
    return Section("curves", "Loss, PSNR and learning rates", body)


def _part_cards(part: Part, word: str) -> list[Html]:
    assert part.metrics is not None
    metrics = part.metrics
    along = "trial" if metrics.of_trials else "iteration"
    mark = warmup_end(part, metrics)
    psnr = "PSNR of the trials, dB" if metrics.of_trials else f"Validation PSNR of the {word}, dB"
    charts: Sequence[tuple[str, list[Line], bool]] = (
        (
            f"Loss of the {word}",
            [
                Line("weights" if word == "search" else "loss", metrics.series("loss")),
                Line("architecture", metrics.series("architecture_loss"), 2),
            ],
            True,
        ),
        (psnr, [Line("PSNR", metrics.series("psnr_db"), 3)], False),
        (
            f"Learning rate of the {word}",
            [
                Line("weights" if word == "search" else "learning rate", metrics.series("learning_rate"), 4),
                Line("architecture", metrics.series("architecture_learning_rate"), 2),
            ],
            True,
        ),
    )
    cards = []
    for title, lines, log in charts:
        shown = [line for line in lines if line.points]
        if not shown:
            continue
        said = "; ".join(
            f"{line.name} from {line.points[0][1]:.4g} to {line.points[-1][1]:.4g}, lowest "
            f"{min(y for _, y in line.points):.4g}, highest {max(y for _, y in line.points):.4g}"
            for line in shown
        )
        cards.append(chart_card(title, shown, line_chart(shown, along, f"{title}: {said}.", mark, log=log)))
    return cards


def _listing(part: Part, word: str) -> Html:
    """The figures behind the curves; of many lines, every so-manieth and the last."""
    assert part.metrics is not None
    keys = ("loss", "architecture_loss", "psnr_db", "learning_rate", "architecture_learning_rate")
    columns = {key: dict(part.metrics.series(key)) for key in keys}
    columns = {key: values for key, values in columns.items() if values}
    iterations = sorted({x for values in columns.values() for x in values})
    step = -(-len(iterations) // _MOST_ROWS)
    kept = iterations[:: max(step, 1)] + iterations[-1:] * ((len(iterations) - 1) % max(step, 1) != 0)
    rows = [(f"{x:,.0f}", *(f"{values[x]:.5g}" if x in values else "" for values in columns.values())) for x in kept]
    every = f", every {step}th line" if step > 1 else ""
    return folded(
        f"Curves of the {word} as a table", table(("iteration", *columns), rows, f"Curves of the {word}{every}")
    )
