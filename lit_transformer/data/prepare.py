"""From a corpus to token ids in the cache: read, split, train the tokenizer, encode. Imports no torch."""

import hashlib
import json
import os
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import asdict
from pathlib import Path

import numpy as np
from numpy.typing import NDArray
from tokenizers import Tokenizer

from lit_transformer.config.errors import UserError
from lit_transformer.config.schema import DataConfig, ExperimentConfig
from lit_transformer.data.cache import NO_SPACE, OutOfSpaceError, build_once, cache_root
from lit_transformer.data.corpora import Corpus, open_corpora, take_bytes
from lit_transformer.data.prepared import PreparedText, load_prepared
from lit_transformer.data.splits import Splits, split_documents
from lit_transformer.data.tokenizers import end_token, pieces, train_tokenizer

__all__ = ["PreparedText", "Progress", "load_prepared", "prepare_text"]

Progress = Callable[[int, int, str], None]
"""Called with what is done, the total and the unit."""

IdType = np.dtype[np.uint16] | np.dtype[np.uint32]
Ids = NDArray[np.uint16] | NDArray[np.uint32]

FORMAT = 1
"""Version of the cache's files and of every rule that shapes them; a change makes every cache anew."""

BATCH = 1 << 20
"""Characters that are encoded at once: enough for every core, little beside the text."""


def prepare_text(config: ExperimentConfig, *, progress: Progress | None = None) -> PreparedText:
    """Tokenized corpus of an experiment, out of the cache where it is there already.

    Raises UserError for everything that is wrong with the corpus, the tokenizer's settings or the cache's disk, and
    where a split is too short for the model's context.
    """
    corpora = open_corpora(config.data)
    fingerprint = _fingerprint(config.data, corpora)
    folder = cache_root() / "text" / fingerprint
    build_once(folder, lambda target: _build(config.data, corpora, target, progress) | {"fingerprint": fingerprint})
    prepared = load_prepared(folder)
    _check_lengths(prepared, config)
    return prepared


def _fingerprint(data: DataConfig, corpora: dict[str, Corpus]) -> str:
    kind = data.source.partition(":")[0]
    settings = {
        "format": FORMAT,
        "kind": "text" if kind == "hub" else kind,
        "text_key": data.text_key if kind == "jsonl" else None,
        "val_fraction": None if "val" in corpora else data.val_fraction,
        "test_fraction": None if "test" in corpora else data.test_fraction,
        "max_bytes": data.max_bytes,
        "tokenizer": asdict(data.tokenizer),
        "content": {role: corpus.digest() for role, corpus in corpora.items()},
    }
    return hashlib.blake2b(json.dumps(settings, sort_keys=True).encode(), digest_size=16).hexdigest()


def _build(data: DataConfig, corpora: dict[str, Corpus], folder: Path, progress: Progress | None) -> dict[str, object]:
    """Writes tokenizer.json and a .bin of each split; returns what PreparedText holds, without folder and fingerprint."""
    texts = {role: list(take_bytes(corpus.documents(), data.max_bytes)) for role, corpus in corpora.items()}
    splits = split_documents(texts["train"], texts.get("val"), texts.get("test"), data)
    del texts
    with _parallel_tokenizers():
        tokenizer = train_tokenizer(data.tokenizer, splits.train, with_end=splits.several)
        try:
            tokenizer.save(str(folder / "tokenizer.json"))
        except Exception as error:  # the library raises a bare Exception for a full disk
            raise OutOfSpaceError(_bytes(splits)) from error
        return _encode(splits, tokenizer, folder, progress)


def _encode(splits: Splits, tokenizer: Tokenizer, folder: Path, progress: Progress | None) -> dict[str, object]:
    vocab_size: int = tokenizer.get_vocab_size()
    dtype: IdType = np.dtype(np.uint16) if vocab_size <= 1 << 16 else np.dtype(np.uint32)
    sizes = {name: sum(len(text.encode()) for text in documents) for name, documents in splits.items()}
    total, done, written = sum(sizes.values()), 0, 0
    tokens: dict[str, int] = {}
    entropy: dict[str, float] = {}
    for name, documents in splits.items():
        counts = np.zeros(vocab_size, dtype=np.int64)
        with (folder / f"{name}.bin").open("wb", buffering=0) as file:
            for ids, size in _encoded(tokenizer, documents, dtype):
                counts += np.bincount(ids, minlength=vocab_size)
                done += size
                written += ids.nbytes
                _write(file.fileno(), ids, needed=written * max(total, 1) // max(done, 1))
                if progress:
                    progress(done, total, "bytes")
        tokens[name], entropy[name] = int(counts.sum()), _entropy(counts)
    return {"vocab_size": vocab_size, "tokens": tokens, "bytes": sizes, "unigram_entropy": entropy, "dtype": dtype.name}


def _encoded(tokenizer: Tokenizer, documents: Sequence[str], dtype: IdType) -> Iterator[tuple[Ids, int]]:
    """Ids of the documents, each followed by the end token if there is one, with the bytes of text they stand for."""
    end = end_token(tokenizer)
    batch: list[str] = []
    ends: list[bool] = []
    length = 0
    for text in documents:
        parts = list(pieces(text))
        for index, part in enumerate(parts):
            batch.append(part)
            ends.append(index == len(parts) - 1)
            length += len(part)
            if length >= BATCH:
                yield _encode_batch(tokenizer, batch, ends, end, dtype)
                batch, ends, length = [], [], 0
    if batch:
        yield _encode_batch(tokenizer, batch, ends, end, dtype)


def _encode_batch(
    tokenizer: Tokenizer, batch: list[str], ends: list[bool], end: int | None, dtype: IdType
) -> tuple[Ids, int]:
    ids: list[int] = []
    for encoding, is_last in zip(tokenizer.encode_batch_fast(batch, add_special_tokens=False), ends, strict=True):
        ids += encoding.ids
        if is_last and end is not None:
            ids.append(end)
    array: Ids = np.array(ids, dtype=dtype)
    return array, sum(len(part.encode()) for part in batch)


def _write(descriptor: int, ids: Ids, needed: int) -> None:
    """Writes all of the ids; raises OutOfSpaceError with the bytes that the whole corpus needs."""
    view = memoryview(ids.data).cast("B")
    while len(view):
        try:
            view = view[os.write(descriptor, view) :]
        except OSError as error:
            raise (OutOfSpaceError(needed) if error.errno in NO_SPACE else error) from error


def _entropy(counts: NDArray[np.int64]) -> float:
    """Nats per token."""
    if not counts.any():
        return 0.0
    shares = counts[counts > 0] / counts.sum()
    return float(-(shares * np.log(shares)).sum())


def _bytes(splits: Splits) -> int:
    return sum(len(text.encode()) for _, documents in splits.items() for text in documents)


@contextmanager
def _parallel_tokenizers() -> Iterator[None]:
    """All cores while encoding; afterwards none, so that the library neither warns at a fork nor hangs in the child."""
    given = os.environ.get("TOKENIZERS_PARALLELISM")
    os.environ["TOKENIZERS_PARALLELISM"] = given or "true"
    try:
        yield
    finally:
        os.environ["TOKENIZERS_PARALLELISM"] = given or "false"


def _check_lengths(prepared: PreparedText, config: ExperimentConfig) -> None:
    context = getattr(config.model, "context_length", 1)
    found = prepared.tokens["train"]
    if found < context + 1:
        raise UserError(
            f"the training text is shorter than one block: {found} tokens, model.context_length={context} needs {context + 1}\n"
            f"  fix      set model.context_length={max(found - 1, 1)} or less, or use more text"
        )
    if prepared.tokens["val"] < 2:
        raise UserError(
            f"the validation text is too short: {prepared.tokens['val']} tokens, at least 2 are needed to predict one\n"
            "  fix      raise data.val_fraction, or set data.val_path"
        )
