"""The demo's page in a browser: nothing logged, loaded, cut or overlapping, at four looks and printed."""

from __future__ import annotations

import os
from collections.abc import Iterator
from pathlib import Path

import pytest
from headless import Browser, find_chromium
from PIL import Image

from trainers.demo import demo

# Each element that ends outside the window and is not inside something that scrolls.
TOO_WIDE = """
[...document.querySelectorAll('body *')].filter(e => {
  const box = e.getBoundingClientRect(), scroll = e.parentElement.closest('.scroll');
  return !scroll && box.width > 0 && (box.right > innerWidth + 1 || box.left < -1);
}).map(e => e.outerHTML.slice(0, 200))
"""
# Texts of a chart that overlap, or leave the chart's own box.
CLASHES = """
[...document.querySelectorAll('svg.chart')].flatMap(svg => {
  const frame = svg.getBoundingClientRect();
  const texts = [...svg.querySelectorAll('text')].map(t => [t.textContent, t.getBoundingClientRect()]);
  const cut = texts.filter(([, b]) => b.left < frame.left - 1 || b.right > frame.right + 1 ||
                                      b.top < frame.top - 1 || b.bottom > frame.bottom + 1).map(([t]) => 'cut ' + t);
  const over = texts.flatMap(([t, a], k) => texts.slice(k + 1).filter(([, b]) =>
    Math.min(a.right, b.right) - Math.max(a.left, b.left) > 1 &&
    Math.min(a.bottom, b.bottom) - Math.max(a.top, b.top) > 3).map(([u]) => t + ' over ' + u));
  return [...cut, ...over];
})
"""
# Sections, cards, crops and tiles that overlap their neighbours.
BLOCKS = """
['section', '.card', '.figures > div', '.crops > figure', '.cropset > *', 'header > *'].flatMap(name => {
  const boxes = [...document.querySelectorAll(name)].map(e => e.getBoundingClientRect());
  return boxes.flatMap((a, k) => boxes.slice(k + 1).filter(b =>
    Math.min(a.right, b.right) - Math.max(a.left, b.left) > 1 &&
    Math.min(a.bottom, b.bottom) - Math.max(a.top, b.top) > 1).map(() => name));
})
"""


@pytest.fixture(scope="module")
def page(tmp_path_factory: pytest.TempPathFactory) -> Path:
    out = tmp_path_factory.mktemp("demo") / "demo"
    lengths = ["--search.total_iter=16", "--search.weight_warmup_iters=6", "--train.total_iter=10", "--device=cpu"]
    more = ["--val.val_freq=5", "--logger.print_freq=2", "--logger.tensorboard=false", "--search.guard=off"]
    demo("sr", out, [*lengths, *more])
    return out / "report.html"


@pytest.fixture(scope="module")
def browser(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Browser]:
    program = find_chromium()
    if program is None:
        pytest.skip("needs Chromium")
    found = Browser(program, tmp_path_factory.mktemp("profile"))
    yield found
    found.close()


@pytest.fixture(scope="module")
def screenshots(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Where pictures for people are kept: JSNAS_SCREENSHOTS, as in CI."""
    folder = Path(os.environ.get("JSNAS_SCREENSHOTS", tmp_path_factory.mktemp("screenshots")))
    folder.mkdir(parents=True, exist_ok=True)
    return folder


@pytest.mark.parametrize("width", [1280, 390])
@pytest.mark.parametrize("scheme", ["light", "dark"])
def test_the_page_of_the_demo_looks_right(
    page: Path, browser: Browser, screenshots: Path, width: int, scheme: str
) -> None:
    assert page.stat().st_size < 5_000_000
    browser.requests.clear()
    browser.open(page, width, 844, {"prefers-color-scheme": scheme})
    picture = screenshots / f"report-{width}-{scheme}.png"
    browser.screenshot(picture)
    with Image.open(picture) as image:
        assert image.width == width and image.height > 3000
        shade = sum(image.convert("RGB").getpixel((2, 2)))  # type: ignore[arg-type]
    assert shade > 700 if scheme == "light" else shade < 120
    for unfolded in (False, True):
        if unfolded:
            browser.run("document.querySelectorAll('details').forEach(e => e.open = true)")
        assert browser.run("document.documentElement.scrollWidth") == width
        assert browser.run(TOO_WIDE) == []
        assert browser.run(CLASHES) == []
        assert browser.run(BLOCKS) == []
    assert browser.faults == []
    assert all(url.startswith("data:") or url == page.as_uri() for url in browser.requests)


def test_a_screen_reader_finds_every_figure_in_words(page: Path, browser: Browser) -> None:
    browser.open(page, 1280, 844, {})
    unnamed = """[...document.querySelectorAll('svg[role=img], svg.jsm, img[data-kind]')].filter(e =>
        !(e.alt || e.ariaLabel || e.querySelector(':scope > title') || e.getAttribute('aria-labelledby')))
        .map(e => e.outerHTML.slice(0, 200))"""
    assert browser.run(unnamed) == []
    tables = "[...document.querySelectorAll('table caption')].map(e => e.textContent)"
    captions = browser.run(tables)
    for kind in ("Edges of the module", "Probability of each candidate", "Curves of the search", "Figures of whole"):
        assert any(caption.startswith(kind) for caption in captions)


@pytest.mark.parametrize("part", ["search", "train"])
@pytest.mark.parametrize("width", [1280, 390])
def test_the_pages_of_the_parts_look_right(
    page: Path, browser: Browser, screenshots: Path, part: str, width: int
) -> None:
    browser.requests.clear()
    browser.open(page.parent / part / "report.html", width, 844, {"prefers-color-scheme": "light"})
    browser.screenshot(screenshots / f"report-{part}-{width}.png")
    assert browser.run("document.documentElement.scrollWidth") == width
    assert browser.run(TOO_WIDE) + browser.run(CLASHES) + browser.run(BLOCKS) == []
    crops = browser.run("document.querySelectorAll('.crops img').length")
    assert crops == (4 if part == "train" else 0)  # one image is held out: input, bicubic, ours, truth
    assert browser.faults == []
    own = (page.parent / part / "report.html").as_uri()
    assert all(url.startswith("data:") or url == own for url in browser.requests)


def test_the_slider_moves_the_border_between_two_crops(page: Path, browser: Browser) -> None:
    browser.open(page, 1280, 844, {})
    assert browser.run("document.querySelectorAll('.slider:not([hidden])').length") == 3
    move = "const r = document.querySelector('.slider input'); r.value = 80; r.dispatchEvent(new Event('input'));"
    browser.run(f"(() => {{ {move} }})()")
    assert "80%" in browser.run("getComputedStyle(document.querySelector('.pair .over')).clipPath")
    shown = "document.querySelector('.pair .{}').src === document.querySelector('img[data-kind={}]').src"
    assert browser.run(shown.format("over", "restored")) and browser.run(shown.format("under", "input"))
    assert browser.faults == []


def test_the_page_prints(page: Path, browser: Browser) -> None:
    browser.open(page, 794, 1123, {"media": "print"})
    assert browser.run("document.documentElement.scrollWidth") <= 794
    assert browser.run(CLASHES) == []
    assert browser.pdf().startswith(b"%PDF")
