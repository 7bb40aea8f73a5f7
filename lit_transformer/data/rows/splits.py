"""Splits of examples: given ones as they are, others held out of the training rows."""

import hashlib
from collections.abc import Mapping

from lit_transformer.config.errors import UserError
from lit_transformer.config.schema import DataConfig
from lit_transformer.data.rows.examples import Example


def split_examples(given: Mapping[str, list[Example]], data: DataConfig) -> dict[str, list[Example]]:
    """`train`, `val` and `test`, the latter two out of `train` by their fractions where they are not given.

    Rows are held out by their hash, so that a file sorted by label is no trap and rows with the same texts stay on
    one side; of COPA, whose usual practice it is, the last ones. Given splits keep their rows, even those that the
    training split has too. Raises UserError where train or val is empty, or a share got nothing.
    """
    train = given["train"]
    if not train:
        raise UserError("there are no rows to train on\n  fix      check data.path, data.max_bytes and data.empty")
    shares = {
        "val": 0.0 if "val" in given else data.val_fraction,
        "test": 0.0 if "test" in given else data.test_fraction,
    }
    held = _last if data.source == "copa" else _hashed
    splits: dict[str, list[Example]] = {}
    for split in ("test", "val"):
        count = round(len(given["train"]) * shares[split])
        train, out = held(train, count) if count and train else (train, [])
        splits[split] = given.get(split, out)
        if shares[split] and not out and train:
            raise UserError(
                f"the {split} split is empty: {shares[split]:g} of {len(given['train'])} rows\n"
                f"  fix      raise data.{split}_fraction, or set data.{split}_path"
            )
    if not train or not splits["val"]:
        name = "validation" if train else "training"
        raise UserError(
            f"the {name} split of {len(given['train'])} rows is empty (data.val_fraction={data.val_fraction}, "
            f"data.val_path={data.val_path}, data.test_fraction={data.test_fraction})\n"
            "  fix      set data.val_path, or other fractions"
        )
    return {"train": train, "val": splits["val"], "test": splits["test"]}


Held = tuple[list[Example], list[Example]]


def _last(examples: list[Example], count: int) -> Held:
    return examples[:-count], examples[-count:]


def _hashed(examples: list[Example], count: int) -> Held:
    """The `count` with the first hashes are held out, and those with the same texts as one of them, all in order."""
    digests = [_digest(example) for example in examples]
    bound = sorted(digests)[min(count, len(digests)) - 1]
    kept = [example for example, digest in zip(examples, digests, strict=True) if digest > bound]
    return kept, [example for example, digest in zip(examples, digests, strict=True) if digest <= bound]


def _digest(example: Example) -> bytes:
    whole = hashlib.blake2b(digest_size=16)
    for text in example.texts.values():
        raw = text.encode()
        whole.update(len(raw).to_bytes(8, "little") + raw)
    return whole.digest()
