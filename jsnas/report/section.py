"""A section of the page, or the sentence that says why it is not there."""

from __future__ import annotations

from dataclasses import dataclass

from jsnas.report.markup import Child, Html, el


@dataclass(frozen=True)
class Section:
    """A section.

    Attributes:
        key: Its anchor.
        title: Its heading.
        body: What stands under it.
    """

    key: str
    title: str
    body: tuple[Child, ...]

    def html(self) -> Html:
        """The section as markup."""
        return el("section", el("h2", self.title, id=self.key), *self.body)


@dataclass(frozen=True)
class Missing:
    """A section that the run's files do not allow.

    Attributes:
        sentence: Which file or figure is missing, and what is therefore not shown.
    """

    sentence: str


Outcome = Section | Missing | None  # None: it has nothing to do with this kind of run
