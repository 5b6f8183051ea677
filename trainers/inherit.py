"""Starts a derived network from the supernet of the search that found it (``train.inherit``)."""

from __future__ import annotations

from dataclasses import asdict
from pathlib import Path
from typing import Any

from torch import Tensor

from jsnas.errors import InputError
from jsnas.inheritance import PREFIX, Inheritance, inherit
from jsnas.network import JSNet
from trainers.run_folder import RunFolder
from trainers.state import load_newest_state

NAME = "inheritance.json"


def read_supernet(folder: Path) -> dict[str, Tensor]:
    """The weights of a search's supernet, from its newest state.

    Args:
        folder: The run folder of a one-shot search, of a demo, or of one task of a search for several.

    Raises:
        InputError: If it is no such folder, or its search has left no supernet.
    """
    if not (folder / "config.yaml").is_file():
        raise InputError(f"'{folder}' is no run folder of a search; give --inherit the --out of `jsnas search`.")
    if (folder / "search" / "config.yaml").is_file():  # a demo
        folder = folder / "search"
    state = load_newest_state(folder / "states")
    if state is None:
        several = load_newest_state(folder.resolve().parent / "states") or {}
        state = several.get("tasks", {}).get(folder.resolve().name)
    if state is None:
        raise InputError(
            f"The run in '{folder}' holds no supernet to inherit from: a multi-trial strategy, or one that cannot be "
            "carried on, keeps none; search with a strategy such as pc_darts, or leave --inherit out."
        )
    supernet = state.get("network")
    if not isinstance(supernet, dict) or not any(str(key).startswith(PREFIX) for key in supernet):
        raise InputError(f"The run in '{folder}' is no search, so it holds no supernet; give the folder of a search.")
    return supernet


def start_from_supernet(network: JSNet, folder: Path) -> Inheritance:
    """Gives a network the weights of a search's supernet where they fit.

    Args:
        network: The derived network, changed in place.
        folder: The run folder of the search.

    Returns:
        What came from where.

    Raises:
        InputError: As ``read_supernet``, or if nothing fits.
    """
    supernet = read_supernet(folder)
    found = inherit(network, supernet)
    if not any(name.startswith("body.") for name in (*found.copied, *found.widened)):
        size = network.settings
        reduce = supernet.get(f"{PREFIX}body.0.operation_part.reduce.weight")
        searched = "others" if reduce is None else f"{reduce.shape[1]} and {reduce.shape[0]}"
        raise InputError(
            f"Nothing of the supernet in '{folder}' fits the network: network.channels and network.inner_channels are "
            f"{size.channels} and {size.inner_channels}, and the search had {searched}; give the same sizes, or leave "
            "--inherit out."
        )
    return found


def write_inheritance(run: RunFolder, source: Path, found: Inheritance) -> None:
    """Notes in a run folder what its network started from: ``inheritance.json``, and a sentence in ``run.json``."""
    record: dict[str, Any] = {"source": str(source), "summary": str(found), **asdict(found)}
    run.write_json(NAME, record)
    if run.page is not None:
        run.page.note("start", f"from the supernet in '{source}': {found}")
