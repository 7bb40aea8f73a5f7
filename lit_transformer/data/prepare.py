"""From a corpus to token ids in the cache: read, split, train the tokenizer, encode. Imports no torch."""

import hashlib
import json
from dataclasses import asdict
from pathlib import Path

from lit_transformer.config.errors import UserError
from lit_transformer.config.registry import IMAGE_TASKS, ROW_TASKS, default_objective
from lit_transformer.config.schema import ExperimentConfig
from lit_transformer.data.cache import build_once, cache_root
from lit_transformer.data.corpora import Corpus, open_corpora, take_bytes
from lit_transformer.data.encode import Progress, parallel_tokenizers, write_splits
from lit_transformer.data.files import digest_files
from lit_transformer.data.inherited import tokenizer_source
from lit_transformer.data.prepare_rows import prepare_rows
from lit_transformer.data.prepared import Prepared, PreparedText, load_prepared
from lit_transformer.data.special_names import needed_specials
from lit_transformer.data.splits import split_documents
from lit_transformer.data.tokenizers import load_tokenizer, train_tokenizer, with_specials

__all__ = ["PreparedText", "Progress", "load_prepared", "prepare_data", "prepare_text"]

FORMAT = 1
"""Version of the cache's files and of every rule that shapes them; a change makes every cache anew."""


def prepare_data(config: ExperimentConfig, *, progress: Progress | None = None) -> Prepared:
    """The data of an experiment's task, out of the cache where they are there already; raises UserError."""
    if config.task in IMAGE_TASKS:
        from lit_transformer.data.images.prepare import prepare_images

        return prepare_images(config, progress=progress)
    prepare = prepare_rows if config.task in ROW_TASKS else prepare_text
    return prepare(config, progress=progress)


def prepare_text(config: ExperimentConfig, *, progress: Progress | None = None) -> PreparedText:
    """Tokenized corpus of an experiment, out of the cache where it is there already.

    Raises UserError for everything that is wrong with the corpus, the tokenizer's settings or the cache's disk, and
    where a split is too short for the model's context.
    """
    corpora = open_corpora(config.data)
    given = tokenizer_source(config)
    fingerprint = _fingerprint(config, corpora, given)
    folder = cache_root() / "text" / fingerprint
    build_once(folder, lambda target: _build(config, corpora, given, target, progress) | {"fingerprint": fingerprint})
    prepared = load_prepared(folder)
    assert isinstance(prepared, PreparedText)
    _check_lengths(prepared, config)
    return prepared


def _fingerprint(config: ExperimentConfig, corpora: dict[str, Corpus], given: Path | None) -> str:
    data = config.data
    kind = data.source.partition(":")[0]
    settings = {
        "format": FORMAT,
        "kind": "text" if kind == "hub" else kind,
        "text_key": data.text_key if kind == "jsonl" else None,
        "val_fraction": None if "val" in corpora else data.val_fraction,
        "test_fraction": None if "test" in corpora else data.test_fraction,
        "max_bytes": data.max_bytes,
        "tokenizer": asdict(data.tokenizer) if given is None else digest_files([given]),
        "specials": _specials(config, several=False),
        "content": {role: corpus.digest() for role, corpus in corpora.items()},
    }
    return hashlib.blake2b(json.dumps(settings, sort_keys=True).encode(), digest_size=16).hexdigest()


def _specials(config: ExperimentConfig, *, several: bool) -> tuple[str, ...]:
    objective = config.objective.name or default_objective(config.task, config.model.kind)
    return needed_specials(config.task, config.model.kind, str(objective), several)


def _build(
    config: ExperimentConfig, corpora: dict[str, Corpus], given: Path | None, folder: Path, progress: Progress | None
) -> dict[str, object]:
    """Writes tokenizer.json and a .bin of each split; returns what PreparedText holds beside folder and fingerprint."""
    data = config.data
    texts = {role: list(take_bytes(corpus.documents(), data.max_bytes)) for role, corpus in corpora.items()}
    splits = split_documents(texts["train"], texts.get("val"), texts.get("test"), data)
    del texts
    specials = _specials(config, several=splits.several)
    with parallel_tokenizers():
        if given is None:
            tokenizer = train_tokenizer(data.tokenizer, splits.train, specials=specials)
        else:
            tokenizer = with_specials(load_tokenizer(given), specials)
        return write_splits(splits, tokenizer, folder, progress)


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
