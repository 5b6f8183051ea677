"""A search under NNI's web page, from a config to the best genotype among its trials.

Read from top to bottom: plan the trials, start NNI's manager, say where its page is, tell what the trials found,
keep the best.
"""

from __future__ import annotations

import dataclasses
import functools
import json
import re
import signal
import sqlite3
import sys
import time
from collections.abc import Iterator
from contextlib import closing, contextmanager
from pathlib import Path
from typing import Any, NoReturn

from jsnas.errors import InputError
from jsnas.genotype import Genotype
from jsnas.sample import sample_from_genotype
from trainers.budget import Budget, budget_sentence, make_budget
from trainers.config import Config
from trainers.config_file import load_config
from trainers.experiment.plan import NETWORK, Plan, make_plan, nni_config, resolved
from trainers.experiment.portal import EVERYWHERE_WARNING, Portal
from trainers.experiment.service import load_service
from trainers.experiment.trials import TrialTable
from trainers.experiment.tunnels import Tunnels
from trainers.run_folder import RunFolder

_POLL_SECONDS = 1.0


@dataclasses.dataclass(frozen=True)
class Page:
    """How the page is shown.

    Attributes:
        port: Port on this machine, or ``None`` for the config's.
        everywhere: Whether it listens on every address instead of loopback alone.
        browser: Whether to open it where there are a browser and a terminal.
        keep_open: Whether it stays open when all trials are done; ``None``: in a terminal.
    """

    port: int | None = None
    everywhere: bool = False
    browser: bool = True
    keep_open: bool | None = None


def experiment(config: Config, out: Path, page: Page, resume: bool = False, plan: Plan | None = None) -> dict[str, Any]:
    """Runs the trials, and leaves the best genotype and everything of NNI's in a run folder.

    Args:
        config: Settings; the data must be named.
        out: The run folder: ``config.yaml``, ``experiment.json``, ``genotype.json`` of the best trial, ``trials/``
            (a run folder each), ``nni/`` (NNI's own files, for this user alone) and, where there is a budget,
            ``budget.json``.
        page: How the page is shown.
        resume: Whether to carry on the experiment in the folder, with ``config`` as it was saved there.
        plan: What to run; by default what the config's strategy asks for.

    Returns:
        What ``experiment.json`` holds: NNI's ``id`` and the ``trials``, the best first.

    Raises:
        InputError: If a setting, the data, the folder or the port cannot be used, or NNI gives up.
        KeyboardInterrupt: After Ctrl-C or SIGTERM; everything is stopped by then.
    """
    if not resume:  # a strategy that carries on plans by the numbers it began with
        config = resolved(config)
    identity = _identity(out) if resume else f"jsnas{time.time_ns():x}"
    plan = plan or make_plan(config, out)
    portal = Portal(out / "nni", identity, _port(config, page), page.everywhere)
    run = RunFolder(out, config, "experiment", resume)
    if not resume:
        run.write_json("experiment.json", {"id": identity, "trials": []})
    budget = make_budget(config) if plan.kind == NETWORK else None  # a search keeps its own
    penalty = None if budget is None else functools.partial(_penalty, budget)
    table = TrialTable(out / "trials", penalty, portal.trial_errors)
    tunnels: Tunnels | None = None
    with _sigterm_as_ctrl_c():
        try:
            content = nni_config(plan, config, out)
            if resume:
                _save_nni_config(out, identity, content)
            tunnels = Tunnels(load_service(config.experiment.training_service).tunnelled, portal.port)
            portal.start("resume" if resume else "create", content)
            _show(portal, page)
            while not _finished(portal):
                for line in table.update(portal.poll("/trial-jobs")):
                    print(line, flush=True)
                time.sleep(_POLL_SECONDS)
            for line in table.update(portal.poll("/trial-jobs")):
                print(line, flush=True)
            _summarise(run, identity, table)
            if budget is not None and (best := table.best_genotype()) is not None:
                report = budget.report(best)
                run.write_json("budget.json", report)
                print(budget_sentence(report), file=sys.stderr)
            _linger(portal, page)
        except KeyboardInterrupt:
            print(f"Stopping the trials; `jsnas experiment --resume {out}` carries on.", file=sys.stderr)
            raise
        finally:
            portal.stop()
            if tunnels is not None:
                tunnels.close()
            summary = _summarise(run, identity, table)
            run.close()
    return summary


def view(out: Path, page: Page) -> None:
    """Shows a stopped experiment on NNI's page until Ctrl-C; nothing is run or changed.

    NNI loads what the folder's database says, so open only folders that you made yourself.

    Args:
        out: The run folder of an experiment.
        page: How the page is shown.

    Raises:
        InputError: If there is no experiment, or the port cannot be used.
    """
    identity, config = _identity(out), load_config(out / "config.yaml")
    portal = Portal(out / "nni", identity, _port(config, page), page.everywhere)
    run = RunFolder(out, config, "experiment", resume=True)  # nobody else works in it meanwhile
    with _sigterm_as_ctrl_c():
        try:
            portal.start("view", {})
            _show(portal, page)
            _wait_for_ctrl_c()
        finally:
            portal.stop()
            run.close()


def _penalty(budget: Budget, genotype: Genotype) -> float:
    """What a budget takes from the PSNR of a trial's genotype."""
    return budget.sample_penalty(sample_from_genotype(genotype))


def saved_config(out: Path, max_trials: int | None) -> Config:
    """The config of an experiment to carry on, with another number of trials if one is given.

    Raises:
        InputError: If there is no experiment in the folder.
    """
    _identity(out)
    config = load_config(out / "config.yaml")
    if max_trials is None:
        return config
    return dataclasses.replace(config, experiment=dataclasses.replace(config.experiment, max_trials=max_trials))


def _identity(out: Path) -> str:
    try:
        identity = json.loads((out / "experiment.json").read_text(encoding="utf-8"))["id"]
    except (OSError, ValueError, KeyError, TypeError) as error:
        raise InputError(f"'{out}' holds no experiment; give the --out folder of a `jsnas experiment`.") from error
    if not isinstance(identity, str) or not identity.isalnum() or not (out / "nni" / identity / "db").is_dir():
        raise InputError(f"The experiment in '{out}' has no files of NNI's; start it anew in another folder.")
    return identity


def _port(config: Config, page: Page) -> int:
    return config.experiment.port if page.port is None else page.port


def _show(portal: Portal, page: Page) -> None:
    if page.everywhere:
        print(f"Warning: {EVERYWHERE_WARNING}", file=sys.stderr)
    print(f"Web page: {portal.url} (secret: the URL is the password; Ctrl-C stops)", flush=True)
    if page.browser and sys.stdout.isatty():
        portal.open_in_browser()


def _save_nni_config(out: Path, identity: str, content: dict[str, Any]) -> None:
    """NNI resumes with the settings in its database, so a new limit, or the folder's new place, has to go there."""
    with closing(sqlite3.connect(out / "nni" / identity / "db" / "nni.sqlite")) as database, database:
        database.execute("update ExperimentProfile set params = ? where id = ?", (json.dumps(content), identity))


def _finished(portal: Portal) -> bool:
    status = portal.status()
    if status == "ERROR":
        log = portal.folder / portal.experiment_id / "log" / "dispatcher.log"
        said = portal.poll("/check-status").get("errors") or ["it gave no reason"]
        raise InputError(f"NNI's tuner failed: {_last_line(log) or said[-1]}; see '{log}'.")
    if status == "TUNER_NO_MORE_TRIAL":  # NNI never calls this done, though nothing follows
        jobs = portal.poll("/trial-jobs")
        return all(job["status"] not in ("WAITING", "RUNNING", "UNKNOWN") for job in jobs)
    return status in ("DONE", "STOPPED")


def _summarise(run: RunFolder, identity: str, table: TrialTable) -> dict[str, Any]:
    summary = {"id": identity, "trials": table.ranked()}
    run.write_json("experiment.json", summary)
    if (best := table.best_genotype()) is not None:
        run.write_text("genotype.json", best.to_json())
    return summary


def _linger(portal: Portal, page: Page) -> None:
    stays = sys.stdout.isatty() if page.keep_open is None else page.keep_open
    if stays:
        print(f"All trials are done. The page stays open until Ctrl-C: {portal.url}", flush=True)
        _wait_for_ctrl_c()


def _wait_for_ctrl_c() -> None:
    try:
        while True:
            time.sleep(3600)
    except KeyboardInterrupt:
        return


def _last_line(path: Path) -> str:
    """The error that a log ends in, or nothing."""
    try:
        lines = path.read_text(encoding="utf-8", errors="replace").splitlines()
    except OSError:
        return ""
    last = next((line.strip() for line in reversed(lines) if line.strip()), "")
    return last if re.match(r"[\w.]*(Error|Exception)\b", last) else ""


@contextmanager
def _sigterm_as_ctrl_c() -> Iterator[None]:
    def interrupt(number: int, frame: object) -> NoReturn:
        raise KeyboardInterrupt

    before = signal.signal(signal.SIGTERM, interrupt)
    try:
        yield
    finally:
        signal.signal(signal.SIGTERM, before)
