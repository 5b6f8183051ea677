"""YAML from strangers: plain values only, no aliases (which blow up a small file), no doubled keys, no huge text."""

from __future__ import annotations

from typing import Any

import yaml

from jsnas.errors import InputError

_MOST_CHARACTERS = 1 << 20


def read_yaml(text: str) -> Any:
    """The content of a YAML (or JSON) text: mappings, lists, texts, numbers, dates, truth values and ``None``.

    Raises:
        InputError: If it is none, is longer than a million characters, has an alias or gives a key twice; the message
            is a clause that says what is wrong.
    """
    if len(text) > _MOST_CHARACTERS:
        raise InputError(f"it has {len(text):,} characters, more than {_MOST_CHARACTERS:,}")
    try:
        return yaml.load(text, Loader=_PlainLoader)
    except RecursionError as error:
        raise InputError("it is nested too deeply") from error
    except (yaml.YAMLError, ValueError, OverflowError) as error:
        raise InputError(" ".join(str(error).split()) or type(error).__name__) from error


class _PlainLoader(yaml.SafeLoader):
    def compose_node(self, parent: yaml.Node | None, index: int) -> yaml.Node | None:
        if self.check_event(yaml.AliasEvent):
            raise yaml.YAMLError("aliases are not allowed")
        return super().compose_node(parent, index)

    def construct_mapping(self, node: yaml.MappingNode, deep: bool = False) -> dict[Any, Any]:
        mapping = super().construct_mapping(node, deep=deep)
        if len(mapping) != len(node.value):
            raise yaml.YAMLError("a key is given twice")
        return mapping
