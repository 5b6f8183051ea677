"""The command line: finds the command, and turns every user's mistake into one sentence and exit code 2."""

from __future__ import annotations

import contextlib
import io
import os
import sys
from collections.abc import Sequence
from importlib.metadata import version
from pathlib import Path
from typing import TextIO

import torch

from jsnas.errors import InputError, unknown_name
from jsnas.process import prepare_process
from trainers.commands import COMMANDS


def main(arguments: Sequence[str] | None = None) -> int:
    """Runs ``jsnas COMMAND ...``.

    Args:
        arguments: Words after the program's name; those of the process by default.

    Returns:
        The exit code: 0, 2 for what the user can mend, 130 after Ctrl-C.
    """
    words = list(sys.argv[1:] if arguments is None else arguments)
    _open_streams()
    command = COMMANDS.get(words[0]) if words else None
    try:
        _run(words)
        sys.stdout.flush()
    except InputError as error:
        _say(str(error))
        return 2
    except KeyboardInterrupt:
        _say(f"stopped{command.after_stop if command else ''}.")
        return 130
    except BrokenPipeError:  # the reader of our output has gone; nothing is left to tell it
        _drop_output(sys.stdout)
        return 0
    except OSError as error:  # the disk is full, a file may not be read, a folder is gone
        try:
            sys.stdout.flush()
        except OSError:
            _drop_output(sys.stdout)
        _say(f"The system refused a file ({error}); make room or check it, and try again.")
        return 2
    except MemoryError:
        _say("There is not enough memory for this; give smaller images, patches or networks.")
        return 2
    finally:
        torch.set_flush_denormal(False)  # of a process that called this function and goes on
    return 0


def _run(words: Sequence[str]) -> None:
    if not words or words[0] in ("-h", "--help", "help"):
        print(_overview())
        return
    if words[0] == "--version":
        print(f"jsnas {version('jsnas')}")
        return
    prepare_process()
    sys.path.append(str(Path.cwd()))  # as `python -m jsnas` has it: a block of the user's may lie here
    if words[0] not in COMMANDS:
        raise unknown_name("command", words[0], COMMANDS)
    COMMANDS[words[0]].run(words[1:])


def _open_streams() -> None:
    """A process may be started without standard streams; what is said goes nowhere then, and never into a file."""
    for number in range(3):
        try:
            os.fstat(number)
        except OSError:
            free = os.open(os.devnull, os.O_RDWR)  # the lowest number that is free, which is this one
            os.set_inheritable(free, True)
    sys.stdout, sys.stderr = (stream or _nowhere() for stream in (sys.stdout, sys.stderr))
    for stream in (sys.stdout, sys.stderr):  # a file name need be no Unicode
        if isinstance(stream, io.TextIOWrapper):
            stream.reconfigure(errors="backslashreplace")


def _nowhere() -> io.TextIOWrapper:
    return io.TextIOWrapper(io.FileIO(os.devnull, "w"))


def _drop_output(stream: TextIO) -> None:
    """What could not be written is not tried once more when the process ends."""
    with contextlib.suppress(OSError, ValueError):  # a stream that is no file, as in tests
        os.dup2(os.open(os.devnull, os.O_WRONLY), stream.fileno())


def _say(sentence: str) -> None:
    """One line on stderr; a line break or a terminal's command in what the user gave is shown, not obeyed."""
    shown = "".join(c if c.isprintable() else c.encode("unicode_escape").decode() for c in sentence)
    try:
        print(f"jsnas: {shown}", file=sys.stderr, flush=True)
    except OSError:  # nobody hears it, but the exit code
        _drop_output(sys.stderr)


def _overview() -> str:
    width = max(map(len, COMMANDS))
    lines = [f"  {name:<{width}}  {command.summary}" for name, command in COMMANDS.items()]
    return (
        "usage: jsnas COMMAND [options]\n\nArchitecture search for lightweight image restoration (JSNet, on NNI).\n\n"
        + "\n".join(lines)
        + "\n\n`jsnas COMMAND --help` tells the options of a command."
    )
