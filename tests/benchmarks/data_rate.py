"""Tokens/s from text to batches: tokenizing into the cache, and loading from it, beside `datasets`.

Theirs is what scripts of language modelling do: `map` a tokenizer over batches of documents, join and cut the ids into
blocks by a second `map`, both cached in Arrow, and a DataLoader over the blocks. One tokenizer serves both. Ours cuts
blocks as it loads, from another offset in each epoch.
"""

import itertools
import os
import tempfile
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path

import datasets
import numpy as np
from alternating import Spread, take_turns
from case import Pace
from figures import Figure
from tokenizers import Tokenizer
from torch.utils.data import DataLoader

from lit_transformer.config.layers import shell_layer
from lit_transformer.config.load import load_experiment
from lit_transformer.config.schema import ExperimentConfig
from lit_transformer.data.corpora import open_corpora, take_bytes
from lit_transformer.data.encode import parallel_tokenizers, write_splits
from lit_transformer.data.prepared import PreparedText
from lit_transformer.data.splits import split_documents
from lit_transformer.data.tokenizers import load_tokenizer
from lit_transformer.training.prepare import prepare
from lit_transformer.training.registry import build_parts, open_prepared

BYTES = 8_000_000
BATCHES = 200


def figures(pace: Pace) -> list[Figure]:
    """Both rates."""
    size = max(1_000_000, int(BYTES * min(pace.budget, 1.0)))
    config = load_experiment("gpt_tiny", [shell_layer([f"data.max_bytes={size}", "data.test_fraction=0.0"])]).config
    ready = prepare(config)
    prepared = open_prepared(ready.config, ready.data)
    assert isinstance(prepared, PreparedText)
    documents = list(take_bytes(open_corpora(config.data)["train"].documents(), size))
    size = sum(len(document.encode()) for document in documents)  # what there is
    tokenizer, context = load_tokenizer(prepared.tokenizer_path), 64
    datasets.disable_progress_bars()
    with tempfile.TemporaryDirectory() as folder:
        tokens = sum(prepared.tokens.values())
        numbers = itertools.count()
        cached = rates(
            lambda: ours_cached(config, documents, tokenizer, Path(folder) / f"ours-{next(numbers)}"),
            lambda: theirs_cached(documents, tokenizer, context, Path(folder) / f"theirs-{next(numbers)}"),
            2 * pace.least,
        )
        blocks = theirs_cached(documents, tokenizer, context, Path(folder) / "kept")
        loader = theirs_loader(blocks, config.data.batch_size)
        parts = build_parts(ready.config, prepared)
        loaded = rates(lambda: read(parts.data.train_dataloader()), lambda: read(loader), 2 * pace.least)
    batch = config.data.batch_size * context * BATCHES
    return [
        figure(f"tokenizing and caching {size / 1e6:.0f} MB of text, over datasets", tokens, cached),
        figure(f"loading batches of {config.data.batch_size} x {context}, over datasets", batch, loaded),
    ]


def rates(ours: Callable[[], object], theirs: Callable[[], object], pairs: int) -> dict[str, list[float]]:
    """Seconds of both, by turns."""
    return take_turns({"ours": ours, "theirs": theirs}, seconds=0.0, least=pairs, most=pairs).seconds


def figure(name: str, tokens: int, taken: dict[str, list[float]]) -> Figure:
    """Ours over theirs."""
    ratio = Spread.of([slow / fast for fast, slow in zip(taken["ours"], taken["theirs"], strict=True)])
    ours, theirs = (tokens / Spread.of(taken[side]).median for side in ("ours", "theirs"))
    facts: dict[str, object] = {"data": name, "unit": "tokens/s", "ours": ours, "theirs": theirs}
    note = f"{ours:,.4g} and {theirs:,.4g} tokens/s; quartiles {ratio.low:.2f} to {ratio.high:.2f}"
    return Figure(name, ratio.median, "x", note=note, facts=facts)


def ours_cached(config: ExperimentConfig, documents: list[str], tokenizer: Tokenizer, folder: Path) -> None:
    """Splits, ids and the tokenizer in a new folder."""
    folder.mkdir()
    with parallel_tokenizers():
        write_splits(split_documents(documents, None, None, config.data), tokenizer, folder)


@contextmanager
def all_cores() -> Iterator[None]:
    """The tokenizer's own threads, as ours has them, for `map` in this process."""
    before = os.environ.get("TOKENIZERS_PARALLELISM")
    os.environ["TOKENIZERS_PARALLELISM"] = "true"
    try:
        yield
    finally:
        os.environ["TOKENIZERS_PARALLELISM"] = before or "false"


def theirs_cached(documents: list[str], tokenizer: Tokenizer, context: int, folder: Path) -> datasets.Dataset:
    """Blocks in Arrow files in a new folder."""
    folder.mkdir()

    def encode(batch: dict[str, list[str]]) -> dict[str, object]:
        return {"ids": [found.ids for found in tokenizer.encode_batch_fast(batch["text"], add_special_tokens=False)]}

    def cut(batch: dict[str, list[list[int]]]) -> dict[str, object]:
        joined = np.fromiter(itertools.chain.from_iterable(batch["ids"]), dtype=np.int32)
        whole = len(joined) // context * context
        return {"ids": joined[:whole].reshape(-1, context)}

    texts = datasets.Dataset.from_dict({"text": documents})
    with all_cores():
        ids = texts.map(encode, batched=True, remove_columns=["text"], cache_file_name=str(folder / "ids.arrow"))
    return ids.map(cut, batched=True, cache_file_name=str(folder / "blocks.arrow"))


def theirs_loader(blocks: datasets.Dataset, batch_size: int) -> DataLoader:
    """Shuffled batches of tensors."""
    return DataLoader(blocks.with_format("torch"), batch_size=batch_size, shuffle=True, drop_last=True)


def read(batches: object) -> None:
    """BATCHES of them."""
    for _ in itertools.islice(batches, BATCHES):  # type: ignore[call-overload]
        pass
