"""How to make the run again: command, settings, versions, hashes, hardware."""

from __future__ import annotations

import shlex
from collections.abc import Iterator
from typing import Any

from jsnas.report.markup import Child, Html, el, join
from jsnas.report.run_data import Part, RunData
from jsnas.report.run_files import get
from jsnas.report.section import Missing, Outcome, Section
from jsnas.report.svg_style import shorten
from jsnas.report.tables import folded, pairs, table

_HASHED = ("config.yaml", "genotype.json", "metrics.jsonl", "checkpoint.safetensors", "summary.json")
_MOST_SESSIONS, _MOST_WORDS = 20, 300


def origin_section(run: RunData, live: bool) -> Outcome:
    """Everything that says how the run came about.

    Args:
        run: The run.
        live: Whether it is still going on; hashes of files that still grow are left out.
    """
    body: list[Child] = []
    sessions = [entry for entry in _sessions(run.record) if isinstance(entry.get("command"), list)]
    if sessions:
        body.append(
            el("p", "Made by:" if len(sessions) == 1 else f"Made by {len(sessions)} commands, one after the other:")
        )
        for session in sessions[-_MOST_SESSIONS:]:
            body.append(el("pre", el("code", join(command_lines(session["command"]), Html("\n")))))
            body.append(el("p", _times(session), class_="note"))
        for key, title in (("hardware", "Hardware"), ("versions", "Versions")):
            if isinstance(found := sessions[-1].get(key), dict):
                body.append(folded(title, pairs(found, title)))
    if isinstance(data := get(run.record, "data"), dict):
        body.append(folded("Data", pairs(data, "The packed images that the run learnt on")))
    hashes = [] if live else list(_hashes(run))
    if hashes:
        body.append(folded("Hashes", table(("file", "SHA-256"), hashes, "Files of this run", 0)))
    for part, title in _settings(run):
        if part.config is not None:
            body.append(folded(title, pairs(part.config, f"{part.prefix}config.yaml, every setting resolved")))
    if not body:
        return Missing("Neither run.json nor config.yaml is there, so settings and origin are not shown.")
    return Section("origin", "Settings and origin", tuple(body))


def command_lines(words: list[Any]) -> list[str]:
    """A command as a shell takes it, each option on a line of its own."""
    lines: list[list[str]] = [[]]
    for word in words[:_MOST_WORDS]:
        shown = shlex.quote(shorten(str(word), 400))
        if shown.startswith("-") and lines != [[]]:
            lines.append(["   "])
        lines[-1].append(shown)
    joined = [" ".join(line) for line in lines]
    return [*(line + " \\" for line in joined[:-1]), joined[-1]]


def lacking(run: RunData) -> list[str]:
    """Sentences on what the settings and origin lack."""
    found = []
    if run.record is None:
        found.append("run.json is missing, so the command, versions, data hashes and hardware are not shown.")
    if run.config is None:
        found.append("config.yaml is missing, so the settings are not shown.")
    return found


def state_words(run: RunData, running: bool) -> str:
    """Whether the run goes on, ended, or was cut short, as ``run.json`` says."""
    sessions = list(_sessions(run.record))
    if running:
        return "running"
    if not sessions:
        return ""
    outcome = sessions[-1].get("outcome")
    return shorten(str(outcome), 300) if outcome else "it has not said that it ended: still running, or killed"


def _sessions(record: dict[str, Any] | None) -> Iterator[dict[str, Any]]:
    found = get(record, "sessions")
    yield from (entry for entry in (found if isinstance(found, list) else []) if isinstance(entry, dict))


def _times(session: dict[str, Any]) -> str:
    started, ended, outcome = (session.get(key) for key in ("started", "ended", "outcome"))
    words = f"Started {started or 'at an unknown time'}"
    return f"{words}, ended {ended}: {outcome}." if ended else f"{words}."


def _hashes(run: RunData) -> Iterator[tuple[str, Html]]:
    prefixes = dict.fromkeys(["", *(part.prefix for part in (run.search, run.train) if part is not None)])
    for prefix in prefixes:
        for name in _HASHED:
            if (digest := run.files.sha256(prefix + name)) is not None:
                yield prefix + name, el("code", digest)


def _settings(run: RunData) -> list[tuple[Part, str]]:
    """The run's own settings; a training's of another genotype are the same but for its name."""
    if run.config is not None:
        return [(run.own, "Settings")]
    return [(part, f"Settings of {part.prefix}") for part in (run.search, run.train) if part is not None]
