"""What happens beside the steps of a one-shot search: progress, metrics, validation, the guard, resumable states."""

from __future__ import annotations

import math
from typing import Any

import pytorch_lightning as pl
import torch

from jsnas.genotype import Genotype
from jsnas.sample import genotype_from_sample
from jsnas.strategy.alternating import AlternatingModule
from jsnas.strategy.search_module import SearchModule
from trainers.config import Config
from trainers.gallery import confidence_of, module_picture, probability_picture
from trainers.guard import CollapseGuard, entropies, skip_shares
from trainers.interrupt import StopRequest
from trainers.loss_meter import LossMeter, resuming_advice
from trainers.progress import Progress
from trainers.ranks import Ranks
from trainers.run_folder import RunFolder
from trainers.state import random_states, restore_random_states, save_state
from trainers.streams import Data
from trainers.validate import validation_psnr


class SearchJournal(pl.Callback):
    """Lightning callback of the search recipe.

    A one-shot module that is no ``SearchModule`` (a strategy named by its path) is followed too, without states.

    Args:
        run: Where everything is written.
        data: The images, for validation.
        config: Settings.
        state: A state to carry on from, or ``None``.
        ranks: The processes of the search.

    Attributes:
        sample: What the search ended with, or ``None`` while it runs.
        psnr_db: Of the last validation.
        losses: The losses since the last line.
    """

    def __init__(
        self, run: RunFolder, data: Data, config: Config, state: dict[str, Any] | None, ranks: Ranks | None = None
    ) -> None:
        self.ranks = ranks or Ranks()
        self.run, self.data, self.config, self.state = run, data, config, state
        self.psnr_db = math.nan
        self.sample: dict[str, Any] | None = None
        s = config.search
        self.guard = CollapseGuard(s.guard, s.guard_skip_share, s.guard_skip_weight, s.weight_warmup_iters)
        self._progress: Progress | None = None
        self._stop, self._stopping = StopRequest(), False
        self._shown: dict[str, float | str] = {}  # beside the progress
        self._derived: str | None = None
        self._changes = 0  # of the derived genotype, since this process began

    @property
    def interrupted(self) -> bool:
        """Whether the search was stopped from outside before its end."""
        return self._stopping and self.sample is None

    def start(self, device: torch.device) -> None:
        """Gets ready to add up losses, which are on ``device``."""
        self.losses = LossMeter(device, resuming_advice("search.learning_rate"), self.ranks)

    def on_train_start(self, trainer: pl.Trainer, pl_module: Any) -> None:
        """Puts a saved state back and opens the progress line."""
        self._stop.__enter__()
        self.ranks.connect()
        first = int(self.state["iteration"]) if self.state is not None else 0
        self.ranks.check_start(self.data.images.sha256(), self.run.path, first)
        done = 0
        self.start(trainer.strategy.root_device)
        if self.state is not None:
            self.restore(pl_module, self.state)
            pl_module.weight_optimizer().load_state_dict(self.state["weight_optimizer"])
            for group in pl_module.weight_optimizer().param_groups:
                group["lr"] = self.config.search.learning_rate  # which may be lowered after a loss that diverged
            restore_random_states(self.state["random"])
            done = pl_module.iteration
        self.run.rewind(done)
        self._progress = Progress("search", self.config.search.total_iter, done=done, shown=self.ranks.first)

    def on_train_batch_end(self, trainer: pl.Trainer, pl_module: Any, outputs: Any, batch: Any, batch_idx: int) -> None:
        """Adds up the loss; validates, writes and saves when it is time."""
        ours = isinstance(pl_module, SearchModule)
        iteration, total = pl_module.iteration if ours else batch_idx + 1, self.config.search.total_iter
        self.losses.add(outputs["loss"])
        self._stopping = self.ranks.any(self._stop.requested)
        last = iteration == total
        validates = last or (self.config.val.val_freq > 0 and iteration % self.config.val.val_freq == 0)
        if validates:
            self.check(pl_module, iteration)
        if ours and last:
            pl_module.finish(lambda: self.validate(pl_module), self._log_candidate)
        if validates:
            if ours:
                pl_module.choose_validation_path()
            self.psnr_db = self.validate(pl_module)
        if validates or iteration % self.config.logger.print_freq == 0:
            last = self.write(pl_module, iteration, validates) or last
        if last:  # before the last state, so that a search that counts as done has its genotype
            if self.sample is None:
                self.sample = pl_module.export()
            self.run.write_text("genotype.json", self.genotype(self.sample, with_scale=True).to_json())
        saves = last or self._stopping or iteration % self.config.logger.save_checkpoint_freq == 0
        if ours and pl_module.resumable and saves:
            self.check(pl_module, iteration)
            self._save(pl_module, iteration)
        trainer.should_stop = last or self._stopping
        if self._progress is not None:
            if not math.isnan(self.psnr_db):
                self._shown["psnr_db"] = self.psnr_db
            self._progress.update(iteration, self._shown)

    def on_fit_end(self, trainer: pl.Trainer, pl_module: Any) -> None:
        """Gives the signals back."""
        self._stop.__exit__(None, None, None)

    def on_exception(self, trainer: pl.Trainer, pl_module: Any, exception: BaseException) -> None:
        """Gives the signals back."""
        self._stop.__exit__(None, None, None)

    def check(self, module: Any, iteration: int) -> None:
        """Raises an InputError where the loss or a weight is no number."""
        self.losses.check(iteration, module.training_module.model.state_dict().values())

    def validate(self, module: Any) -> float:
        """PSNR in dB of the supernet as it stands."""
        return validation_psnr(module.training_module.model, self.data, self.config, module.device, ranks=self.ranks)

    def genotype(self, sample: dict[str, Any], with_scale: bool = False) -> Genotype:
        """What a sample names, with the scale where it is to be kept."""
        return genotype_from_sample(sample, self.config.task, self.config.genotype_scale if with_scale else None)

    def _log_candidate(self, sample: dict[str, Any], psnr_db: float) -> None:
        words = " ".join(self.genotype(sample).names)
        metrics: dict[str, float | str] = {"phase": "candidate", "candidate_psnr_db": psnr_db, "genotype": words}
        self.run.log(self.config.search.total_iter, metrics)

    def write(self, module: Any, iteration: int, validated: bool) -> bool:
        """Adds a line to the metrics; whether the guard ends the search."""
        loss = self.losses.read(iteration)
        self._shown["loss"] = loss
        phase = "search" if iteration > self.config.search.weight_warmup_iters else "warm-up"
        metrics: dict[str, float | str] = {"phase": phase, "loss": loss}
        if isinstance(module, SearchModule):
            metrics["learning_rate"] = float(module.weight_optimizer().param_groups[0]["lr"])
        if isinstance(module, AlternatingModule):
            metrics["architecture_learning_rate"] = float(module.architecture_optimizer().param_groups[0]["lr"])
        architecture_loss = getattr(module, "architecture_loss", None)
        if architecture_loss is not None:
            metrics["architecture_loss"] = float(self.ranks.mean(architecture_loss))
        if validated:
            metrics["psnr_db"] = self.psnr_db
        if isinstance(module, AlternatingModule):
            self.ranks.check_equal("architecture parameters", module.arch_parameters())
        probabilities = module.export_probs()
        for label, weights in probabilities.items():
            for name, probability in weights.items():
                metrics[f"probability/{label}/{name}"] = probability
        stops = False
        if getattr(module, "derives", True):
            genotype = self.genotype(module.export())
            metrics["genotype"] = words = " ".join(genotype.names)
            self._changes += self._derived not in (None, words)
            self._derived = words
            self._shown["genotype_changes"] = self._changes
            metrics |= {f"skip_share/{part}": share for part, share in skip_shares(genotype).items()}
            metrics |= {f"entropy/{part}": value for part, value in entropies(probabilities).items()}
            if validated and probabilities and self.run.wants_tensorboard:
                self._show(genotype, probabilities, iteration)
            if isinstance(module, AlternatingModule):
                self.sample = self.guard.check(module, genotype, probabilities, iteration)
                stops = self.sample is not None
                metrics |= {"rollbacks": float(self.guard.rollbacks)} if self.guard.rollbacks else {}
        self.run.log(iteration, metrics)
        return stops

    def _show(self, genotype: Genotype, probabilities: dict[str, dict[str, float]], iteration: int) -> None:
        self.run.show("probabilities", iteration, probability_picture(probabilities))
        picture = module_picture(genotype, confidence_of(genotype, probabilities))
        if picture is not None:
            self.run.show("module", iteration, picture)

    def _save(self, module: Any, iteration: int) -> None:
        content = self.state_of(module)
        self.ranks.check_equal("weights", list(content["network"].values()))
        if not self.ranks.first:
            return
        content |= {"weight_optimizer": module.weight_optimizer().state_dict(), "random": random_states()}
        save_state(self.run.path / "states", iteration, content)

    def state_of(self, module: Any) -> dict[str, Any]:
        """What this search needs to be carried on, but for the optimizer of the weights and the random generators."""
        return {
            "network": module.training_module.model.state_dict(),
            "search": module.search_state(),
            "guard": self.guard.state(),
            "stopped": self.guard.stopped is not None,
            **self.losses.state(),
        }

    def restore(self, module: Any, state: dict[str, Any]) -> None:
        """Puts back what ``state_of`` gave."""
        module.training_module.model.load_state_dict(state["network"])
        module.load_search_state(state["search"])
        self.guard.load_state(state["guard"])
        self.losses.load_state(state)
