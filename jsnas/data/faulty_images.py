"""Images that cannot be used, told together: who has several need not come back for each."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager

from jsnas.errors import InputError

MOST = 10  # after so many the fault is likely in what was asked for, and the rest is not looked at


class FaultyImagesError(InputError):
    """Images that cannot be used.

    Attributes:
        sentences: What is wrong, a sentence each.
    """

    def __init__(self, sentences: tuple[str, ...]) -> None:
        super().__init__(sentences)  # alone, so that another process can hand it on
        self.sentences = sentences

    def __str__(self) -> str:
        if len(self.sentences) == 1:
            return self.sentences[0]
        count = f"{len(self.sentences)} images" if len(self.sentences) < MOST else f"{MOST} images or more"
        return " ".join([f"{count} cannot be used.", *self.sentences])


class Faults:
    """Collects what is wrong with images, up to ``MOST``."""

    def __init__(self) -> None:
        self._sentences: list[str] = []

    def __bool__(self) -> bool:
        return bool(self._sentences)

    @property
    def enough(self) -> bool:
        """Whether no more are wanted."""
        return len(self._sentences) >= MOST

    @contextmanager
    def collect(self, kind: type[InputError] = InputError) -> Iterator[None]:
        """Keeps an error of this kind that the block raises, instead of passing it on."""
        try:
            yield
        except kind as error:
            self._sentences += error.sentences if isinstance(error, FaultyImagesError) else [str(error)]

    def tell(self) -> None:
        """Raises ``FaultyImagesError`` if there are any."""
        if self._sentences:
            raise FaultyImagesError(tuple(self._sentences[:MOST]))
