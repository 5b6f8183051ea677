"""A multi-trial strategy as NNI's tuner process runs it: every model that the strategy submits becomes a trial.

The trial's parameters are the sample in words. After a resume the strategy starts anew from its seed and is given
the known results at once, so it walks the same way up to where it was stopped.
"""

from __future__ import annotations

import json
import logging
import threading
import traceback
from collections import deque
from collections.abc import Callable
from typing import Any

from nni.runtime.msg_dispatcher_base import MsgDispatcherBase
from nni.runtime.tuner_command_channel import CommandType

from trainers.experiment.words import in_words

# torch and NNI's architecture search take seconds to import, and NNI gives a tuner ten to report: see `_explore`.

_logger = logging.getLogger(__name__)


class StrategyAdvisor(MsgDispatcherBase):
    """NNI's advisor for a strategy.

    Args:
        config: Path of the run's config.
    """

    def __init__(self, config: str) -> None:
        super().__init__()
        self.config_path = config
        self.trials = Trials(self._send_trial)
        self._thread: threading.Thread | None = None

    def handle_initialize(self, data: Any) -> None:
        """The search space on the page is only shown; the strategy knows its own."""
        self.send(CommandType.Initialized, "")

    def handle_update_search_space(self, data: Any) -> None:
        """Nothing: a search space cannot be changed from the page."""

    def handle_import_data(self, data: list[dict[str, Any]]) -> None:
        """Results of trials before a resume."""
        for entry in data:
            self.trials.know(entry["parameter"], _metric(entry["value"]))

    def handle_add_customized_trial(self, data: Any) -> None:
        """Trials that were interrupted and run again after a resume."""
        self.recover_parameter_id(data)
        for parameter_id, parameters in self.recovered_trial_params.items():
            self.trials.expect(parameter_id, parameters)

    def handle_request_trial_jobs(self, data: int) -> None:
        """NNI has room for more trials."""
        self.trials.allow(data)
        if self._thread is None:
            self._thread = threading.Thread(target=self._explore, name="strategy", daemon=True)
            self._thread.start()

    def handle_report_metric_data(self, data: dict[str, Any]) -> None:
        """A trial reported a result."""
        if data["type"] == "FINAL":
            self.trials.finish(data["parameter_id"], _metric(data["value"]))

    def handle_trial_end(self, data: dict[str, Any]) -> None:
        """A trial ended; one that reported nothing has failed."""
        if data["event"] != "SUCCEEDED":
            self.trials.finish(json.loads(data["hyper_params"])["parameter_id"], None)

    def _send_trial(self, parameter_id: int, words: dict[str, str]) -> None:
        trial = {
            "parameter_id": parameter_id,
            "parameters": words,
            "parameter_source": "algorithm",
            "parameter_index": 0,
        }
        self.send(CommandType.NewTrialJob, json.dumps(trial))

    def _explore(self) -> None:
        try:
            from trainers.experiment.engine import explore

            explore(self.config_path, self.trials)
            self.send(CommandType.NoMoreTrialJobs, "")
        except BaseException:
            _logger.exception("The strategy failed.")
            self.report_error(traceback.format_exc())


class Trials:
    """What is between a strategy's thread and NNI's: trials wanted, allowed, running and done.

    Args:
        send: Starts a trial, given its number and parameters.
    """

    def __init__(self, send: Callable[[int, dict[str, str]], None]) -> None:
        self._send = send
        self._lock = threading.RLock()
        self._room = 0
        self._waiting: deque[tuple[dict[str, str], Callable[[float | None], None]]] = deque()
        self._running: dict[int, Callable[[float | None], None]] = {}
        self._known: dict[str, float] = {}
        self._expected: dict[str, int] = {}
        self._next_id = 0

    def know(self, words: dict[str, str], metric: float) -> None:
        """Remembers the result of a trial before a resume."""
        self._known[_key(words)] = metric

    def expect(self, parameter_id: int, words: dict[str, str]) -> None:
        """Remembers a trial that NNI runs again after a resume."""
        with self._lock:
            self._expected[_key(words)] = parameter_id
            self._next_id = max(self._next_id, parameter_id + 1)

    def allow(self, count: int) -> None:
        """Room for more trials."""
        with self._lock:
            self._room += count
            self._start()

    def has_room(self) -> bool:
        """Whether a trial would start at once."""
        with self._lock:
            return self._room > len(self._waiting)

    def submit(self, sample: dict[str, Any], done: Callable[[float | None], None]) -> None:
        """Runs a trial, now or when there is room; ``done`` is told its result, ``None`` if it failed."""
        words = in_words(sample)
        with self._lock:
            if (expected := self._expected.pop(_key(words), None)) is not None:
                self._running[expected] = done
                return
            if (known := self._known.pop(_key(words), None)) is None:
                self._waiting.append((words, done))
                self._start()
                return
        done(known)

    def finish(self, parameter_id: int | None, metric: float | None) -> None:
        """A trial's result; the first one counts."""
        with self._lock:
            done = self._running.pop(parameter_id, None) if parameter_id is not None else None
            for key, expected in list(self._expected.items()):
                if expected == parameter_id:  # done before the strategy asked for it
                    del self._expected[key]
                    if metric is not None:
                        self._known[key] = metric
        if done is not None:
            done(metric)

    def _start(self) -> None:
        while self._room and self._waiting:
            words, done = self._waiting.popleft()
            self._room -= 1
            self._running[self._next_id] = done
            self._send(self._next_id, words)
            self._next_id += 1


def _key(words: dict[str, str]) -> str:
    return json.dumps(words, sort_keys=True)


def _metric(value: Any) -> float:
    """A final result comes as a number, as a mapping with ``default``, or as the JSON text of either."""
    while isinstance(value, str):
        value = json.loads(value)
    return float(value["default"] if isinstance(value, dict) else value)
