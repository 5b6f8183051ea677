"""The command line: finds the command, and turns every user's mistake into one sentence and exit code 2."""

from __future__ import annotations

import os
import sys
from collections.abc import Sequence
from pathlib import Path

from jsnas.errors import InputError, unknown_name
from trainers.commands import COMMANDS


def main(arguments: Sequence[str] | None = None) -> int:
    """Runs ``jsnas COMMAND ...``.

    Args:
        arguments: Words after the program's name; those of the process by default.

    Returns:
        The exit code: 0, 2 for what the user can mend, 130 after Ctrl-C.
    """
    words = list(sys.argv[1:] if arguments is None else arguments)
    if not words or words[0] in ("-h", "--help", "help"):
        print(_overview())
        return 0
    sys.path.append(str(Path.cwd()))  # as `python -m jsnas` has it: a block of the user's may lie here
    try:
        if words[0] not in COMMANDS:
            raise unknown_name("command", words[0], COMMANDS)
        COMMANDS[words[0]].run(words[1:])
    except InputError as error:
        print(f"jsnas: {error}", file=sys.stderr)
        return 2
    except KeyboardInterrupt:
        print(
            "jsnas: stopped; a search or a training is carried on with --resume; a demo starts anew in another --out.",
            file=sys.stderr,
        )
        return 130
    except BrokenPipeError:  # the reader of our output has gone; nothing is left to tell it
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
        return 0
    except OSError as error:  # the disk is full, a file may not be read, a folder is gone
        print(f"jsnas: The system refused a file ({error}); make room or check it, and try again.", file=sys.stderr)
        return 2
    except MemoryError:
        print("jsnas: There is not enough memory for this; give smaller images, patches or networks.", file=sys.stderr)
        return 2
    return 0


def _overview() -> str:
    width = max(map(len, COMMANDS))
    lines = [f"  {name:<{width}}  {command.summary}" for name, command in COMMANDS.items()]
    return (
        "usage: jsnas COMMAND [options]\n\nArchitecture search for lightweight image restoration (JSNet, on NNI).\n\n"
        + "\n".join(lines)
        + "\n\n`jsnas COMMAND --help` tells the options of a command."
    )
