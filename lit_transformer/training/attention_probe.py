"""`tracking.attention`: who attends to whom in the first validation row, at every validation."""

from collections.abc import Mapping

import numpy as np
from lightning.pytorch import Callback, LightningModule, Trainer
from torch import Tensor

from lit_transformer.nn.attention_recording import record
from lit_transformer.records.atomic import write_atomic
from lit_transformer.records.run_folder import RunFolder
from lit_transformer.tasks.base import Task

NO_INPUTS = ("window_count", "rows", "labels")
"""What a validation batch holds beside that which a network's loss takes."""

TOKENS = ("inputs", "decoder_inputs", "input_mask")
"""What says of which tokens the queries and keys are: ids of each side, and where the first one is no padding."""


class AttentionProbe(Callback):
    """Saves samples/attention-STEP.npz on rank 0: a module's name -> its weights (heads, queries, keys).

    Beside them stand TOKENS as far as the network takes them, each (time,); without input_mask nothing is padding. Of
    choices, the first one is shown.
    """

    def __init__(self, run: RunFolder) -> None:
        self._run = run
        self._row: dict[str, Tensor] = {}

    def on_validation_batch_start(
        self,
        trainer: Trainer,
        pl_module: LightningModule,
        batch: Mapping[str, Tensor],
        batch_idx: int,
        dataloader_idx: int = 0,
    ) -> None:
        if batch_idx == 0 and dataloader_idx == 0:
            self._row = {name: value[:1] for name, value in batch.items() if name not in NO_INPUTS}

    def on_validation_end(self, trainer: Trainer, pl_module: LightningModule) -> None:
        assert isinstance(pl_module, Task)
        if self._row["targets"].ndim > 2:  # classes as text: the first one's
            self._row = {name: value[:, 0] if value.ndim > 2 else value for name, value in self._row.items()}
        weights = record(pl_module.network, self._row)
        arrays = {name: found[0].float().cpu().numpy() for name, found in weights.items()}  # (heads, queries, keys)
        for name in [name for name in TOKENS if name in self._row]:
            arrays[name] = self._row[name].flatten(0, -2)[0].cpu().numpy()  # (time,)
        file = self._run.path / "samples" / f"attention-{trainer.global_step}.npz"
        write_atomic(file, lambda target: np.savez_compressed(target, allow_pickle=False, **arrays))
