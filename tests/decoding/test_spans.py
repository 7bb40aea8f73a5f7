"""The likeliest spans, against every span there is."""

from itertools import product

import pytest
import torch
from torch import Tensor

from lit_transformer.decoding.spans import likely_spans
from lit_transformer.decoding.steps import Steps

VOCABULARY, STOP, FORBIDDEN = 6, 1, 0


class Table(Steps):
    """Logits that depend on the last two tokens; rows come and go as the search says."""

    def __init__(self, seed: int, stop: float) -> None:
        super().__init__(cached=True)
        self.logits = torch.randn(VOCABULARY, VOCABULARY, VOCABULARY, generator=torch.Generator().manual_seed(seed))
        self.logits[..., STOP] += stop
        self.before = torch.zeros(1, dtype=torch.int64)  # (rows,)
        self.reads = 0

    def read(self, tokens: Tensor) -> Tensor:
        for column in tokens[:, :-1].unbind(dim=1):
            self.before = column
        found = self.logits[self.before, tokens[:, -1]]  # (rows, vocab)
        self.before, self.reads = tokens[:, -1], self.reads + 1
        return found.clone()

    def reorder_state(self, rows: Tensor, sources: Tensor | None) -> None:
        self.before = self.before[rows]

    def value(self, ids: tuple[int, ...]) -> float:
        whole = (0, 2, *ids, STOP)
        steps = zip(whole, whole[1:], whole[2:], strict=False)
        return sum(self.logits[a, b].log_softmax(dim=-1)[c].item() for a, b, c in steps)


@pytest.mark.parametrize("stop", [-3.0, 0.0, 3.0])
@pytest.mark.parametrize("seed", [0, 1])
def test_a_wide_search_finds_the_likeliest_of_all(seed: int, stop: float) -> None:
    table, length = Table(seed, stop), 4
    letters = [index for index in range(VOCABULARY) if index not in (STOP, FORBIDDEN)]
    every = {ids: table.value(ids) for size in range(1, length + 1) for ids in product(letters, repeat=size)}
    prompt, best = torch.tensor([[0, 2]]), sorted(every, key=lambda ids: -every[ids])
    found = likely_spans(table, prompt, stop_token=STOP, max_length=length, width=len(every), forbidden=[FORBIDDEN])
    assert [tuple(text.ids) for text in found] == best
    assert [text.log_probability for text in found] == pytest.approx([every[ids] for ids in best], abs=1e-5)
    few = likely_spans(Table(seed, stop), prompt, stop_token=STOP, max_length=length, width=40, forbidden=[FORBIDDEN])
    assert [tuple(text.ids) for text in few][:10] == best[:10] and len(few) == 40


def test_it_ends_once_nothing_longer_can_be_likelier() -> None:
    table = Table(0, stop=9.0)
    found = likely_spans(table, torch.tensor([[0, 2]]), stop_token=STOP, max_length=50, width=3)
    assert len(found) == 3 and table.reads < 5
    assert likely_spans(Table(0, 0.0), torch.tensor([[2]]), stop_token=STOP, max_length=1, width=9)[-1].ended
