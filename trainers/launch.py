"""Starts a run's processes on this machine: torch's elastic agent, the engine of ``torchrun``, watches over them.

If one of them ends before the run does, the agent ends the others, and the reason is said. Under ``torchrun`` or SLURM
the processes are there already and nothing is started.
"""

from __future__ import annotations

import logging
import os
import signal
import socket
import tempfile
import threading
import time
import uuid
from collections.abc import Callable
from typing import Any, TypeVar

from torch.distributed.elastic.multiprocessing import DefaultLogsSpecs
from torch.distributed.elastic.multiprocessing.api import SignalException
from torch.distributed.elastic.multiprocessing.errors import ChildFailedError, ProcessFailure
from torch.distributed.launcher.api import LaunchConfig, elastic_launch
from tqdm import tqdm

from jsnas.errors import InputError
from trainers.config import Config
from trainers.ranks import check_devices, launcher_environment

Result = TypeVar("Result")

_OURS = "InputError: "
_STOPPED = 130  # exit code
_AGENTS_SIGNALS = (signal.SIGTERM, signal.SIGINT, signal.SIGHUP, signal.SIGQUIT)
_GRACE_SECONDS = 2.0  # the process whose fault it is speaks first
_RENDEZVOUS = ("MASTER_ADDR", "MASTER_PORT", "NODE_RANK")  # Lightning's names


def starts_processes(config: Config) -> bool:
    """Whether this process is to start those of a run, rather than being one of them."""
    return config.devices * config.num_nodes > 1 and launcher_environment() is None


def on_all_devices(function: Callable[..., Result], config: Config, *args: Any) -> Result:
    """Runs a recipe in a process for every device of this machine.

    A script that calls it does so below ``if __name__ == "__main__":``, for the processes import the script.

    Args:
        function: The recipe, importable; it is called with ``config`` and ``args`` in every process.
        config: Settings.
        args: What else it takes.

    Returns:
        What it returned in the first process of this machine.

    Raises:
        InputError: If a process raised one, or ended before its time.
        KeyboardInterrupt: If the run was stopped by Ctrl-C or SIGTERM; the processes have saved by then.
    """
    check_devices(config)
    with tempfile.TemporaryDirectory(prefix="jsnas-ranks-") as folder:
        agent = elastic_launch(_launch_config(config, folder), _work)
        logging.disable(logging.CRITICAL)  # what matters of the agent's log is said below
        handlers = {number: signal.getsignal(number) for number in _AGENTS_SIGNALS}
        try:
            results: dict[int, Result] = agent(function, config, *args)
        except ChildFailedError as error:
            raise _reason(*error.get_first_failure()) from None
        except SignalException:
            raise KeyboardInterrupt from None
        finally:
            logging.disable(logging.NOTSET)
            if threading.current_thread() is threading.main_thread():  # where the agent has put its own and left them
                for number, handler in handlers.items():
                    signal.signal(number, handler)
    return results[min(results)]


def _launch_config(config: Config, folder: str) -> LaunchConfig:
    where: dict[str, Any] = {
        "rdzv_backend": "c10d",
        "rdzv_endpoint": "localhost:0",
        "local_addr": "127.0.0.1",
        "run_id": uuid.uuid4().hex,
    }
    if config.num_nodes > 1:
        missing = [name for name in _RENDEZVOUS if name not in os.environ]
        if missing:
            raise InputError(
                f"A run on {config.num_nodes} machines needs {', '.join(missing)} in the environment of each (the "
                "address and a free port of the first machine, and this one's number from 0), or torchrun or SLURM."
            )
        address, port, number = (os.environ[name] for name in _RENDEZVOUS)
        if not port.isdecimal() or not number.isdecimal() or int(number) >= config.num_nodes:
            raise InputError(
                f"MASTER_PORT is '{port}' and NODE_RANK '{number}'; give a port, and a number from 0 to "
                f"{config.num_nodes - 1}."
            )
        where = {
            "rdzv_backend": "static",
            "rdzv_endpoint": f"{address}:{port}",
            "rdzv_configs": {"rank": int(number)},
            "run_id": "jsnas",
        }
    return LaunchConfig(
        min_nodes=config.num_nodes,
        max_nodes=config.num_nodes,
        nproc_per_node=config.devices,
        max_restarts=0,
        monitor_interval=0.1,
        start_method="spawn",
        logs_specs=DefaultLogsSpecs(log_dir=folder),
        **where,
    )


def _work(function: Callable[..., Any], config: Config, *args: Any) -> Any:
    """One of the processes; the first one ends first, for the agent then ends the others."""
    logging.getLogger("lightning_fabric").setLevel(logging.ERROR)  # it tells of every process that it starts
    tqdm.set_lock(threading.RLock())  # its own leaves a semaphore behind in a process that is killed
    try:
        return function(config, *args)
    except KeyboardInterrupt:
        if os.environ["RANK"] != "0":
            time.sleep(_GRACE_SECONDS)
        os._exit(_STOPPED)  # a process that returns waits for the agent, which may be gone
    except BaseException as error:
        if not isinstance(error, InputError) or os.environ["RANK"] != "0":
            time.sleep(_GRACE_SECONDS)
        raise


def _reason(rank: int, failure: ProcessFailure) -> BaseException:
    where = f"process {rank} on {socket.gethostname()}"
    if failure.exitcode < 0:
        name = signal.Signals(-failure.exitcode).name
        why = "; the machine may have run out of memory" if name == "SIGKILL" else ""
        return InputError(
            f"The run was stopped because {where} was killed by {name}{why}; carry on with --resume from the last "
            "state."
        )
    if failure.exitcode == _STOPPED:
        return KeyboardInterrupt()
    content: Any = failure.message
    text = str(content["message"] if isinstance(content, dict) else content)
    if text.startswith(_OURS):
        return InputError(text.removeprefix(_OURS))
    if any(word in text for word in ("onnection", "gloo", "NCCL", "peer")):
        return InputError(
            f"The run was stopped because {where} lost the others ({text.partition('. ')[0]}); see what the other "
            "machines say, and carry on with --resume from the last state."
        )
    trace = content.get("extraInfo", {}).get("py_callstack", "") if isinstance(content, dict) else ""
    return RuntimeError(f"{where} failed: {text}\n{trace}")
