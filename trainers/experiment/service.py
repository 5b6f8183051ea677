"""Where an experiment's trials run: NNI's training service, from a YAML file in NNI's own words.

On this machine (no file) trials find the run folder. Elsewhere they get its ``config.yaml`` by NNI's upload, keep their
files where they run, and send PSNR, cost and genotype back through NNI; ``docs/many-machines.md`` says what they need.
"""

from __future__ import annotations

import shlex
import shutil
import sys
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import yaml

from jsnas.errors import InputError, unknown_name

PLATFORMS = ("local", "remote", "kubeflow", "frameworkcontroller")
_ROLES = ("worker", "ps", "master")


@dataclass(frozen=True)
class Service:
    """A training service.

    Attributes:
        content: NNI's section ``training_service``.
    """

    content: Mapping[str, Any]

    @property
    def elsewhere(self) -> bool:
        """Whether trials run on other machines."""
        return bool(self.content["platform"] != "local")

    @property
    def tunnelled(self) -> list[Mapping[str, Any]]:
        """The machines that reach NNI's manager by an SSH tunnel: remote ones, unless the file names its address."""
        if self.content["platform"] != "remote" or self.content.get("nni_manager_ip"):
            return []
        return list(self.content["machine_list"])

    def trial_command(self, run: Path, kind: str) -> str:
        """The command of a trial: by ``exec``, so that a signal reaches the trial, not a shell."""
        words = [sys.executable, "-m", "trainers.experiment.trial_main", "--run", str(run), "--kind", kind]
        if self.elsewhere:
            words = [
                self._python(),
                "-m",
                "trainers.experiment.trial_main",
                "--run",
                ".",
                "--kind",
                kind,
                "--elsewhere",
            ]
        return "exec " + " ".join(map(shlex.quote, words))

    def _python(self) -> str:
        """The Python of the trials: in the folder that all machines name, else the first in their path.

        NNI puts that folder in front of the path, but a shell that SSH started may read a profile that undoes it.
        """
        folders = {machine.get("python_path") for machine in self.content.get("machine_list", [])}
        folder = folders.pop() if len(folders) == 1 else None
        return f"{str(folder).rstrip('/')}/python3" if folder else "python3"

    def code_folder(self, run: Path) -> Path:
        """The folder that NNI registers as the trials' own; what is in it is uploaded to other machines."""
        folder = run / "nni" / "start"
        folder.mkdir(parents=True, exist_ok=True)
        if self.elsewhere and (run / "config.yaml").is_file():
            shutil.copy(run / "config.yaml", folder)
        return folder

    def section(self, command: str, folder: Path) -> dict[str, Any]:
        """NNI's section, with what is ours filled in: command, folder, and the manager's end of the tunnels."""
        section = dict(self.content)
        if self.tunnelled:
            section["nni_manager_ip"] = "127.0.0.1"
        roles = [section[name] for name in _ROLES if name in section] + list(section.get("task_roles", []))
        filled = [{"command": command, **role} for role in roles]
        if section["platform"] == "kubeflow":
            filled = [{"code_directory": str(folder), **role} for role in filled]
        for name in _ROLES:
            if name in section:
                section[name] = filled.pop(0)
        if "task_roles" in section:
            section["task_roles"] = filled
        return section


def load_service(source: str | None) -> Service:
    """Reads a training service.

    Args:
        source: A YAML file that holds NNI's section ``training_service``, or ``None`` for this machine.

    Raises:
        InputError: If the file cannot be read, or names no platform that jsnas knows.
    """
    if source is None:
        return Service({"platform": "local"})
    try:
        content = yaml.safe_load(Path(source).read_text(encoding="utf-8"))
    except (OSError, ValueError, yaml.YAMLError) as error:
        reason = " ".join(str(error).split())
        raise InputError(f"The training service '{source}' cannot be read ({reason}); give a YAML file.") from error
    if isinstance(content, dict) and set(content) == {"training_service"}:
        content = content["training_service"]
    if not isinstance(content, dict) or "platform" not in content:
        raise InputError(
            f"'{source}' names no platform; give NNI's section training_service, such as those in "
            "docs/training-services."
        )
    if content["platform"] not in PLATFORMS:
        raise unknown_name("training service", content["platform"], PLATFORMS)
    machines = content.get("machine_list") or []
    if content["platform"] == "remote" and not content.get("nni_manager_ip"):
        for machine in machines:
            if not isinstance(machine, dict) or "ssh_key_file" not in machine:
                raise InputError(
                    f"A machine in '{source}' has no ssh_key_file, which the tunnel to this machine needs; give one, "
                    "or the address that machines reach this one by as nni_manager_ip, with --listen-everywhere."
                )
    return Service(content)


def nni_service(service: Service, command: str, folder: Path) -> Any:
    """NNI's own config object of a service.

    Raises:
        InputError: If NNI does not accept it.
    """
    from nni.experiment.config.utils import load_training_service_config

    section = service.section(command, folder)
    try:
        return load_training_service_config(section)
    except (AttributeError, KeyError, TypeError, ValueError) as error:
        raise InputError(f"NNI does not accept the training service: {' '.join(str(error).split())}.") from error
