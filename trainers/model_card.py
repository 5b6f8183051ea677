"""``model_card.md``: what a checkpoint is, what it learnt on, what it scores and costs, beside the checkpoint."""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from dataclasses import asdict
from pathlib import Path
from typing import Any

from jsnas.conventions import Convention, preset
from jsnas.cost import PAPER_SIZE, cost_of, parameters_of
from jsnas.data.atomic import atomic_file
from jsnas.data.patches import Split
from jsnas.errors import InputError
from jsnas.network import JSNet
from jsnas.task import Task
from trainers.config import Config
from trainers.run_record import versions
from trainers.streams import Data

NAME = "model_card.md"
_TASKS = {
    "sr": "Super-resolution x{scale} of RGB images reduced by MATLAB's bicubic `imresize`",
    "denoise": "Removal of white Gaussian noise of sigma {sigma:g} (0-255 scale) from gray images",
    "deblock": "Removal of JPEG artefacts of quality {quality} from the studio-range luma",
}


class ModelCard:
    """Writes the card of a training's checkpoints; what does not change is counted once.

    Args:
        network: The network.
        data: What it learns on.
        config: Settings.
    """

    def __init__(self, network: JSNet, data: Data, config: Config) -> None:
        self._data, self._config = data, config
        self._network, self._cost = network, _cost(network)

    def text(self, iteration: int, scores: Mapping[str, float], measured_on: str) -> str:
        """The card.

        Args:
            iteration: Iterations that the checkpoint learnt for.
            scores: What was measured, by name with its unit, such as ``{"PSNR, dB": 31.2}``.
            measured_on: What it was measured on.
        """
        task, images = self._data.task, self._data.images
        convention = preset(task)
        return _card(
            self._network,
            task,
            self._cost,
            f"{iteration:,} of {self._config.train.total_iter:,}",
            scores=[
                *(f"- {name}: {value:.4f}" for name, value in scores.items()),
                f"- Measured on {measured_on}.",
                f"- Convention `{convention.name}`: {convention_words(convention, task)}.",
            ],
            data=[
                f"- `{_cell(Path(images.path).name)}`: {len(images)} packed images, SHA-256 of names and pixels "
                f"`{images.sha256()}`.",
                f"- {split_words(self._data.split)}",
            ],
            made=[
                f"Seed {self._config.manual_seed}, precision {self._config.precision}.",
                *_inherited(self._config.train.inherit),
                "All settings are in `config.yaml`.",
            ],
        )


def write_card_beside(checkpoint: Path, source: str, network: JSNet, task: Task) -> Path:
    """Writes ``NAME-model_card.md`` beside an exported checkpoint: its run's card, or what the network itself tells.

    Args:
        checkpoint: The exported file.
        source: What it was exported from; a run folder has a card of its own.
        network: The network.
        task: What it is for.

    Returns:
        The card.
    """
    card, of_run = checkpoint.with_name(f"{checkpoint.stem}-{NAME}"), Path(source) / NAME
    if of_run.is_file():
        text = of_run.read_text(encoding="utf-8")
    else:
        metrics: Mapping[str, Any] = network.metadata.get("metrics") or {}
        figures = [f"- {_cell(str(name))}: {_cell(str(value))}" for name, value in metrics.items()]
        iterations = f"{metrics['iteration']:,}" if isinstance(metrics.get("iteration"), int) else "not recorded"
        unknown = "Not recorded in what this checkpoint was made from."
        text = _card(network, task, _cost(network), iterations, figures or [unknown], [unknown], [])
    with atomic_file(card) as temporary:
        temporary.write_text(text, encoding="utf-8")
    return card


def _card(
    network: JSNet,
    task: Task,
    cost: Mapping[str, Any],
    iterations: str,
    scores: Sequence[str],
    data: Sequence[str],
    made: Sequence[str],
) -> str:
    front = {
        "license": None,
        "library_name": "jsnas",
        "tags": ["image-restoration", "neural-architecture-search", task.label],
    }
    settings = ", ".join(f"{key} {value}" for key, value in asdict(network.settings).items())
    lines = [
        "---",
        "# Choose the licence of these weights and put its SPDX name here; none is given yet.",
        *(f"{key}: {json.dumps(value)}" for key, value in front.items()),
        "---",
        f"# JSNet for {task.label}",
        "",
        f"{_TASKS[task.name].format(**asdict(task))}. Maps float images B x {network.settings.image_channels} x H "
        f"x W in [0, 255] to the same, {task.scale} times as large.",
        "",
        "| | |",
        "|---|---|",
        f"| Task | {task.name} |",
        f"| Scale | {task.scale} |",
        *([f"| Noise level sigma | {task.sigma:g} |"] if task.sigma is not None else []),
        *([f"| JPEG quality | {task.quality} |"] if task.quality is not None else []),
        f"| Iterations | {iterations} |",
        f"| Parameters | {cost['parameters']:,} |",
        f"| Multiply-adds | {cost['multiply_adds']} |",
        f"| Smallest input | {network.smallest_input} x {network.smallest_input} pixels |",
        f"| Network | {settings} |",
        f"| Module | {_cell(str(network.genotype))} |",
        "| Licence | not chosen: see the first lines of this file |",
        "",
        "## Scores",
        "",
        *scores,
        "",
        "## Data",
        "",
        *data,
        "",
        "## Made with",
        "",
        ", ".join(f"{name} {version}" for name, version in versions().items()) + ".",
        *made,
        "",
    ]
    return "\n".join(lines)


def _inherited(source: str | None) -> list[str]:
    """Where the weights came from, if they were not random at the start."""
    return [] if source is None else [f"Begun with weights of the supernet in `{_cell(Path(source).name)}`."]


def convention_words(convention: Convention, task: Task) -> str:
    """A convention in words."""
    rounded = "output clipped and rounded to 8 bits" if convention.quantized else "output clipped, not rounded"
    border = convention.border_pixels(task.scale)
    cut = f"{border} pixels cut off each side" if border else "no border cut off"
    return f"{rounded}, channel {convention.channel}, {cut}, PSNR peak 255, SSIM window {convention.ssim_window}"


def split_words(split: Split) -> str:
    """Which images served for what, counted from 1."""
    ranges = {"Weights": split.weights, "validation": split.validation}
    return "; ".join(f"{name}: {len(chosen)} images ({_ranges(list(chosen))})" for name, chosen in ranges.items()) + "."


def _ranges(indices: list[int]) -> str:
    words: list[str] = []
    start = 0
    for k in range(1, len(indices) + 1):
        if k == len(indices) or indices[k] != indices[k - 1] + 1:
            first, last = indices[start] + 1, indices[k - 1] + 1
            words.append(str(first) if first == last else f"{first}-{last}")
            start = k
    return ", ".join(words)


def _cost(network: JSNet) -> dict[str, Any]:
    size = f"{PAPER_SIZE[1]}x{PAPER_SIZE[0]} output"
    try:
        cost = cost_of(network, PAPER_SIZE)
    except InputError:  # a block of the user's that cannot run on shapes alone
        return {"parameters": parameters_of(network), "multiply_adds": "not counted"}
    return {
        "parameters": cost.parameters,
        "multiply_adds": f"{cost.multiply_adds / 1e9:.2f} G for a {size} (half of torch's count)",
    }


def _cell(text: str) -> str:
    """Text that stays inside a cell of a Markdown table or a code span."""
    return "".join(c if c.isprintable() and c not in "|`<>" else "\\>" if c == ">" else " " for c in text)
