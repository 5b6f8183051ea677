"""A search of two edges on a toy whose best candidates are known."""

from __future__ import annotations

from collections.abc import Iterator

import pytorch_lightning as pl
import torch
from torch import Tensor, nn
from torch.utils.data import DataLoader, IterableDataset

from jsnas.strategy import PartialChannelDARTS, PartialChannelSettings
from jsnas.strategy.alternating import AlternatingModule
from jsnas.strategy.choices import block_choice
from jsnas.strategy.nni_api import LightningModule, ModelSpace


class Scale(nn.Module):
    """Multiplies by a fixed factor, and has one useless weight so that there is something to train."""

    factor = 0.0

    def __init__(self, channels: int) -> None:
        super().__init__()
        self.weight = nn.Parameter(torch.zeros(1))

    def forward(self, x: Tensor) -> Tensor:
        return self.factor * x + 0.0 * self.weight


class Half(Scale):
    factor = 0.5


class Same(Scale):
    factor = 1.0


class Double(Scale):
    factor = 2.0


class ToySpace(ModelSpace):
    """Two edges in a row; the target is 2 x, so (Double, Same) or its mirror fits and nothing else does."""

    def __init__(self) -> None:
        super().__init__()
        self.bias = nn.Parameter(torch.zeros(1))
        self.first = block_choice("operation", (0, 1), 4, {"times_half": Half, "times_one": Same, "times_two": Double})
        self.second = block_choice("operation", (1, 2), 4, {"times_half": Half, "times_one": Same})

    def forward(self, x: Tensor) -> Tensor:
        return self.second(self.first(x)) + self.bias


class Toy(LightningModule):
    def training_step(self, batch: Tensor, batch_idx: int) -> Tensor:
        return (self.model(batch) - 2 * batch).square().mean()

    def configure_optimizers(self) -> torch.optim.Optimizer:
        return torch.optim.SGD(self.parameters(), lr=1e-3)


class Batches(IterableDataset[Tensor]):
    def __init__(self, seed: int) -> None:
        self.seed = seed
        self.drawn = 0

    def __iter__(self) -> Iterator[Tensor]:
        generator = torch.Generator().manual_seed(self.seed)
        while True:
            self.drawn += 1
            yield torch.randn(2, 4, 2, 2, generator=generator)


def run_toy(seed: int, steps: int = 60, **settings: object) -> tuple[AlternatingModule, Batches]:
    values = {"partial": 1, "weight_warmup_iters": 5, "learning_rate": 0.05, "weight_decay": 0.0, "seed": seed}
    strategy = PartialChannelDARTS(PartialChannelSettings(**{**values, **settings}))
    space = strategy.mutate_model(ToySpace())
    inner = Toy()
    inner.set_model(space)
    module = strategy.configure_oneshot_module(inner)
    architecture = Batches(seed + 1000)
    loader = strategy.train_dataloader(
        lambda: DataLoader(Batches(seed), batch_size=None), lambda: DataLoader(architecture, batch_size=None)
    )
    trainer = pl.Trainer(
        max_epochs=1,
        limit_train_batches=steps,
        accelerator="cpu",
        logger=False,
        enable_checkpointing=False,
        enable_progress_bar=False,
        enable_model_summary=False,
    )
    trainer.fit(module, loader)
    return module, architecture
