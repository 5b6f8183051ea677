"""Other ways to compute, in place of attributes of modules for a while."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from torch import nn

_NOTHING = object()


class StandIns:
    """In a ``with`` block, which may be entered again and again, things stand in for attributes of modules.

    The modules, their parameters and their state stay what they are: an instance's own dictionary is looked at first.
    What stood there before, as in a block within such a block, stands there again afterwards.

    Args:
        places: Module, name and stand-in of each.

    Attributes:
        places: The same.
    """

    def __init__(self, places: Sequence[tuple[nn.Module, str, Any]]) -> None:
        self.places = places
        self._before: list[list[Any]] = []  # of each block that was entered

    def __enter__(self) -> None:
        self._before.append([module.__dict__.get(name, _NOTHING) for module, name, _ in self.places])
        for module, name, stand_in in self.places:
            module.__dict__[name] = stand_in

    def __exit__(self, *error: object) -> None:
        for (module, name, _), before in zip(self.places, self._before.pop(), strict=True):
            if before is _NOTHING:
                del module.__dict__[name]
            else:
                module.__dict__[name] = before
