"""Genotype: which candidate stands on every edge of the joint search module.

It is the one thing handed from a search to everything after it, a small JSON or YAML text::

    {"format": "jsnas-genotype/1", "task": "sr", "scale": 2,
     "operations": {"0>1": "rdb_common", "0>2": "rdb_light", "1>2": "rdb_common"},
     "attentions": {"0>1": "esa"}}

An edge ``"i>j"`` leads from node i to node j (i < j). An edge that is left out is pruned; every node after
the first keeps at least one. No operations at all stand for the paper's plain residual block, no attentions
for a module without an attention part, so the rows of the paper's Tables 2-4 are genotypes too.
"""

from __future__ import annotations

import json
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass, replace
from importlib import resources
from pathlib import Path
from typing import Any

import yaml

from jsnas.data.atomic import atomic_file
from jsnas.errors import InputError, unknown_name
from jsnas.plain_yaml import read_yaml
from jsnas.task import SCALES, TASK_NAMES

FORMAT = "jsnas-genotype/1"
OPERATION, ATTENTION = "operation", "attention"  # the parts of a module
EXCLUDED = "none"  # an operation that takes part in the search and is never derived (paper, Sec. 3.2)
_KEYS = ("format", "task", "scale", "operations", "attentions")
_MAX_FILE_BYTES = 1 << 20
MOST_NODES = 32  # of a graph; the paper has 4, and the edges grow with the square

Edge = tuple[int, int]


def edge_list(nodes: int) -> list[Edge]:
    """All edges (i, j), i < j, of a graph of ``nodes`` nodes in the order of drawing: into node 1, into node 2, ..."""
    return [(i, j) for j in range(1, nodes) for i in range(j)]


def edge_name(edge: Edge) -> str:
    """``(0, 2)`` as ``"0>2"``."""
    return f"{edge[0]}>{edge[1]}"


@dataclass(frozen=True)
class Genotype:
    """The searched architecture of one joint search module (JSM); all modules of a network share it.

    Attributes:
        task: ``"sr"``, ``"denoise"`` or ``"deblock"``: what it was searched for.
        operations: Name of the operation on each edge kept, as ``((0, 1), "rdb_common")`` pairs in drawing order.
        attentions: The same for the attention part.
        scale: Scale it was searched at; ``None`` where the task has none or it serves all scales.

    Raises:
        InputError: If an edge is malformed or doubled, a node has no input, or the task or scale is unknown.
    """

    task: str
    operations: tuple[tuple[Edge, str], ...]
    attentions: tuple[tuple[Edge, str], ...]
    scale: int | None = None

    def __post_init__(self) -> None:
        if self.task not in TASK_NAMES:
            raise unknown_name("task in the genotype", self.task, TASK_NAMES)
        if self.scale is not None and (self.task != "sr" or self.scale not in SCALES):
            raise InputError(
                f"The genotype gives task '{self.task}' with scale {self.scale}; only 'sr' has a scale: 2, 3 or 4."
            )
        for part in ("operations", "attentions"):
            ordered = tuple(sorted(getattr(self, part), key=lambda item: (item[0][1], item[0][0])))
            _check_graph(part, [edge for edge, _ in ordered])
            object.__setattr__(self, part, ordered)

    @classmethod
    def from_edges(
        cls, task: str, operations: Mapping[str, str], attentions: Mapping[str, str], scale: int | None = None
    ) -> Genotype:
        """A genotype from ``{"0>1": "rdb_common", ...}`` for both parts."""
        return cls(
            task, tuple(_parse_edges("operations", operations)), tuple(_parse_edges("attentions", attentions)), scale
        )

    @classmethod
    def from_names(
        cls, task: str, operations: Iterable[str], attentions: Iterable[str], scale: int | None = None
    ) -> Genotype:
        """A genotype that keeps every edge, from the candidates' names in drawing order."""
        parts = []
        for part, names in (("operations", tuple(operations)), ("attentions", tuple(attentions))):
            nodes = next((n for n in range(1, len(names) + 3) if n * (n - 1) // 2 >= len(names)), 1)
            if nodes * (nodes - 1) // 2 != len(names):
                raise InputError(f"{len(names)} {part} were given; a full graph has 1, 3, 6, 10, ... edges.")
            parts.append(tuple(zip(edge_list(nodes), names, strict=True)))
        return cls(task, parts[0], parts[1], scale)

    @property
    def parts(self) -> tuple[tuple[str, tuple[tuple[Edge, str], ...]], ...]:
        """Both parts of a module by name: ``("operation", operations)`` and ``("attention", attentions)``."""
        return (OPERATION, self.operations), (ATTENTION, self.attentions)

    @property
    def names(self) -> tuple[str, ...]:
        """What is on each edge kept, the operations first, in drawing order."""
        return tuple(name for _, edges in self.parts for _, name in edges)

    @property
    def operation_nodes(self) -> int:
        """Nodes of the operation graph, its input included; 0 where there is none."""
        return _count_nodes(self.operations)

    @property
    def attention_nodes(self) -> int:
        """Nodes of the attention graph, its input included; 0 where there is none."""
        return _count_nodes(self.attentions)

    def with_scale(self, scale: int | None) -> Genotype:
        """The same architecture for another scale."""
        return replace(self, scale=scale)

    def __str__(self) -> str:
        """The architecture in words, such as ``operations 0>1 rdb_common, 0>2 skip; attentions 0>1 esa``."""
        parts = {"operations": self.operations, "attentions": self.attentions}
        return "; ".join(
            f"{part} " + (", ".join(f"{edge_name(edge)} {name}" for edge, name in edges) or "none")
            for part, edges in parts.items()
        )

    def to_dict(self) -> dict[str, Any]:
        """The exchange format, ready for JSON or YAML."""
        content: dict[str, Any] = {"format": FORMAT, "task": self.task}
        if self.scale is not None:
            content["scale"] = self.scale
        content["operations"] = {edge_name(edge): name for edge, name in self.operations}
        content["attentions"] = {edge_name(edge): name for edge, name in self.attentions}
        return content

    @classmethod
    def from_dict(cls, content: object) -> Genotype:
        """Reads the exchange format; anything unexpected is an error.

        Raises:
            InputError: If the version, a key, an edge or a type is not as the format says.
        """
        if not isinstance(content, dict):
            raise InputError(
                f"A genotype is a mapping with the keys {', '.join(_KEYS)}, not a {type(content).__name__}."
            )
        for key in content:
            if key not in _KEYS:
                raise unknown_name("key in the genotype", key, _KEYS)
        if content.get("format") != FORMAT:
            raise InputError(f"The genotype's format is {content.get('format')!r}; this version reads '{FORMAT}'.")
        missing = [key for key in ("task", "operations", "attentions") if key not in content]
        if missing:
            raise InputError(f"The genotype lacks the key '{missing[0]}'; it needs task, operations and attentions.")
        scale = content.get("scale")
        if scale is not None and type(scale) is not int:
            raise InputError(f"The genotype's scale is {scale!r}; give 2, 3 or 4.")
        return cls.from_edges(content["task"], content["operations"], content["attentions"], scale)

    def to_json(self) -> str:
        """The exchange format as indented JSON."""
        return json.dumps(self.to_dict(), indent=2) + "\n"

    def to_yaml(self) -> str:
        """The exchange format as YAML."""
        return yaml.safe_dump(self.to_dict(), sort_keys=False)

    @classmethod
    def from_text(cls, text: str) -> Genotype:
        """Reads JSON or YAML (of which JSON is a part).

        Raises:
            InputError: If the text is neither, or not a genotype.
        """
        try:
            content = read_yaml(text)
        except InputError as error:
            raise InputError(f"The genotype is neither JSON nor YAML ({error}); check the text.") from error
        return cls.from_dict(content)

    def save(self, path: Path) -> None:
        """Writes JSON, or YAML where the suffix is .yaml or .yml; whole or not at all."""
        text = self.to_yaml() if path.suffix in (".yaml", ".yml") else self.to_json()
        with atomic_file(path) as temporary:
            temporary.write_text(text, encoding="utf-8")

    @classmethod
    def load(cls, name_or_path: str | Path) -> Genotype:
        """Reads a genotype file, or one that ships with jsnas by its name (``jsnet-sr``).

        Raises:
            InputError: If there is neither a file nor a shipped genotype of that name, or it cannot be read.
        """
        if str(name_or_path) in shipped_genotypes():
            source = resources.files("jsnas") / "genotypes" / f"{name_or_path}.json"
            return cls.from_text(source.read_text(encoding="utf-8"))
        path = Path(name_or_path)
        if not path.is_file():
            known = shipped_genotypes()
            raise InputError(
                f"There is no genotype file '{path}'; give a .json or .yaml file or one of: {', '.join(known)}."
            )
        if path.stat().st_size > _MAX_FILE_BYTES:
            raise InputError(f"'{path}' holds {path.stat().st_size:,} bytes; a genotype is a text of a few hundred.")
        try:
            return cls.from_text(path.read_text(encoding="utf-8"))
        except UnicodeDecodeError as error:
            raise InputError(f"'{path}' is not a text file; a genotype is JSON or YAML.") from error
        except InputError as error:
            raise InputError(f"In '{path}': {error}") from error


def shipped_genotypes() -> list[str]:
    """Names of the genotypes that ship with jsnas."""
    folder = resources.files("jsnas") / "genotypes"
    return sorted(entry.name.removesuffix(".json") for entry in folder.iterdir() if entry.name.endswith(".json"))


def _count_nodes(part: tuple[tuple[Edge, str], ...]) -> int:
    return part[-1][0][1] + 1 if part else 0


def _parse_edges(part: str, edges: object) -> Iterator[tuple[Edge, str]]:
    if not isinstance(edges, Mapping):
        raise InputError(
            f"The genotype's {part} are a {type(edges).__name__}; give a mapping such as {{'0>1': 'skip'}}."
        )
    for text, name in edges.items():
        start, arrow, end = str(text).partition(">")
        if not (arrow and start.isdecimal() and end.isdecimal() and max(len(start), len(end)) <= 3):
            raise InputError(f"'{text}' is no edge of the genotype's {part}; write it as '0>1'.")
        if not isinstance(name, str):
            raise InputError(f"Edge '{text}' of the genotype's {part} holds {name!r}; give the name of a candidate.")
        yield (int(start), int(end)), name


def _check_graph(part: str, edges: list[Edge]) -> None:
    if len(set(edges)) != len(edges):
        raise InputError(f"The genotype's {part} name an edge twice; name each edge once.")
    for i, j in edges:
        if not 0 <= i < j:
            raise InputError(
                f"Edge '{i}>{j}' of the genotype's {part} leads back; edges go from a lower to a higher node."
            )
        if j >= MOST_NODES:
            raise InputError(
                f"Edge '{i}>{j}' of the genotype's {part} leads to node {j}; a graph has at most {MOST_NODES} nodes, "
                f"numbered 0 to {MOST_NODES - 1}."
            )
    reached = {j for _, j in edges}
    for node in range(1, max(reached, default=0) + 1):
        if node not in reached:
            raise InputError(f"Node {node} of the genotype's {part} has no input; give it at least one edge.")
