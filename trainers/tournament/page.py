"""The page of a tournament: verdict, table, cost against PSNR; as HTML, as Markdown, the chart also as a file."""

from __future__ import annotations

import math
from pathlib import Path
from typing import Any

from jsnas.data.atomic import atomic_file
from jsnas.report.cost_chart import Point, cost_chart
from jsnas.report.markup import Html, el
from jsnas.report.page import plain_page
from jsnas.report.page_style import STYLE
from jsnas.report.section import Section
from jsnas.report.tables import table
from trainers.catalogue import STRATEGIES
from trainers.statistics import CONFIDENCE, Interval
from trainers.tournament.paper_order import paper_order
from trainers.tournament.verdict import LEVEL, Judgement, Standing, judge

HEAD = (
    "contestant",
    "PSNR (dB)",
    "against the reference (dB)",
    "shown",
    "proxy (dB)",
    "parameters",
    "multiply-adds",
    "latency (ms)",
    "search (s)",
    "front",
)


def write_pages(content: dict[str, Any], folder: Path) -> None:
    """Writes ``tournament.html``, ``tournament.md`` and ``tournament.svg``."""
    judgement = judge(content)
    texts = {
        "tournament.html": html_page(content, judgement),
        "tournament.md": markdown_page(content, judgement),
        "tournament.svg": chart_file(judgement),
    }
    for name, text in texts.items():
        with atomic_file(folder / name) as temporary:
            temporary.write_text(text, encoding="utf-8")


def standings_rows(judgement: Judgement) -> list[list[str]]:
    """The table's cells under ``HEAD``, the best contestant first."""
    return [_row(standing) for standing in judgement.standings]


def markdown_page(content: dict[str, Any], judgement: Judgement, made_by: str = "jsnas tournament") -> str:
    """The page as Markdown; it shows ``tournament.svg`` beside it.

    Args:
        content: Of ``tournament``.
        judgement: Of ``judge``.
        made_by: The command to name.
    """
    rows = [HEAD, ["---"] * len(HEAD), *standings_rows(judgement)]
    lines = ["| " + " | ".join(cell.replace("|", "\\|") for cell in row) + " |" for row in rows]
    return "\n".join(
        [
            "# Does the search pay?",
            "",
            f"**{judgement.verdict}.**",
            "",
            *[f"{paragraph}\n" for paragraph in _paragraphs(content, judgement)],
            *lines,
            "",
            "![PSNR against multiply-adds, with the Pareto front](tournament.svg)",
            "",
            f"Made by `{made_by}` on {content['date']}, {content['machine']}.",
            "",
        ]
    )


def html_page(content: dict[str, Any], judgement: Judgement) -> str:
    """The page as one HTML file that loads nothing."""
    paragraphs = [el("p", words.replace("`", "")) for words in _paragraphs(content, judgement)]
    sections = [
        Section("about", "What was done", tuple(paragraphs)),
        Section("standings", "Standings", (table(HEAD, standings_rows(judgement), "The best first"),)),
        Section("cost", "Cost against PSNR", (el("div", el("div", _chart(judgement), class_="card"), class_="cards"),)),
        Section("made", "Made", (el("p", f"On {content['date']}, {content['machine']}, by jsnas tournament."),)),
    ]
    return plain_page("Does the search pay?", f"{judgement.verdict}.", sections)


def chart_file(judgement: Judgement) -> str:
    """Cost against PSNR as an SVG file of its own, light and dark."""
    drawn = str(_chart(judgement))
    if not drawn.startswith("<svg"):
        drawn = '<svg viewBox="0 0 1 1"></svg>'
    chart = drawn.replace("<svg ", '<svg xmlns="http://www.w3.org/2000/svg" width="720" ', 1)
    end = chart.index(">") + 1
    paper = el("rect", width="100%", height="100%", fill="var(--panel)")
    return f"{chart[:end]}{el('style', Html(STYLE))}{paper}{chart[end:]}\n"


def _chart(judgement: Judgement) -> Html:
    points = {
        s.name: _point(s, judgement.reference) for s in judgement.standings if s.psnr_db.n and s.multiply_adds > 0
    }
    if not points:
        return el("p", "No training ended with a PSNR.")
    front = [points[s.name] for s in judgement.standings if s.on_front and s.name in points]
    named = ", ".join(point.name for point in front)
    label = f"PSNR against multiply-adds of {len(points)} contestants; on the Pareto front: {named}."
    return cost_chart(
        list(points.values()), "multiply-adds, 1280 x 720", "mean PSNR on the test images, dB", label, front
    )


def _point(standing: Standing, reference: str) -> Point:
    kind = "run" if standing.name == reference else "paper" if standing.name in STRATEGIES else "published"
    return Point(standing.name, standing.multiply_adds, standing.psnr_db.mean, kind)


def _paragraphs(content: dict[str, Any], judgement: Judgement) -> list[str]:
    s, (tau, low, high) = content["settings"], judgement.tau
    proxy, longer = (
        f"{s[f'{kind}iterations']:,} iterations, {s[f'{kind}modules']} module{'s' * (s[f'{kind}modules'] > 1)} of "
        f"{s[f'{kind}channels']} channels"
        for kind in ("proxy_", "")
    )
    seen = "at which nothing has looked" if s["test_unseen"] else "at which searches may have looked too"
    least = judgement.least_shown_db
    reach = f", here about {least:.2f} dB or more for half of the contestants" if math.isfinite(least) else ""
    words = [
        f"Task {s['task']}, {s['seeds']} seeds each. Every search has {s['search_iterations']:,} iterations, in one "
        "supernet or in as many short trainings as fit; iterations are alike, seconds are not (see the column). What "
        f"it found is trained twice with seeds that no search has used: shortly, as searches do (the proxy: {proxy}, "
        f"scored on images {s['validation']}, which searches may look at), and longer ({longer}, scored on images "
        f"{s['test']}, {seen}). `luck` is an architecture drawn at random and not chosen; `all X` has candidate X on "
        "every edge of its part, and skips in the other.",
        f"Means with Student's {CONFIDENCE:.0%} intervals over the seeds. Differences are from "
        f"`{judgement.reference}`, in pairs of the same seed; one is shown if it stands after Holm's correction at "
        f"{LEVEL:.0%} for all together{reach}. What is smaller may be there all the same.",
        f"Kendall's rank correlation of proxy and longer training over all entries: {tau:.2f} [{low:.2f}, {high:.2f}] "
        "(bootstrap over contestants).",
    ]
    return [*words, str(paper_order(judgement, s["table"]))] if s["table"] else words


def _row(s: Standing) -> list[str]:
    psnr = _interval(s.psnr_db) + (f", {s.failed} failed" if s.failed else "")
    gap = "reference" if s.against_reference is None else str(s.against_reference)
    return [
        s.name,
        psnr,
        gap,
        "" if s.against_reference is None else "yes" if s.shown else "no",
        f"{s.proxy_db:.2f}",
        f"{s.parameters / 1e3:,.0f} k",
        f"{s.multiply_adds / 1e9:.1f} G",
        f"{1e3 * s.latency_seconds:.1f}",
        f"{s.search_seconds:,.0f}",
        "yes" if s.on_front else "",
    ]


def _interval(of: Interval) -> str:
    return f"{of.mean:.2f}" if of.n < 2 else f"{of.mean:.2f} [{of.low:.2f}, {of.high:.2f}]"
