"""The restored images of a run."""

from __future__ import annotations

from jsnas.report.crops import FOLDER, crop_figure, read_crops
from jsnas.report.markup import el
from jsnas.report.run_data import DEMO, RunData
from jsnas.report.run_files import get, number
from jsnas.report.section import Missing, Outcome, Section
from jsnas.report.tables import folded, table


def crop_section(run: RunData, running: bool) -> Outcome:
    """Crops side by side with their PSNR and a slider."""
    if run.kind != DEMO and not (run.files.folder / FOLDER).is_dir():
        return None
    crops, left_out = read_crops(run.files)
    if not crops:
        return None if running else Missing(f"There are no images in {FOLDER}/, so no crops are shown.")
    measured = run.summary if get(run.summary, "images") else run.scores
    entries = get(measured, "images")
    scores = {
        str(entry.get("image")).rpartition(".")[0]: entry
        for entry in (entries if isinstance(entries, list) else [])
        if isinstance(entry, dict)
    }
    is_sr = run.task_name == "sr"
    convention = get(measured, "convention")
    words = "The liveliest place of each image at its own pixels. "
    if scores:
        words += f"PSNR is that of the whole image, by the convention '{convention}'."
    else:
        words += "There is neither a summary.json nor a scores.json with figures of these images, so no PSNR is given."
    if left_out:
        words += f" {left_out} more images are left out to keep this page small."
    figures = [crop_figure(crop, scores.get(crop.name), is_sr) for crop in crops]
    rows: list[tuple[str, ...]] = []
    for name, entry in scores.items():
        before, after, ssim = (number(entry.get(key)) for key in ("psnr_input_db", "psnr_db", "ssim"))
        gain = after - before if before is not None and after is not None else None
        rows.append((name, _figure(before, 2), _figure(after, 2), _figure(gain, 2, "+"), _figure(ssim, 4)))
    head: tuple[str, ...] = ("image", "bicubic, dB" if is_sr else "input, dB", "ours, dB", "gain, dB", "SSIM")
    if not any(row[-1] for row in rows):
        head, rows = head[:-1], [row[:-1] for row in rows]
    listing = folded("Figures as a table", table(head, rows, "Figures of whole images")) if rows else None
    no_script = el("noscript", el("p", "The slider needs scripts; the crops do not."))
    return Section("crops", "Restored images", (el("p", words), no_script, *figures, listing))


def _figure(value: float | None, digits: int, sign: str = "") -> str:
    return "" if value is None else f"{value:{sign}.{digits}f}"
