"""SSH tunnels by which trials on other machines reach NNI's manager, which listens on loopback only.

Each is an ``ssh`` of this user that opens the manager's port on the other machine's own loopback. It ends with this
process, however that ends: the other side waits for the end of its input.
"""

from __future__ import annotations

import os
import selectors
import subprocess
import tempfile
import time
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from jsnas.errors import InputError

_OPEN_SECONDS = 30.0
_READY = b"tunnel is open"
# What NNI writes there holds the secret of the page's address.
_OTHER_SIDE = f"umask 077; mkdir -p ~/nni-experiments && chmod 700 ~/nni-experiments && echo {_READY.decode()}; cat"


class Tunnels:
    """Opens a tunnel to every machine.

    Args:
        machines: As NNI's ``machine_list``: host, user, ssh_key_file, perhaps port.
        port: The manager's port, here and there.

    Raises:
        InputError: If one cannot be opened.
    """

    def __init__(self, machines: Sequence[Mapping[str, Any]], port: int) -> None:
        self._processes: list[subprocess.Popen[bytes]] = []
        try:
            for machine in machines:
                self._open(machine, port)
        except BaseException:
            self.close()
            raise

    def close(self) -> None:
        """Closes them."""
        for process in self._processes:
            assert process.stdin is not None
            process.stdin.close()
        for process in self._processes:
            try:
                process.wait(5)
            except subprocess.TimeoutExpired:
                process.kill()
                process.wait()
            assert process.stdout is not None
            process.stdout.close()
        self._processes = []

    def _open(self, machine: Mapping[str, Any], port: int) -> None:
        where = f"{machine['user']}@{machine['host']}"
        options = ["BatchMode=yes", "ExitOnForwardFailure=yes", "ServerAliveInterval=15", "ServerAliveCountMax=4"]
        command = ["ssh", *(word for option in options for word in ("-o", option))]
        command += ["-i", str(Path(machine["ssh_key_file"]).expanduser()), "-p", str(machine.get("port", 22))]
        command += ["-R", f"127.0.0.1:{port}:127.0.0.1:{port}", where, _OTHER_SIDE]
        with tempfile.TemporaryFile() as errors:
            try:
                process = subprocess.Popen(
                    command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, stderr=errors, start_new_session=True
                )
            except OSError as error:
                raise InputError(f"No ssh could be started ({error.strerror}); install OpenSSH's client.") from error
            self._processes.append(process)
            if not _says_ready(process):
                errors.seek(0)
                said = " ".join(errors.read().decode(errors="replace").split())
                raise InputError(
                    f"The SSH tunnel to {where} did not open ({said or 'it did not answer'}); try `ssh {where}` by "
                    "hand, and look whether its port is free there."
                )


def _says_ready(process: subprocess.Popen[bytes]) -> bool:
    assert process.stdout is not None
    os.set_blocking(process.stdout.fileno(), False)
    said, deadline = b"", time.monotonic() + _OPEN_SECONDS
    with selectors.DefaultSelector() as selector:
        selector.register(process.stdout, selectors.EVENT_READ)
        while _READY not in said and time.monotonic() < deadline:
            if selector.select(timeout=1):
                more = process.stdout.read()
                if not more:
                    return False  # it ended
                said += more
    return _READY in said
