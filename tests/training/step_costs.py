"""What one training step of each system costs, in numbers that do not vary with the machine; run it to record anew.

`python -m tests.training.step_costs` writes step_costs.json beside this file. A step is that of the run's own Trainer:
forward, loss, backward, clipping, update, the schedule. What counts is what aten is asked for: on a CPU an operator
stands for a kernel's launch. Left out, since they differ between processors: what MKL and oneDNN do inside an operator,
and the memory that they take for it.
"""

import json
import sys
import tempfile
from collections import Counter
from collections.abc import Sequence
from dataclasses import asdict, dataclass
from math import prod
from pathlib import Path
from typing import Any
from unittest.mock import patch

import torch
from lightning.pytorch import Callback
from torch import Tensor
from torch._library.custom_ops import OPDEFS
from torch.utils._python_dispatch import TorchDispatchMode
from torch.utils._pytree import tree_leaves
from torch.utils.data import DataLoader
from torch.utils.flop_counter import flop_registry, sdpa_backward_flop_count, sdpa_flop_count

from lit_transformer.config.layers import shell_layer
from lit_transformer.config.load import load_layers
from lit_transformer.config.schema import ExperimentConfig
from lit_transformer.models.base import TextNetwork
from lit_transformer.models.seq2seq import Seq2Seq
from lit_transformer.nn import linear
from lit_transformer.records.checkpoints import CheckpointFolder
from lit_transformer.records.run_folder import RunFolder
from lit_transformer.tasks.base import Batch, Task
from lit_transformer.training.registry import TASKS
from lit_transformer.training.trainer import build_trainer

FILE = Path(__file__).with_suffix(".json")
COMMAND = "python -m tests.training.step_costs"
ROWS = 4

SHARED = ("trainer.accelerator=cpu", "trainer.gradient_clip=1.0")
TEXT = (*SHARED, "model.vocab_size=512", "model.num_layers=2", "model.num_heads=2", "model.d_model=32",
        "model.context_length=48", "model.dropout=0.1")  # fmt: skip
SYSTEMS: dict[str, tuple[str, ...]] = {
    "gpt": ("model.kind=gpt", *TEXT),
    "gpt, dropout 0": ("model.kind=gpt", *TEXT, "model.dropout=0"),
    "bert": ("model.kind=bert", *TEXT),
    "t5": ("model.kind=t5", *TEXT),
    "glm": ("model.kind=glm", *TEXT),
    "encoder_decoder": ("task=translation", "model.kind=encoder_decoder", *TEXT, "objective.label_smoothing=0.1"),
    "segmenter": ("task=segmentation", "model.kind=segmenter", *SHARED, "model.num_stages=2", "model.base_channels=8",
                  "model.num_classes=4"),
}  # fmt: skip
"""Name -> settings over the defaults."""


@dataclass(frozen=True)
class Costs:
    """Of one training step."""

    flops: int
    """Of matrix products, convolutions and attention; a multiplication and an addition are two."""
    bytes: int
    """Of all tensors that operators made."""
    operators: dict[str, int]
    """Operator -> how often it was called; views and what has to do with no tensor compute nothing and are left out."""

    @property
    def launches(self) -> int:
        """Calls of operators."""
        return sum(self.operators.values())


def settings(system: str) -> ExperimentConfig:
    """The configuration of a system."""
    return load_layers([shell_layer(SYSTEMS[system])]).config


def step_costs(config: ExperimentConfig) -> Costs:
    """Costs of the second step, when the optimizer has its state; products go to oneDNN, whatever the processor."""
    torch.manual_seed(0)
    task = TASKS[config.task](config, total_steps=2)
    measured = Measured()
    with tempfile.TemporaryDirectory() as folder, patch.object(linear, "ONEDNN", linear.HAS_ONEDNN):
        run = RunFolder(Path(folder))
        trainer = build_trainer(
            config, run, CheckpointFolder(run.checkpoints), [measured], task=type(task), total_steps=2
        )
        trainer.fit(task, train_dataloaders=DataLoader([make_batch(task)] * 2, batch_size=None))
    return Costs(measured.count.flops, measured.count.bytes, dict(sorted(measured.count.operators.items())))


def make_batch(task: Task) -> Batch:
    """ROWS full rows, or images; an encoder-decoder's with a mask of padding, as rows of a bucket have it."""
    if isinstance(task.network, TextNetwork):
        batch = task.network.dummy_batch(task.config.objective)
        if isinstance(task.network, Seq2Seq) and task.config.task == "translation":
            batch["input_mask"] = torch.ones_like(batch["inputs"], dtype=torch.bool)
    else:
        batch = task.network.dummy_batch(32)
        batch["images"] = batch["images"].to(torch.uint8)
    batch = {name: value.expand(ROWS, *value.shape[1:]).clone() for name, value in batch.items()}
    return {**batch, "window_count": torch.tensor(float(batch["targets" if "targets" in batch else "masks"].numel()))}


class Measured(Callback):
    """Counts the second step, from its batch to its end."""

    def __init__(self) -> None:
        self.count = Count()

    def on_train_batch_start(self, trainer: Any, pl_module: Any, batch: Any, batch_idx: int) -> None:
        if batch_idx == 1:
            self.count.__enter__()

    def on_train_batch_end(self, trainer: Any, pl_module: Any, outputs: Any, batch: Any, batch_idx: int) -> None:
        if batch_idx == 1:
            self.count.__exit__(None, None, None)


class Count(TorchDispatchMode):
    """Adds up what every operator costs, inside this project's own ones too."""

    def __init__(self) -> None:
        super().__init__()
        self.flops, self.bytes = 0, 0
        self.operators: Counter[str] = Counter()

    def __torch_dispatch__(self, func: Any, types: Any, args: Sequence[Any] = (), kwargs: Any = None) -> Any:
        kwargs = kwargs or {}
        if func.namespace == "lit_transformer":
            with self:
                return OPDEFS[func._schema.name]._init_fn(*args, **kwargs)  # the function itself: its parts come by
        result = func(*args, **kwargs)
        given, made = tensors((args, kwargs)), tensors(result)
        if (given or made) and not func.is_view:
            self.operators[str(func)] += 1
        formula = FORMULAS.get(func._overloadpacket)
        if formula is not None:
            self.flops += formula(*args, **kwargs, out_val=result)
        known = {tensor.untyped_storage()._cdata for tensor in given}
        new = {tensor.untyped_storage()._cdata: tensor.untyped_storage().nbytes() for tensor in made}
        self.bytes += sum(size for storage, size in new.items() if storage not in known)
        return result


def tensors(tree: object) -> list[Tensor]:
    """Every tensor in nested arguments."""
    return [leaf for leaf in tree_leaves(tree) if isinstance(leaf, Tensor)]


def onednn_flops(x: Tensor, weight: Tensor, *args: Any, out_val: Any, **kwargs: Any) -> int:
    """Of x (..., inputs) times weight (outputs, inputs)."""
    return 2 * prod(x.shape) * weight.shape[0]


def attention_flops(queries: Tensor, keys: Tensor, values: Tensor, *args: Any, out_val: Any, **kwargs: Any) -> int:
    """Of the fused kernel of CPUs, which torch's counter does not know."""
    return int(sdpa_flop_count(queries.shape, keys.shape, values.shape))


def attention_gradient_flops(
    gradient: Tensor, queries: Tensor, keys: Tensor, values: Tensor, *args: Any, out_val: Any, **kwargs: Any
) -> int:
    """Of its backward pass."""
    return int(sdpa_backward_flop_count(gradient.shape, queries.shape, keys.shape, values.shape))


def added_flops(into: Tensor, left: Tensor, right: Tensor, *args: Any, out_val: Any, **kwargs: Any) -> int:
    """Of a product, or one for each of a batch, that is added to what is there."""
    return 2 * prod(left.shape) * right.shape[-1]


FORMULAS: dict[Any, Any] = {
    **flop_registry,
    torch.ops.aten.addmm_: added_flops,
    torch.ops.aten.baddbmm_: added_flops,
    torch.ops.aten._scaled_dot_product_flash_attention_for_cpu: attention_flops,
    torch.ops.aten._scaled_dot_product_flash_attention_for_cpu_backward: attention_gradient_flops,
}
if linear.HAS_ONEDNN:
    FORMULAS[torch.ops.mkldnn._linear_pointwise] = onednn_flops


def versions() -> dict[str, object]:
    """What operators and bytes depend on besides the code; FLOPs do not."""
    return {"torch": torch.__version__.split("+")[0], "onednn": linear.HAS_ONEDNN}


def grown(name: str, recorded: Costs, measured: Costs) -> list[str]:
    """What differs from the record, in words; empty where nothing does."""
    totals = {
        "FLOPs": (recorded.flops, measured.flops),
        "bytes": (recorded.bytes, measured.bytes),
        "calls of operators": (recorded.launches, measured.launches),
    }
    names = sorted(recorded.operators.keys() | measured.operators.keys())
    calls = {f"  {key}": (recorded.operators.get(key, 0), measured.operators.get(key, 0)) for key in names}
    return [
        f"{name}: {what} {'grew' if now > before else 'shrank'} from {before:,} to {now:,} ({now - before:+,})"
        for what, (before, now) in (totals | calls).items()
        if now != before
    ]


def read() -> tuple[dict[str, object], dict[str, Costs]]:
    """The versions and the costs that were recorded."""
    found = json.loads(FILE.read_text())
    return found["versions"], {name: Costs(**costs) for name, costs in found["systems"].items()}


def main() -> None:
    """Record every system anew, and say what changed."""
    torch.set_num_threads(1)
    before = read()[1] if FILE.exists() else {}
    costs = {system: step_costs(settings(system)) for system in SYSTEMS}
    FILE.write_text(
        json.dumps({"versions": versions(), "systems": {name: asdict(c) for name, c in costs.items()}}, indent=1) + "\n"
    )
    for name, now in costs.items():
        for line in grown(name, before.get(name, now), now):
            print(line, file=sys.stderr)


if __name__ == "__main__":
    main()
