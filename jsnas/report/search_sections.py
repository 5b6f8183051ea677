"""What a search found and how it went there: the module, the edges' probabilities, entropy and skips."""

from __future__ import annotations

from collections.abc import Iterable

from jsnas.errors import InputError
from jsnas.genotype import Genotype, edge_name
from jsnas.report.edge_chart import edge_chart, hue
from jsnas.report.line_chart import Line, line_chart
from jsnas.report.markup import Child, Html, el, join
from jsnas.report.module_drawing import NOUNS, PARTS
from jsnas.report.module_svg import draw_genotype
from jsnas.report.run_data import Part, RunData
from jsnas.report.run_files import get, whole
from jsnas.report.run_metrics import EdgeHistory, Metrics
from jsnas.report.section import Missing, Outcome, Section
from jsnas.report.tables import folded, table

_MOST_CHANGES = 12  # listed for an edge


def module_section(run: RunData) -> Outcome:
    """The module as a picture, lines as wide as the search was sure."""
    genotype = run.genotype
    if genotype is None:
        return Missing("There is no genotype.json yet, so the module is not drawn.")
    edges = run.search.metrics.edges if run.search is not None and run.search.metrics is not None else []
    confidence = confidences(genotype, edges)
    try:
        picture = Html(draw_genotype(genotype, confidence))
    except InputError as error:
        return Missing(f"The module is not drawn: {error}")
    if any(confidence.values()):
        words = "Line width and per cent: the probability that the search gave to the operation or attention it chose."
    else:
        words = "The run's metrics hold no probabilities of this module's edges, so all lines are equally wide."
    rows = [
        (f"{NOUNS[part]} {i}→{j}", name, _percent(confidence[part].get(edge_name((i, j)))))
        for part in PARTS
        for (i, j), name in getattr(genotype, part)
    ]
    listing = folded("The module as a table", table(("edge", "chosen", "probability"), rows, "Edges of the module"))
    scroll = el("div", picture, class_="scroll module", tabindex="0", role="region", aria_label="The module's picture")
    hint = el("p", "Scroll the picture sideways, or turn the phone.", class_="note sideways")
    return Section("module", "The searched module", (el("p", words), hint, scroll, listing))


def confidences(genotype: Genotype, edges: Iterable[EdgeHistory]) -> dict[str, dict[str, float]]:
    """Part -> edge -> last probability of what the genotype has there, where it is known."""
    known = {(edge.part, edge.edge): edge for edge in edges}
    found: dict[str, dict[str, float]] = {part: {} for part in PARTS}
    for part in PARTS:
        for edge, name in getattr(genotype, part):
            history = known.get((NOUNS[part], edge))
            probability = history.last(name) if history is not None else None
            if probability is not None:
                found[part][edge_name(edge)] = probability
    return found


def probability_section(run: RunData) -> Outcome:
    """How every edge's probabilities moved."""
    part = run.search
    if part is None:
        return None
    if part.metrics is None:
        return Missing(
            f"{part.prefix}metrics.jsonl is missing, so how the probabilities moved, entropy, skips and the search's "
            "curves are not shown."
        )
    metrics = part.metrics
    if not metrics.edges:
        return Missing(f"{part.prefix}metrics.jsonl holds no probabilities of edges, so how they moved is not shown.")
    mark, low_high = warmup_end(part, metrics), metrics.probability_range
    cards = []
    for edge in metrics.edges:
        cards.append(
            el(
                "article",
                el("h3", edge.label),
                edge_chart(edge, low_high, mark),
                el("p", _changes(edge)),
                class_="card",
            )
        )
    names = {name: None for edge in metrics.edges for name in edge.names}
    legend = [el("li", el("i", class_="hue", style=hue(name)), name) for name in names]
    changing = sorted({t for edge in metrics.edges for t, _, _ in edge.changes})
    words: list[Child] = [
        f"Written {len(metrics.edges[0].iterations):,} times up to iteration {metrics.last_iteration:,}. "
        + (f"The warm-up on the weights alone ended at iteration {mark:,} (dashed). " if mark else "")
        + f"The winner of some edge changed at {len(changing):,} of these times",
        f", last at iteration {changing[-1]:,.0f}. " if changing else ". ",
        "The ribbon on top is the winner over time (none, which is never derived, aside), with a thin line at each "
        "change; the heat map is pale at "
        f"{low_high[0]:.1%} and full at {low_high[1]:.1%}, for all edges alike.",
    ]
    figures = folded("Probabilities as a table", table(*_table(metrics.edges, mark)))
    body = (el("p", words), el("ul", legend, class_="legend"), el("div", cards, class_="cards"), figures)
    return Section("probabilities", "How the probabilities moved", body)


def collapse_section(run: RunData) -> Outcome:
    """Entropy and the share of skips over the search."""
    part = run.search
    if part is None or part.metrics is None:
        return None
    metrics, mark = part.metrics, warmup_end(part, part.metrics)
    charts, words = [], []
    titles = (("entropy", "Entropy (100%: undecided)"), ("skip_share", "Share of skips"))
    for key, title in titles:
        lines = [
            Line(NOUNS[name], metrics.series(f"{key}/{NOUNS[name]}"), look) for look, name in enumerate(PARTS, start=1)
        ]
        lines = [line for line in lines if line.points]
        if not lines:
            continue
        said = ", ".join(f"{line.name}s {line.points[0][1]:.1%} to {line.points[-1][1]:.1%}" for line in lines)
        charts.append(chart_card(title, lines, line_chart(lines, "iteration", f"{title}: {said}.", mark, percent=True)))
        words.append(f"{title.partition(' (')[0]}, first to last: {said}. ")
    if not charts:
        return Missing(f"{part.prefix}metrics.jsonl records neither entropy nor skip share, so they are not shown.")
    times = metrics.genotype_changes
    words.append(
        f"The derived genotype changed {len(times):,} time{'s' * (len(times) > 1)}"
        if times
        else "The derived genotype never changed"
    )
    words.append(f", last at iteration {times[-1]:,.0f}." if times else ".")
    return Section("collapse", "Entropy and skips", (el("p", words), el("div", charts, class_="cards")))


def warmup_end(part: Part, metrics: Metrics) -> int | None:
    """The warm-up's last iteration: as the settings say, else as the phases show; None where there is none."""
    set_to = whole(get(part.config, "search", "weight_warmup_iters"))
    if set_to is not None and metrics.warmup_end is not None:
        return set_to
    return metrics.warmup_end


def chart_card(title: str, lines: list[Line], chart: Html) -> Html:
    """A chart with its title and, where it has several lines, their names."""
    legend = [el("li", el("i", class_=f"look{line.look}"), line.name) for line in lines] if len(lines) > 1 else None
    return el("article", el("h3", title), el("ul", legend, class_="legend") if legend else None, chart, class_="card")


def _changes(edge: EdgeHistory) -> Html:
    changes = edge.changes
    if not changes:
        return join([el("b", edge.names[edge.winners[-1]]), " led all the time."])
    listed = ", ".join(f"{t:,.0f}: {new}" for t, _, new in changes[-_MOST_CHANGES:])
    first = f"{edge.names[edge.winners[0]]}" if len(changes) <= _MOST_CHANGES else f"… ({len(changes):,} changes)"
    return join([f"Winner: {first}, {listed}."])


def _table(edges: list[EdgeHistory], mark: int | None) -> tuple[tuple[str, ...], list[tuple[Child, ...]], str]:
    rows: list[tuple[Child, ...]] = []
    for edge in edges:
        for name, values in zip(edge.names, edge.values, strict=True):
            middle = (_percent(values[edge.at(mark)]),) if mark else ()
            rows.append((f"{edge.label} {name}", _percent(values[0]), *middle, _percent(values[-1])))
    head = ("edge and candidate", "first", *(("end of warm-up",) if mark else ()), "last")
    return head, rows, "Probability of each candidate"


def _percent(value: float | None) -> str:
    return "" if value is None else f"{value:.1%}"
