"""The web page in a real browser: a sweep while it runs, and a multi-trial run; screenshots are kept.

JSNAS_SCREENSHOTS names a folder for them; it is a CI artefact there.
"""

from __future__ import annotations

import base64
import itertools
import json
import os
import re
import shutil
import signal
import subprocess
import sys
import time
import urllib.request
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from pathlib import Path
from typing import Any

import pytest
import yaml
from websockets.sync.client import connect

CHROMIUM = shutil.which("chromium") or shutil.which("chromium-browser")
FLAGS = [
    "--headless",
    "--no-sandbox",
    "--disable-gpu",
    "--disable-quic",
    "--no-first-run",
    "--disable-background-networking",
    "--disable-component-update",
    "--disable-sync",
    "--remote-debugging-port=0",
    "--window-size=1500,1400",
]
CONFIG: dict[str, Any] = {
    "task": "sr",
    "scale": 2,
    "device": "cpu",
    "datasets": {"patch_size": 16, "batch_size": 2, "workers": 0},
    "search": {
        "modules": 1,
        "channels": 8,
        "inner_channels": 4,
        "operation_nodes": 3,
        "attention_nodes": 3,
        "total_iter": 12,
        "weight_warmup_iters": 3,
        "trial_iter": 12,
    },
    "val": {"val_freq": 3, "max_images": 1, "max_side": 64},
    "logger": {"print_freq": 3, "save_checkpoint_freq": 6, "tensorboard": False},
    "experiment": {"port": 0},
}

pytestmark = pytest.mark.skipif(CHROMIUM is None, reason="needs chromium")


@pytest.fixture(scope="module")
def screenshots(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = Path(os.environ.get("JSNAS_SCREENSHOTS") or tmp_path_factory.mktemp("screenshots"))
    folder.mkdir(parents=True, exist_ok=True)
    return folder


class Browser:
    """A headless Chromium, driven by its DevTools protocol."""

    def __init__(self, profile: Path) -> None:
        assert CHROMIUM is not None
        self.process = subprocess.Popen(
            [CHROMIUM, *FLAGS, f"--user-data-dir={profile}", "about:blank"], stderr=subprocess.PIPE, text=True
        )
        assert self.process.stderr is not None
        port = next(m[1] for line in self.process.stderr if (m := re.search(r"ws://127\.0\.0\.1:(\d+)/", line)))
        with urllib.request.urlopen(f"http://127.0.0.1:{port}/json") as answer:
            page = next(target for target in json.load(answer) if target["type"] == "page")
        self.stack = ExitStack()
        self.socket = self.stack.enter_context(connect(page["webSocketDebuggerUrl"], max_size=None))
        self.numbers = itertools.count(1)

    def call(self, method: str, **parameters: Any) -> dict[str, Any]:
        number = next(self.numbers)
        self.socket.send(json.dumps({"id": number, "method": method, "params": parameters}))
        while (answer := json.loads(self.socket.recv(timeout=30))).get("id") != number:
            pass
        return answer["result"]

    def evaluate(self, expression: str) -> Any:
        return self.call("Runtime.evaluate", expression=expression, returnByValue=True)["result"].get("value")

    def text(self) -> str:
        return self.evaluate("document.body ? document.body.innerText : ''") or ""

    def wait_for(self, expression: str, seconds: float = 60) -> None:
        end = time.monotonic() + seconds
        while not self.evaluate(expression):
            assert time.monotonic() < end, f"never came: {expression}; the page says: {self.text()}"
            time.sleep(0.3)

    def open(self, url: str) -> None:
        self.call("Page.navigate", url=url)

    def click(self, selector: str, text: str = "") -> None:
        element = f"[...document.querySelectorAll({selector!r})].find(e => e.innerText.includes({text!r}))"
        self.wait_for(f"!!({element})")
        self.evaluate(f"({element}).click()")

    def screenshot(self, path: Path) -> None:
        time.sleep(1.5)  # charts are animated
        path.write_bytes(base64.b64decode(self.call("Page.captureScreenshot")["data"]))
        assert path.stat().st_size > 10_000

    def close(self) -> None:
        self.stack.close()
        self.process.kill()
        self.process.wait()
        assert self.process.stderr is not None
        self.process.stderr.close()


@pytest.fixture
def browser(tmp_path: Path) -> Iterator[Browser]:
    opened = Browser(tmp_path / "profile")
    yield opened
    opened.close()


class Running:
    """A `jsnas experiment` in the background, its output followed."""

    def __init__(self, folder: Path, config: dict[str, Any], *options: str) -> None:
        folder.mkdir()
        (folder / "config.yaml").write_text(yaml.safe_dump(config))
        self.out, self.log = folder / "out", folder / "log.txt"
        words = ["experiment", "--config", str(folder / "config.yaml"), "--out", str(self.out), "--keep-open", *options]
        with self.log.open("wb") as log:
            self.process = subprocess.Popen(
                [sys.executable, "-m", "jsnas", *words],
                stdout=log,
                stderr=log,
                env={**os.environ, "OMP_NUM_THREADS": "1"},
            )

    def wait_for(self, pattern: str, seconds: float = 150) -> str:
        end = time.monotonic() + seconds
        while not (match := re.search(pattern, self.log.read_text())):
            assert time.monotonic() < end and self.process.poll() is None, self.log.read_text()
            time.sleep(0.3)
        return match[1] if match.groups() else match[0]

    def stop(self) -> int:
        self.process.send_signal(signal.SIGINT)
        return self.process.wait(60)


@contextmanager
def running_experiment(folder: Path, config: dict[str, Any], *options: str) -> Iterator[Running]:
    running = Running(folder, config, *options)
    try:
        yield running
    finally:
        if running.process.poll() is None:
            running.stop()


def _with(**sections: Any) -> dict[str, Any]:
    return {key: {**value, **sections[key]} if key in sections else value for key, value in CONFIG.items()} | {
        key: value for key, value in sections.items() if key not in CONFIG
    }


def test_sweep_page(tmp_path: Path, photographs: Path, screenshots: Path, browser: Browser) -> None:
    config = _with(
        datasets={"path": str(photographs)},
        strategy={"args": {"partial": 2}},
        experiment={"sweep": {"manual_seed": [3, 4], "strategy.args.partial": [1, 2]}},
    )
    with running_experiment(tmp_path / "sweep", config, "--max-trials", "3") as running:
        url = running.wait_for(r"Web page: (http://\S+)")
        running.wait_for("trial 0: ")
        browser.open(url)
        browser.wait_for("document.body.innerText.includes('SUCCEEDED')")
        browser.screenshot(screenshots / "sweep-running.png")
        assert "sr-x2 pc_darts" in browser.text()

        running.wait_for("All trials are done")
        browser.open(f"{url}detail")
        browser.wait_for("document.body.innerText.split('SUCCEEDED').length == 4")
        trials = json.loads((running.out / "experiment.json").read_text())["trials"]
        for trial in trials:
            assert f"{trial['psnr_db']:.4f}"[:-1] in browser.text()
        browser.click("button", "Hyper-parameter")
        browser.wait_for("document.querySelectorAll('canvas').length > 0")
        browser.screenshot(screenshots / "sweep-hyperparameters.png")
        browser.click("button", "Intermediate result")
        browser.screenshot(screenshots / "sweep-curves.png")
        assert running.stop() == 0


def test_multi_trial_page(tmp_path: Path, photographs: Path, screenshots: Path, browser: Browser) -> None:
    config = _with(datasets={"path": str(photographs)}, strategy={"name": "random"})
    with running_experiment(tmp_path / "random", config, "--max-trials", "2") as running:
        url = running.wait_for(r"Web page: (http://\S+)")
        running.wait_for("All trials are done")
        browser.open(f"{url}detail")
        browser.wait_for("document.body.innerText.split('SUCCEEDED').length == 3")
        browser.click("button", "Hyper-parameter")
        browser.screenshot(screenshots / "multi-trial-hyperparameters.png")
        browser.click("i[data-icon-name=ChevronRight]")
        browser.wait_for("document.body.innerText.includes('Copy as json')")
        trials = json.loads((running.out / "experiment.json").read_text())["trials"]
        first = next(trial for trial in trials if trial["number"] == 0)
        for edge, name in first["settings"].items():
            assert f'{edge}:"{name}"' in browser.text()
        browser.screenshot(screenshots / "multi-trial-parameters.png")
        assert running.stop() == 0
