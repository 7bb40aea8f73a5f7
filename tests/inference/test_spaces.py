"""Spaces around blanks and continuations, for each kind of tokenizer."""

import pytest
from tokenizers import Tokenizer, decoders, models, pre_tokenizers

from lit_transformer.config.schema import TokenizerConfig
from lit_transformer.data.tokenizers import train_tokenizer
from lit_transformer.inference.spaces import Spaces

TEXT = "(the cat sat on the mat, the cats sat ## on the mats " * 9
SIZES = {"bpe": 272, "wordpiece": 26}


def spaces(kind: str) -> Spaces:
    settings = TokenizerConfig(kind=kind, vocab_size=SIZES.get(kind), min_frequency=1)  # type: ignore[arg-type]
    return Spaces(train_tokenizer(settings, [TEXT], specials=("[MASK]",)))


def sentence_piece() -> Spaces:
    """As in a T5 of other people."""
    pieces = [("<unk>", 0.0), ("▁the", -1.0), ("▁cat", -2.0), ("▁sat", -2.0), ("s", -3.0), ("▁", -4.0)]
    tokenizer = Tokenizer(models.Unigram(pieces, unk_id=0))
    tokenizer.pre_tokenizer, tokenizer.decoder = pre_tokenizers.Metaspace(), decoders.Metaspace()
    return Spaces(tokenizer)


def ids(made: Spaces, *tokens: str) -> list[int]:
    found = [made.tokenizer.token_to_id(token) for token in tokens]
    assert None not in found, tokens
    return found


@pytest.mark.parametrize(
    ("kind", "tokens", "text", "encoded", "filled"),
    [
        ("bpe", ["Ġcat"], "the ", "the", "the cat"),
        ("bpe", ["s"], "the cat ", "the cat", "the cats"),
        ("bpe", ["Ġcat"], "the", "the", "the cat"),
        ("bpe", ["Ġcat"], "the  ", "the ", "the  cat"),
        ("bpe", ["Ġcat"], "", "", "cat"),
        ("bpe", ["Ġcat", "s"], " ", "", "cats"),
        ("wordpiece", ["cat"], "the ", "the ", "the cat"),
        ("wordpiece", ["##s"], "the cat ", "the cat ", "the cats"),
        ("wordpiece", ["cat"], "(", "(", "(cat"),
        ("words", ["cat"], "the ", "the ", "the cat"),
        ("words", ["##"], "the ", "the ", "the ##"),
        ("words", ["cat", "sat"], "the ", "the ", "the cat sat"),
        ("characters", ["c"], "the ", "the ", "the c"),
        ("characters", [" "], "the", "the", "the "),
        ("bytes", ["c"], "the ", "the ", "the c"),
        ("sentence piece", ["▁cat"], "the ", "the", "the cat"),
        ("sentence piece", ["s"], "the cat ", "the cat", "the cats"),
        ("sentence piece", ["▁cat"], "", "", "cat"),
    ],
)
def test_a_blank_takes_the_space_that_its_token_brings(
    kind: str, tokens: list[str], text: str, encoded: str, filled: str
) -> None:
    made = sentence_piece() if kind == "sentence piece" else spaces(kind)
    assert made.before_blank(text) == encoded
    assert made.filled(text, ids(made, *tokens)) == filled


@pytest.mark.parametrize("kind", ["bpe", "wordpiece", "words", "characters", "bytes"])
def test_the_tokens_of_a_text_fill_and_continue_it(kind: str) -> None:
    made = spaces(kind)

    def encoded(text: str) -> list[int]:
        return made.tokenizer.encode(text, add_special_tokens=False).ids

    whole, first, last = "the cats sat on the mat", "the cats sat ", "on the mat"
    blank = encoded(whole)[len(encoded(made.before_blank(first))) :]
    assert made.filled(first, blank) == whole
    assert made.continued("the cats sat", encoded(whole)[len(encoded("the cats sat")) :]) == whole
    if kind == "wordpiece":
        assert made.continued("the cat", ids(made, "##s")) == "the cats"
    assert made.continued("", encoded(last)) == last and made.continued("a", []) == "a"


def test_alone_without_marks_of_pieces() -> None:
    assert [spaces("wordpiece").alone(ids(spaces("wordpiece"), token)) for token in ("##s", "cat")] == ["s", "cat"]
    assert spaces("bpe").alone(ids(spaces("bpe"), "Ġcat")) == "cat"
    assert spaces("words").alone(ids(spaces("words"), "##")) == "##"
