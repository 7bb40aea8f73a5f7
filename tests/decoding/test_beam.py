"""Beam search over tables of probabilities: exhaustive search finds the same; what is kept, dropped and given back."""

from itertools import product

import pytest
import torch
from torch import Tensor

from lit_transformer.config.errors import UserError
from lit_transformer.decoding.beam import BLOCK, beam_search, top
from lit_transformer.decoding.draw import draw, find_texts
from lit_transformer.decoding.search import Search
from lit_transformer.decoding.steps import Steps

STOP = 0


class Tables(Steps):
    """Random logits for every history of every source."""

    def __init__(self, *, sources: int, vocab_size: int, max_length: int, seed: int = 0) -> None:
        super().__init__(cached=False)
        generator = torch.Generator().manual_seed(seed)
        self.tables = 2 * torch.randn(sources, 2 * vocab_size ** (max_length - 1), vocab_size, generator=generator)
        self.rows: list[int] = []
        """Rows of each step."""

    def read(self, tokens: Tensor) -> Tensor:
        sources, vocab_size = self.tables.shape[0], self.tables.shape[2]
        self.rows.append(len(tokens))
        history = torch.ones(len(tokens), dtype=torch.int64)  # digits of a number that begins with 1
        for column in tokens[:, 1:].T:  # the start token is everybody's
            history = history * vocab_size + column
        source = torch.arange(len(tokens)) // (len(tokens) // sources)
        return self.tables[source, history]

    def reorder_state(self, rows: Tensor, sources: Tensor | None) -> None:
        if sources is not None:
            self.tables = self.tables[sources]


def start(sources: int) -> Tensor:
    return torch.zeros(sources, 1, dtype=torch.int64)


def exhaustive(tables: Tables, search: Search, source: int) -> list[tuple[list[int], float]]:
    """Every text that may be found, the stop token included, and its score; best first."""
    vocab_size, found = tables.tables.shape[2], []
    alone = Tables(sources=1, vocab_size=vocab_size, max_length=1)  # its own are replaced
    alone.tables = tables.tables[source : source + 1]
    for length in range(1, search.max_length + 1):
        for text in product(range(vocab_size), repeat=length):
            stops = [place for place, token in enumerate(text) if token == STOP]
            ends = stops == [length - 1] and length > search.min_length
            if set(text) & set(search.forbidden) or not (ends or (not stops and length == search.max_length)):
                continue
            total = 0.0
            for place, token in enumerate(text):
                logits = alone.read(torch.tensor([[0, *text[:place]]]))[0]
                total += logits.log_softmax(-1)[token].item()
            found.append((list(text), total / length**search.length_penalty))
    return sorted(found, key=lambda item: -item[1])


@pytest.mark.parametrize(("vocab_size", "max_length"), [(2, 1), (2, 5), (3, 3), (4, 1), (4, 2), (4, 4)])
@pytest.mark.parametrize("length_penalty", [0.0, 0.6, 1.0, 2.0, -0.5])
@pytest.mark.parametrize(("min_length", "forbidden"), [(0, []), (2, []), (0, [1])])
def test_a_wide_beam_is_exhaustive_search(
    vocab_size: int, max_length: int, length_penalty: float, min_length: int, forbidden: list[int]
) -> None:
    if min_length >= max_length:
        min_length = 0
    wide = vocab_size**max_length
    search = Search(
        stop_token=STOP, max_length=max_length, min_length=min_length, beam_size=wide, n_best=wide,
        length_penalty=length_penalty, forbidden=forbidden,
    )  # fmt: skip
    tables = Tables(sources=3, vocab_size=vocab_size, max_length=max_length)
    expected = [exhaustive(tables, search, source) for source in range(3)]
    found = beam_search(tables, start(3), search)
    for texts, all_texts in zip(found, expected, strict=True):
        assert [text.ids + [STOP] * text.ended for text in texts] == [ids for ids, _ in all_texts]
        assert [text.score for text in texts] == pytest.approx([score for _, score in all_texts], abs=1e-5)


@pytest.mark.parametrize("beam_size", [2, 3, 5])
@pytest.mark.parametrize("length_penalty", [0.0, 1.0])
def test_n_best_are_different_and_sorted(beam_size: int, length_penalty: float) -> None:
    search = Search(stop_token=STOP, max_length=6, beam_size=beam_size, n_best=beam_size, length_penalty=length_penalty)
    found = beam_search(Tables(sources=20, vocab_size=5, max_length=6), start(20), search)
    for texts in found:
        assert len(texts) == beam_size == len({(tuple(text.ids), text.ended) for text in texts})
        assert [text.score for text in texts] == sorted((text.score for text in texts), reverse=True)
        for text in texts:
            length = len(text.ids) + text.ended
            assert text.score == pytest.approx(text.log_probability / length**length_penalty, rel=1e-6)
            assert text.ended or length == 6
    best = beam_search(
        Tables(sources=20, vocab_size=5, max_length=6), start(20),
        Search(stop_token=STOP, max_length=6, beam_size=beam_size, length_penalty=length_penalty),
    )  # fmt: skip
    assert best == [texts[:1] for texts in found]


@pytest.mark.parametrize("length_penalty", [0.0, 1.0, -1.0])
@pytest.mark.parametrize("stop_token", [STOP, None])
def test_a_beam_of_one_is_greedy(length_penalty: float, stop_token: int | None) -> None:
    search = Search(stop_token=stop_token, max_length=6, length_penalty=length_penalty, min_length=1, forbidden=[2])
    beam = beam_search(Tables(sources=30, vocab_size=5, max_length=6), start(30), search)
    greedy = draw(Tables(sources=30, vocab_size=5, max_length=6), start(30), search)
    assert [texts[0].ids for texts in beam] == [text.ids for text in greedy]
    assert [texts[0].score for texts in beam] == pytest.approx([text.score for text in greedy], abs=1e-5)
    assert [texts[0].ended for texts in beam] == [text.ended for text in greedy]


def test_min_length_and_forbidden_tokens_are_kept() -> None:
    search = Search(stop_token=STOP, max_length=6, min_length=3, beam_size=4, n_best=4, forbidden=[1, 3])
    for texts in beam_search(Tables(sources=20, vocab_size=6, max_length=6), start(20), search):
        for text in texts:
            assert not {1, 3} & set(text.ids) and len(text.ids) >= 3


@pytest.mark.parametrize("beam_size", [1, 3])
def test_finished_sources_leave_and_alone_finds_the_same(beam_size: int) -> None:
    search = Search(stop_token=STOP, max_length=7, beam_size=beam_size, n_best=beam_size)
    tables = Tables(sources=24, vocab_size=4, max_length=7)
    whole = tables.tables
    found = find_texts(tables, start(24), search)
    widths = [rows // (beam_size if step else 1) for step, rows in enumerate(tables.rows)]
    assert widths[0] == 24 and widths == sorted(widths, reverse=True) and widths[-1] < 24
    for source in range(24):
        tables.tables, tables._ids = whole[source : source + 1], None
        (alone,) = find_texts(tables, start(1), search)
        assert [(text.ids, text.ended) for text in alone] == [(text.ids, text.ended) for text in found[source]]
        assert [text.score for text in alone] == pytest.approx([text.score for text in found[source]], abs=1e-5)


def test_the_order_of_the_sources_does_not_matter() -> None:
    search = Search(stop_token=STOP, max_length=5, beam_size=3, n_best=3)
    tables, mixed = (Tables(sources=16, vocab_size=4, max_length=5) for _ in range(2))
    order = torch.randperm(16, generator=torch.Generator().manual_seed(1))
    mixed.tables = mixed.tables[order]
    found = beam_search(tables, start(16), search)
    assert beam_search(mixed, start(16), search) == [found[place] for place in order.tolist()]


@pytest.mark.parametrize("beam_size", [1, 3])
def test_a_network_that_gives_nan_finds_nothing(beam_size: int) -> None:
    tables = Tables(sources=2, vocab_size=4, max_length=3)
    tables.tables[1] = torch.nan
    found = find_texts(tables, start(2), Search(stop_token=STOP, max_length=3, beam_size=beam_size))
    assert found[0][0].log_probability > -torch.inf
    assert len(found[1]) == 1 and not found[1][0].log_probability > -torch.inf


@pytest.mark.parametrize("size", [5, BLOCK * 40, BLOCK * 40 + 1, BLOCK * 64 - 1])
@pytest.mark.parametrize("count", [1, 4, 5])
def test_top_is_topk(size: int, count: int) -> None:
    values = torch.randn(7, size, generator=torch.Generator().manual_seed(0))
    found, places = top(values, count)
    expected = values.topk(count, dim=-1)
    assert torch.equal(found, expected.values) and torch.equal(places, expected.indices)


@pytest.mark.parametrize(
    ("settings", "named"),
    [
        ({"beam_size": 0}, "beam_size: got 0"),
        ({"max_length": 0}, "max_length: got 0"),
        ({"min_length": 5}, "min_length: got 5"),
        ({"min_length": -1}, "min_length: got -1"),
        ({"n_best": 3, "beam_size": 2}, "n_best: got 3; allowed: 1 to beam_size 2"),
        ({"n_best": 0}, "n_best: got 0"),
        ({"forbidden": [1, STOP]}, "forbidden: got"),
        ({"temperature": -0.5}, r"temperature: got -0\.5"),
        ({"temperature": 1.0, "beam_size": 2}, r"temperature: got 1\.0; allowed: 0 with beam_size above 1"),
        ({"top_k": 0}, "top_k: got 0"),
        ({"top_p": 1.5}, r"top_p: got 1\.5"),
    ],
)
def test_settings_out_of_range_are_refused(settings: dict[str, object], named: str) -> None:
    with pytest.raises(UserError, match=named):
        Search(**({"stop_token": STOP, "max_length": 5} | settings))  # type: ignore[arg-type]
