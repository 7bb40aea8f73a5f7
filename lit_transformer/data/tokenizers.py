"""Tokenizers by the `tokenizers` library: trained on the training split, read back, and decoded with."""

import re
import warnings
from collections.abc import Iterable, Iterator, Sequence
from pathlib import Path

from tokenizers import Tokenizer, decoders, models, normalizers, pre_tokenizers, trainers

from lit_transformer.config.errors import UserError
from lit_transformer.config.schema import TokenizerConfig
from lit_transformer.data.special_names import END, PAD, UNKNOWN
from lit_transformer.data.specials import Specials, find, specials_of

__all__ = [
    "END",
    "UNKNOWN",
    "Specials",
    "decode",
    "encode",
    "end_token",
    "load_tokenizer",
    "pieces",
    "specials_of",
    "train_tokenizer",
    "with_specials",
]

PIECE = 1 << 16
"""Characters of text that are tokenized at once, about."""

KINDS = ("characters", "words", "bpe", "wordpiece", "bytes")
"""Values of `data.tokenizer.kind`."""

_UNBOUNDED = 1 << 31

_UNSPACED = re.compile("[\u3040-\u9fff]")
"""Characters of scripts that write no spaces: kana, CJK ideographs."""


def train_tokenizer(config: TokenizerConfig, documents: Sequence[str], *, specials: Sequence[str]) -> Tokenizer:
    """Tokenizer of the configured kind, trained on the documents.

    Its special tokens have the first ids: `<pad>` if it is one of them, `<unk>` for what the vocabulary does not hold
    (characters, words, wordpiece), then the others in order. Raises UserError where the vocabulary asked for is not the
    one that the text gives.
    """
    if config.kind not in KINDS:
        raise UserError(f"data.tokenizer.kind: got {config.kind!r}\n  allowed  {', '.join(KINDS)}")
    if config.vocab_size is None and config.kind in ("bpe", "wordpiece"):
        raise UserError(f"data.tokenizer.vocab_size: {config.kind} needs a number, got null")
    padding = [PAD] if PAD in specials else []
    unknown = [UNKNOWN] if config.kind in ("characters", "words", "wordpiece") else []
    special = list(dict.fromkeys([*padding, *unknown, *specials]))
    if config.kind == "characters":
        tokenizer = _characters(config, documents, special)
    elif config.kind == "bytes":
        tokenizer = _bytes(config, special)
    elif config.kind == "wordpiece":
        tokenizer = _wordpiece(config, documents, special)
    else:
        tokenizer = _trained(config, documents, special)
    tokenizer.encode_special_tokens = True
    _check_size(config, tokenizer.get_vocab_size())
    return tokenizer


def load_tokenizer(path: Path) -> Tokenizer:
    """Tokenizer of a tokenizer.json, or of a folder that holds one; raises UserError where it cannot be read."""
    file = path / "tokenizer.json" if path.is_dir() else path
    try:
        tokenizer = Tokenizer.from_file(str(file))
    except Exception as error:  # the library raises a bare Exception
        raise UserError(f"{file}: no tokenizer can be read from it ({error})") from error
    tokenizer.encode_special_tokens = True  # not saved in the file: "<eot>" in a text is text, not the end of one
    return tokenizer


def with_specials(tokenizer: Tokenizer, names: Sequence[str]) -> Tokenizer:
    """A tokenizer that also has these special tokens: those it lacks get the next ids, every other token keeps its own.

    What it calls by another name, such as [PAD], it does not lack.
    """
    grown = Tokenizer.from_str(tokenizer.to_str())
    grown.add_special_tokens([name for name in names if find(tokenizer, name) is None])
    grown.encode_special_tokens = True
    return grown


def encode(tokenizer: Tokenizer, text: str) -> list[int]:
    """Token ids of a short text, such as a prompt."""
    ids: list[int] = tokenizer.encode(text, add_special_tokens=False).ids
    return ids


def decode(tokenizer: Tokenizer, ids: Iterable[int]) -> str:
    """Text of token ids, special tokens spelled out."""
    text: str = tokenizer.decode(list(ids), skip_special_tokens=False)
    return text


def end_token(tokenizer: Tokenizer) -> int | None:
    """Id of the end-of-text token, None where the tokenizer has none."""
    return specials_of(tokenizer).eot


def pieces(text: str, size: int = PIECE) -> Iterator[str]:
    """Parts of a text, about `size` characters each, whose tokens are those of the whole text.

    A part ends before whitespace that follows something else, where every tokenizer here cuts anyway; a text that
    has none within twice the size is cut in the middle of a word.
    """
    start = 0
    while len(text) - start > size:
        stop = _cut_before_space(text, start + size, min(len(text), start + 2 * size))
        yield text[start:stop]
        start = stop
    yield text[start:]


def _cut_before_space(text: str, start: int, stop: int) -> int:
    for space in ("\n", " "):
        at = text.find(space, start, stop)
        while at >= 0 and text[at - 1].isspace():
            at = text.find(space, at + 1, stop)
        if at >= 0:
            return at
    return stop


def _characters(config: TokenizerConfig, documents: Sequence[str], special: list[str]) -> Tokenizer:
    """BPE without merges: one token a character, several times faster than splitting for a WordLevel model."""
    found: set[str] = set()
    for text in documents:
        found.update(text.lower() if config.lowercase else text)
    vocabulary = {token: index for index, token in enumerate([*special, *sorted(found)])}
    tokenizer = Tokenizer(models.BPE(vocab=vocabulary, merges=[], unk_token=UNKNOWN))
    tokenizer.add_special_tokens(special)
    tokenizer.normalizer = _normalizer(config)
    tokenizer.decoder = decoders.Fuse()
    return tokenizer


def _bytes(config: TokenizerConfig, special: list[str]) -> Tokenizer:
    vocabulary = {token: index for index, token in enumerate([*special, *sorted(pre_tokenizers.ByteLevel.alphabet())])}
    tokenizer = Tokenizer(models.BPE(vocab=vocabulary, merges=[]))
    tokenizer.add_special_tokens(special)
    tokenizer.normalizer = _normalizer(config)
    tokenizer.pre_tokenizer = pre_tokenizers.ByteLevel(add_prefix_space=False, use_regex=False)
    tokenizer.decoder = decoders.ByteLevel()
    return tokenizer


def _trained(config: TokenizerConfig, documents: Sequence[str], special: list[str]) -> Tokenizer:
    """The kinds that learn their vocabulary: words, bpe."""
    trainer: trainers.Trainer
    if config.kind == "bpe":
        tokenizer = Tokenizer(models.BPE())
        tokenizer.pre_tokenizer = pre_tokenizers.ByteLevel(add_prefix_space=False)
        tokenizer.decoder = decoders.ByteLevel()
        trainer = trainers.BpeTrainer(initial_alphabet=pre_tokenizers.ByteLevel.alphabet(), show_progress=False)
    else:
        _warn_without_spaces(documents)
        tokenizer = Tokenizer(models.WordLevel(unk_token=UNKNOWN))
        tokenizer.pre_tokenizer = pre_tokenizers.Whitespace()
        trainer = trainers.WordLevelTrainer(show_progress=False)
    trainer.vocab_size = _UNBOUNDED if config.vocab_size is None else config.vocab_size
    trainer.min_frequency = config.min_frequency
    trainer.special_tokens = special
    tokenizer.normalizer = _normalizer(config)
    tokenizer.train_from_iterator((piece for text in documents for piece in pieces(text)), trainer)
    return tokenizer


def _wordpiece(config: TokenizerConfig, documents: Sequence[str], special: list[str]) -> Tokenizer:
    """WordPiece, trained twice.

    The library numbers the characters inside words in an order that differs between processes, and ties between
    merges follow the numbers. So a first training without merges finds the characters, and the second is given them
    in order.
    """

    def trained(first: list[str], vocab_size: int) -> Tokenizer:
        tokenizer = Tokenizer(models.WordPiece(unk_token=UNKNOWN))
        tokenizer.normalizer = _normalizer(config)
        tokenizer.pre_tokenizer = pre_tokenizers.BertPreTokenizer()
        trainer = trainers.WordPieceTrainer(
            vocab_size=vocab_size, min_frequency=config.min_frequency, special_tokens=first, show_progress=False
        )
        tokenizer.train_from_iterator((piece for text in documents for piece in pieces(text)), trainer)
        return tokenizer

    alphabet = sorted(set(trained(special, 0).get_vocab()) - set(special))
    learned = trained([*special, *alphabet], config.vocab_size or 0)
    # a model of its own, in which only the real special tokens are special
    tokenizer = Tokenizer(models.WordPiece(vocab=learned.get_vocab(), unk_token=UNKNOWN))
    tokenizer.add_special_tokens(special)
    tokenizer.normalizer, tokenizer.pre_tokenizer = learned.normalizer, learned.pre_tokenizer
    tokenizer.decoder = decoders.WordPiece()
    return tokenizer


def _normalizer(config: TokenizerConfig) -> normalizers.Normalizer | None:
    return normalizers.Lowercase() if config.lowercase else None


def _warn_without_spaces(documents: Sequence[str]) -> None:
    """A word tokenizer makes one token of a sentence in a script that writes no spaces."""
    sample = [text[:10000] for text in documents[:1000]]  # sources and targets stand in turn
    unspaced = [text for text in sample if len(_UNSPACED.findall(text)) > 0.1 * len(text)]
    if len(unspaced) > 0.1 * len(sample):
        warnings.warn(
            "data.tokenizer.kind=words takes a whole Chinese or Japanese sentence for a word; use bpe or characters",
            stacklevel=2,
        )


def _check_size(config: TokenizerConfig, found: int) -> None:
    asked = config.vocab_size
    fixed = config.kind in ("characters", "bytes")
    if asked is None or asked == found or (fixed and asked > found):
        return
    if asked < found:
        why = f"{config.kind} needs at least {found} entries for this text: its characters or bytes and special tokens"
        fix = f"set data.tokenizer.vocab_size to {found} or more" + (", or null" if fixed else "")
    else:
        why = f"larger than the text allows: it gives {found} entries at most (min_frequency={config.min_frequency})"
        lower = " or lower data.tokenizer.min_frequency" if config.min_frequency > 1 else ""
        fix = f"set data.tokenizer.vocab_size={found}{lower}, or use more text"
    raise UserError(f"data.tokenizer.vocab_size: got {asked}, {why}\n  fix      {fix}")
