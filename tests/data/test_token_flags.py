"""Where words begin and sentences end, for every kind of tokenizer."""

import pytest

from lit_transformer.config.schema import TokenizerConfig
from lit_transformer.data.token_flags import sentence_ends, word_starts
from lit_transformer.data.tokenizers import KINDS, encode, train_tokenizer

TEXT = 'The animal (tired) didn\'t cross.\nWhy not? "Too tired!" it said. été\n\n\tEnd'


def pieces_between(kind: str, flags: str) -> list[str]:
    size = {"bpe": 300, "wordpiece": 60}.get(kind)
    config = TokenizerConfig(kind=kind, vocab_size=size, min_frequency=1)  # type: ignore[arg-type]
    tokenizer = train_tokenizer(config, [TEXT + " animal cross tired" * 3], specials=("<pad>",))
    found = {"words": word_starts, "sentences": sentence_ends}[flags](tokenizer)
    assert found.shape == (tokenizer.get_vocab_size(),) and found.dtype == bool
    groups: list[list[int]] = [[]]
    for index in encode(tokenizer, TEXT):
        if flags == "words" and found[index] and groups[-1]:
            groups.append([])
        groups[-1].append(index)
        if flags == "sentences" and found[index]:
            groups.append([])
    return [tokenizer.decode(group) for group in groups if group]


@pytest.mark.parametrize("kind", ["bpe", "bytes"])
def test_words_of_bytes_take_along_the_space_before_them(kind: str) -> None:
    words = pieces_between(kind, "words")
    assert "".join(words) == TEXT
    expected = ["The", " animal", " ", "(tired", ")", " didn", "'t", " cross", ".", "\nWhy", " not", "?", " ", '"Too']
    assert words[: len(expected)] == expected or kind == "bpe"
    assert {"The", " animal", " cross", "\nWhy", " not", " été"} <= set(words)


def test_wordpieces_and_whole_words() -> None:
    found = pieces_between("wordpiece", "words")
    assert found[:5] == ["The", "animal", "(", "tired", ")"]
    for kind in ("words", "characters"):
        size = None
        config = TokenizerConfig(kind=kind, vocab_size=size, min_frequency=1)  # type: ignore[arg-type]
        assert word_starts(train_tokenizer(config, [TEXT], specials=())).all()


@pytest.mark.parametrize("kind", KINDS)
def test_sentences_end_with_full_stops_and_lines(kind: str) -> None:
    found = "".join(pieces_between(kind, "sentences")[0].split())
    assert found == "The animal (tired) didn't cross.".replace(" ", "")
