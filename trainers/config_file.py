"""Settings out of YAML files and dotted overrides; an unknown key is an error that names the nearest known one."""

from __future__ import annotations

import dataclasses
import itertools
import re
import typing
from dataclasses import fields
from importlib import resources
from pathlib import Path
from typing import Any

from jsonargparse import ArgumentError, ArgumentParser

from jsnas.errors import InputError, unknown_name
from jsnas.plain_yaml import read_yaml
from trainers.config import Config, StrategyConfig

_FREE_KEYS = ("strategy.args", "experiment.sweep")  # mappings whose keys are not settings of ours


def shipped_configs() -> list[str]:
    """Names of the configs that ship with jsnas."""
    folder = resources.files("trainers") / "configs"
    return sorted(entry.name.removesuffix(".yaml") for entry in folder.iterdir() if entry.name.endswith(".yaml"))


def config_parser(program: str) -> ArgumentParser:
    """A parser whose options are the dotted keys of ``Config``."""
    parser = ArgumentParser(prog=program, exit_on_error=False, print_config=None)
    parser.add_class_arguments(Config, None, as_group=False)
    return parser


def load_config(
    source: str | Path | None, overrides: typing.Sequence[str] = (), options: typing.Sequence[str] = ()
) -> Config:
    """Reads settings.

    Args:
        source: A YAML file, the name of a shipped config, or ``None`` for the defaults.
        overrides: Dotted options and their values, such as ``["--train.total_iter", "100"]``. Where they name another
            strategy, the file's ``strategy.args`` are left out: they are settings of the file's strategy.
        options: Others that the command has, such as ``"--data"``, to be named where one is misspelt.

    Raises:
        InputError: If the file cannot be read, a key is unknown (the nearest known one is named), or a value is of
            the wrong type or out of its range.
    """
    content = {} if source is None else _read(source)
    where = "the config" if source is None else f"'{source}'"
    known = list(_kinds())
    _check_keys(content, "", known, where)
    content = _with_strategy(content, overrides)
    parser = config_parser("jsnas")
    for option in overrides:
        if option.startswith("--"):
            key = option[2:].partition("=")[0]
            if key not in known and not key.startswith("strategy.args."):
                raise unknown_name("option", option.partition("=")[0], [*options, *(f"--{name}" for name in known)])
    try:
        parsed = parser.parse_object(content) if content else parser.get_defaults()
        parsed = parser.parse_args([*overrides], namespace=parsed) if overrides else parsed
        config = parser.instantiate(parsed)
        return Config(**{f.name: getattr(config, f.name) for f in fields(Config)})
    except ArgumentError as error:
        raise _wrong_value(error, where, overrides) from error


def _wrong_value(error: ArgumentError, where: str, overrides: typing.Sequence[str]) -> InputError:
    """Says which value is of the wrong type, and whether it was an option's or the file's."""
    text = " ".join(str(error).split()).rstrip(".")
    key = re.search(r'key "([\w.]+)"', text)
    given = re.search(r"(?:Got|Given) value: (.*)", text)
    if key is None or given is None or key[1] not in (kinds := _kinds()):
        return InputError(f"In {where}: {text}.")
    is_option = any(option.partition("=")[0] == f"--{key[1]}" for option in overrides)
    place = f"The option --{key[1]}" if is_option else f"In {where}, '{key[1]}'"
    return InputError(f"{place} is '{given[1]}'; {_in_words(kinds[key[1]])} was expected.")


def _in_words(kind: Any) -> str:
    """A type as a user knows it."""
    simple = {int: "a whole number", float: "a number", bool: "true or false", str: "a text", dict: "a mapping"}
    inside = [each for each in typing.get_args(kind) if each is not type(None)]
    if typing.get_origin(kind) is list:
        return "a list such as [a, b]"
    if typing.get_origin(kind) is tuple:
        return f"a list of {len(inside)} numbers"
    if inside and typing.get_origin(kind) is not dict:  # optional
        return _in_words(inside[0])
    return simple.get(typing.get_origin(kind) or kind, "another kind of value")


def _with_strategy(content: dict[str, Any], overrides: typing.Sequence[str]) -> dict[str, Any]:
    """The settings of a file, without ``strategy.args`` where an override names another strategy."""
    named = [option.partition("=")[2] for option in overrides if option.startswith("--strategy.name=")]
    named += [value for option, value in itertools.pairwise(overrides) if option == "--strategy.name"]
    given = content.get("strategy")
    if not named or not isinstance(given, dict) or named[-1] == given.get("name", StrategyConfig().name):
        return content
    return {**content, "strategy": {key: value for key, value in given.items() if key != "args"}}


def _read(source: str | Path) -> dict[str, Any]:
    path = Path(source)
    if str(source) in shipped_configs():
        text = (resources.files("trainers") / "configs" / f"{source}.yaml").read_text(encoding="utf-8")
    elif path.is_file():
        try:
            text = path.read_text(encoding="utf-8")
        except (UnicodeDecodeError, OSError) as error:
            raise InputError(f"The config '{path}' cannot be read ({error}); give a YAML text file.") from error
    else:
        raise unknown_name("config (neither a file nor a shipped name)", source, shipped_configs())
    try:
        content = read_yaml(text)
    except InputError as error:
        raise InputError(f"The config '{source}' is no YAML of settings ({error}); check the text.") from error
    if content is not None and not isinstance(content, dict):
        raise InputError(f"The config '{source}' holds a {type(content).__name__}; a mapping of settings was expected.")
    return content or {}


def _kinds(cls: type = Config, prefix: str = "") -> dict[str, Any]:
    """Every dotted key, with its type."""
    kinds: dict[str, Any] = {}
    for name, kind in typing.get_type_hints(cls).items():
        kinds[prefix + name] = kind
        if dataclasses.is_dataclass(kind) and isinstance(kind, type):
            kinds |= _kinds(kind, f"{prefix}{name}.")
    return kinds


def _check_keys(content: dict[Any, Any], prefix: str, known: list[str], where: str) -> None:
    for key, value in content.items():
        dotted = f"{prefix}{key}"
        if dotted not in known:
            raise unknown_name(f"key in {where}:", dotted, known)
        if not isinstance(value, dict) and any(name.startswith(f"{dotted}.") for name in known):
            raise InputError(f"In {where}: '{dotted}' is {value!r}; a mapping of settings was expected.")
        if isinstance(value, dict) and dotted not in _FREE_KEYS:
            _check_keys(value, f"{dotted}.", known, where)
