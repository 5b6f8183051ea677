"""What `jsnas restore` reads and where it writes: files, folders, patterns, and names that overwrite nothing."""

from __future__ import annotations

import glob
from collections.abc import Sequence
from pathlib import Path

from jsnas.data.folders import unique_names
from jsnas.data.images import IMAGE_SUFFIXES, list_images
from jsnas.errors import InputError


def find_inputs(words: Sequence[str]) -> list[Path]:
    """The image files that words on the command line name, each once.

    Args:
        words: Files, folders (the images in them, not below), and patterns such as ``holiday/**/*.jpg``.

    Raises:
        InputError: If a file or folder is missing, or a pattern or folder yields no image.
    """
    files: list[Path] = []
    for word in words:
        path = Path(word)
        if path.is_dir():
            files += list_images(path)
        elif path.is_file() or not glob.has_magic(word):
            if not path.is_file():
                raise InputError(f"There is no file or folder '{word}'; give images, folders, or patterns in quotes.")
            files.append(path)
        else:
            found = [Path(name) for name in sorted(glob.glob(word, recursive=True))]  # noqa: PTH207
            images = [file for file in found if file.suffix.lower() in IMAGE_SUFFIXES and file.is_file()]
            if not images:
                raise InputError(f"The pattern '{word}' matches no image; looked for {', '.join(IMAGE_SUFFIXES)}.")
            files += images
    return list({file.resolve(): file for file in files}.values())


def name_outputs(files: Sequence[Path], out: Path, overwrite: bool) -> list[Path]:
    """A PNG in the folder for every input: ``a.png`` of ``a.jpg``, or ``a.jpg.png`` where there is also an ``a.tif``.

    Raises:
        InputError: If two inputs have one name, a file is there and may not be replaced, or an input would be.
    """
    targets = [out / f"{name}.png" for name in unique_names(files)]
    inputs = {file.resolve() for file in files}
    for target in targets:
        if target.resolve() in inputs:
            raise InputError(f"'{target}' is one of the inputs, which are never overwritten; choose another --out.")
        if target.exists() and not overwrite:
            raise InputError(f"'{target}' exists; choose another --out or say --overwrite.")
    return targets
