"""Going back to the newest checkpoint's weights in the middle of a run."""

from lightning.pytorch import Trainer

from lit_transformer.records.checkpoints import CheckpointFolder
from lit_transformer.records.run_folder import RunFolder
from lit_transformer.tasks.base import Task
from lit_transformer.training.averaging import Averaging
from lit_transformer.training.checkpoints import read_checkpoint
from lit_transformer.training.non_finite import Diverged
from lit_transformer.training.resume import tell


def roll_back(run: RunFolder, trainer: Trainer, task: Task, averaging: Averaging) -> int:
    """Put weights, optimizer and average back to the newest good checkpoint, and give its step; every rank does.

    The schedule, the sample order and the random states go on: the same batches would end in the same place.
    """
    folder = CheckpointFolder(run.checkpoints)
    found = folder.newest(tell)
    if found is None:
        raise Diverged("loss or gradient is no number, and there is no good checkpoint to go back to")
    checkpoint = read_checkpoint(found.path, folder)
    task.load_state_dict(checkpoint["state_dict"])
    for optimizer, state in zip(trainer.optimizers, checkpoint["optimizer_states"], strict=True):
        rates = [group["lr"] for group in optimizer.param_groups]
        optimizer.load_state_dict(state)
        for group, rate in zip(optimizer.param_groups, rates, strict=True):
            group["lr"] = rate
    averaging.load_state_dict(checkpoint["average"])
    return found.entry.step
