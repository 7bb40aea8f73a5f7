"""Decoding with encoder-decoders, prompts and blanks: cached or not, alone or in a batch, it is the same text."""

from dataclasses import replace
from typing import Any

import pytest
import torch
from torch import Tensor

from lit_transformer.config.errors import UserError
from lit_transformer.config.models import EncoderDecoderConfig, GLMConfig, GPTConfig, T5Config
from lit_transformer.decoding.blanks import decode_blanks
from lit_transformer.decoding.prompts import decode_prompts
from lit_transformer.decoding.sampling import generate
from lit_transformer.decoding.scoring import sequence_log_probability
from lit_transformer.decoding.search import Hypothesis
from lit_transformer.decoding.sources import decode_sources
from lit_transformer.models.encoder_decoder import EncoderDecoder
from lit_transformer.models.glm import GLM
from lit_transformer.models.gpt import GPT
from lit_transformer.models.seq2seq import Seq2Seq
from lit_transformer.models.t5 import T5

VOCAB, CONTEXT, START, STOP = 29, 14, 0, 1
BASE = EncoderDecoderConfig(num_layers=2, num_heads=2, d_model=16, vocab_size=VOCAB, context_length=CONTEXT)
NETWORKS = {
    "encoder_decoder": BASE,
    "pre-norm rope": replace(BASE, norm_position="pre", positions="rope", share_embeddings=False),
    "learned": replace(BASE, positions="learned"),
    "t5": T5Config(num_layers=2, num_heads=2, d_model=16, vocab_size=VOCAB, context_length=CONTEXT),
    "t5 v1.1": T5Config(
        num_layers=2, num_heads=2, d_model=16, vocab_size=VOCAB, context_length=CONTEXT,
        activation="geglu_tanh", tie_embeddings=False,
    ),
}  # fmt: skip
WAYS: dict[str, dict[str, Any]] = {
    "greedy": {},
    "beam": {"beam_size": 4, "n_best": 3},
    "beam without penalty": {"beam_size": 3, "length_penalty": 0.0, "min_length": 2, "forbidden": [START, 5]},
}


def seeded(seed: int) -> torch.Generator:
    return torch.Generator().manual_seed(seed)


def make(name: str) -> Seq2Seq:
    """In float64: a beam must not hang on the last bit of a sum, which depends on the shape of the batch."""
    torch.manual_seed(0)
    config = NETWORKS[name]
    network = T5(config) if isinstance(config, T5Config) else EncoderDecoder(config)
    with torch.no_grad():
        for parameter in network.parameters():
            parameter.mul_(2)
    return network.double()


def make_sources(rows: int = 9) -> tuple[Tensor, Tensor]:
    lengths = torch.randint(1, CONTEXT + 1, (rows,), generator=seeded(1))
    mask = torch.arange(CONTEXT) < lengths[:, None]  # (rows, time)
    ids = torch.randint(2, VOCAB, mask.shape, generator=seeded(2))
    return ids.masked_fill(~mask, START), mask


def decode(network: Seq2Seq, inputs: Tensor, mask: Tensor | None, **options: Any) -> list[list[Hypothesis]]:
    return decode_sources(network, inputs, mask, **({"start_token": START, "stop_token": STOP} | options))


def assert_same(found: list[list[Hypothesis]], expected: list[list[Hypothesis]]) -> None:
    for texts, others in zip(found, expected, strict=True):
        assert [text.ids for text in texts] == [text.ids for text in others]
        assert [text.score for text in texts] == pytest.approx([text.score for text in others], abs=1e-5)


@pytest.mark.parametrize("way", WAYS)
@pytest.mark.parametrize("name", NETWORKS)
def test_cached_is_uncached_and_alone_is_in_a_batch(name: str, way: str) -> None:
    network, (inputs, mask) = make(name), make_sources()
    found = decode(network, inputs, mask, **WAYS[way])
    assert_same(decode(network, inputs, mask, **WAYS[way], use_cache=False), found)
    for row, texts in enumerate(found):
        alone = inputs[row : row + 1, mask[row]]  # without padding
        assert_same(decode(network, alone, None, **WAYS[way]), [texts])
    order = torch.randperm(len(inputs), generator=seeded(3))
    assert_same(decode(network, inputs[order], mask[order], **WAYS[way]), [found[place] for place in order.tolist()])


@pytest.mark.parametrize("way", WAYS)
@pytest.mark.parametrize("name", ["encoder_decoder", "t5"])
def test_log_probabilities_are_those_of_the_whole_text(name: str, way: str) -> None:
    network, (inputs, mask) = make(name), make_sources()
    for row, texts in enumerate(decode(network, inputs, mask, **WAYS[way])):
        for text in texts:
            ids = torch.tensor([[START, *text.ids, *[STOP] * text.ended]])  # (1, target_time + 1)
            source = {"inputs": inputs[row : row + 1], "input_mask": mask[row : row + 1]}
            total = sequence_log_probability(network, targets=ids[:, 1:], decoder_inputs=ids[:, :-1], **source)
            assert total.item() == pytest.approx(text.log_probability, abs=1e-4)


def test_a_memory_is_encoded_once_and_never_repeated(monkeypatch: pytest.MonkeyPatch) -> None:
    network, (inputs, mask) = make("encoder_decoder"), make_sources()
    calls, whole = [], type(network).decode

    def spy(self: Seq2Seq, ids: Tensor, memory: Tensor, **how: Any) -> Tensor:
        calls.append((len(ids), len(memory)))
        return whole(self, ids, memory, **how)

    monkeypatch.setattr(type(network), "decode", spy)
    decode(network, inputs, mask, beam_size=4)
    assert calls[0] == (9, 9) and all(rows == 4 * sources <= 36 for rows, sources in calls[1:])


@pytest.mark.parametrize("name", ["encoder_decoder", "t5"])
@pytest.mark.parametrize("cached", [True, False])
def test_rows_of_a_source_share_its_memory(name: str, cached: bool) -> None:
    network, (inputs, mask) = make(name).eval(), make_sources(4)
    ids = torch.randint(VOCAB, (12, 5), generator=seeded(4))
    memory = network.encode(inputs, input_mask=mask)
    cache = network.new_cache() if cached else None
    shared = network.decode(ids, memory, memory_mask=mask, cache=cache)
    repeated = network.decode(
        ids, memory.repeat_interleave(3, dim=0), memory_mask=mask.repeat_interleave(3, dim=0)
    )  # (rows, time, d_model)
    torch.testing.assert_close(shared, repeated)


@pytest.mark.parametrize("training", [True, False])
def test_no_dropout_no_gradients_and_every_module_keeps_its_mode(training: bool) -> None:
    torch.manual_seed(0)
    network = EncoderDecoder(replace(BASE, dropout=0.5)).train(training)
    network.encoder_blocks[0].train(not training)
    modes = [module.training for module in network.modules()]
    inputs, mask = make_sources()
    assert decode(network, inputs, mask, beam_size=2) == decode(network, inputs, mask, beam_size=2)
    assert [module.training for module in network.modules()] == modes
    with pytest.raises(UserError):
        decode(network, inputs, mask, beam_size=0)
    assert [module.training for module in network.modules()] == modes


def test_drawn_texts_follow_the_generator_and_the_probabilities() -> None:
    network, (inputs, mask) = make("encoder_decoder"), make_sources(1)
    first, again, other = (
        decode(network, inputs, mask, temperature=3.0, generator=seeded(seed))[0][0].ids for seed in (1, 1, 2)
    )
    assert first == again != other
    greedy = decode(network, inputs, mask)
    assert_same(decode(network, inputs, mask, temperature=0.7, top_k=1, generator=seeded(1)), greedy)
    many = inputs.expand(4000, -1), mask.expand(4000, -1)
    drawn = decode(network, *many, temperature=1.0, max_length=1, generator=seeded(3))
    counts = torch.zeros(VOCAB)
    for (text,) in drawn:
        counts[text.ids[0] if text.ids else STOP] += 1
    network.eval()
    expected = network(inputs, torch.tensor([[START]]), input_mask=mask)[0, 0].softmax(-1).float()
    assert (counts / 4000 - expected).abs().max() < 0.03


@pytest.mark.parametrize(
    ("inputs", "options", "named"),
    [
        (torch.full((2, CONTEXT + 3), 4), {}, f"source: got {CONTEXT + 3} tokens; allowed: context_length {CONTEXT}"),
        (torch.zeros(2, 0, dtype=torch.int64), {}, "source: got an empty text"),
        (torch.full((2, 3), 4), {"input_mask": torch.tensor([[True] * 3, [False] * 3])}, "source: got an empty text"),
        (torch.full((2, 3), 4), {"max_length": CONTEXT + 1}, f"max_length: got {CONTEXT + 1}; allowed: at most"),
    ],
)
def test_sources_that_cannot_be_are_refused(inputs: Tensor, options: dict[str, Any], named: str) -> None:
    with pytest.raises(UserError, match=named):
        decode_sources(make("t5"), inputs, start_token=START, stop_token=STOP, **options)


def test_no_sources_give_no_texts() -> None:
    assert decode(make("t5"), torch.zeros(0, 4, dtype=torch.int64), None) == []


def make_gpt() -> GPT:
    torch.manual_seed(0)
    shape = {"num_layers": 2, "num_heads": 2, "d_model": 16, "vocab_size": VOCAB, "context_length": CONTEXT}
    return GPT(GPTConfig(**shape, init_std=0.4)).double()  # type: ignore[arg-type]


@pytest.mark.parametrize("way", WAYS)
@pytest.mark.parametrize("prefix_lm", [False, True])
def test_prompts_are_continued_the_same_with_and_without_cache(way: str, prefix_lm: bool) -> None:
    network, prompts = make_gpt(), torch.randint(2, VOCAB, (5, 6), generator=seeded(5))
    options = {"stop_token": STOP, "prefix_lm": prefix_lm, **WAYS[way]}
    found = decode_prompts(network, prompts, **options)
    assert_same(decode_prompts(network, prompts, use_cache=False, **options), found)
    for row, texts in enumerate(found):
        assert_same(decode_prompts(network, prompts[row : row + 1], **options), [texts])
        total = sum_of(network, prompts[row], texts[0], 6 if prefix_lm else None)
        assert texts[0].log_probability == pytest.approx(total)
    if way == "greedy":
        room = CONTEXT - 6 + 1
        how = {"max_new_tokens": room, "temperature": 0, "stop_token": STOP, "prefix_lm": prefix_lm}
        free = generate(network, prompts, **how)[:, 6:].tolist()  # type: ignore[arg-type]
        padded = [texts[0].ids + [STOP] * (room - len(texts[0].ids)) for texts in found]
        assert [row[: len(free[0])] for row in padded] == free


@torch.no_grad()
def sum_of(network: GPT, prompt: Tensor, text: Hypothesis, prefix: int | None) -> float:
    """Log-probability of a text after a prompt, in one pass."""
    ids = torch.tensor([*prompt.tolist(), *text.ids, *[STOP] * text.ended])
    prefix_length = None if prefix is None else torch.tensor([prefix])
    values = network(ids[None, :-1], prefix_length=prefix_length)[0].log_softmax(dim=-1)  # (time, vocab_size)
    return values.gather(1, ids[1:, None])[len(prompt) - 1 :].sum().item()


@pytest.mark.parametrize(
    ("time", "options", "named"),
    [
        (CONTEXT + 2, {}, f"prompt: got {CONTEXT + 2} tokens; allowed: context_length {CONTEXT}"),
        (0, {}, "prompt: got an empty text"),
        (10, {"max_length": 6}, "max_length: got 6; allowed: at most 5 after 10 tokens of prompt"),
    ],
)
def test_prompts_that_do_not_fit_are_refused(time: int, options: dict[str, int], named: str) -> None:
    with pytest.raises(UserError, match=named):
        decode_prompts(make_gpt(), torch.full((1, time), 3), **options)  # type: ignore[arg-type]


def make_glm() -> GLM:
    torch.manual_seed(0)
    config = GLMConfig(num_layers=2, num_heads=2, d_model=16, vocab_size=VOCAB, context_length=20, init_std=0.4)
    return GLM(config).double()


@pytest.mark.parametrize("way", WAYS)
def test_blanks_are_filled_as_in_training(way: str) -> None:
    network, texts = make_glm(), torch.randint(2, VOCAB, (4, 7), generator=seeded(6))
    places = torch.tensor([1, 7, 3, 3])  # of the blank, counted from 1
    options = {"start_token": START, "stop_token": STOP, "max_length": 5, **WAYS[way]}
    found = decode_blanks(network, texts, places, **options)
    assert_same(decode_blanks(network, texts, places, use_cache=False, **options), found)
    network.eval()
    for row, hypotheses in enumerate(found):
        for text in hypotheses:
            span = [START, *text.ids, *[STOP] * text.ended]
            size = len(span) - 1
            ids = torch.cat((texts[row], torch.tensor(span[:-1])))[None]  # (1, time)
            logits = network(
                ids,
                prefix_length=torch.tensor([7]),
                positions=torch.cat((torch.arange(1, 8), places[row].expand(size)))[None],
                block_positions=torch.cat((torch.zeros(7, dtype=torch.int64), torch.arange(1, size + 1)))[None],
            )[0, 7:]  # (size, vocab_size)
            total = logits.log_softmax(-1)[range(size), span[1:]].sum().item()
            assert total == pytest.approx(text.log_probability, abs=1e-4)


def test_a_second_blank_sees_the_first() -> None:
    network, text, room = make_glm(), torch.randint(2, VOCAB, (1, 7), generator=seeded(7)), 4
    options: dict[str, Any] = {"start_token": START, "stop_token": STOP, "max_length": room, "beam_size": 2}
    before = torch.tensor([[*text[0].tolist(), START, 8, 9]])  # the first blank, at place 2, holds 8 and 9
    second = {
        "prefix_length": torch.tensor([7]),
        "positions": torch.tensor([[1, 2, 3, 4, 5, 6, 7, 2, 2, 2]]),
        "block_positions": torch.tensor([[0, 0, 0, 0, 0, 0, 0, 1, 2, 3]]),
    }
    found = decode_blanks(network, before, torch.tensor([5]), **second, **options)
    assert_same(decode_blanks(network, before, torch.tensor([5]), **second, **options, use_cache=False), found)
    alone = decode_blanks(network, text, torch.tensor([5]), **options)
    assert alone[0][0].score != pytest.approx(found[0][0].score, abs=1e-3)


def test_a_text_that_leaves_no_room_for_its_blank_is_refused() -> None:
    with pytest.raises(UserError, match="text: got 20 tokens; allowed: below context_length 20"):
        decode_blanks(make_glm(), torch.full((1, 20), 3), torch.tensor([1]), start_token=START, stop_token=STOP)
    with pytest.raises(UserError, match="max_length: got 9; allowed: at most 5 after 15 tokens"):
        decode_blanks(
            make_glm(), torch.full((1, 15), 3), torch.tensor([1]), start_token=START, stop_token=STOP, max_length=9
        )
