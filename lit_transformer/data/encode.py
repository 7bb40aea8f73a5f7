"""Writes the token ids of the splits, a batch of text at a time."""

import itertools
import os
from collections import deque
from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import Future, ThreadPoolExecutor
from contextlib import contextmanager
from pathlib import Path

import numpy as np
from numpy.typing import NDArray
from tokenizers import Tokenizer

from lit_transformer.data.cache import NO_SPACE, OutOfSpaceError
from lit_transformer.data.splits import Splits
from lit_transformer.data.tokenizers import end_token, pieces

Progress = Callable[[int, int, str], None]
"""Called with what is done, the total and the unit."""

IdType = type[np.uint16] | type[np.uint32]
Ids = NDArray[np.uint16] | NDArray[np.uint32]

BATCH = 1 << 20
"""Characters that are encoded at once: enough for every core, little beside the text."""

AHEAD = 2
"""Batches in hand at once: no core waits for another's long document, nor for ids to be copied."""


@contextmanager
def parallel_tokenizers() -> Iterator[None]:
    """All cores while encoding; afterwards none, so that the library neither warns at a fork nor hangs in the child."""
    given = os.environ.get("TOKENIZERS_PARALLELISM")
    os.environ["TOKENIZERS_PARALLELISM"] = given or "true"
    try:
        yield
    finally:
        os.environ["TOKENIZERS_PARALLELISM"] = given or "false"


def write_splits(
    splits: Splits, tokenizer: Tokenizer, folder: Path, progress: Progress | None = None
) -> dict[str, object]:
    """Writes tokenizer.json and the ids of each split to `<split>.bin`; returns what PreparedText says about them.

    Raises OutOfSpaceError with an estimate of the bytes needed where the disk is full.
    """
    vocab_size: int = tokenizer.get_vocab_size()
    dtype: IdType = np.uint16 if vocab_size <= 1 << 16 else np.uint32
    sizes = {name: sum(len(text.encode()) for text in documents) for name, documents in splits.items()}
    total, done, written = sum(sizes.values()), 0, 0
    tokens: dict[str, int] = {}
    entropy: dict[str, float] = {}
    vocabulary = tokenizer.to_str(pretty=True).encode()
    append(folder / "tokenizer.json", vocabulary, needed=len(vocabulary) + total * np.dtype(dtype).itemsize)
    for name, documents in splits.items():
        counts = np.zeros(vocab_size, dtype=np.int64)
        append(folder / f"{name}.bin", b"", needed=0)
        for ids, size in encoded(tokenizer, documents, dtype):
            counts += np.bincount(ids, minlength=vocab_size)
            done, written = done + size, written + ids.nbytes
            append(folder / f"{name}.bin", ids.data, needed=len(vocabulary) + written * total // done)
            if progress:
                progress(done, total, "bytes")
        tokens[name], entropy[name] = int(counts.sum()), _entropy(counts)
    kept = {"tokens": tokens, "bytes": sizes, "unigram_entropy": entropy}
    return {"vocab_size": vocab_size, "dtype": dtype.__name__, **kept}


def encoded(tokenizer: Tokenizer, documents: Sequence[str], dtype: IdType) -> Iterator[tuple[Ids, int]]:
    """Ids of the documents, each followed by the end token if there is one, with the bytes of text they stand for."""
    waiting: deque[Future[tuple[Ids, int]]] = deque()
    with ThreadPoolExecutor(AHEAD) as pool:
        for batch in _batches(documents):
            waiting.append(pool.submit(_encode_batch, tokenizer, batch, dtype))
            if len(waiting) > AHEAD:
                yield waiting.popleft().result()
        while waiting:
            yield waiting.popleft().result()


def _batches(documents: Sequence[str]) -> Iterator[list[tuple[str, bool]]]:
    """Pieces of documents, BATCH characters or a little more at once."""
    batch: list[tuple[str, bool]] = []
    length = 0
    for part, is_last in _parts(documents):
        batch.append((part, is_last))
        length += len(part)
        if length >= BATCH:
            yield batch
            batch, length = [], 0
    if batch:
        yield batch


def _parts(documents: Sequence[str]) -> Iterator[tuple[str, bool]]:
    """Pieces of each document in turn, and whether it is the last of its document."""
    for text in documents:
        previous: str | None = None
        for part in pieces(text):
            if previous is not None:
                yield previous, False
            previous = part
        if previous is not None:
            yield previous, True


def _encode_batch(tokenizer: Tokenizer, batch: list[tuple[str, bool]], dtype: IdType) -> tuple[Ids, int]:
    end = end_token(tokenizer)
    texts = [part for part, _ in batch]
    encodings = tokenizer.encode_batch_fast(texts, add_special_tokens=False)

    def runs() -> Iterator[Sequence[int]]:
        for encoding, (_, is_last) in zip(encodings, batch, strict=True):
            yield encoding.ids
            if is_last and end is not None:
                yield (end,)

    ids = itertools.chain.from_iterable(runs())
    array: Ids = np.fromiter(ids, dtype=np.uint16) if dtype is np.uint16 else np.fromiter(ids, dtype=np.uint32)
    return array, sum(len(part.encode()) for part in texts)


def append(path: Path, data: bytes | memoryview, needed: int) -> None:
    """Appends to a file; raises OutOfSpaceError with `needed`, the bytes that everything takes."""
    view = memoryview(data).cast("B")
    try:
        with path.open("ab", buffering=0) as file:
            while len(view):
                view = view[os.write(file.fileno(), view) :]
    except OSError as error:
        raise (OutOfSpaceError(needed) if error.errno in NO_SPACE else error) from error


def _entropy(counts: NDArray[np.int64]) -> float:
    """Nats per token."""
    if not counts.any():
        return 0.0
    shares = counts[counts > 0] / counts.sum()
    return float(-(shares * np.log(shares)).sum())
