"""From our tensors to a Hugging Face class's and back, by a list of pairs of names. Bits do not change."""

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field

import torch
from torch import Tensor

from lit_transformer.config.errors import UserError


@dataclass(frozen=True)
class Pair:
    """One tensor of ours and what holds it there."""

    ours: str
    theirs: tuple[str, ...]
    """Their names: one, or those of equal parts of ours along its first axis."""
    transposed: bool = False
    """Theirs are (in, out) where ours is (out, in)."""
    orders: Mapping[int, Sequence[int]] = field(default_factory=dict)
    """Axis of ours -> the order in which theirs has its elements."""
    or_else: str | None = None
    """The name under which some files hold it where they have none of `theirs`."""


def to_theirs(pairs: Iterable[Pair], ours: Mapping[str, Tensor]) -> dict[str, Tensor]:
    """Their tensors, each with memory of its own; a tensor of ours may stand in several pairs."""
    made = {}
    for pair in pairs:
        tensor = ours[pair.ours].detach().cpu()
        for axis, order in pair.orders.items():
            tensor = tensor.index_select(axis, torch.tensor(order))
        for name, part in zip(pair.theirs, tensor.chunk(len(pair.theirs)), strict=True):
            made[name] = (part.T if pair.transposed else part).clone(memory_format=torch.contiguous_format)
    return made


def to_ours(pairs: Iterable[Pair], theirs: Mapping[str, Tensor], *, prefix: str) -> tuple[dict[str, Tensor], list[str]]:
    """Those of our tensors that a file has, and the names in it that were not used.

    The file's names may lack `prefix`, as those of a class without a head do. Of several pairs for one tensor the last
    one in the file counts. Raises UserError where parts of a tensor are missing.
    """
    made, used = {}, set()
    for pair in pairs:
        names = [_find(theirs, name, prefix) for name in pair.theirs]
        if names == [None] and pair.or_else is not None:
            names = [_find(theirs, pair.or_else, prefix)]
        found = [name for name in names if name is not None]
        if not found:
            continue
        if len(found) < len(names):
            raise UserError(f"the weights hold {found[0]}, and not all of {', '.join(pair.theirs)}: they are damaged")
        parts = [theirs[name].T if pair.transposed else theirs[name] for name in found]
        tensor = torch.cat(parts) if len(parts) > 1 else parts[0]
        for axis, order in pair.orders.items():
            tensor = tensor.index_select(axis, torch.tensor(order).argsort())
        made[pair.ours] = tensor.contiguous()
        used.update(found)
    return made, [name for name in theirs if name not in used]


def _find(theirs: Mapping[str, Tensor], name: str, prefix: str) -> str | None:
    return next((known for known in (name, name.removeprefix(prefix)) if known in theirs), None)
