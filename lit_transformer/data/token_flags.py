"""What a token says about the text around it: whether it begins a word, whether it ends a sentence."""

import json
import re
import string

import numpy as np
from numpy.typing import NDArray
from tokenizers import Tokenizer

_ENDS = re.compile(r"""(?:[.!?]["')\]]*|[。！？])$""")


def word_starts(tokenizer: Tokenizer) -> NDArray[np.bool_]:
    """Whether each id begins a word: (vocab_size,).

    Of a wordpiece, all but `##pieces` do; of tokens made of bytes, those that begin with a space, a newline or
    punctuation, so that a word takes along the space before it; of words and characters, each.
    """
    kind = _kind(tokenizer)
    if kind == "wordpiece":
        return np.array([not token.startswith("##") for token in _tokens(tokenizer)])
    if kind == "bytes":
        return np.array([_begins(token) for token in _tokens(tokenizer)])
    return np.ones(tokenizer.get_vocab_size(), dtype=np.bool_)


def sentence_ends(tokenizer: Tokenizer) -> NDArray[np.bool_]:
    """Whether each id ends a sentence: (vocab_size,): a full stop and the like, a closing quote after it, a newline."""
    newline = "\u010a" if _kind(tokenizer) == "bytes" else "\n"
    return np.array([token.endswith(newline) or bool(_ENDS.search(token)) for token in _tokens(tokenizer)])


def _tokens(tokenizer: Tokenizer) -> list[str]:
    return [tokenizer.id_to_token(index) or "" for index in range(tokenizer.get_vocab_size())]


def _kind(tokenizer: Tokenizer) -> str:
    described = json.loads(tokenizer.to_str())
    if described["model"]["type"] == "WordPiece":
        return "wordpiece"
    return "bytes" if (described["decoder"] or {}).get("type") == "ByteLevel" else "other"


def _begins(token: str) -> bool:
    """Whether a token of bytes begins a word; bytes 0 to 32 are written as the characters from U+0100 to U+0120."""
    code = ord(token[0]) if token else 0
    first = chr(code - 0x100) if 0x100 <= code <= 0x120 else token[:1]
    return bool(first) and first in string.whitespace + string.punctuation
