"""NNI's manager and its web page, run so that only the user who started it can reach it, and so that nothing is left.

NNI 3.0 listens on every address without a password and gives whoever reaches it any file and code execution.
Here it listens on loopback, behind a secret prefix of its URL that stands on no command line and in no readable
file; ``portal_preload.js`` does that inside Node. The manager is told from its processes by a mark in their
environment, so that stopping it can find every one of them.
"""

from __future__ import annotations

import contextlib
import errno
import html
import importlib.util
import json
import os
import secrets
import signal
import socket
import subprocess
import sys
import time
import urllib.error
import urllib.request
import webbrowser
from collections.abc import Mapping
from http.client import HTTPException
from importlib import resources
from pathlib import Path
from typing import Any

import psutil

from jsnas.errors import InputError

LOOPBACK = "127.0.0.1"
EVERYWHERE_WARNING = (
    "The page listens on every address of this machine over plain HTTP: whoever learns its URL, or reads along in the "
    "network, can read your files and run commands as you; elsewhere, put this machine's name in place of 127.0.0.1."
)
_MARK = "JSNAS_EXPERIMENT"
_START_SECONDS = 60.0
_STOP_SECONDS = 30.0
_KILL_SECONDS = 5.0
_PATIENCE = 5


class Portal:
    """NNI's manager for one experiment.

    Args:
        folder: Where everything of NNI's is kept; only the user may enter it.
        experiment_id: Name of the experiment, of letters and digits; a folder of that name is made inside.
        port: Port to listen on, or 0 for any free one.
        everywhere: Whether to listen on every address instead of loopback alone.

    Raises:
        InputError: If the port is taken or cannot be used.

    Attributes:
        url: Address of the page, secret prefix included.
    """

    def __init__(self, folder: Path, experiment_id: str, port: int, everywhere: bool = False) -> None:
        self.folder, self.experiment_id, self.everywhere = folder.resolve(), experiment_id, everywhere
        self.port = usable_port(port, everywhere)
        self.prefix = secrets.token_urlsafe(24)
        self.url = f"http://{LOOPBACK}:{self.port}/{self.prefix}/"
        self._process: subprocess.Popen[bytes] | None = None
        self._mark = f"{experiment_id}-{secrets.token_hex(8)}"
        self._opener = urllib.request.build_opener(urllib.request.ProxyHandler({}))

    def start(self, action: str, config: Mapping[str, Any]) -> None:
        """Starts the manager and hands it the experiment.

        Args:
            action: ``"create"``, ``"resume"`` or ``"view"``.
            config: NNI's experiment config as JSON-ready values.

        Raises:
            InputError: If it does not start.
        """
        logs = self.folder / self.experiment_id / "log"
        logs.mkdir(parents=True, exist_ok=True)
        self.folder.chmod(0o700)
        with (logs / "manager.log").open("ab") as log:
            self._process = subprocess.Popen(
                _manager_command(action, self.experiment_id, self.port, self.folder),
                cwd=_node_folder(),  # it looks for its web page there
                stdin=subprocess.DEVNULL,
                stdout=log,
                stderr=log,
                env=self._environment(),
                start_new_session=True,  # Ctrl-C in a terminal is for us, we stop the manager in order
            )
        try:
            self._wait_until_ready()
            self.request("POST", "/experiment", config)
        except BaseException:
            self.stop()
            raise

    def request(self, method: str, path: str, content: Any = None) -> Any:
        """One request to NNI's REST interface, such as ``("GET", "/trial-jobs")``.

        Raises:
            InputError: If the manager does not answer or refuses.
        """
        body = None if content is None else json.dumps(content).encode()
        request = urllib.request.Request(f"{self.url}api/v1/nni{path}", body, method=method)
        request.add_header("Content-Type", "application/json")
        try:
            with self._opener.open(request, timeout=30) as answer:
                text = answer.read().decode()
        except (OSError, HTTPException) as error:
            reason = error.read().decode(errors="replace") if isinstance(error, urllib.error.HTTPError) else error
            raise InputError(
                f"NNI's manager did not answer {method} {path} ({reason}); see its logs in "
                f"'{self.folder / self.experiment_id / 'log'}'."
            ) from error
        try:
            return json.loads(text) if text else None
        except ValueError:
            return text

    def status(self) -> str:
        """NNI's word for where the experiment stands: ``RUNNING``, ``DONE``, ``ERROR``, ``VIEWED``, ..."""
        return str(self.poll("/check-status")["status"])

    def poll(self, path: str) -> Any:
        """Asks again and again what a busy machine may answer late, for as long as the manager lives.

        Raises:
            InputError: As ``request``.
        """
        for _ in range(_PATIENCE):
            try:
                return self.request("GET", path)
            except InputError:
                if self._process is None or self._process.poll() is not None:
                    raise
                time.sleep(2)
        return self.request("GET", path)

    def trial_errors(self, trial_id: str) -> str:
        """What a trial wrote to its standard error, fetched from where it ran; nothing where that cannot be had."""
        try:
            return str(self.request("GET", f"/trial-file/{trial_id}/stderr"))
        except InputError:
            return ""

    def processes(self) -> list[psutil.Process]:
        """Every live process of this manager: Node, the tuner, the trials and what they started."""
        found = []
        for process in psutil.process_iter():
            with contextlib.suppress(psutil.Error, OSError):
                if process.environ().get(_MARK) == self._mark and process.status() != psutil.STATUS_ZOMBIE:
                    found.append(process)
        return found

    def stop(self) -> None:
        """Stops the manager with all its trials; what does not go by itself in half a minute is killed.

        A second Ctrl-C meanwhile kills at once.
        """
        if self._process is None:
            return
        try:
            if self._process.poll() is None:
                self._process.send_signal(signal.SIGTERM)
                self._process.wait(_STOP_SECONDS)
        except (subprocess.TimeoutExpired, KeyboardInterrupt):
            pass
        finally:
            self._kill_all()
            self._process = None

    def _kill_all(self) -> None:
        deadline = time.monotonic() + _KILL_SECONDS
        while (left := self.processes()) and time.monotonic() < deadline:
            for process in left:
                with contextlib.suppress(psutil.Error):
                    process.kill()
            psutil.wait_procs(left, timeout=1)
        if self._process is not None:
            with contextlib.suppress(subprocess.TimeoutExpired):
                self._process.wait(1)

    def open_in_browser(self) -> bool:
        """Opens the page, if this session has a graphical browser; tells whether it did.

        The browser gets a private file that leads to the page, because every user can read command lines.
        """
        if sys.platform.startswith("linux") and not (os.environ.get("DISPLAY") or os.environ.get("WAYLAND_DISPLAY")):
            return False
        page = self.folder / "open.html"
        target = html.escape(self.url)
        page.write_text(
            f'<meta charset="utf-8"><meta http-equiv="refresh" content="0; url={target}">', encoding="utf-8"
        )
        page.chmod(0o600)
        try:
            return webbrowser.open(page.as_uri())
        except webbrowser.Error:
            return False

    def _environment(self) -> dict[str, str]:
        entry = {
            "id": self.experiment_id,
            "port": self.port,
            "startTime": int(time.time() * 1000),
            "endTime": "N/A",
            "status": "INITIALIZED",
            "platform": "local",
            "experimentName": self.experiment_id,
            "tag": [],
            "webuiUrl": [],
            "logDir": str(self.folder),
            "prefixUrl": None,
        }
        settings = {
            "prefix": self.prefix,
            "everywhere": self.everywhere,
            "parent": os.getpid(),
            "folder": str(self.folder),
            "entry": entry,
        }
        here = [str(Path(p).absolute()) for p in sys.path]  # "" is the current folder
        ours = str(Path(__file__).absolute().parents[2])
        preload = (
            str(resources.files("trainers.experiment") / "portal_preload.js").replace("\\", "\\\\").replace('"', '\\"')
        )
        local = (
            f"{os.environ['NO_PROXY']},localhost,{LOOPBACK}" if os.environ.get("NO_PROXY") else f"localhost,{LOOPBACK}"
        )
        return {
            **os.environ,
            "NODE_OPTIONS": f'--require "{preload}"',
            "JSNAS_PORTAL": json.dumps(settings),
            "PYTHONPATH": os.pathsep.join(dict.fromkeys([ours, *here])),
            "NO_PROXY": local,
            "no_proxy": local,
            _MARK: self._mark,
        }

    def _wait_until_ready(self) -> None:
        assert self._process is not None
        deadline = time.monotonic() + _START_SECONDS
        while time.monotonic() < deadline:
            if self._process.poll() is not None:
                break
            with contextlib.suppress(InputError):
                if isinstance(self.request("GET", "/check-status"), dict):  # the text INITIALIZING until then
                    return
            time.sleep(0.2)
        log = self.folder / self.experiment_id / "log" / "manager.log"
        text = log.read_text(encoding="utf-8", errors="replace")
        if "EADDRINUSE" in text:
            raise _port_taken(self.port)
        raise InputError(f"NNI's manager did not start within {_START_SECONDS:.0f} s; see '{log}'.")


def usable_port(port: int, everywhere: bool = False) -> int:
    """Checks that a port is free, or finds a free one for 0.

    Raises:
        InputError: If it is taken, out of range, or not for this user.
    """
    if not 0 <= port <= 65535:
        raise InputError(f"Port {port} does not exist; give one from 1024 to 65535, or 0 for any free one.")
    with socket.socket() as probe:
        probe.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)  # as Node does: a port just closed is free
        try:
            probe.bind(("" if everywhere else LOOPBACK, port))
            probe.listen(1)
        except OSError as error:
            if error.errno == errno.EADDRINUSE:
                raise _port_taken(port) from error
            raise InputError(
                f"Port {port} cannot be used ({error.strerror}); give one from 1024 to 65535, or 0 for any free one."
            ) from error
        return int(probe.getsockname()[1])


def _port_taken(port: int) -> InputError:
    return InputError(f"Port {port} is taken by another program; give another with --port, or 0 for any free one.")


def _node_folder() -> Path:
    spec = importlib.util.find_spec("nni_node")
    if spec is None or not spec.submodule_search_locations:
        raise InputError("NNI is installed without its web page; install it from its own wheel: pip install nni==3.0.")
    return Path(spec.submodule_search_locations[0])


def _manager_command(action: str, experiment_id: str, port: int, folder: Path) -> list[str]:
    node = _node_folder()
    program = node / ("node.exe" if sys.platform == "win32" else "node")
    options = {
        "port": port,
        "experiment-id": experiment_id,
        "action": action,
        "experiments-directory": folder,
        "log-level": "info",
        "mode": "local",
        "python-interpreter": sys.executable,
    }
    words = [word for name, value in options.items() for word in (f"--{name}", str(value))]
    return [str(program), "--max-old-space-size=4096", str(node / "main.js"), *words]
