"""The documentation as a list of blocks, each with what is to be done with it."""

from __future__ import annotations

import re
from dataclasses import dataclass
from pathlib import Path

ROOT = Path(__file__).parents[2]
DOCS = ROOT / "docs"
NOT_RUN = '"Not run in CI'

_BLOCK = re.compile(r"^(?P<fence>```+|:::+)(?P<kind>[^\n]*)\n(?P<text>.*?)^(?P=fence)[ \t]*$", re.DOTALL | re.MULTILINE)


@dataclass(frozen=True)
class Block:
    """A fenced block.

    Attributes:
        kind: ``sh``, ``python``, ``text``, ``yaml``, ``json``, or a directive's name in braces.
        text: What stands in it, a directive's options included.
    """

    kind: str
    text: str

    @property
    def is_marked(self) -> bool:
        """Whether it is shell that cannot be run here, and says so to the reader."""
        return self.kind.startswith("{code-block} sh") and f":caption: {NOT_RUN}" in self.text

    @property
    def file_name(self) -> str | None:
        """The file that the block is, where its first line names one."""
        match = re.match(r"# ([a-z_]+\.(?:py|yaml))\n", self.text)
        return match[1] if match else None

    @property
    def commands(self) -> list[str]:
        """The command lines of shell, continued lines joined."""
        joined = self.text.replace("\\\n", " ")
        return [line for line in joined.splitlines() if line.strip() and not line.startswith("#")]


def blocks_of(page: Path) -> list[Block]:
    """The blocks of a page in order."""
    return [Block(m["kind"].strip(), m["text"]) for m in _BLOCK.finditer(page.read_text(encoding="utf-8"))]


def written_pages() -> list[Path]:
    """The pages that people wrote, the ones a reader starts with first."""
    generated = [DOCS / "reference" / name for name in ("commands.md", "settings.md")]
    hidden = ("_build", "api")
    pages = [p for p in sorted(DOCS.rglob("*.md")) if p not in generated and not set(p.parts) & set(hidden)]
    first = DOCS / "tutorials" / "own-images.md"
    return [first, *(page for page in pages if page != first)]
