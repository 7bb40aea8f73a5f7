"""A trained Transformer and the validation batches that its heads are judged by."""

from collections.abc import Callable, Collection, Iterable, Mapping
from dataclasses import dataclass, field, replace
from itertools import islice
from pathlib import Path
from typing import NamedTuple, cast

import torch
from torch import Tensor, nn

from lit_transformer.config.errors import UserError
from lit_transformer.config.models import TransformerConfig
from lit_transformer.inference.attend import attention_name, place
from lit_transformer.inference.load import find_device, load_weights, open_run, run_config
from lit_transformer.models.heads import Head as LinearHead
from lit_transformer.nn.attention import attention_layers
from lit_transformer.nn.head_masks import mask_heads
from lit_transformer.records.atomic import read_json
from lit_transformer.records.run_folder import RunFolder
from lit_transformer.tasks.base import Batch, Task, inputs_of
from lit_transformer.tasks.sums import Sums
from lit_transformer.training.registry import build_parts, open_prepared

Advance = Callable[[], None]


class Head(NamedTuple):
    """One head of a network."""

    attention: str
    """encoder, decoder or cross."""
    layer: int
    """From 0, counted in each of them."""
    head: int


@dataclass
class Subject:
    """What `open_subject` opens: everything here evaluates in float32, without dropout and without decoding."""

    run: RunFolder
    task: Task
    batches: list[Batch]
    """On the task's device."""
    batches_there: int
    """How many the whole split has."""
    layers: dict[str, str]
    """`encoder/0`, `decoder/0`, `cross/0` and so on, in this order -> the layer's name in `body`."""
    heads: list[Head]
    """All of them, in the order of the layers."""
    advance: Advance = lambda: None
    """Is called after each pass over a batch."""
    _known: dict[frozenset[Head], dict[str, float]] = field(default_factory=dict)

    @property
    def body(self) -> nn.Module:
        """The network that attends."""
        return body_of(self.task)

    def heads_of(self, layer: str) -> list[Head]:
        """The heads of a layer such as `cross/1`, in order."""
        attention, _, number = layer.partition("/")
        return [head for head in self.heads if (head.attention, head.layer) == (attention, int(number))]

    def masks(self, removed: Collection[Head]) -> dict[str, Tensor]:
        """Name of a layer in `body` -> a mask that takes the removed heads out, (heads,); whole layers have none."""
        found = {}
        for layer, name in self.layers.items():
            kept = [head not in removed for head in self.heads_of(layer)]
            if not all(kept):
                found[name] = torch.tensor(kept, dtype=torch.float32, device=self.task.device)
        return found

    def metrics(self, removed: Collection[Head] = ()) -> dict[str, float]:
        """Metrics of the batches, by full name, without these heads; computed once for each set of them."""
        key = frozenset(removed)
        if key not in self._known:
            sums = Sums()
            with torch.inference_mode(), mask_heads(self.body, self.masks(key)):
                for batch in self.batches:
                    sums.add(self.task.evaluation_sums(inputs_of(batch), "val"))
                    self.advance()
            self._known[key] = {f"val/{name}": value for name, value in self.task.metrics(sums.take(), "val").items()}
        else:
            for _ in self.batches:
                self.advance()
        return self._known[key]

    def loss(self, removed: Collection[Head] = ()) -> float:
        """val/loss of the batches without these heads."""
        return self.metrics(removed)["val/loss"]


def open_subject(path: Path, *, batches: int, device: str) -> Subject:
    """The best checkpoint of a run's folder with the first `batches` of its validation split.

    Raises UserError where the folder is no trained run, or the network has no heads.
    """
    run, where = open_run(path), find_device(device)
    config = run_config(run)
    if not isinstance(config.model, TransformerConfig):
        raise UserError(
            f"analyze looks at attention heads, and {path} has none\n  got      model.kind {config.model.kind}\n"
            "  allowed  encoder_decoder, bert, gpt, t5, glm\n  fix      analyze a Transformer's run"
        )
    parts = build_parts(config, open_prepared(config, read_json(run.prepared_file)))
    task = load_weights(parts.task, run).to(where).requires_grad_(False)
    task.facts = replace(task.facts, texts=None)  # nothing is decoded: that takes longer than all the rest
    loaders = parts.data.val_dataloader()  # a list where the cloze probe follows the split
    loader = loaders[0] if isinstance(loaders, list) else loaders
    found = [to_device(batch, where) for batch in islice(cast(Iterable[Batch], loader), batches)]
    return subject_of(run, task, found, there=len(loader))


def subject_of(run: RunFolder, task: Task, batches: list[Batch], *, there: int) -> Subject:
    """A task in evaluation mode with some of a split's `there` batches, on its device."""
    body = body_of(task)
    named = {attention_name(name, body): (name, layer) for name, layer in attention_layers(body).items()}
    ordered = {layer: named[layer] for layer in sorted(named, key=place)}
    heads = [
        Head(layer.partition("/")[0], int(layer.partition("/")[2]), index)
        for layer, (_, module) in ordered.items()
        for index in range(module.num_heads)
    ]
    return Subject(run, task, batches, there, {layer: name for layer, (name, _) in ordered.items()}, heads)


def body_of(task: Task) -> nn.Module:
    """The network that attends, without a linear head around it."""
    return task.network.body if isinstance(task.network, LinearHead) else task.network


def to_device(batch: Mapping[str, Tensor], device: torch.device) -> Batch:
    """A batch on a device."""
    return {name: value.to(device) for name, value in batch.items()}


def check_batches(batches: int) -> None:
    """Raises UserError for a number of batches that is none."""
    if batches < 1:
        raise UserError(
            f"--batches\n  got      {batches}\n  allowed  1 or more: how many validation batches are looked at\n"
            "  fix      leave it out, or give a number such as 16; one larger than there are takes all"
        )
