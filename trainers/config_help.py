"""What every setting is, by the docstrings of the dataclasses that hold them."""

from __future__ import annotations

import dataclasses
import typing
from dataclasses import fields

from docstring_parser import parse as parse_docstring

from trainers.config import Config


def settings_help() -> str:
    """Every dotted setting with its default and what it is, a line each."""
    return "\n".join(help_lines(Config, ""))


def help_lines(cls: type, prefix: str) -> list[str]:
    """A line for each field of a dataclass of settings: its dotted option, what it is, its default.

    Args:
        cls: The dataclass; it and those it derives from say in their docstrings what the fields are.
        prefix: What stands before a field's name, such as ``"search."``.
    """
    described = [p for base in cls.__mro__ for p in parse_docstring(base.__doc__ or "").params]
    texts = {p.arg_name: p.description or "" for p in described}
    lines = []
    for item in fields(cls):
        kind = typing.get_type_hints(cls)[item.name]
        if dataclasses.is_dataclass(kind) and isinstance(kind, type):
            lines += help_lines(kind, f"{prefix}{item.name}.")
        else:
            default = {} if item.default is dataclasses.MISSING else item.default
            text = " ".join(texts[item.name].split())
            lines.append(f"  --{prefix}{item.name}  {text} (default: {'null' if default is None else default})")
    return lines
