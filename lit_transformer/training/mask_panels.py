"""What a segmenter sees at each validation: images, true masks, predicted ones and where they differ."""

from collections.abc import Callable, Mapping
from typing import IO

import numpy as np
import torch
from lightning.pytorch import Callback, LightningModule, Trainer
from PIL import Image
from torch import Tensor

from lit_transformer.data.images.drawing import panel
from lit_transformer.records.atomic import write_atomic
from lit_transformer.records.run_folder import RunFolder
from lit_transformer.tasks.segmentation import Segmentation, predicted_classes

MOST = 4
"""Images of a panel: the first ones of the first batch."""


class MaskPanels(Callback):
    """Saves samples/masks-STEP.png for people, and .npz with the same arrays for W&B and dashboards, on rank 0."""

    def __init__(self, run: RunFolder) -> None:
        self._run = run
        self._first: dict[str, Tensor] = {}

    def on_validation_batch_start(
        self,
        trainer: Trainer,
        pl_module: LightningModule,
        batch: Mapping[str, Tensor],
        batch_idx: int,
        dataloader_idx: int = 0,
    ) -> None:
        if batch_idx == 0 and dataloader_idx == 0:
            self._first = {name: batch[name][:MOST] for name in ("images", "masks", "rows")}

    @torch.no_grad()
    def on_validation_end(self, trainer: Trainer, pl_module: LightningModule) -> None:
        assert isinstance(pl_module, Segmentation)
        training = pl_module.training
        with pl_module.trainer.precision_plugin.forward_context():
            found = predicted_classes(pl_module.eval()(self._first["images"]))  # (rows, height, width)
        pl_module.train(training)
        kept = (self._first["rows"] >= 0).cpu()
        images, truths, predictions = (
            value.cpu()[kept].numpy() for value in (self._first["images"], self._first["masks"], found)
        )
        images = np.moveaxis(images, 1, -1)  # (rows, height, width, channels)
        if not len(images):
            return
        truths, predictions = truths.astype(np.int16), predictions.astype(np.int16)

        def save(file: IO[bytes]) -> None:
            np.savez_compressed(file, images=images, truths=truths, predictions=predictions)

        self._write(trainer.global_step, ".npz", save)
        page = Image.fromarray(panel(list(images), list(truths), list(predictions), pl_module.facts.colors))
        self._write(trainer.global_step, ".png", lambda file: page.save(file, format="PNG"))

    def _write(self, step: int, suffix: str, write: Callable[[IO[bytes]], object]) -> None:
        write_atomic(self._run.path / "samples" / f"masks-{step}{suffix}", write)
