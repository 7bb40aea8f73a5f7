"""Ids of rows, and the files of rows in a folder of the cache."""

from collections.abc import Callable, Mapping, Sequence
from itertools import chain
from pathlib import Path

import numpy as np
from numpy.typing import NDArray
from tokenizers import Tokenizer

from lit_transformer.data.encode import IdType, append
from lit_transformer.data.prepared_rows import Ragged

BATCH = 10_000
"""Texts that are encoded at once."""


def encode_column(tokenizer: Tokenizer, texts: Sequence[str], dtype: IdType, report: Callable[[int], None]) -> Ragged:
    """Ids of the texts without special tokens; `report` is told how many more are done."""
    parts: list[NDArray[np.uint16 | np.uint32]] = [np.zeros(0, dtype=dtype)]
    lengths: list[int] = [0]
    for start in range(0, len(texts), BATCH):
        batch = texts[start : start + BATCH]
        unique = list(dict.fromkeys(batch))  # the labels' names are the same in every row
        encodings = tokenizer.encode_batch_fast(unique, add_special_tokens=False)
        known: dict[str, list[int]] = {text: encoding.ids for text, encoding in zip(unique, encodings, strict=True)}
        lengths += [len(known[text]) for text in batch]
        parts.append(np.fromiter(chain.from_iterable(known[text] for text in batch), dtype=dtype))
        report(len(batch))
    return Ragged(values=np.concatenate(parts), offsets=np.cumsum(lengths, dtype=np.int64))  # (tokens,), (rows + 1,)


def write_files(folder: Path, files: Mapping[str, bytes | NDArray[np.generic]]) -> None:
    """Writes what the names stand for; raises OutOfSpaceError with the bytes of all where the disk is full."""
    needed = sum(content.nbytes if isinstance(content, np.ndarray) else len(content) for content in files.values())
    for name, content in files.items():
        append(folder / name, content.tobytes() if isinstance(content, np.ndarray) else content, needed)
