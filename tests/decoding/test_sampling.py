"""Generation: cached equals uncached, what top-k and top-p keep, stopping, and bad settings."""

from dataclasses import replace

import pytest
import torch
from torch import Tensor

from lit_transformer.config.errors import UserError
from lit_transformer.config.schema import GPTConfig
from lit_transformer.decoding.sampling import choose_tokens, filter_logits, generate
from lit_transformer.models.gpt import GPT

CONTEXT = 10
BASE = GPTConfig(num_layers=2, num_heads=4, d_model=16, context_length=CONTEXT, vocab_size=31, init_std=0.4)
VARIANTS = {
    "learned": BASE,
    "gqa-rope": replace(BASE, num_kv_heads=2, positions="rope"),
    "mqa-sinusoidal": replace(BASE, num_kv_heads=1, positions="sinusoidal", norm_position="post"),
}


def make(name: str) -> GPT:
    torch.manual_seed(0)
    return GPT(VARIANTS[name])


def seeded(seed: int) -> torch.Generator:
    return torch.Generator().manual_seed(seed)


@pytest.mark.parametrize("name", VARIANTS)
@pytest.mark.parametrize("prompt_length", [1, 6, 10, 14])
@pytest.mark.parametrize("new", [3, 12])  # 12 goes past the context from every prompt
@pytest.mark.parametrize("temperature", [0.0, 0.8])
@pytest.mark.parametrize("prefix_lm", [False, True])
def test_cached_equals_uncached(name: str, prompt_length: int, new: int, temperature: float, prefix_lm: bool) -> None:
    model = make(name)
    prompt = torch.randint(31, (3, prompt_length), generator=seeded(1))
    options = {"max_new_tokens": new, "temperature": temperature, "prefix_lm": prefix_lm}
    both = [
        generate(model, prompt, **options, generator=seeded(2), use_cache=cached)  # type: ignore[arg-type]
        for cached in (True, False)
    ]
    assert torch.equal(*both)
    assert both[0].shape == (3, prompt_length + new)
    assert torch.equal(both[0][:, :prompt_length], prompt)


def test_greedy_takes_the_most_likely_token_of_the_sliding_window() -> None:
    model, ids = make("learned"), torch.randint(31, (2, 4), generator=seeded(3))
    result = generate(model, ids, max_new_tokens=9, temperature=0)
    for end in range(4, 13):
        logits = model(result[:, max(0, end - CONTEXT) : end])[:, -1]
        assert torch.equal(result[:, end], logits.argmax(-1))


@pytest.mark.parametrize("cached", [True, False])
@pytest.mark.parametrize("prompt_length", [1, 4, CONTEXT, CONTEXT + 3])
def test_a_prefix_lm_sees_what_the_window_holds_of_the_prompt_whole(prompt_length: int, cached: bool) -> None:
    model, ids = make("learned"), torch.randint(31, (2, prompt_length), generator=seeded(3))
    new = CONTEXT + 4  # the prompt leaves the window
    result = generate(model, ids, max_new_tokens=new, temperature=0, prefix_lm=True, use_cache=cached)
    otherwise = 0
    for end in range(prompt_length, prompt_length + new):
        start = max(0, end - CONTEXT)
        window, prefix = result[:, start:end], torch.full((2,), max(prompt_length - start, 0))
        assert torch.equal(result[:, end], model(window, prefix_length=prefix)[:, -1].argmax(-1))
        otherwise += not torch.equal(result[:, end], model(window)[:, -1].argmax(-1))
    assert otherwise or prompt_length == 1  # which sees itself alone anyway


def test_generator_decides_and_the_global_one_is_left_alone() -> None:
    model, ids = make("learned"), torch.zeros(1, 1, dtype=torch.int64)
    state = torch.get_rng_state()
    first, second, third = (generate(model, ids, max_new_tokens=9, generator=seeded(seed)) for seed in (1, 1, 2))
    assert torch.equal(first, second) and not torch.equal(first, third)
    assert torch.equal(state, torch.get_rng_state())


@pytest.mark.parametrize("training", [True, False])
def test_generation_has_no_dropout_and_leaves_the_mode(training: bool) -> None:
    torch.manual_seed(0)
    model = GPT(replace(BASE, dropout=0.5)).train(training)
    ids = torch.zeros(1, 2, dtype=torch.int64)
    first, second = (generate(model, ids, max_new_tokens=8, temperature=0) for _ in range(2))
    assert torch.equal(first, second) and model.training is training


def test_stopped_rows_repeat_the_stop_token_and_all_stopped_ends() -> None:
    model, ids = make("learned"), torch.randint(31, (8, 1), generator=seeded(4))
    free = generate(model, ids, max_new_tokens=30, generator=seeded(5))[:, 1:]
    stop = int(free[0, 2])
    result = generate(model, ids, max_new_tokens=30, generator=seeded(5), stop_token=stop)[:, 1:]
    ended = [(row == stop).nonzero().flatten().tolist() for row in result]
    for row, places in zip(result, ended, strict=True):
        assert not places or (row[places[0] :] == stop).all()
    first = min(places[0] for places in ended if places)
    assert torch.equal(result[:, : first + 1], free[:, : first + 1])
    alone = generate(model, ids[:1], max_new_tokens=30, generator=seeded(5), stop_token=31 - 1)
    assert alone.shape[1] <= 31
    certain = int(generate(model, ids[:1], max_new_tokens=1, temperature=0)[0, -1])
    assert generate(model, ids[:1], max_new_tokens=30, temperature=0, stop_token=certain).shape[1] == 2


@pytest.mark.parametrize("top_k", [1, 3, 30, 31, 100])
def test_top_k_keeps_the_k_most_likely(top_k: int) -> None:
    logits = torch.randn(5, 31, generator=seeded(6))
    kept = filter_logits(logits, top_k=top_k) > -torch.inf
    assert (kept.sum(-1) == min(top_k, 31)).all()
    for row, mask in zip(logits, kept, strict=True):
        assert mask.all() or row[mask].min() > row[~mask].max()


@pytest.mark.parametrize("top_p", [0.01, 0.3, 0.9, 0.999, 1.0])
def test_top_p_keeps_the_smallest_set_that_reaches_p(top_p: float) -> None:
    logits = torch.randn(50, 31, generator=seeded(7), dtype=torch.float64)
    kept = filter_logits(logits, top_p=top_p) > -torch.inf
    assert kept.any(-1).all()
    for row, mask in zip(logits.softmax(-1), kept, strict=True):
        assert row[mask].sum() >= top_p - 1e-12
        if top_p < 1:
            assert row[mask].sum() - row[mask].min() < top_p  # without its least likely token it would fall short
        assert mask.all() or row[mask].min() >= row[~mask].max()


def test_top_p_counts_within_top_k() -> None:
    logits = torch.tensor([[0.4, 0.3, 0.2, 0.1]]).log()
    assert (filter_logits(logits, top_k=2, top_p=0.5) > -torch.inf).tolist() == [[True, False, False, False]]  # 4 / 7
    assert (filter_logits(logits, top_k=2, top_p=0.6) > -torch.inf).tolist() == [[True, True, False, False]]


def shares(logits: Tensor, **options: float) -> list[float]:
    drawn = choose_tokens(logits.expand(40_000, -1), generator=seeded(8), **options)  # type: ignore[arg-type]
    return (drawn.flatten().bincount(minlength=logits.shape[-1]) / 40_000).tolist()


def test_samples_follow_the_probabilities() -> None:
    logits = torch.tensor([[0.5, 0.25, 0.25]]).log()
    assert shares(logits) == pytest.approx([0.5, 0.25, 0.25], abs=0.01)
    assert shares(logits, temperature=0.5) == pytest.approx([2 / 3, 1 / 6, 1 / 6], abs=0.01)  # squares, normalised
    assert shares(logits, temperature=0.0) == [1.0, 0.0, 0.0]
    assert shares(logits, top_k=1) == [1.0, 0.0, 0.0]


@pytest.mark.parametrize(
    ("options", "named"),
    [
        ({"temperature": -1.0}, r"temperature: got -1\.0"),
        ({"top_k": 0}, "top_k: got 0"),
        ({"top_p": 0.0}, r"top_p: got 0\.0"),
        ({"top_p": 1.5}, r"top_p: got 1\.5"),
        ({"max_new_tokens": -1}, "max_new_tokens: got -1"),
    ],
)
def test_settings_out_of_range_are_refused(options: dict[str, float], named: str) -> None:
    with pytest.raises(UserError, match=named):
        generate(make("learned"), torch.zeros(1, 1, dtype=torch.int64), **({"max_new_tokens": 1} | options))  # type: ignore[arg-type]


def test_an_empty_prompt_is_refused() -> None:
    with pytest.raises(UserError, match="prompt: got an empty text"):
        generate(make("learned"), torch.zeros(1, 0, dtype=torch.int64), max_new_tokens=1)
