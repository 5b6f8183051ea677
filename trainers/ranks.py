"""The processes of one run on several devices: who this one is, and what they tell each other beside the gradients.

What is exchanged here goes through the CPU (gloo), whatever carries the gradients, so that a stop, a score or a check
never waits for a GPU and the loss of a process shows at once.
"""

from __future__ import annotations

import hashlib
import os
import sys
import warnings
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import torch
from lightning_fabric import seed_everything
from lightning_fabric.plugins.environments.slurm import SLURMEnvironment
from lightning_fabric.plugins.environments.torchelastic import TorchElasticEnvironment
from torch import Tensor
from torch import distributed as dist

from jsnas.errors import InputError
from trainers.config import Config

_DIGEST_BYTES = 32


@dataclass
class Ranks:
    """One process among those of its run; alone, every method is trivial.

    Attributes:
        rank: Number of this process, from 0; 0 is the only one that writes.
        count: Processes in all.
    """

    rank: int = 0
    count: int = 1
    _group: Any = None

    @classmethod
    def of(cls, config: Config) -> Ranks:
        """The place of this process in a run of ``config``, as its launcher (torchrun, SLURM or ours) has set it.

        Raises:
            InputError: If the batch, the device or the launcher does not fit the number of devices.
        """
        count = config.devices * config.num_nodes
        if count == 1:
            return cls()
        check_devices(config)
        environment = launcher_environment()
        if environment is None:
            raise RuntimeError("a run on several devices starts through trainers.launch")
        launched = environment.world_size()
        if launched != count:
            raise InputError(
                f"{launched} processes were started, but --devices {config.devices} and --num-nodes "
                f"{config.num_nodes} make {count}; give torchrun or SLURM the same numbers."
            )
        return cls(environment.global_rank(), count)

    @property
    def first(self) -> bool:
        """Whether this is the process that writes."""
        return self.rank == 0

    def silence_others(self) -> None:
        """Turns standard output and warnings off in all processes but the first; errors are still said."""
        if not self.first:  # for the rest of the process
            sys.stdout = Path(os.devnull).open("w", encoding="utf-8")  # noqa: SIM115
            warnings.simplefilter("ignore")
        if self.count > 1:  # torch's advice on layouts, of use to nobody here
            warnings.filterwarnings("ignore", message="Grad strides do not match")

    def seed(self, seed: int) -> None:
        """Seeds python, numpy and torch alike in all processes."""
        seed_everything(seed, verbose=False)
        if self.count > 1:  # else Lightning seeds again when it connects the processes, which one process never does
            del os.environ["PL_GLOBAL_SEED"]

    def connect(self) -> None:
        """Opens the channel; called once in every process when torch's process group is there."""
        if self.count > 1 and self._group is None:
            self._group = dist.new_group(backend="gloo")

    def any(self, flag: bool) -> bool:
        """Whether the flag is set in any process."""
        return self.sum([float(flag)])[0] > 0 if self.count > 1 else flag

    def sum(self, values: Sequence[float]) -> list[float]:
        """Sums over the processes, in double precision."""
        if self.count == 1:
            return list(values)
        total = torch.tensor(list(values), dtype=torch.float64)
        dist.all_reduce(total, group=self._group)
        summed: list[float] = total.tolist()
        return summed

    def mean(self, value: Tensor) -> Tensor:
        """The mean over the processes of a tensor of one number; the tensor itself in a run of one process."""
        if self.count == 1:
            return value
        return torch.full_like(value, self.sum([value.item()])[0] / self.count)

    def check_start(self, data_sha256: str, folder: Path, first: int) -> None:
        """Makes sure that all processes start from the same.

        Args:
            data_sha256: Hash of the images.
            folder: The run folder, where the first process has written by now.
            first: Iterations done before.

        Raises:
            InputError: If they do not.
        """
        self.check_equal("data, run folder or state", [data_sha256, (folder / "config.yaml").exists(), first])

    def check_equal(self, what: str, parts: Sequence[Tensor | str | int]) -> None:
        """Makes sure that all processes hold the same, bit for bit.

        Args:
            what: What it is called in the error.
            parts: Tensors, texts and numbers.

        Raises:
            InputError: If a process holds something else than the first one; every process raises it.
        """
        if self.count == 1:
            return
        digest = hashlib.sha256()
        for part in parts:
            data = part.detach().cpu().contiguous().view(-1) if isinstance(part, Tensor) else None
            digest.update(str(part).encode() if data is None else data.view(torch.uint8).numpy().tobytes())
        own = torch.frombuffer(bytearray(digest.digest()), dtype=torch.uint8)
        found = [torch.empty(_DIGEST_BYTES, dtype=torch.uint8) for _ in range(self.count)]
        dist.all_gather(found, own, group=self._group)
        other = next((rank for rank, theirs in enumerate(found) if not torch.equal(theirs, found[0])), None)
        if other is not None:
            raise InputError(
                f"Process {other} has other {what} than process 0; give all machines the same data, run folder, "
                "versions and kind of device, and carry on with --resume from the last state."
            )


def check_devices(config: Config) -> None:
    """Says before anything starts whether a run can be spread as its config asks.

    Raises:
        InputError: If the batch cannot be shared out evenly, or there are too few devices.
    """
    count = config.devices * config.num_nodes
    if config.datasets.batch_size % count:
        raise InputError(
            f"A batch of {config.datasets.batch_size} cannot be shared out evenly among {count} devices; make "
            "datasets.batch_size, which counts the patches of all devices together, a multiple of it."
        )
    if config.device.startswith("cuda:"):
        raise InputError(
            f"Device '{config.device}' is one GPU, but {config.devices} were asked for; give --device cuda, and choose "
            "among the GPUs by CUDA_VISIBLE_DEVICES."
        )
    gpus = torch.cuda.device_count()
    if (config.device == "cuda" or (config.device == "auto" and gpus)) and gpus < config.devices:
        raise InputError(f"{config.devices} GPUs were asked for with --devices, but this machine has {gpus} usable.")


def launcher_environment() -> TorchElasticEnvironment | SLURMEnvironment | None:
    """What started this process as one of several; ``None`` where nothing did.

    Raises:
        InputError: If SLURM did, in a way that Lightning cannot use.
    """
    if TorchElasticEnvironment.detect():
        return TorchElasticEnvironment()
    if not SLURMEnvironment.detect():
        return None
    try:
        return SLURMEnvironment()
    except RuntimeError as error:  # Lightning looks whether SLURM was asked for tasks as it needs them
        raise InputError(f"SLURM's settings do not fit: {' '.join(str(error).split())}") from error
