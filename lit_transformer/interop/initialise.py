"""Starting a network from the weights of another: what fits is copied, the rest keeps its fresh values."""

import dataclasses
import re
from collections.abc import Iterable, Mapping
from dataclasses import dataclass

import torch
from torch import Tensor

from lit_transformer.config.errors import UserError
from lit_transformer.config.hugging_face import shown, unheld
from lit_transformer.config.inherit import contradictions
from lit_transformer.config.init_sources import find_source
from lit_transformer.interop.formats import plain_name
from lit_transformer.interop.sources import Weights, read_weights
from lit_transformer.models.base import TextNetwork
from lit_transformer.models.segmenter import Segmenter

VOCABULARY = (
    "token_embedding.weight", "source_embedding.weight", "head.weight", "lm_head.output.weight", "lm_head.output_bias",
)  # fmt: skip
"""A row each token, by `plain_name`: a longer vocabulary begins with the shorter one."""
PLACES = (
    "position_embedding.weight", "block_position_embedding.weight", "source_positions.weight",
    "target_positions.weight",
)  # fmt: skip
"""A row each place in time."""
TASK_HEAD = "output."
"""What a classifier has beside its body: a head for other classes starts anew."""
SHOWN = 8


@dataclass(frozen=True, kw_only=True)
class Report:
    """What became of the tensors, by their names in the network without heads' prefixes."""

    place: str
    """Where the weights lay."""
    taken: tuple[str, ...]
    new: tuple[str, ...]
    """Those of the network that keep fresh values."""
    extended: Mapping[str, tuple[int, int]]
    """Those taken of which the source has fewer rows, a vocabulary's: (rows taken, rows)."""
    shortened: Mapping[str, tuple[int, int]]
    """Those taken of which the source has more rows, places in time: (rows taken, the source's)."""
    unused: tuple[str, ...]
    """Those of the source that are left over."""
    remarks: tuple[str, ...] = ()

    def __str__(self) -> str:
        count = len(self.taken) + len(self.new)
        lines = [*self.remarks, f"weights from {self.place}: taken {len(self.taken)} of {count} tensors"]
        rows = [f"{name} (its first {ours} rows of {all_})" for name, (ours, all_) in self.extended.items()]
        cut = [f"{name} (the first {ours} rows of {all_})" for name, (ours, all_) in self.shortened.items()]
        listed = {"new": self.new, "partly new": rows, "cut": cut, "not used": self.unused}
        return "\n".join([*lines, *(f"  {what:<10} {_listed(names)}" for what, names in listed.items() if names)])


@torch.no_grad()
def initialise(network: TextNetwork | Segmenter, source: str) -> Report:
    """Copy into `network` what fits of the weights that `source` (a run, or hf:FOLDER) names.

    A tensor fits that has its name, whatever heads stand around either network, and its shape. The rows of a longer
    vocabulary that the source lacks keep their fresh values; of a table of more places the first ones are taken. Raises
    UserError where the source is missing or damaged, and for networks that differ in more, by the settings' names.
    """
    weights = read_weights(find_source(source))
    _check_settings(network, weights, source)
    extended: dict[str, tuple[int, int]] = {}
    shortened: dict[str, tuple[int, int]] = {}
    taken, new, misfits = list[str](), list[str](), dict[str, str]()
    for name, tensor in network.state_dict().items():
        plain = plain_name(name)
        given = weights.tensors.get(plain)
        if given is None or (plain.startswith(TASK_HEAD) and given.shape != tensor.shape):
            new.append(plain)
            continue
        if given.shape == tensor.shape:
            tensor.copy_(given)
            taken.append(plain)
            continue
        rows = _rows_to_copy(plain, tensor, given)
        if rows is None:
            misfits[plain] = f"{tuple(tensor.shape)}, in {source} {tuple(given.shape)}"
            continue
        tensor[:rows].copy_(given[:rows])
        taken.append(plain)
        if rows < len(tensor):
            extended[plain] = (rows, len(tensor))
        if rows < len(given):
            shortened[plain] = (rows, len(given))
    _refuse(misfits, taken, weights)
    unused = [name for name in weights.tensors if name not in taken]
    return Report(
        place=weights.place,
        taken=tuple(taken),
        new=tuple(new),
        extended=extended,
        shortened=shortened,
        unused=(*unused, *weights.unused),
        remarks=weights.remarks,
    )


def _rows_to_copy(name: str, tensor: Tensor, given: Tensor) -> int | None:
    """How many rows of a tensor come from the given one of another shape; None where the two do not fit."""
    if not tensor.ndim or not given.ndim:
        return None
    longer = name in VOCABULARY and len(given) < len(tensor)
    shorter = name in PLACES and len(given) > len(tensor)
    return min(len(given), len(tensor)) if given.shape[1:] == tensor.shape[1:] and (longer or shorter) else None


def _check_settings(network: TextNetwork | Segmenter, weights: Weights, source: str) -> None:
    kind, theirs = network.config.kind, weights.settings
    if theirs["model.kind"] != kind:
        raise UserError(f"model.kind\n  got      {kind}\n  allowed  {theirs['model.kind']}, as {source} is")
    ours = {f"model.{name}": value for name, value in dataclasses.asdict(network.config).items()}
    wrong = contradictions(kind, ours, theirs)
    if wrong:
        lines = [unheld(key, ours[key], f"{shown(value)}, as in {source}") for key, value in wrong.items()]
        raise UserError("\n".join(["the weights do not fit this network:", *lines]))


def _refuse(misfits: Mapping[str, str], taken: Iterable[str], weights: Weights) -> None:
    """Raise UserError for tensors of other shapes, and where nothing was taken."""
    if not misfits and not list(taken):
        raise UserError(f"model.init_from: nothing in {weights.place} fits this network")
    keys = {
        "model.context_length": (PLACES, "as many places as the source has, or fewer"),
        "model.vocab_size": (VOCABULARY, "the source's tokens and more: its tokenizer, or one that only adds to it"),
    }
    lines = []
    for key, (names, allowed) in keys.items():
        found = [name for name in names if name in misfits]
        lines += [f"{key}\n  got      {name} {misfits[name]}\n  allowed  {allowed}" for name in found]
    known = [name for names, _ in keys.values() for name in names]
    lines += [f"{name}\n  got      {shapes}" for name, shapes in misfits.items() if name not in known]
    if lines:
        raise UserError("\n".join(["the weights do not fit this network:", *lines]))


def _listed(names: Iterable[str]) -> str:
    """A few names, those of one block as one."""
    short = list(dict.fromkeys(re.sub(r"(blocks\.\d+)\..*", r"\1.*", name) for name in names))
    more = f" and {len(short) - SHOWN} more" if len(short) > SHOWN else ""
    return ", ".join(short[:SHOWN]) + more
