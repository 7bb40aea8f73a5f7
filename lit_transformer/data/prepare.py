"""From a corpus to token ids in the cache: read, split, train the tokenizer, encode. Imports no torch."""

import hashlib
import json
import os
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import asdict
from pathlib import Path

from lit_transformer.config.errors import UserError
from lit_transformer.config.schema import DataConfig, ExperimentConfig
from lit_transformer.data.cache import build_once, cache_root
from lit_transformer.data.corpora import Corpus, open_corpora, take_bytes
from lit_transformer.data.encode import Progress, write_splits
from lit_transformer.data.prepared import PreparedText, load_prepared
from lit_transformer.data.splits import split_documents
from lit_transformer.data.tokenizers import train_tokenizer

__all__ = ["PreparedText", "Progress", "load_prepared", "prepare_text"]

FORMAT = 1
"""Version of the cache's files and of every rule that shapes them; a change makes every cache anew."""


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
    """Writes tokenizer.json and a .bin of each split; returns what PreparedText holds beside folder and fingerprint."""
    texts = {role: list(take_bytes(corpus.documents(), data.max_bytes)) for role, corpus in corpora.items()}
    splits = split_documents(texts["train"], texts.get("val"), texts.get("test"), data)
    del texts
    with _parallel_tokenizers():
        tokenizer = train_tokenizer(data.tokenizer, splits.train, with_end=splits.several)
        return write_splits(splits, tokenizer, folder, progress)


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
            f"the training text is shorter than one block: {found} tokens, "
            f"model.context_length={context} needs {context + 1}\n"
            f"  fix      set model.context_length={max(found - 1, 1)} or less, or use more text"
        )
    if prepared.tokens["val"] < 2:
        raise UserError(
            f"the validation text is too short: {prepared.tokens['val']} tokens, at least 2 are needed to predict one\n"
            "  fix      raise data.val_fraction, or set data.val_path"
        )
