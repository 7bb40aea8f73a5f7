"""Prepared text: what a run needs to know of it, and where its token ids lie; and what else preparing may leave."""

import json
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from lit_transformer.config.errors import UserError
from lit_transformer.data.cache import META, is_complete
from lit_transformer.data.images.prepared import PreparedImages
from lit_transformer.data.prepared_rows import PreparedRows


@dataclass(frozen=True, kw_only=True)
class PreparedText:
    """A tokenized corpus in the cache; tokenizer.json lies in its folder."""

    folder: Path
    """Where tokenizer.json and the token files lie."""
    vocab_size: int
    """Entries of the tokenizer's vocabulary."""
    tokens: dict[str, int]
    """Tokens of each split."""
    bytes: dict[str, int]
    """UTF-8 bytes of the text of each split, before any lower-casing."""
    unigram_entropy: dict[str, float]
    """Nats per token under the split's own unigram distribution; 0 for an empty split."""
    fingerprint: str
    """Hash of the content and of the settings that shape the token ids."""
    dtype: str
    """numpy's name for the type of the token files."""

    def token_ids(self, split: str) -> NDArray[np.uint16 | np.uint32]:
        """Ids of a split, (tokens,), mapped from the file read-only."""
        if not self.tokens[split]:
            return np.zeros(0, dtype=self.dtype)
        return np.memmap(self.folder / f"{split}.bin", dtype=self.dtype, mode="r")

    @property
    def tokenizer_path(self) -> Path:
        """The tokenizer's file."""
        return self.folder / "tokenizer.json"


Prepared = PreparedText | PreparedRows | PreparedImages
"""What preparing leaves, by kind of data."""


def load_prepared(folder: Path) -> Prepared:
    """Reads what preparing left in a folder; raises UserError where that is gone or damaged."""
    if not is_complete(folder):
        raise UserError(f"{folder}: no prepared data, or damaged ones\n  fix      prepare the data again")
    meta = json.loads((folder / META).read_text(encoding="utf-8"))
    if "columns" in meta:
        return PreparedRows.load(folder, meta)
    if "class_pixels" in meta:
        return PreparedImages.load(folder, meta)
    fields = {name: meta[name] for name in PreparedText.__dataclass_fields__ if name != "folder"}
    return PreparedText(folder=folder, **fields)
