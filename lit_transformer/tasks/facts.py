"""What a task may want to know of its data, beside the batches."""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field


@dataclass(frozen=True, kw_only=True)
class Texts:
    """The way from ids to text, and the texts to be met."""

    decode: Callable[[Sequence[Sequence[int]]], list[str]]
    """Rows of ids -> their texts, without special tokens."""
    reference: Callable[[str, int], str]
    """Split and number of a row -> the text to be met."""
    start_token: int
    """What a decoder is given first."""
    stop_token: int
    """What ends a text."""


@dataclass(frozen=True, kw_only=True)
class Facts:
    """Known once the data are prepared."""

    bytes_per_token: Mapping[str, float] = field(default_factory=dict)
    """Split -> UTF-8 bytes of its text for each of its tokens, which turns nats per token into bits per byte."""
    texts: Texts | None = None
    """For tasks that write text; None decodes nothing."""
    classes: Sequence[str] = ()
    """Names of the classes of pixels; none: numbers."""
    class_weights: Sequence[float] = ()
    """Weight of each in the loss of pixels; none: all count alike."""
    colors: Sequence[tuple[int, int, int]] = ()
    """Red, green and blue of each class, from 0 to 255."""
