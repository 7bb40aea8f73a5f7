"""What a segmenter sees at each validation: images, true masks, predicted ones and where they differ."""

import math
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
"""Images of a panel: the first ones of batches that are spread over the split, for neighbours are often alike."""


class MaskPanels(Callback):
    """Saves samples/masks-STEP.png for people, and .npz with the same arrays for W&B and dashboards, on rank 0."""

    def __init__(self, run: RunFolder) -> None:
        self._run = run
        self._shown: list[tuple[Tensor, Tensor]] = []
        """Image (channels, height, width) and mask (height, width) of each."""

    def on_validation_batch_start(
        self,
        trainer: Trainer,
        pl_module: LightningModule,
        batch: Mapping[str, Tensor],
        batch_idx: int,
        dataloader_idx: int = 0,
    ) -> None:
        if dataloader_idx:
            return
        if batch_idx == 0:
            self._shown = []
        batches = int(trainer.num_val_batches[0])
        chosen = spread(batches)
        if batch_idx in chosen:
            self._take(batch, math.ceil(MOST / len(chosen)))

    def _take(self, batch: Mapping[str, Tensor], count: int) -> None:
        for image, mask, row in zip(batch["images"], batch["masks"], batch["rows"].tolist(), strict=True):
            alike = not self._shown or image.shape == self._shown[0][0].shape  # one array holds them all
            if row >= 0 and alike and count > 0 and len(self._shown) < MOST:
                self._shown.append((image, mask))
                count -= 1

    @torch.no_grad()
    def on_validation_end(self, trainer: Trainer, pl_module: LightningModule) -> None:
        assert isinstance(pl_module, Segmentation)
        if not self._shown:
            return
        seen, masks = (torch.stack(parts) for parts in zip(*self._shown, strict=True))
        training = pl_module.training
        with pl_module.trainer.precision_plugin.forward_context():
            found = predicted_classes(pl_module.eval()(seen))  # (rows, height, width)
        pl_module.train(training)
        images = np.moveaxis(seen.cpu().numpy(), 1, -1)  # (rows, height, width, channels)
        truths, predictions = masks.cpu().numpy().astype(np.int16), found.cpu().numpy().astype(np.int16)

        def save(file: IO[bytes]) -> None:
            np.savez_compressed(file, images=images, truths=truths, predictions=predictions)

        self._write(trainer.global_step, ".npz", save)
        page = Image.fromarray(panel(list(images), list(truths), list(predictions), pl_module.facts.colors))
        self._write(trainer.global_step, ".png", lambda file: page.save(file, format="PNG"))

    def _write(self, step: int, suffix: str, write: Callable[[IO[bytes]], object]) -> None:
        write_atomic(self._run.path / "samples" / f"masks-{step}{suffix}", write)


def spread(batches: int) -> set[int]:
    """MOST of so many batches, from the first on, as far apart as they can be."""
    return {index * batches // MOST for index in range(MOST)}
