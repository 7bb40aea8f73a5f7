"""From rows to token ids in the cache: read, split, number labels, train the tokenizer, encode. Imports no torch."""

import hashlib
import json
import sys
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass
from pathlib import Path

import numpy as np
from numpy.typing import NDArray
from tokenizers import Tokenizer

from lit_transformer.config.registry import PAIR_TASKS, default_objective
from lit_transformer.config.schema import ExperimentConfig, TextModelConfig
from lit_transformer.data.cache import META, build_once, cache_root
from lit_transformer.data.encode import IdType, Progress, parallel_tokenizers
from lit_transformer.data.files import digest_files
from lit_transformer.data.inherited import tokenizer_source
from lit_transformer.data.prepared_rows import PreparedRows, Ragged
from lit_transformer.data.rows.columns import Columns, prompt_columns, text_columns
from lit_transformer.data.rows.examples import Example, Keys, find_keys
from lit_transformer.data.rows.labelled import read_labelled
from lit_transformer.data.rows.labels import majority
from lit_transformer.data.rows.lengths import find_rooms, fit
from lit_transformer.data.rows.row import RowSource
from lit_transformer.data.rows.sources import open_rows
from lit_transformer.data.rows.write import encode_column, write_files
from lit_transformer.data.special_names import needed_specials
from lit_transformer.data.tokenizers import load_tokenizer, train_tokenizer, with_specials

FORMAT = 1
"""Version of the cache's files and of every rule that shapes them; a change makes every cache anew."""


def prepare_rows(
    config: ExperimentConfig, *, tokenizer_path: Path | None = None, progress: Progress | None = None
) -> PreparedRows:
    """Tokenized rows of an experiment, out of the cache where they are there already; says on standard error what.

    The tokenizer is the one in `tokenizer_path`, else that of `model.init_from`, else a new one. Raises UserError for
    everything that is wrong with rows, labels, template, tokenizer or the cache's disk.
    """
    given = tokenizer_path or tokenizer_source(config)
    job = _Job(config, find_keys(config.data, config.task), open_rows(config), given)
    fingerprint = job.fingerprint()
    folder = cache_root() / "rows" / fingerprint
    build_once(folder, lambda target: job.build(target, progress) | {"fingerprint": fingerprint})
    prepared = PreparedRows.load(folder, json.loads((folder / META).read_text(encoding="utf-8")))
    print(f"data: {prepared.summary()}", file=sys.stderr, flush=True)
    return prepared


@dataclass(frozen=True)
class _Job:
    """What is to be prepared."""

    config: ExperimentConfig
    keys: Keys
    sources: Mapping[str, RowSource]
    tokenizer_path: Path | None

    @property
    def objective(self) -> str:
        task, kind = self.config.task, self.config.model.kind
        return str(self.config.objective.name or default_objective(task, kind))

    @property
    def specials(self) -> tuple[str, ...]:
        return needed_specials(self.config.task, self.config.model.kind, self.objective, False)

    @property
    def context_length(self) -> int:
        assert isinstance(self.config.model, TextModelConfig)
        return self.config.model.context_length

    def fingerprint(self) -> str:
        data, task = self.config.data, self.config.task
        given = self.tokenizer_path
        settings = {
            "format": FORMAT,
            "task": task,
            "model": [self.config.model.kind, self.context_length],
            "objective": self.objective,
            "template": self.config.objective.template if self.objective == "text" else None,
            "label_words": self.config.objective.label_words if task == "classification" else None,
            "source": data.source.partition(":")[0],
            "keys": asdict(self.keys),
            "header": data.header if data.source == "tsv" else None,
            "prefix": data.prefix if task in PAIR_TASKS else None,
            "too_long": data.too_long,
            "empty": data.empty,
            "val_fraction": None if "val" in self.sources else data.val_fraction,
            "test_fraction": None if "test" in self.sources else data.test_fraction,
            "max_bytes": data.max_bytes,
            "specials": self.specials,
            "tokenizer": digest_files([given]) if given else asdict(data.tokenizer),
            "content": {role: source.digest() for role, source in self.sources.items()},
        }
        return hashlib.blake2b(json.dumps(settings, sort_keys=True).encode(), digest_size=16).hexdigest()

    def build(self, folder: Path, progress: Progress | None) -> dict[str, object]:
        """Writes tokenizer.json and the files of each split; returns what PreparedRows says about them."""
        rows = read_labelled(self.sources, self.keys, self.config)
        columns = {split: self._columns(examples, rows.names) for split, examples in rows.splits.items()}
        with parallel_tokenizers():
            tokenizer = self._tokenizer(columns["train"])
            encoded = _encode(tokenizer, columns, progress)
        truncated: dict[str, int] = {}
        tokens: dict[str, int] = {}
        files: dict[str, bytes | NDArray[np.generic]] = {"tokenizer.json": tokenizer.to_str(pretty=True).encode()}
        for split, whole in encoded.items():
            fitted = self._fit(whole, rows.splits[split])
            for name, column in fitted.items():
                if shorter := int(np.count_nonzero(column.lengths < whole[name].lengths)):
                    truncated[f"{split}/{name}"] = shorter
                files |= {f"{split}.{name}.bin": column.values, f"{split}.{name}.offsets.bin": column.offsets}
            if split in rows.ids:
                files[f"{split}.labels.bin"] = rows.ids[split]
            files[f"{split}.jsonl"] = rows.texts(split)
            tokens[split] = sum(len(column.values) for column in fitted.values())
        write_files(folder, files)
        return {
            "vocab_size": tokenizer.get_vocab_size(),
            "dtype": _id_type(tokenizer).__name__,
            "columns": list(columns["train"]),
            "rows": {split: len(examples) for split, examples in rows.splits.items()},
            "tokens": tokens,
            "labels": list(rows.names),
            "majority": {split: majority(ids) for split, ids in rows.ids.items()},
            "truncated": truncated,
            "dropped": rows.dropped,
        }

    def _columns(self, examples: Sequence[Example], labels: Sequence[str]) -> Columns:
        if self.objective == "text":
            return prompt_columns(examples, self.keys, labels, self.config)
        return text_columns(examples, self.keys, self.config.data.prefix)

    def _tokenizer(self, train: Columns) -> Tokenizer:
        if self.tokenizer_path is not None:
            tokenizer = with_specials(load_tokenizer(self.tokenizer_path), self.specials)
            tokenizer.no_truncation()  # other people's files may ask for it
            tokenizer.no_padding()
            return tokenizer
        documents = [text for row in zip(*train.values(), strict=True) for text in row]
        return train_tokenizer(self.config.data.tokenizer, documents, specials=self.specials)

    def _fit(self, columns: dict[str, Ragged], examples: Sequence[Example]) -> dict[str, Ragged]:
        rooms = find_rooms(self.config.task, self.config.model.kind, self.objective, tuple(columns))
        places = [example.row.place for example in examples]
        return fit(columns, rooms, self.context_length, places=places, refuse=self.config.data.too_long == "refuse")


def _encode(
    tokenizer: Tokenizer, columns: Mapping[str, Columns], progress: Progress | None
) -> dict[str, dict[str, Ragged]]:
    total = sum(len(texts) for split in columns.values() for texts in split.values())
    done = 0

    def report(count: int) -> None:
        nonlocal done
        done += count
        if progress:
            progress(done, total, "texts")

    dtype = _id_type(tokenizer)
    return {
        split: {name: encode_column(tokenizer, texts, dtype, report) for name, texts in given.items()}
        for split, given in columns.items()
    }


def _id_type(tokenizer: Tokenizer) -> IdType:
    return np.uint16 if tokenizer.get_vocab_size() <= 1 << 16 else np.uint32
