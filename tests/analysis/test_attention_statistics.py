"""Entropy and distance of attention patterns whose values are known, and queries that are tokens."""

import math

import pytest
import torch

from lit_transformer.analysis.attention_statistics import attention_statistics, distances, head_sums, real_queries
from lit_transformer.analysis.subject import Subject
from lit_transformer.nn.attention_recording import record_attention
from lit_transformer.nn.losses import IGNORED
from lit_transformer.tasks.base import inputs_of

T = 6


def one_head(weights: torch.Tensor, attention: str = "decoder") -> list[float]:
    real = torch.ones(1, len(weights), dtype=torch.bool)
    shaped = weights[None, None]
    return (head_sums(shaped, real, distances({}, attention, shaped)) / len(weights))[0].tolist()


def test_uniform_attention_has_the_entropy_log_t_and_the_mean_distance_of_two_places() -> None:
    entropy, distance = one_head(torch.full((T, T), 1 / T))
    assert entropy == pytest.approx(math.log(T)) and distance == pytest.approx((T * T - 1) / (3 * T))


def test_attention_to_one_key_has_no_entropy_and_the_distance_of_that_key() -> None:
    back_two = torch.zeros(T, T)
    for query in range(T):
        back_two[query, max(query - 2, 0)] = 1
    assert one_head(back_two) == pytest.approx([0, (0 + 1 + 2 + 2 + 2 + 2) / T])
    half = torch.eye(T) / 2 + torch.eye(T).roll(1, dims=1) / 2  # itself and the next; the last one sees the first
    assert one_head(half) == pytest.approx([math.log(2), (5 * 0.5 + 2.5) / T])


def test_padded_queries_do_not_count_and_blanks_stand_where_they_were() -> None:
    weights = torch.full((2, 1, 2, 2), 0.5)
    weights[1, 0, 1] = torch.tensor([1.0, 0.0])
    real = torch.tensor([[True, True], [True, False]])
    apart = distances({"positions": torch.tensor([[1, 2], [4, 14]])}, "decoder", weights)
    assert head_sums(weights, real, apart)[0].tolist() == pytest.approx([3 * math.log(2), 0.5 + 0.5 + 5.0])


def test_queries_that_count_are_the_tokens_of_each_kind_of_data(subject: Subject) -> None:
    for batch in subject.batches:
        inputs = inputs_of(batch)
        with torch.no_grad(), record_attention(subject.body) as recorded:
            subject.task.evaluation_sums(inputs, "val")
        for layer, name in subject.layers.items():
            side, weights = layer.partition("/")[0], recorded[name]
            real = real_queries(inputs, side, weights)
            assert real.shape == (len(weights), weights.shape[2])
            if side == "encoder" and "input_mask" in inputs:
                tokens = inputs["input_mask"].flatten(0, -2)
                predicted = (
                    (inputs["targets"] != IGNORED).flatten(1).any(1)
                    if inputs["targets"].ndim > 1
                    else inputs["targets"] >= 0
                )
                kept = tokens & predicted.repeat_interleave(len(tokens) // len(predicted))[:, None]
                assert real.sum() == kept.sum() * (len(weights) // len(tokens)) > 0
            elif side != "encoder" and "decoder_inputs" in inputs:
                assert real.sum() == (inputs["targets"] != IGNORED).sum()
            elif "ends" in inputs:
                assert real.sum() == (inputs["ends"] + 1).sum()
            else:  # blocks and prompts with answers: nothing is predicted from behind the tokens that count
                places = inputs.get("target_positions", torch.arange(weights.shape[2]).expand_as(inputs["inputs"]))
                counted = (inputs["targets"] != IGNORED).flatten(0, -2)
                assert real.gather(1, places.flatten(0, -2))[counted].all()
            # a token's attention adds up to one, whatever is padding
            torch.testing.assert_close(
                weights.sum(-1).transpose(1, 2)[real], torch.ones_like(weights[..., 0].transpose(1, 2)[real])
            )


def test_every_head_of_every_network_has_a_look(subject: Subject) -> None:
    looks = attention_statistics(subject)
    assert list(looks) == subject.heads
    time = max(
        max(value.shape[-1] for name, value in batch.items() if name in ("inputs", "decoder_inputs"))
        for batch in subject.batches
    )
    for head, look in looks.items():
        assert 0 <= look.entropy <= math.log(time) + 1e-6
        assert (look.distance is None) == (head.attention == "cross")
        assert look.distance is None or 0 < look.distance < time + 32
