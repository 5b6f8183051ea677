"""One error for everything a user can get wrong: the command line prints its sentence and exits with 2."""

from __future__ import annotations

import difflib
from collections.abc import Iterable


class InputError(ValueError):
    """What the user gave cannot be used.

    The message is one sentence that says what was given, what was expected and what to do.
    """


class DivergedError(InputError):
    """A loss or a weight stopped being finite: a result of the settings, not a fault of what was given."""


def unknown_name(kind: str, given: object, known: Iterable[str]) -> InputError:
    """The error for a name that is not in a list: it names the nearest known one.

    Args:
        kind: What the name should name, such as ``"operation"``.
        given: What was given.
        known: All names that would have been accepted.
    """
    names = list(known)
    bare = {name.lstrip("-"): name for name in names}  # the dashes of options are alike in all
    text = str(given).lstrip("-")
    begun = [name for name in bare if len(text) > 1 and name.startswith(text)]
    nearest = [bare[name] for name in difflib.get_close_matches(text, bare, n=1) or begun]
    few = len(names) <= 20
    known_text = f"choose one of: {', '.join(names)}." if few else f"there are {len(names)}; check the spelling."
    hint = f"did you mean '{nearest[0]}'?" if nearest else known_text
    return InputError(f"Unknown {kind} '{given}'; {hint}")
