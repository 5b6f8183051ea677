"""What is written into the documentation while it is built: the reference of commands and of settings."""

from __future__ import annotations

import contextlib
import io
from pathlib import Path

from trainers.cli import main
from trainers.commands import COMMANDS
from trainers.config_help import settings_help


def write_generated(folder: Path) -> None:
    """Writes ``commands.md`` and ``settings.md`` into a folder."""
    for name, content in (("commands", commands_page()), ("settings", settings_page())):
        (folder / f"{name}.md").write_text(content, encoding="utf-8")


def commands_page() -> str:
    """Every command's own help."""
    parts = ["# Commands", "", "What `jsnas COMMAND --help` prints. Where a command takes a config, each of the"]
    parts += ["[settings](settings.md) is an option too, such as `--datasets.batch_size 4`.", ""]
    for name in COMMANDS:
        words = io.StringIO()
        with contextlib.redirect_stdout(words), contextlib.suppress(SystemExit):
            main([name, "--help"])
        text = words.getvalue().partition("\nAny setting can be given too")[0].rstrip()
        parts += [f"## jsnas {name}", "", "```text", text, "```", ""]
    return "\n".join(parts)


def settings_page() -> str:
    """Every setting of a config, with its default."""
    words = (
        "A config is a YAML file; `a.b` is the key `b` of its section `a`. An option on the command line goes before"
    )
    return "\n".join(["# Settings", "", words, "the file.", "", "```text", settings_help(), "```", ""])
