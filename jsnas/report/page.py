"""The page of a run: one HTML file made of the run's own files, that opens anywhere and loads nothing."""

from __future__ import annotations

from collections.abc import Sequence
from datetime import UTC, datetime
from pathlib import Path

from jsnas.report.cost_section import cost_section, run_cost
from jsnas.report.crop_section import crop_section
from jsnas.report.curve_section import curve_section
from jsnas.report.markup import Html, el
from jsnas.report.page_style import POLICY, SCRIPT, STYLE
from jsnas.report.run_data import read_run
from jsnas.report.search_sections import collapse_section, module_section, probability_section
from jsnas.report.section import Missing, Outcome, Section
from jsnas.report.settings_section import lacking, origin_section, state_words
from jsnas.report.summary_section import figure_list, figures, headline, sentence

REFRESH_SECONDS = 10


def report_page(folder: Path, running: bool = False) -> str:
    """The page of a run folder.

    Args:
        folder: The folder of a search, a training or a demo.
        running: Whether the run goes on; the page then asks to be read again every ten seconds.

    Returns:
        HTML. A section whose file is missing or damaged is left out and a sentence says so; nothing is made up.

    Raises:
        InputError: If the folder is missing or holds no run.
    """
    run = read_run(folder)
    cost = run_cost(run)
    outcomes: list[Outcome] = [
        module_section(run),
        probability_section(run),
        collapse_section(run),
        curve_section(run),
        cost_section(run, cost),
        crop_section(run, running),
        origin_section(run, running),
    ]
    sections = [outcome for outcome in outcomes if isinstance(outcome, Section)]
    missing = [outcome.sentence for outcome in outcomes if isinstance(outcome, Missing)]
    missing += lacking(run) + list(dict.fromkeys(run.files.problems))
    if missing:
        sections.append(Section("missing", "Not shown", (el("ul", [el("li", words) for words in missing]),)))
    title = headline(run)
    state = state_words(run, running)
    links = el("nav", el("ul", [el("li", el("a", s.title, href=f"#{s.key}")) for s in sections]), aria_label="Sections")
    header = el(
        "header",
        el("h1", title),
        el("p", sentence(run, running), class_="lead"),
        el("p", el("span", state, class_="state live" if running else "state")) if state else None,
        figure_list(figures(run, cost)),
        links,
    )
    footer = el(
        "footer", f"Written {datetime.now(UTC):%Y-%m-%d %H:%M:%S} UTC by jsnas from the files in '{folder.name}'."
    )
    body = el("body", header, el("main", [section.html() for section in sections]), footer, _script())
    page = el("html", _head(title, running), body, lang="en")
    return f"<!DOCTYPE html>\n{page}\n"


def plain_page(title: str, lead: str, sections: Sequence[Section]) -> str:
    """A page of given sections in the same dress, for what is no run's own report.

    Args:
        title: Its heading.
        lead: The sentence under it.
        sections: What follows.
    """
    header = el("header", el("h1", title), el("p", lead, class_="lead"))
    body = el("body", header, el("main", [section.html() for section in sections]), _script())
    return f"<!DOCTYPE html>\n{el('html', _head(title, False), body, lang='en')}\n"


def _head(title: str, running: bool) -> Html:
    return el(
        "head",
        el("meta", charset="utf-8"),
        el("meta", http_equiv="Content-Security-Policy", content=Html(POLICY)),
        el("meta", name_="viewport", content="width=device-width, initial-scale=1"),
        el("meta", http_equiv="refresh", content=str(REFRESH_SECONDS)) if running else None,
        el("link", rel="icon", href="data:,"),
        el("title", f"{title} | jsnas"),
        el("style", Html(STYLE)),
    )


def _script() -> Html:
    return el("script", Html(SCRIPT))
