"""NNI's manager as we run it: who can reach it, what the known attacks get, and that nothing is left of it."""

from __future__ import annotations

import json
import os
import signal
import socket
import stat
import subprocess
import sys
import time
from collections.abc import Iterator
from http.client import HTTPConnection
from pathlib import Path
from typing import Any

import psutil
import pytest
from nni.experiment.config import AlgorithmConfig, ExperimentConfig
from processes import alive

from jsnas.errors import InputError
from trainers.experiment.portal import Portal, usable_port


def _config(folder: Path) -> dict[str, Any]:
    """An experiment of trials that sleep, and sleep in a child of their own."""
    code = folder / "code"
    code.mkdir(parents=True, exist_ok=True)
    sleep = f"{sys.executable} -c 'import nni, time; nni.get_next_parameter(); time.sleep(600)'"
    config = ExperimentConfig("local")
    config.experiment_working_directory = str(folder)
    config.trial_command = f"{sleep} & {sleep}"
    config.trial_code_directory = str(code)
    config.trial_concurrency = 1
    config.max_trial_number = 5
    config.search_space = {"x": {"_type": "choice", "_value": [1, 2]}}
    config.tuner = AlgorithmConfig(name="Random")
    content: dict[str, Any] = config.json()
    return content


def _wait_for_trial(portal: Portal) -> dict[str, Any]:
    for _ in range(120):
        jobs: list[dict[str, Any]] = portal.request("GET", "/trial-jobs")
        if jobs and jobs[0]["status"] == "RUNNING" and len(portal.processes()) >= 4:
            return jobs[0]
        time.sleep(0.5)
    raise AssertionError("no trial was started")


@pytest.fixture(scope="module")
def running(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Portal]:
    folder = tmp_path_factory.mktemp("portal") / "nni"
    portal = Portal(folder, "probe1", 0)
    portal.start("create", _config(folder))
    try:
        _wait_for_trial(portal)
        yield portal
    finally:
        portal.stop()


def _ask(
    portal: Portal, path: str, method: str = "GET", body: bytes | None = None, **headers: str
) -> tuple[int, bytes]:
    connection = HTTPConnection("127.0.0.1", portal.port, timeout=20)
    try:
        connection.putrequest(method, path, skip_accept_encoding=True)
        for name, value in headers.items():
            connection.putheader(name.replace("_", "-"), value)
        if body is not None:
            connection.putheader("Content-Length", str(len(body)))
            connection.putheader("Content-Type", "application/json")
        connection.endheaders(body)
        answer = connection.getresponse()
        return answer.status, str(answer.headers).encode() + answer.read()
    finally:
        connection.close()


def _other_addresses() -> list[tuple[int, str]]:
    return [
        (address.family, address.address)
        for addresses in psutil.net_if_addrs().values()
        for address in addresses
        if address.family in (socket.AF_INET, socket.AF_INET6)
        and address.address not in ("127.0.0.1",)
        and "%" not in address.address
    ]


def test_answers_on_loopback_and_nowhere_else(running: Portal) -> None:
    assert running.status() == "RUNNING"
    for family, address in _other_addresses():
        with socket.socket(family) as client:
            client.settimeout(3)
            assert client.connect_ex((address, running.port)) != 0, address
    listening = [
        connection.laddr.ip
        for process in running.processes()
        for connection in process.net_connections("inet")
        if connection.status == psutil.CONN_LISTEN
    ]
    assert listening
    assert set(listening) == {"127.0.0.1"}


@pytest.mark.parametrize(
    "path",
    ["/", "/index.html", "/api/v1/nni/check-status", "/logs/nnimanager.log", "/netron/", "/tuner", "/x/../", "//"],
)
@pytest.mark.parametrize("method", ["GET", "POST", "DELETE", "OPTIONS"])
def test_without_the_prefix_there_is_nothing(running: Portal, path: str, method: str) -> None:
    status, answer = _ask(running, path, method)
    assert status == 404
    assert running.prefix.encode() not in answer  # NNI's own 404 names it
    assert answer.endswith(b"\n\n")  # headers alone


@pytest.mark.parametrize("change", [lambda p: p[:-1], lambda p: p + "x", lambda p: p.swapcase(), lambda p: "%2e/" + p])
def test_almost_the_prefix_is_not_enough(running: Portal, change: Any) -> None:
    assert _ask(running, f"/{change(running.prefix)}/api/v1/nni/check-status")[0] == 404
    assert _ask(running, f"/{running.prefix}/api/v1/nni/check-status")[0] == 200


def test_websockets_need_the_prefix(running: Portal) -> None:
    upgrade = {
        "Connection": "Upgrade",
        "Upgrade": "websocket",
        "Sec_WebSocket_Version": "13",
        "Sec_WebSocket_Key": "AAAAAAAAAAAAAAAAAAAAAA==",
    }
    assert _ask(running, "/tuner", **upgrade)[0] == 404


def test_files_outside_are_not_handed_out(running: Portal) -> None:
    trial = running.request("GET", "/trial-jobs")[0]["trialJobId"]
    secret = running.folder.parent / "secret.txt"
    secret.write_text("a secret")
    up = os.path.relpath(
        secret, running.folder / running.experiment_id / "environments" / "local-env" / "trials" / trial
    )
    attack = f"/api/v1/nni/trial-file/{trial}/" + up.replace("/", "%2F")
    for path in (attack, f"/{running.prefix}{attack}", f"/{running.prefix}{attack.replace('%2F', '%252F')}"):
        status, answer = _ask(running, path)
        assert status == 404
        assert b"a secret" not in answer
    # The same request for one of the trial's own files is answered, so the address is the right one.
    status, answer = _ask(running, f"/{running.prefix}/api/v1/nni/trial-file/{trial}/trial.stderr")
    assert status == 200


def test_a_crafted_trial_job_runs_nothing(running: Portal, tmp_path: Path) -> None:
    made = tmp_path / "made"
    attack = json.dumps({"__symbol__": "path:os.mkdir", "__args__": [str(made)], "__kwargs__": {}}).encode()
    for path in ("/api/v1/nni/trial-jobs", "/trial-jobs", f"/{running.prefix[:-1]}/api/v1/nni/trial-jobs"):
        assert _ask(running, path, "POST", attack)[0] == 404
    time.sleep(1)
    assert not made.exists()
    assert running.status() == "RUNNING"


def test_the_prefix_is_on_no_command_line_and_in_no_readable_file(running: Portal) -> None:
    for process in psutil.process_iter():
        try:
            words = process.cmdline()
        except psutil.Error:
            continue
        assert not any(running.prefix in word for word in words)
    assert stat.S_IMODE(running.folder.stat().st_mode) == 0o700
    # NNI's list of experiments is here, not in the home directory.
    listed = json.loads((running.folder / "nni-experiments" / ".experiment").read_text())
    assert list(listed) == ["probe1"]


def test_the_browser_gets_a_private_file(running: Portal, monkeypatch: pytest.MonkeyPatch) -> None:
    opened: list[str] = []
    monkeypatch.setattr("webbrowser.open", lambda url: opened.append(url) is None)
    monkeypatch.setattr("sys.platform", "linux")
    monkeypatch.delenv("DISPLAY", raising=False)
    monkeypatch.delenv("WAYLAND_DISPLAY", raising=False)
    assert not running.open_in_browser()
    monkeypatch.setenv("DISPLAY", ":0")
    assert running.open_in_browser()
    (url,) = opened
    assert running.prefix not in url
    page = Path(url.removeprefix("file://"))
    assert f'url={running.url}"' in page.read_text()
    assert stat.S_IMODE(page.stat().st_mode) == 0o600


def test_a_taken_port_is_told(running: Portal, tmp_path: Path) -> None:
    with pytest.raises(InputError, match=f"Port {running.port} is taken"):
        Portal(tmp_path / "nni", "probe2", running.port)
    with pytest.raises(InputError, match="does not exist"):
        usable_port(70000)


def test_stopping_leaves_no_process(tmp_path: Path) -> None:
    portal = Portal(tmp_path / "nni", "probe3", 0)
    portal.start("create", _config(tmp_path / "nni"))
    _wait_for_trial(portal)
    processes = portal.processes()
    assert len(processes) >= 4  # Node, the tuner, the trial and its child
    portal.stop()
    assert not any(alive(process.pid) for process in processes)
    assert portal.processes() == []
    with pytest.raises(InputError, match="did not answer"):
        portal.status()
    assert usable_port(portal.port) == portal.port


def test_stopping_finds_the_trials_of_a_manager_that_was_killed(tmp_path: Path) -> None:
    portal = Portal(tmp_path / "nni", "probe5", 0)
    portal.start("create", _config(tmp_path / "nni"))
    _wait_for_trial(portal)
    processes = portal.processes()
    node = next(process for process in processes if process.ppid() == os.getpid())
    node.kill()
    node.wait(10)
    with pytest.raises(InputError, match="did not answer"):
        portal.status()
    portal.stop()
    assert not any(alive(process.pid) for process in processes)


_STARTER = """
import sys, time
from pathlib import Path
from test_portal import _config, _wait_for_trial
from trainers.experiment.portal import Portal
folder = Path(sys.argv[1])
portal = Portal(folder, "probe4", 0)
portal.start("create", _config(folder))
_wait_for_trial(portal)
print(" ".join(str(p.pid) for p in portal.processes()), flush=True)
time.sleep(600)
"""


def test_the_manager_stops_when_its_starter_is_killed(tmp_path: Path) -> None:
    path = os.pathsep.join([str(Path(__file__).parent), str(Path(__file__).parents[3])])
    with subprocess.Popen(
        [sys.executable, "-c", _STARTER, str(tmp_path / "nni")],
        stdout=subprocess.PIPE,
        text=True,
        env={**os.environ, "PYTHONPATH": path},
    ) as starter:
        assert starter.stdout is not None
        pids = [int(word) for word in starter.stdout.readline().split()]
        manager = min(psutil.Process(pid).create_time() for pid in pids)
        node = next(pid for pid in pids if psutil.Process(pid).create_time() == manager)
        starter.send_signal(signal.SIGKILL)
    try:
        end = time.monotonic() + 45
        while alive(node):
            assert time.monotonic() < end, "the manager outlived its starter"
            time.sleep(0.5)
    finally:  # the trial's child is the trial's own business where nobody is left to look for it
        for pid in pids:
            if alive(pid):
                psutil.Process(pid).kill()
