"""What all tasks share: one scaled loss, metrics from sums, the optimizer, the gradient's norm."""

from abc import abstractmethod
from collections.abc import Callable, Mapping
from typing import Any, Literal

import torch
from lightning.pytorch import LightningModule
from lightning.pytorch.utilities.types import OptimizerLRSchedulerConfig
from torch import Tensor
from torch.nn.utils import clip_grad_norm_, get_total_norm
from torch.optim import Optimizer

from lit_transformer.config.schema import ExperimentConfig, TextModelConfig
from lit_transformer.config.show import to_plain
from lit_transformer.models.base import TextNetwork
from lit_transformer.models.for_task import build_network
from lit_transformer.models.frozen import freeze
from lit_transformer.nn.recompute import recompute_blocks
from lit_transformer.optim import build_optimizer, build_schedule
from lit_transformer.tasks.facts import Facts
from lit_transformer.tasks.sums import Sums

Batch = dict[str, Tensor]


class Task(LightningModule):
    """A network, its loss and its metrics.

    A subclass gives `training_sums`, `evaluation_sums` and `metrics`; nothing else of the loop is copied per task.
    """

    monitor = "val/loss"
    """The metric that chooses the best checkpoint and stops early."""
    monitor_mode: Literal["min", "max"] = "min"
    """Whether less or more of it is better."""

    def __init__(self, config: ExperimentConfig, *, facts: Facts | None = None, total_steps: int = 1) -> None:
        super().__init__()
        self.config, self.facts = config, facts or Facts()
        self.total_steps = total_steps
        self.network = build_network(config)
        if isinstance(config.model, TextModelConfig) and config.model.frozen_layers:
            assert isinstance(self.network, TextNetwork)
            freeze(self.network, config.model.frozen_layers)
        if config.trainer.activation_checkpointing:
            recompute_blocks(self.network)
        self.train_sums = Sums()
        self._window = Sums()  # of the step in hand, which may yet be left out
        self.evaluation = Sums()
        self.measured: dict[str, float] = {}
        """The newest validation or test metrics, by full name."""
        self.gradient_norm: Tensor | None = None
        """Norm of the newest step's gradient, before clipping."""
        self.used_lr = 0.0
        """Learning rate of the newest step; the optimizer already holds the next step's."""
        self.accepts: Callable[[Tensor, Tensor], bool] = lambda norm, loss: True
        """Whether to take a step with this norm of the gradient and this rank's loss; the training's guard."""
        self.told: Callable[[list[int], list[dict[str, Any]]], None] | None = None
        """Is given places in a batch that is evaluated, and of each what was predicted and its part in each metric.

        A prediction has `statistics` (name of a metric -> numbers that add up over rows) and what a person reads. None:
        predictions are not kept, which spares the time to make them.
        """
        self._training_sums: Callable[[Batch], dict[str, Tensor]] = self.training_sums

    def forward(self, *inputs: Tensor, **how: Any) -> Tensor:
        """The network's logits, at every position."""
        return self.network(*inputs, **how)

    @property
    def plain_config(self) -> dict[str, object]:
        """The configuration as nested plain values."""
        return to_plain(self.config)

    @abstractmethod
    def training_sums(self, batch: Batch) -> dict[str, Tensor]:
        """Scalar sums of a training batch; `loss` is the one to minimise, `count` its number of targets."""

    @abstractmethod
    def evaluation_sums(self, batch: Batch, split: str) -> dict[str, Tensor]:
        """Scalar sums of a batch of the split `val` or `test`."""

    @abstractmethod
    def metrics(self, sums: dict[str, float], split: str) -> dict[str, float]:
        """Metrics of a split, by their names without the split, from sums over all its batches and ranks."""

    def configure_model(self) -> None:
        """Compile the training step's sums, loss included, so that the logits need not be kept whole."""
        if self.config.trainer.compile:
            self._training_sums = torch.compile(self.training_sums)

    def training_step(self, batch: Batch, batch_index: int) -> Tensor:
        """The loss, scaled so that the window's gradient is that of sum / count over all ranks and micro-batches.

        DDP averages gradients over ranks and Lightning over micro-batches; the factor undoes both, and one division
        by the whole window's count stands in their place (token-weighted losses are wrong otherwise).
        """
        sums = self._training_sums(inputs_of(batch))
        self._window.add(sums)
        parts = self.trainer.world_size * self.config.trainer.accumulate
        return sums["loss"] * (parts / batch["window_count"].clamp(min=1))

    def validation_step(self, batch: Batch, batch_index: int, dataloader_idx: int = 0) -> None:
        self.evaluate(batch, "val", probe=dataloader_idx > 0)

    def test_step(self, batch: Batch, batch_index: int) -> None:
        self.evaluate(batch, "test")

    def evaluate(self, batch: Batch, split: str, *, probe: bool = False) -> None:
        """Add a batch of a split to what is measured; those of the cloze probe under names of their own."""
        sums = self.evaluation_sums(inputs_of(batch), split)
        self.evaluation.add({f"cloze_{name}": value for name, value in sums.items()} if probe else sums)

    def improves(self, best: Mapping[str, float]) -> bool:
        """Whether the newest validation is better than these metrics."""
        value, known = self.measured[self.monitor], best[self.monitor]
        return value < known if self.monitor_mode == "min" else value > known

    def on_validation_epoch_end(self) -> None:
        self._measure("val")

    def on_test_epoch_end(self) -> None:
        self._measure("test")

    def take_train_metrics(self) -> dict[str, float]:
        """Training metrics since the last call, over all ranks; every rank must call this at the same step."""
        sums = self.train_sums.take()
        return {f"train/{name}": value for name, value in self.metrics(sums, "train").items()} if sums else {}

    def configure_optimizers(self) -> OptimizerLRSchedulerConfig:
        # A fused step unscales gradients by itself, after clipping: wrong norms under 16-mixed.
        fused = False if self.config.trainer.precision == "16-mixed" else None
        optimizer = build_optimizer(self.network.named_parameters(), self.config.optimizer, fused=fused)
        schedule = build_schedule(optimizer, self.config.schedule, self.total_steps)
        return {"optimizer": optimizer, "lr_scheduler": {"scheduler": schedule, "interval": "step"}}

    def configure_gradient_clipping(
        self,
        optimizer: Optimizer,
        gradient_clip_val: float | None = None,
        gradient_clip_algorithm: str | None = None,
    ) -> None:
        """Clip by norm, keep the norm, which Lightning's own clipping throws away, and drop a step not accepted."""
        self.used_lr = float(optimizer.param_groups[0]["lr"])
        limit = self.config.trainer.gradient_clip
        parameters = [parameter for parameter in self.network.parameters() if parameter.grad is not None]
        if limit is not None:
            self.gradient_norm = clip_grad_norm_(parameters, limit)
        else:
            self.gradient_norm = get_total_norm([p.grad for p in parameters if p.grad is not None])
        if self.accepts(self.gradient_norm, self._window["loss"]):
            self.train_sums.merge(self._window)
        else:
            self._window.clear()
            optimizer.zero_grad()  # an optimizer leaves weights and moments without a gradient as they are

    def on_save_checkpoint(self, checkpoint: dict[str, object]) -> None:
        checkpoint["config"] = self.plain_config

    def _measure(self, split: str) -> None:
        metrics = self.metrics(self.evaluation.take(), split)
        self.measured = {f"{split}/{name}": value for name, value in metrics.items()}
        # Already summed over ranks: Lightning (early stopping) reads the same number on each.
        self.log_dict(self.measured, rank_zero_only=False, sync_dist=False)


def inputs_of(batch: Batch) -> Batch:
    """A batch as the network takes it."""
    return {name: value for name, value in batch.items() if name != "window_count"}
