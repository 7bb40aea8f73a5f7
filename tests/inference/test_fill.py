"""`fill` shows what is likeliest in a blank, with the probabilities that the network itself gives."""

import json
import math
from collections.abc import Callable
from dataclasses import replace
from itertools import product

import pytest
import torch
from tokenizers import Tokenizer
from torch import Tensor

from lit_transformer.config.errors import UserError
from lit_transformer.data.tokenizers import load_tokenizer
from lit_transformer.inference.fill import Filling, fill
from lit_transformer.inference.fillers import FILLERS, Way
from tests.inference.conftest import Runs
from tests.inference.runs import Made, Shell

KINDS = ["bert", "t5", "glm"]
Probability = Callable[[Made, list[str], tuple[list[int], ...]], Tensor]
TEXT = "the [MASK] learns a token of the [MASK]"


def text_ids(made: Made) -> list[int]:
    """Every id that stands for text."""
    return [index for index in range(made.run.tokenizer.get_vocab_size()) if index not in made.run.specials.ids]


def bert_row(made: Made, parts: list[str]) -> tuple[list[int], list[int]]:
    """[CLS], the parts with [MASK] between them, [SEP]; and where the masks stand."""
    row = [made.id("[CLS]"), *made.ids(parts[0])]
    for part in parts[1:]:
        row += [made.id("[MASK]"), *made.ids(part)]
    return [*row, made.id("[SEP]")], [place for place, index in enumerate(row) if index == made.id("[MASK]")]


@pytest.mark.parametrize("top", [1, 5, 40])
def test_bert_shows_the_softmax_at_the_mask(runs: Runs, top: int) -> None:
    made = runs("bert")
    row, (place,) = bert_row(made, ["the", "learns a token"])
    probabilities = made.log_probabilities(row)[place].exp()
    found = fill(made.run, "the [MASK] learns a token", top=top)
    best = sorted(text_ids(made), key=lambda index: -probabilities[index])[:top]
    assert [filling.fills for filling in found] == [(made.run.tokenizer.id_to_token(index),) for index in best]
    for filling, index in zip(found, best, strict=True):
        assert filling.probability == pytest.approx(probabilities[index].item(), rel=1e-5)
        assert filling.text == f"the {filling.fills[0]} learns a token"
    assert sum(filling.probability for filling in found) <= 1


def test_the_blanks_of_a_bert_are_independent(runs: Runs) -> None:
    made = runs("bert")
    row, places = bert_row(made, ["the", "learns a token of the", ""])
    values = made.log_probabilities(row)[places]
    every = {chosen: values[0, chosen[0]] + values[1, chosen[1]] for chosen in product(text_ids(made), text_ids(made))}
    best = sorted(every, key=lambda chosen: -every[chosen])[:7]
    found = fill(made.run, TEXT, top=7)
    tokens = [tuple(made.run.tokenizer.id_to_token(index) for index in chosen) for chosen in best]
    assert [filling.fills for filling in found] == tokens
    assert [filling.probability for filling in found] == pytest.approx([every[chosen].exp().item() for chosen in best])


def test_ten_blanks_at_once(runs: Runs) -> None:
    found = fill(runs("bert").run, " ".join(["[MASK]"] * 10), top=3)
    assert len(found) == 3 and all(len(filling.fills) == 10 for filling in found)


@pytest.mark.parametrize("kind", ["bpe", "wordpiece", "characters"])
def test_spaces_are_right_for_every_tokenizer(runs: Runs, kind: str) -> None:
    made = runs(f"bert {kind}")
    first = {"bpe": "the", "wordpiece": "the", "characters": "the "}[kind]
    row, (place,) = bert_row(made, [first, " learns"])
    probabilities = made.log_probabilities(row)[place].exp()
    found = fill(made.run, "the [MASK] learns", top=made.run.tokenizer.get_vocab_size())
    assert len(found) >= 15 and sum(filling.probability for filling in found) <= 1 + 1e-6
    for filling in found:
        assert filling.text.startswith("the") and filling.text.endswith(" learns")
        middle = filling.text.removeprefix("the").removesuffix(" learns")
        token = {
            "bpe": middle.replace(" ", "Ġ"),
            "wordpiece": middle[1:] if middle.startswith(" ") else f"##{middle}",
            "characters": middle[1:],
        }[kind]
        if made.id(token) is not None:  # not a part of a character
            assert filling.probability == pytest.approx(probabilities[made.id(token)].item(), rel=1e-4)
    whole = [filling.text for filling in found]
    assert len(set(whole)) == len(whole)


def t5_probability(made: Made, parts: list[str], spans: tuple[list[int], ...]) -> Tensor:
    """Of the spans, each behind its sentinel and before the next one, or the end."""
    sentinels = [made.id(f"<extra_id_{number}>") for number in range(len(spans))]
    source = made.ids(parts[0])
    for sentinel, part in zip(sentinels, parts[1:], strict=True):
        source += [sentinel, *made.ids(part)]
    target: list[int] = []
    for sentinel, span in zip(sentinels, spans, strict=True):
        target += [sentinel, *span]
    target.append(made.id("</s>"))
    values = made.log_probabilities([*source, made.id("</s>")], [made.id("<pad>"), *target[:-1]])
    # the first sentinel is given, and so is each later one once the span before it has ended with it
    return sum(values[place, token] for place, token in enumerate(target) if place)


def glm_probability(made: Made, parts: list[str], spans: tuple[list[int], ...]) -> Tensor:
    """Of the spans, each from its <sop> to its <eop>, behind the text and the spans before."""
    text, places = made.ids(parts[0]), []
    for part in parts[1:]:
        places.append(len(text) + 1)
        text += [made.id("[MASK]"), *made.ids(part)]
    row, positions, inner, targets = list(text), list(range(1, len(text) + 1)), [0] * len(text), []
    for place, span in zip(places, spans, strict=True):
        targets += [(len(row) + offset, token) for offset, token in enumerate([*span, made.id("<eop>")])]
        row += [made.id("<sop>"), *span]
        positions += [place] * (len(span) + 1)
        inner += range(1, len(span) + 2)
    values = made.log_probabilities(row, positions=positions, block_positions=inner, prefix_length=len(text))
    return sum(values[place, token] for place, token in targets)


@pytest.mark.parametrize(("kind", "probability"), [("t5", t5_probability), ("glm", glm_probability)])
def test_spans_have_the_probability_of_their_tokens(runs: Runs, kind: str, probability: Probability) -> None:
    made = runs(kind)
    for text, parts in (("the [MASK] learns", ["the", "learns"]), (TEXT, ["the", "learns a token of the", ""])):
        found = fill(made.run, text, top=6)
        assert len(found) == 6
        for filling in found:
            spans = tuple(made.ids(words) for words in filling.fills)
            assert all(spans)
            expected = probability(made, parts, spans).exp().item()
            assert filling.probability == pytest.approx(expected, rel=1e-4)
        values = [filling.probability for filling in found]
        assert values == sorted(values, reverse=True) and sum(values) <= 1
        assert len({filling.text for filling in found}) == 6


@pytest.mark.parametrize(("kind", "probability"), [("t5", t5_probability), ("glm", glm_probability)])
def test_no_span_of_a_token_or_two_is_likelier(runs: Runs, kind: str, probability: Probability) -> None:
    made = runs(kind)
    texts = [index for index in text_ids(made) if index != made.run.specials.unk]
    spans = [[index] for index in texts] + [list(pair) for pair in product(texts, texts)]
    every = {tuple(span): probability(made, ["the", "learns"], (span,)).item() for span in spans}
    listed = fill(made.run, "the [MASK] learns", top=len(every))
    found = {tuple(made.ids(filling.fills[0])): filling.probability for filling in listed}
    least = listed[-1].probability * (1 + 1e-4)
    likelier = {span: math.exp(value) for span, value in every.items() if math.exp(value) > least}
    assert {span: found[span] for span in likelier} == pytest.approx(likelier, rel=1e-4)
    assert len(likelier) >= 10 or kind == "glm"  # which learned from spans of four


@pytest.mark.parametrize("kind", KINDS)
def test_the_verb_shows_and_tells(runs: Runs, ask: Shell, kind: str) -> None:
    made = runs(kind)
    expected = fill(made.run, TEXT, top=2)
    status, out, err = ask("fill", made.path, TEXT, "--top", 2)
    assert (status, err) == (0, "")
    assert out.splitlines() == [
        f"{filling.probability:.4f}\t{filling.fills[0]} | {filling.fills[1]}\t{filling.text}" for filling in expected
    ]
    shown = json.loads(ask("fill", made.path, TEXT, "--top", 2, "--json")[1])
    assert shown["text"] == TEXT
    assert shown["fillings"] == [{**vars(filling), "fills": [*filling.fills]} for filling in expected]


def test_ways_that_read_the_same_are_one(runs: Runs, monkeypatch: pytest.MonkeyPatch) -> None:
    made = runs("bert bpe")
    whole, letters, token = ((made.id("Ġhead"),), tuple(map(made.id, "Ġhead")), tuple(made.ids(" token")))
    ways = [Way((whole,), math.log(0.2)), Way((letters,), math.log(0.1))]
    other = Way((token,), math.log(0.25))
    monkeypatch.setitem(FILLERS, "bert", lambda run, pieces, width: [other, *ways])
    first, second = fill(made.run, "the [MASK] learns", top=2)
    assert first == Filling("the head learns", ("head",), pytest.approx(0.3))
    assert second == Filling("the token learns", ("token",), pytest.approx(0.25))


def test_the_last_blanks_keep_their_room(runs: Runs) -> None:
    """Of 32 tokens the first spans leave one for each later blank."""
    for kind, text in (("t5", "[MASK] " * 15), ("glm", "[MASK] " * 10)):
        found = fill(runs(kind).run, text, top=2)
        assert len(found) == 2
        assert all(len(filling.fills) == text.count("[MASK]") and all(filling.fills) for filling in found)


@pytest.mark.parametrize(
    ("kind", "text", "options", "words"),
    [
        ("bert", "the head", [], "the text has no blank\n  got      the head\n  allowed  [MASK] wherever"),
        ("t5", "", [], "the text has no blank"),
        ("glm", "the [mask]", [], "the text has no blank"),
        ("bert", "the [MASK]", ["--top", 0], "--top\n  got      0"),
        ("bert", "the " * 30 + "[MASK]", [], "33 tokens, special ones included\n  allowed  32 (model.context_length)"),
        ("t5", "the " * 31 + "[MASK]", [], "longer than the context\n  got      33 tokens"),
        ("t5", "[MASK] " * 16, [], "longer than the context\n  got      33 tokens"),
        ("glm", "the " * 30 + "[MASK]", [], "longer than the context\n  got      33 tokens"),
        ("t5", "[MASK] " * 101, [], "too few sentinels\n  got      101 blanks\n  allowed  100"),
    ],
)
def test_texts_that_cannot_be_filled(
    runs: Runs, ask: Shell, kind: str, text: str, options: list[object], words: str
) -> None:
    status, out, err = ask("fill", runs(kind).path, text, *options)
    assert (status, out) == (2, "") and words in err and "Traceback" not in err


@pytest.mark.parametrize(
    ("kind", "missing"), [("bert", r"\[MASK\]"), ("glm", "<sop>"), ("t5", "</s>"), ("t5", "<extra_id_1>")]
)
def test_a_tokenizer_that_lacks_what_fills(runs: Runs, kind: str, missing: str) -> None:
    made = runs(kind)
    lacks = {r"\[MASK\]": "mask", "<sop>": "sop", "</s>": "end"}.get(missing)
    specials = replace(
        made.run.specials, **({lacks: None} if lacks else {"sentinels": made.run.specials.sentinels[:1]})
    )
    run = replace(made.run, specials=specials, tokenizer=load_tokenizer(made.path))
    words = f"fill: the tokenizer has no {missing}" if lacks else "too few sentinels\n  got      2 blanks\n  allowed  1"
    with pytest.raises(UserError, match=words):
        fill(run, TEXT, top=1)


@torch.no_grad()
def test_rows_beyond_the_vocabulary_fill_nothing(runs: Runs) -> None:
    """A vocabulary that was padded to a multiple of 64, say."""
    made = runs("bert")
    weights = made.run.network.output_weight
    assert len(weights) == made.run.tokenizer.get_vocab_size()
    shorter = load_tokenizer(made.path)
    known = json.loads(shorter.to_str())
    last = max(known["model"]["vocab"], key=known["model"]["vocab"].get)
    del known["model"]["vocab"][last]
    run = replace(made.run, tokenizer=Tokenizer.from_str(json.dumps(known)))
    every = fill(made.run, "the [MASK] learns", top=99)
    fewer = fill(run, "the [MASK] learns", top=99)
    assert [filling for filling in every if filling.fills != (last,)] == fewer and len(fewer) == len(every) - 1
