"""Tokenizers lose nothing where their kind can, and know the training text alone."""

import dataclasses
from pathlib import Path

import pytest

from lit_transformer.config.errors import UserError
from lit_transformer.config.schema import TokenizerConfig
from lit_transformer.data.special_names import CLS, END, MASK, PAD, SENTINELS, SEP, SEQUENCE_END, UNKNOWN
from lit_transformer.data.tokenizers import (
    KINDS,
    decode,
    encode,
    load_tokenizer,
    pieces,
    train_tokenizer,
    with_specials,
)


def settings(kind: str, **changes: object) -> TokenizerConfig:
    size = {"bpe": 300, "wordpiece": 80}.get(kind)
    base = TokenizerConfig(kind=kind, vocab_size=size, min_frequency=1)  # type: ignore[arg-type]
    return dataclasses.replace(base, **changes)  # type: ignore[arg-type]


@pytest.mark.parametrize("kind", ["characters", "bpe", "bytes"])
def test_round_trip_is_lossless(kind: str, prose: str) -> None:
    tokenizer = train_tokenizer(settings(kind), [prose], specials=(END,))
    assert decode(tokenizer, encode(tokenizer, prose)) == prose


@pytest.mark.parametrize("kind", ["bpe", "bytes"])
def test_unseen_characters_survive_where_tokens_are_bytes(kind: str, prose: str) -> None:
    tokenizer = train_tokenizer(settings(kind), [prose], specials=())
    text = "Ω \x00\u200d 한국어 \U0001f9ff <eot> <unk>"
    assert decode(tokenizer, encode(tokenizer, text)) == text


@pytest.mark.parametrize("kind", KINDS)
@pytest.mark.parametrize("lowercase", [False, True])
def test_pieces_give_the_tokens_of_the_whole_text(kind: str, lowercase: bool, prose: str) -> None:
    tokenizer = train_tokenizer(settings(kind, lowercase=lowercase), [prose], specials=())
    parts = list(pieces(prose, size=50))
    assert len(parts) > 100
    assert "".join(parts) == prose
    assert [token for part in parts for token in encode(tokenizer, part)] == encode(tokenizer, prose)


def test_a_text_without_spaces_is_cut_all_the_same() -> None:
    parts = list(pieces("x" * 1050, size=100))
    assert "".join(parts) == "x" * 1050
    assert max(map(len, parts)) <= 200


@pytest.mark.parametrize("kind", ["characters", "words", "wordpiece"])
def test_what_training_did_not_show_is_unknown(kind: str) -> None:
    tokenizer = train_tokenizer(settings(kind, vocab_size=None if kind != "wordpiece" else 6), ["aba ab"], specials=())
    assert UNKNOWN in tokenizer.encode("Ω").tokens
    assert UNKNOWN not in tokenizer.encode("aba").tokens


@pytest.mark.parametrize("kind", KINDS)
def test_special_tokens_are_the_first_and_never_read_from_text(kind: str, prose: str, tmp_path: Path) -> None:
    tokenizer = train_tokenizer(settings(kind), [prose], specials=(END,))
    unknown = [UNKNOWN] if kind in ("characters", "words", "wordpiece") else []
    assert [tokenizer.id_to_token(index) for index in range(len(unknown) + 1)] == [*unknown, END]
    tokenizer.save(str(tmp_path / "tokenizer.json"))
    for known in (tokenizer, load_tokenizer(tmp_path), load_tokenizer(tmp_path / "tokenizer.json")):
        assert tokenizer.token_to_id(END) not in encode(known, f"fox{END}fox {END}")
        assert encode(known, prose) == encode(tokenizer, prose)


@pytest.mark.parametrize("kind", KINDS)
def test_the_padding_comes_first_then_the_unknown_token(kind: str, prose: str) -> None:
    tokenizer = train_tokenizer(settings(kind), [prose], specials=(CLS, PAD, SEP, MASK))
    unknown = [UNKNOWN] if kind in ("characters", "words", "wordpiece") else []
    expected = [PAD, *unknown, CLS, SEP, MASK]
    assert [tokenizer.id_to_token(index) for index in range(len(expected))] == expected
    assert not set(range(len(expected))) & set(encode(tokenizer, f"fox {MASK} fox{PAD}{SEP}")) - {1}  # 1: unknown


@pytest.mark.parametrize("kind", KINDS)
def test_special_tokens_change_no_other_token(kind: str, prose: str) -> None:
    """The same text gives the same tokens, numbered from after the special ones."""
    few, many = (PAD,), (PAD, SEQUENCE_END, *SENTINELS)
    size = {"bpe": 300, "wordpiece": 80}.get(kind)
    one, two = (
        train_tokenizer(settings(kind, vocab_size=size and size + len(names)), [prose], specials=names)
        for names in (few, many)
    )
    shift = len(many) - len(few)
    unknown = one.token_to_id(UNKNOWN)
    moved = [index if index == unknown else index + shift for index in encode(one, prose)]
    assert moved == encode(two, prose)


@pytest.mark.parametrize("kind", KINDS)
def test_special_tokens_that_are_added_later_come_last(kind: str, prose: str, tmp_path: Path) -> None:
    tokenizer = train_tokenizer(settings(kind), [prose], specials=(PAD,))
    size = tokenizer.get_vocab_size()
    grown = with_specials(tokenizer, (PAD, MASK, SEP))
    assert tokenizer.get_vocab_size() == size  # the given one stays as it is
    assert grown.get_vocab_size() == size + 2
    assert [grown.id_to_token(size + index) for index in range(2)] == [MASK, SEP]
    grown.save(str(tmp_path / "tokenizer.json"))
    for known in (grown, load_tokenizer(tmp_path)):
        assert encode(known, prose) == encode(tokenizer, prose)
        assert max(encode(known, f"a{MASK} b {SEP}")) < size
        assert decode(known, [size]) == MASK
    assert with_specials(grown, (MASK,)).to_str() == grown.to_str()


@pytest.mark.parametrize(("kind", "size"), [("characters", None), ("words", 15), ("bpe", 320), ("wordpiece", 90)])
def test_training_twice_gives_the_same_tokenizer(kind: str, size: int | None, prose: str) -> None:
    asked = settings(kind, vocab_size=size)
    assert len({train_tokenizer(asked, [prose, "more"], specials=(END,)).to_str() for _ in range(5)}) == 1


def test_fixed_vocabularies_take_what_they_need() -> None:
    assert train_tokenizer(settings("characters", vocab_size=4096), ["abba"], specials=(END,)).get_vocab_size() == 4
    assert train_tokenizer(settings("bytes", vocab_size=4096), ["abba"], specials=()).get_vocab_size() == 256


@pytest.mark.parametrize(
    ("kind", "asked", "possible"),
    [("bpe", 5000, "entries at most"), ("words", 50, "it gives 5 entries"), ("wordpiece", 900, "entries at most")],
)
def test_a_vocabulary_larger_than_the_text_allows(kind: str, asked: int, possible: str) -> None:
    with pytest.raises(UserError, match=f"vocab_size: got {asked}, larger than the text allows") as caught:
        train_tokenizer(settings(kind, vocab_size=asked), ["hello wonderful big hello"], specials=(END,))
    assert possible in str(caught.value)
    largest = int(str(caught.value).partition("vocab_size=")[2].partition(",")[0].partition(" ")[0])
    fixed = train_tokenizer(settings(kind, vocab_size=largest), ["hello wonderful big hello"], specials=(END,))
    assert fixed.get_vocab_size() == largest  # the fix that the message names works


@pytest.mark.parametrize(("kind", "asked", "needed"), [("characters", 3, 5), ("bytes", 255, 256), ("bpe", 100, 256)])
def test_a_vocabulary_too_small(kind: str, asked: int, needed: int) -> None:
    with pytest.raises(UserError, match=f"got {asked}, {kind} needs at least {needed}"):
        train_tokenizer(settings(kind, vocab_size=asked), ["abcd"], specials=())


def test_settings_that_no_tokenizer_has() -> None:
    with pytest.raises(UserError, match=r"got 'sentences'(.|\n)*allowed  characters, words, bpe, wordpiece, bytes"):
        train_tokenizer(settings("sentences"), ["abcd"], specials=())
    with pytest.raises(UserError, match=r"bpe needs a number, got null"):
        train_tokenizer(settings("bpe", vocab_size=None), ["abcd"], specials=())


def test_words_warn_of_scripts_without_spaces() -> None:
    with pytest.warns(UserWarning, match=r"whole Chinese or Japanese sentence"):
        train_tokenizer(settings("words"), ["天地玄黃 宇宙洪荒 日月盈昃 辰宿列張"], specials=())


def test_a_broken_tokenizer_file(tmp_path: Path) -> None:
    (tmp_path / "tokenizer.json").write_text("{}")
    with pytest.raises(UserError, match=r"no tokenizer can be read"):
        load_tokenizer(tmp_path)
