"""Ready-made training services against NNI's own classes, what is filled in, and what comes back from elsewhere."""

from __future__ import annotations

import json
import sys
from pathlib import Path
from typing import Any

import pytest
import yaml

from jsnas.errors import InputError
from jsnas.genotype import Genotype
from trainers.config_file import load_config
from trainers.experiment.plan import NETWORK, Plan, nni_config, resolved
from trainers.experiment.service import load_service
from trainers.experiment.trials import TrialTable
from trainers.experiment.tunnels import Tunnels

READY = Path(__file__).resolve().parents[3] / "docs" / "training-services"
PLAN = Plan(NETWORK, 3, {"operation 0>1": {"_type": "choice", "_value": ["skip"]}}, {"name": "Random", "classArgs": {}})


def nni_content(tmp_path: Path, content: dict[str, Any] | None) -> dict[str, Any]:
    words = []
    if content is not None:
        (tmp_path / "service.yaml").write_text(yaml.safe_dump(content))
        words = [f"--experiment.training_service={tmp_path / 'service.yaml'}"]
    config = resolved(load_config("sr-x2", words))
    (tmp_path / "run").mkdir(exist_ok=True)
    (tmp_path / "run" / "config.yaml").write_text(config.to_yaml())
    return nni_config(PLAN, config, tmp_path / "run")


def ready(name: str, tmp_path: Path) -> dict[str, Any]:
    content: dict[str, Any] = yaml.safe_load((READY / f"{name}.yaml").read_text())
    (tmp_path / "key").touch()
    for machine in content.get("machine_list", []):
        machine["ssh_key_file"] = str(tmp_path / "key")  # NNI looks whether it is there
    return content


@pytest.mark.parametrize("name", sorted(path.stem for path in READY.glob("*.yaml")))
def test_nni_accepts_the_ready_made_services(tmp_path: Path, name: str) -> None:
    content = ready(name, tmp_path)
    service = nni_content(tmp_path, content)["trainingService"]
    assert service["platform"] == name == content["platform"]
    assert service["trialCommand"].startswith("exec ")
    uploaded = [path.name for path in Path(service["trialCodeDirectory"]).iterdir()]
    assert uploaded == ([] if name == "local" else ["config.yaml"])
    roles = [service.get("master"), *service.get("taskRoles", [])]
    assert all(role["command"] == service["trialCommand"] for role in roles if role)


def test_without_a_file_trials_run_here(tmp_path: Path) -> None:
    service = nni_content(tmp_path, None)["trainingService"]
    assert service["platform"] == "local"
    run = (tmp_path / "run").resolve()
    assert (
        service["trialCommand"] == f"exec {sys.executable} -m trainers.experiment.trial_main --run {run} --kind network"
    )


def test_remote_trials_come_back_through_a_tunnel_unless_an_address_is_given(tmp_path: Path) -> None:
    content = ready("remote", tmp_path)
    service = nni_content(tmp_path, content)["trainingService"]
    assert service["nniManagerIp"] == "127.0.0.1"
    command = "python3 -m trainers.experiment.trial_main --run . --kind network --elsewhere"
    assert service["trialCommand"] == f"exec /opt/jsnas/bin/{command}"
    assert [machine["host"] for machine in load_service(str(tmp_path / "service.yaml")).tunnelled] == [
        "gpu1.example.org",
        "gpu2.example.org",
    ]
    content["machine_list"][1]["python_path"] = "/usr/bin"  # no folder that holds for both
    assert nni_content(tmp_path, content)["trainingService"]["trialCommand"] == f"exec {command}"
    content["nni_manager_ip"] = "192.0.2.1"
    assert nni_content(tmp_path, content)["trainingService"]["nniManagerIp"] == "192.0.2.1"
    assert load_service(str(tmp_path / "service.yaml")).tunnelled == []


@pytest.mark.parametrize(
    ("content", "words"),
    [
        ({"platform": "remot"}, "did you mean 'remote'"),
        ({"machine_list": []}, "names no platform"),
        ({"platform": "remote", "machine_list": [{"host": "a", "user": "b"}]}, "no ssh_key_file"),
        ({"platform": "remote", "machine_list": []}, "at least one machine"),
        ({"platform": "local", "gpus": 3}, "gpus"),
        ({"platform": "local", "trial_gpu_number": -1}, "NNI does not accept"),
    ],
)
def test_what_nni_would_refuse_is_said_before_it_starts(tmp_path: Path, content: dict[str, Any], words: str) -> None:
    with pytest.raises(InputError, match=words):
        nni_content(tmp_path, content)


def test_a_file_that_is_not_there_is_named(tmp_path: Path) -> None:
    with pytest.raises(InputError, match=r"none\.yaml' cannot be read"):
        load_service(str(tmp_path / "none.yaml"))


def test_a_tunnel_that_does_not_open_says_why(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (tmp_path / "ssh").write_text("#!/bin/sh\necho 'Connection refused' >&2; exit 255\n")
    (tmp_path / "ssh").chmod(0o755)
    monkeypatch.setenv("PATH", f"{tmp_path}:/usr/bin:/bin")
    with pytest.raises(InputError, match=r"tunnel to b@a did not open \(Connection refused\)"):
        Tunnels([{"host": "a", "user": "b", "ssh_key_file": "k"}], 8080)


def test_a_tunnel_ends_with_its_input(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (tmp_path / "ssh").write_text(
        f'#!/bin/sh\necho "$@" > {tmp_path}/words\necho tunnel is open; cat; touch {tmp_path}/ended\n'
    )
    (tmp_path / "ssh").chmod(0o755)
    monkeypatch.setenv("PATH", f"{tmp_path}:/usr/bin:/bin")
    tunnels = Tunnels([{"host": "a", "user": "b", "ssh_key_file": "/k", "port": 2222}], 8080)
    assert not (tmp_path / "ended").exists()
    tunnels.close()
    assert (tmp_path / "ended").exists()
    words = (tmp_path / "words").read_text()
    assert "-i /k -p 2222 -R 127.0.0.1:8080:127.0.0.1:8080 b@a" in words


def test_results_of_trials_that_ran_elsewhere_are_those_they_sent(tmp_path: Path) -> None:
    genotype = Genotype.load("jsnet-sr")
    sent = {"default": 31.5, "parameters": 5, "multiply_adds": 7, "genotype": json.dumps(genotype.to_dict())}
    job = {
        "trialJobId": "Ab1",
        "sequenceId": 0,
        "status": "SUCCEEDED",
        "hyperParameters": [json.dumps({"parameters": {"operation 0>1": "skip"}})],
        "finalMetricData": [{"type": "FINAL", "data": json.dumps(json.dumps(sent))}],
    }
    failed = {"trialJobId": "Ab2", "sequenceId": 1, "status": "FAILED"}
    lost = {"trialJobId": "Ab3", "sequenceId": 2, "status": "FAILED"}
    said = {"Ab2": "noise\njsnas: Ab2 has no data\n", "Ab3": "/opt/bin/python3: Error while finding module\n"}
    table = TrialTable(tmp_path / "trials", errors=said.__getitem__)
    lines = table.update([job, failed, lost])
    assert "Error while finding module" in lines[2]
    assert lines[0].startswith("trial 0: 31.50 dB, 5 parameters")
    assert "Ab2 has no data" in lines[1]
    assert table.best_genotype() == genotype
