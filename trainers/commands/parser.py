"""What the commands share: the parser whose errors are ours, settings from options, tasks, JSON files."""

from __future__ import annotations

import argparse
import json
import re
import shlex
import sys
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, NoReturn

from jsnas.errors import InputError, unknown_name

_TAKES_PLUGINS = ("train", "export", "evaluate", "restore", "cost", "draw")


@dataclass(frozen=True)
class Command:
    """A command.

    Attributes:
        summary: One line about it.
        run: What runs it, from the words after its name.
        after_stop: How to go on after Ctrl-C.
    """

    summary: str
    run: Callable[[Sequence[str]], None]
    after_stop: str = ""


class Parser(argparse.ArgumentParser):
    """argparse whose errors are ours: one sentence, exit code 2."""

    def __init__(self, command: str, summary: str, epilog: str = "") -> None:
        super().__init__(
            prog=f"jsnas {command}",
            description=summary,
            epilog=epilog,
            formatter_class=argparse.RawDescriptionHelpFormatter,
            allow_abbrev=False,
        )

        if command in _TAKES_PLUGINS:
            self.add_argument(
                "--plugin",
                action="append",
                metavar="package.module:Class",
                help="candidate block of yours that a genotype or checkpoint names; may be given several times",
            )

    def parse_known_args(self, args: Any = None, namespace: Any = None) -> Any:
        """As argparse's, and the plug-ins that were named are known afterwards."""
        options, rest = super().parse_known_args(args, namespace)
        if getattr(options, "plugin", None):
            from jsnas.candidates import register_plugin

            for plugin in options.plugin:
                register_plugin(plugin)
        return options, rest

    def error(self, message: str) -> NoReturn:
        """Raises ``InputError`` instead of printing the usage."""
        match = re.fullmatch(r"unrecognized arguments: (\S+).*", message, re.DOTALL)
        if match and match[1].startswith("-"):
            raise unknown_name("option", match[1].partition("=")[0], self._option_string_actions)
        raise InputError(f"{message[:1].upper()}{message[1:]}; see `{self.prog} --help`.")


RESUMES = "; carry on with --resume"


def name_of(text: str) -> str:
    """The type of an option that names a file or folder; an empty one is a variable of a script that is not set."""
    if not text:
        raise argparse.ArgumentTypeError("the path is empty; name a file or folder")
    return text


def path_of(text: str) -> Path:
    """The same as a path."""
    return Path(name_of(text))


def checkpoint_of(text: str) -> Path:
    """The type of a checkpoint, which is given by its name or by the run folder that holds it."""
    path = path_of(text)
    return path / "checkpoint.safetensors" if path.is_dir() else path


def run_parser(command: str, summary: str) -> Parser:
    """The parser of a command that makes a run folder from a config."""
    parser = Parser(command, summary, settings_help())
    parser.add_argument("--config", required=True, help="YAML file, or name of a shipped config (`jsnas list configs`)")
    parser.add_argument("--data", help="H5 file of `jsnas pack`, or a folder of them")
    parser.add_argument("--out", type=path_of, help="run folder (default: runs/TASK-" + command + ")")
    parser.add_argument("--iterations", help="iterations in all")
    parser.add_argument("--seed", help="seed of everything random")
    parser.add_argument("--devices", help="devices of each machine that share the batches out (default: 1)")
    parser.add_argument("--num-nodes", help="machines that do so (default: 1)")
    parser.add_argument("--resume", action="store_true", help="carry on the run in the folder")
    return parser


def config_of(options: argparse.Namespace, overrides: Sequence[str], short: dict[str, str]) -> Any:
    """The config that the options name, with dotted overrides; ``short`` maps an option to its dotted key."""
    from trainers.config_file import load_config

    short = {"data": "datasets.path", "seed": "manual_seed", **short}
    given = [f"--{key}={value}" for name, key in short.items() if (value := getattr(options, name)) is not None]
    own = [f"--{name.replace('_', '-')}" for name in vars(options)]
    config = load_config(options.config, [*overrides, *given], own)
    if config.plugins or any(
        ":" in name for name in (*(config.search.operations or ()), *(config.search.attentions or ()))
    ):
        from trainers.plugins import use_plugins

        use_plugins(config)
    return config


def settings_help() -> str:
    """The end of a help text: every setting and its default."""
    from trainers import config_help

    return "Any setting can be given too, such as --datasets.batch_size 4:\n\n" + config_help.settings_help()


def task_of(name: str, scale: int | None, quality: int | None) -> Any:
    """The task that ``--task`` and its level name."""
    from jsnas.task import TASK_NAMES, Task

    if name not in TASK_NAMES:
        raise unknown_name("task", name, TASK_NAMES)
    if name == "sr":
        if scale is None:
            raise InputError("Super-resolution needs a scale; give --scale 2, 3 or 4.")
        return Task("sr", scale, quality=quality)
    if scale not in (None, 1):
        raise InputError(f"Task '{name}' keeps the image size, but scale {scale} was given; leave --scale out.")
    # Packed data serve every noise level; the number is only there because a task has one.
    if name == "denoise":
        return Task(name, sigma=30, quality=quality)
    return Task(name, quality=10 if quality is None else quality)


def write_json(path: Path, content: Any) -> None:
    """Writes figures as indented JSON, and says so."""
    from jsnas.data.atomic import atomic_file

    with atomic_file(path) as temporary:
        temporary.write_text(json.dumps(content, indent=2) + "\n", encoding="utf-8")
    print(f"Figures in {path}.", file=sys.stderr)


def training_of(found: Path) -> str:
    """The command that trains what a search found, with the settings of its run."""
    words = ["--config", str(found / "config.yaml"), "--genotype", str(found), "--out", f"{found}-trained"]
    return f"  jsnas train {shlex.join(words)}"


def folder_of(out: Path | None, config: Any, kind: str) -> Path:
    """The run folder that was named, or ``runs/TASK-KIND``."""
    return out or Path("runs") / f"{config.to_task().label}-{kind}"
