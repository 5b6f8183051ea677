from __future__ import annotations

import base64
import hashlib
import json
import math
from collections.abc import Iterator
from html.parser import HTMLParser
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
import yaml
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from PIL import Image

from jsnas.errors import InputError
from jsnas.genotype import Genotype
from jsnas.report.axes import Axis, short
from jsnas.report.cost_chart import Point, cost_chart
from jsnas.report.markup import Html, el, text
from jsnas.report.page import report_page
from jsnas.report.run_metrics import Metrics
from jsnas.report.settings_section import command_lines

ATTACK = '</style></script><script>alert(1)</script><img src=http://a.example/x onerror="alert(2)">\u202e'
CANDIDATES = {"operation": ("none", "skip", "rdb_common"), "attention": ("skip", "esa")}
EDGES = [(0, 1), (0, 2), (1, 2)]


class Reader(HTMLParser):
    """Tags with their attributes, scripts, and the words a reader sees."""

    def __init__(self, page: str) -> None:
        super().__init__(convert_charrefs=True)
        self.tags: list[tuple[str, dict[str, str | None]]] = []
        self.scripts: list[str] = []
        self.words = ""
        self._inside = ""
        self.feed(page)

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.tags.append((tag, dict(attrs)))
        self._inside = tag if tag in ("script", "style") else self._inside

    def handle_endtag(self, tag: str) -> None:
        self._inside = "" if tag == self._inside else self._inside

    def handle_data(self, data: str) -> None:
        if self._inside == "script":
            self.scripts.append(data)
        elif not self._inside:
            self.words += data + " "


def lines(count: int = 6, warmup: int = 2) -> Iterator[dict[str, Any]]:
    """Edge 0→1 of the operations goes from skip to rdb_common at iteration 40; nothing else changes."""
    for step in range(1, count + 1):
        line: dict[str, Any] = {"iteration": 10 * step, "phase": "search" if step > warmup else "warm-up"}
        line |= {"loss": 10.0 / step, "genotype": "b" if step >= 4 else "a", "entropy/operation": 0.9}
        line |= {"skip_share/operation": 0.5, "skip_share/attention": 0.25}
        for part, names in CANDIDATES.items():
            for i, j in EDGES:
                switched = (part, i, j) == ("operation", 0, 1) and step >= 4
                values = (0.5, 0.1, 0.4) if switched else (0.5, 0.3, 0.2) if len(names) == 3 else (0.6, 0.4)
                line |= {f"probability/{part}_{i}_{j}/{name}": v for name, v in zip(names, values, strict=True)}
        yield line


@pytest.fixture
def run(tmp_path: Path) -> Path:
    """A search's folder as `jsnas search` leaves it."""
    folder = tmp_path / "run"
    folder.mkdir()
    (folder / "metrics.jsonl").write_text("".join(json.dumps(line) + "\n" for line in lines()))
    genotype = Genotype.from_names("sr", ["rdb_common", "skip", "skip"], ["skip", "skip", "esa"], 2)
    (folder / "genotype.json").write_text(genotype.to_json())
    config = {"task": "sr", "scale": 2, "strategy": {"name": "pc_darts"}, "network": {"channels": 16, "modules": 1}}
    config["network"] |= {"inner_channels": 8, "fusion_kernels": [3, 3]}  # type: ignore[operator]
    config["search"] = {"total_iter": 60, "weight_warmup_iters": 20, "learning_rate": 0.001}
    (folder / "config.yaml").write_text(yaml.safe_dump(config))
    session = {"command": ["jsnas", "search", "--out", "a b"], "started": "then", "ended": "now", "outcome": "finished"}
    record = {"format": "jsnas-run/1", "kind": "search", "sessions": [{**session, "versions": {"torch": "2.x"}}]}
    (folder / "run.json").write_text(json.dumps(record))
    return folder


def test_the_page_says_what_was_asked_and_what_came_out(run: Path) -> None:
    words = Reader(report_page(run)).words
    assert "A search with pc_darts of 60 iterations derived a module of 6 edges." in words
    assert "operation 0→1: rdb_common leads at 40.0% (it began at 20.0%)" not in words  # that is for screen readers
    assert "Winner: skip, 40: rdb_common." in words
    assert "skip  led all the time." in words
    assert "The warm-up on the weights alone ended at iteration 20" in words
    assert "The derived genotype changed 1 time, last at iteration 40." in words
    assert "jsnas search \\\n    --out 'a b'" in words
    assert "Not shown" not in words


def test_charts_are_read_out_and_stand_in_tables(run: Path) -> None:
    reader = Reader(report_page(run))
    charts = [given for tag, given in reader.tags if tag == "svg" and given.get("class") == "chart"]
    assert len(charts) == 6 + 2 + 1 + 2  # edges; entropy and skips; loss; cost
    assert all(chart["role"] == "img" and len(chart["aria-label"] or "") > 20 for chart in charts)
    labels = [chart["aria-label"] for chart in charts]
    assert labels[0] == "operation 0→1: rdb_common leads at 40.0% (it began at 20.0%); the winner changed 1 time."
    rows = " ".join(reader.words.split())
    assert "operation 0→1 rdb_common 20.0% 20.0% 40.0%" in rows
    assert "JSNet (Ours) 476 k 109.0 G 38.05 33.63 32.19 32.17 published" in rows  # Table 7


@pytest.mark.parametrize(
    ("name", "gone", "said"),
    [
        ("metrics.jsonl", ["probabilities", "collapse", "curves"], "metrics.jsonl is missing"),
        ("genotype.json", ["module"], "no genotype.json"),
        ("run.json", [], "run.json is missing"),
        ("config.yaml", [], "config.yaml is missing"),
    ],
)
def test_a_missing_file_takes_its_sections_along_and_says_so(run: Path, name: str, gone: list[str], said: str) -> None:
    def sections() -> set[str]:
        return {given["id"] or "" for tag, given in Reader(report_page(run)).tags if tag == "h2"}

    before = sections()
    assert set(gone) <= before
    (run / name).unlink()
    assert sections() & set(gone) == set()
    words = Reader(report_page(run)).words
    assert "Not shown" in words and said in words


@pytest.mark.parametrize("name", ["metrics.jsonl", "genotype.json", "run.json", "config.yaml", "summary.json"])
@pytest.mark.parametrize("content", [b"", b"\x00\xff", b"[1]", b'{"a": ', b"{" * 5000, b"a: &x [1]\nb: *x"])
def test_damaged_files_are_as_good_as_missing(run: Path, name: str, content: bytes) -> None:
    (run / name).write_bytes(content)
    assert "Not shown" in Reader(report_page(run)).words


def test_whatever_stands_in_the_files_stays_text(run: Path) -> None:
    (run / "config.yaml").write_text(
        yaml.safe_dump({"task": ATTACK, "scale": ATTACK, "strategy": {"name": ATTACK}, ATTACK: {ATTACK: [ATTACK]}})
    )
    record = {"kind": "demo", "data": {ATTACK: ATTACK}, "sessions": [{"command": [ATTACK], "outcome": ATTACK}]}
    record["sessions"][0] |= {"versions": {ATTACK: ATTACK}, "hardware": {ATTACK: ATTACK}}  # type: ignore[index]
    (run / "run.json").write_text(json.dumps(record))
    (run / "search").mkdir()
    with (run / "search" / "metrics.jsonl").open("w") as file:
        for line in lines():
            hostile = {f"probability/operation_0_1/{ATTACK}": 0.9, "genotype": ATTACK, ATTACK: ATTACK}
            file.write(json.dumps({**line, **hostile}) + "\n")
    genotype = Genotype.from_edges("sr", {"0>1": ATTACK}, {"0>1": ATTACK})
    (run / "search" / "genotype.json").write_text(genotype.to_json())
    summary = {"psnr_db": 1, "gain_db": 2, "convention": ATTACK, "images": [{"image": ATTACK, "psnr_db": 3}]}
    (run / "summary.json").write_text(json.dumps(summary))
    (run / "restored").mkdir()
    name = '"><b onclick=x>'
    for kind in ("input", "restored", "truth"):
        Image.new("RGB", (40, 30)).save(run / "restored" / f"{name}-{kind}.png")
    page = report_page(run)
    reader = Reader(page)
    assert len(reader.scripts) == 1 and "alert" not in reader.scripts[0]
    assert "alert(1)" in reader.words
    assert "\u202e" not in page
    for tag, attributes in reader.tags:
        assert tag not in ("iframe", "object", "form", "base", "a") or (attributes["href"] or "").startswith("#")
        assert not any(key.startswith("on") for key in attributes)
        for key in ("src", "href"):
            assert (attributes.get(key) or "data:").startswith(("data:", "#"))


def test_only_our_script_may_run_and_nothing_is_loaded(run: Path) -> None:
    reader = Reader(report_page(run))
    (policy,) = [given["content"] for tag, given in reader.tags if given.get("http-equiv") == "Content-Security-Policy"]
    digest = base64.b64encode(hashlib.sha256(reader.scripts[0].encode()).digest()).decode()
    assert policy is not None
    assert f"script-src 'sha256-{digest}'" in policy and policy.startswith("default-src 'none'; img-src data:")


def test_a_page_reads_itself_again_only_while_the_run_goes_on(run: Path) -> None:
    def refreshes(running: bool) -> bool:
        return any(given.get("http-equiv") == "refresh" for _, given in Reader(report_page(run, running)).tags)

    assert refreshes(True) and not refreshes(False)


def test_a_link_out_of_the_folder_is_not_followed(run: Path, tmp_path: Path) -> None:
    secret = tmp_path / "secret.yaml"
    secret.write_text("password: swordfish\n")
    (run / "config.yaml").unlink()
    (run / "config.yaml").symlink_to(secret)
    words = Reader(report_page(run)).words
    assert "swordfish" not in words and "leads out of the run folder" in words


def test_only_a_measurement_by_the_papers_convention_is_a_point(run: Path) -> None:
    assert "its PSNR does not compare" in Reader(report_page(run)).words
    entry = {"dataset": "Set5", "task": "sr", "scale": 2, "psnr_db": 36.789, "convention": "sr"}
    evaluation: dict[str, Any] = {"format": "jsnas-evaluation/1", "convention": {"name": "sr"}, "results": [entry]}
    (run / "evaluation.json").write_text(json.dumps(evaluation))
    page = report_page(run)
    assert "this run (measured)" in page and "36.79" in page
    for change in ({"scale": 3}, {"convention": "sr, border=0"}, {"dataset": "mine"}, {"psnr_db": "36"}):
        (run / "evaluation.json").write_text(json.dumps({**evaluation, "results": [{**entry, **change}]}))
        assert "this run (measured)" not in report_page(run)


def test_an_evaluation_of_any_images_stands_at_the_top(run: Path) -> None:
    entry = {"dataset": "mine <b>", "task": "sr", "scale": 2, "psnr_db": 33.456, "images": 2, "convention": "rgb"}
    (run / "evaluation.json").write_text(json.dumps({"format": "jsnas-evaluation/1", "results": [entry, {}, 3]}))
    words = " ".join(Reader(report_page(run)).words.split())
    assert "jsnas evaluate measured 33.46 dB on mine <b> of 2 images." in words
    assert "33.46 dB PSNR on mine <b>" in words


def test_the_cost_is_that_of_the_network(run: Path) -> None:
    from jsnas.cost import cost_of
    from jsnas.network import JSNet, NetworkSettings

    cost = cost_of(JSNet(Genotype.load(run / "genotype.json"), NetworkSettings(3, 2, 1, 16, 8)))
    said = f"{cost.parameters:,} parameters and {cost.multiply_adds / 1e9:.1f} G multiply-adds for a 1280"
    assert said in Reader(report_page(run)).words


def test_a_page_draws_no_random_numbers(run: Path) -> None:
    before = torch.get_rng_state()
    report_page(run, running=True)
    assert torch.equal(torch.get_rng_state(), before)


def test_crops_are_cut_at_one_place_and_scores_stand_below(run: Path) -> None:
    (run / "run.json").unlink()
    rng = np.random.default_rng(0)
    truth = np.full((320, 320, 3), 128, np.uint8)
    truth[160:, 160:] = rng.integers(0, 256, (160, 160, 3))
    (run / "restored").mkdir()
    for kind, image in (("truth", truth), ("restored", truth), ("input", truth // 2), ("lq", truth[::2, ::2])):
        Image.fromarray(image).save(run / "restored" / f"pic-{kind}.png")
    summary = {"images": [{"image": "pic.png", "psnr_db": 31.25, "psnr_input_db": 30.0, "ssim": 0.9}]}
    (run / "summary.json").write_text(json.dumps(summary))
    reader = Reader(report_page(run))
    crops = {given["data-kind"]: given["src"] or "" for tag, given in reader.tags if given.get("data-kind")}
    assert list(crops) == ["lq", "input", "restored", "truth"]
    assert "160 × 160 pixels at (160, 160)" in " ".join(reader.words.split())  # noqa: RUF001
    assert crops["restored"] == crops["truth"] != crops["input"]
    shown = " ".join(reader.words.split())
    assert "bicubic 30.00 dB" in shown and "ours 31.25 dB" in shown


def test_a_long_search_fits_into_the_page(run: Path) -> None:
    rng = np.random.default_rng(0)
    names = ("none", "skip", "rdb_common", "rdb_sep", "rdb_dil", "rdb_light", "rdb_shallow")
    with (run / "metrics.jsonl").open("w") as file:
        for step in range(1, 2001):
            line: dict[str, Any] = {"iteration": 200 * step, "phase": "search", "loss": float(rng.random())}
            for part in CANDIDATES:
                for j in range(1, 4):
                    for i in range(j):
                        values = rng.dirichlet(np.ones(len(names)))
                        line |= {f"probability/{part}_{i}_{j}/{n}": v for n, v in zip(names, values, strict=True)}
            file.write(json.dumps(line) + "\n")
    assert len(report_page(run).encode()) < 5_000_000


values = st.one_of(st.none(), st.booleans(), st.integers(), st.floats(), st.text(max_size=5), st.lists(st.integers()))
keys = st.sampled_from(
    ["loss", "psnr_db", "phase", "genotype", "learning_rate", "entropy/operation", "skip_share/attention"]
    + [f"probability/{part}_{i}_1/{name}" for part in CANDIDATES for i in (0, 99) for name in ("skip", "none", "")]
)


@given(st.lists(st.dictionaries(st.one_of(keys, st.just("iteration"), st.text(max_size=9)), values), max_size=6))
@settings(max_examples=60, suppress_health_check=[HealthCheck.function_scoped_fixture])
def test_any_metrics_make_a_page(run: Path, content: list[dict[str, Any]]) -> None:
    (run / "metrics.jsonl").write_text("".join(json.dumps(line) + "\n" for line in content))
    Reader(report_page(run))


def test_what_is_no_run_is_refused(tmp_path: Path) -> None:
    with pytest.raises(InputError, match="no run folder"):
        report_page(tmp_path / "none")
    with pytest.raises(InputError, match="holds no run"):
        report_page(tmp_path)


def test_winners_leave_none_aside_and_changes_are_found() -> None:
    edge = Metrics(list(lines())).edges[0]
    assert edge.label == "operation 0→1"
    assert [edge.names[k] for k in edge.winners] == ["skip"] * 3 + ["rdb_common"] * 3
    assert edge.changes == [(40.0, "skip", "rdb_common")]


@given(st.floats(-1e6, 1e6), st.floats(1e-3, 1e6), st.booleans(), st.integers(2, 8))
def test_ticks_are_round_few_and_inside(low: float, span: float, log: bool, most: int) -> None:
    axis = Axis(abs(low) + 0.1, abs(low) + 0.1 + span, 0, 100, True) if log else Axis(low, low + span, 0, 100)
    ticks = axis.ticks(most)
    assert len(ticks) <= 2 * most
    assert log or ticks
    slack = 1e-6 * max(abs(axis.low), abs(axis.high))
    assert all(axis.low - slack <= tick <= axis.high + slack for tick in ticks)
    assert all(-1e-3 <= axis.place(max(tick, axis.low)) <= 100 + 1e-3 for tick in ticks)


@pytest.mark.parametrize(
    ("value", "words"), [(0, "0"), (400_000, "400k"), (2.5e6, "2.5M"), (2e-4, "2e-4"), (0.05, "0.05"), (-31.5, "-31.5")]
)
def test_short_numbers(value: float, words: str) -> None:
    assert short(value) == words


def test_every_point_of_a_cost_chart_is_drawn_and_the_run_is_named() -> None:
    points = [Point(f"n{k}", 10.0**k, 30 + k) for k in range(1, 5)] + [Point("this run", 5e4, None, "run")]
    chart = cost_chart(points, "parameters", "PSNR", "words")
    assert chart.count("<circle") == 4 and chart.count("run-line") == 1
    assert all(f">{point.name}<" in chart for point in points)


def test_commands_are_shown_as_a_shell_takes_them() -> None:
    words = ["jsnas", "train", "--data", "a b.h5", "--seed=1"]
    assert command_lines(words) == ["jsnas train \\", "    --data 'a b.h5' \\", "    --seed=1"]


def test_markup_escapes_all_but_markup() -> None:
    assert el("p", "<b>", Html("<i></i>"), 1234, None, class_='"') == '<p class="&quot;">&lt;b&gt;<i></i>1,234</p>'
    assert text("a\x00\u202e") == "a\ufffd\ufffd"
    assert el("input", hidden=True, value=math.pi, id=None) == '<input hidden value="3.14159">'
    with pytest.raises(ValueError, match="no attribute"):
        el("p", **{"a b": "c"})
