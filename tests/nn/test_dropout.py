"""Dropout: the right share, the right mean, nothing shared between places, and the same in compiled networks."""

import pytest
import torch
from torch.nn import functional as F

from lit_transformer.nn.attention import MultiHeadAttention
from lit_transformer.nn.dropout import Dropout, draw_mask, dropout
from lit_transformer.nn.dropout_attention import dropout_attention


@pytest.mark.parametrize("p", [0.1, 0.3, 0.5, 0.9])
def test_share_and_mean(p: float) -> None:
    torch.manual_seed(0)
    mask = draw_mask(torch.empty(1000, 1001), p)
    values = mask.unique()
    assert values[0] == 0 and len(values) == 2
    assert values[1].item() == pytest.approx(1 / (1 - p), abs=1e-3)
    deviation = (p * (1 - p) / mask.numel()) ** 0.5
    assert (mask == 0).double().mean().item() == pytest.approx(p, abs=5 * deviation + 2**-17)
    assert mask.double().mean().item() == pytest.approx(1, abs=5 * deviation / (1 - p))


def test_neighbours_are_independent() -> None:
    torch.manual_seed(1)
    dropped = (draw_mask(torch.empty(2**20), 0.5) == 0).double()
    for distance in (1, 2, 3, 4, 8, 256):  # four elements come from one random number
        both = (dropped[:-distance] * dropped[distance:]).mean().item()
        assert both == pytest.approx(0.25, abs=0.003)


def test_seed_decides_and_calls_differ() -> None:
    x = torch.ones(50, 50)
    torch.manual_seed(2)
    first, second = dropout(x, 0.4, training=True), dropout(x, 0.4, training=True)
    torch.manual_seed(2)
    assert torch.equal(first, dropout(x, 0.4, training=True))
    assert not torch.equal(first, second)


@pytest.mark.parametrize("size", [0, 1, 3, 5])
def test_every_size(size: int) -> None:
    assert dropout(torch.ones(size), 0.5, training=True).shape == (size,)


def test_off_when_evaluating_and_all_at_one() -> None:
    x = torch.randn(4, 5)
    layer = Dropout(0.5)
    assert layer.eval()(x) is x
    assert Dropout(0.0)(x) is x
    assert torch.equal(Dropout(1.0)(x), torch.zeros(4, 5))
    with pytest.raises(ValueError, match=r"0 to 1, not 1\.5"):
        Dropout(1.5)


def test_gradient_is_dropped_where_the_value_is() -> None:
    torch.manual_seed(3)
    x = torch.ones(100, 10, requires_grad=True)
    y = dropout(x, 0.3, training=True)
    y.sum().backward()
    assert x.grad is not None and torch.equal(x.grad, y.detach())


def make(batch: int, queries: int, keys: int) -> list[torch.Tensor]:
    torch.manual_seed(4)
    return [torch.randn(batch, 2, time, 8, dtype=torch.float64, requires_grad=True) for time in (queries, keys, keys)]


def lay_out(factors: torch.Tensor, batch: int, time: int, causal: bool) -> torch.Tensor:
    """The factors of all blocks as (batch, heads, queries, keys), two heads."""
    dense, place = torch.zeros(batch, 2, time, time, dtype=torch.float64), 0
    step = 64 if causal else 128
    for start in range(0, time, step):
        stop = min(start + step, time)
        seen = stop if causal else time
        size = batch * 2 * (stop - start) * seen
        dense[:, :, start:stop, :seen] = factors[place : place + size].detach().view(batch, 2, stop - start, seen)
        place += size
    assert place == len(factors)
    return dense


@pytest.mark.parametrize("causal", [False, True])
@pytest.mark.parametrize("mask_shape", [None, (3, 1, 1, 150), (3, 2, 150, 150)])
@pytest.mark.parametrize("bias_shape", [None, (1, 2, 150, 150), (3, 2, 150, 150), (1, 2, 1, 150)])
def test_attention_equals_its_definition_with_the_same_dropout(
    causal: bool, mask_shape: tuple[int, ...] | None, bias_shape: tuple[int, ...] | None
) -> None:
    time = 150  # several blocks of queries
    inputs = make(3, time, time)
    mask = None if mask_shape is None else torch.rand(mask_shape) < 0.7
    if mask is not None:
        mask[..., 0] = True
    bias = None if bias_shape is None else torch.randn(bias_shape, dtype=torch.float64, requires_grad=True)
    attended, _, factors = dropout_attention(*inputs, mask, bias, causal, 0.3, 0.25)
    queries, keys, values = inputs
    scores = queries @ keys.mT * 0.3
    if bias is not None:
        scores = scores + bias
        inputs.append(bias)
    if causal:
        scores = scores.masked_fill(torch.ones(time, time, dtype=torch.bool).triu(1), -torch.inf)
    if mask is not None:
        scores = scores.masked_fill(~mask, -torch.inf)
    expected = (scores.softmax(-1) * lay_out(factors, 3, time, causal)) @ values
    torch.testing.assert_close(attended, expected, rtol=0, atol=1e-12)
    weight = torch.randn_like(expected)
    for ours, theirs in zip(
        torch.autograd.grad(attended, inputs, weight), torch.autograd.grad(expected, inputs, weight), strict=True
    ):
        torch.testing.assert_close(ours, theirs, rtol=0, atol=1e-11)


@pytest.mark.parametrize(("causal", "queries", "keys"), [(True, 130, 130), (False, 70, 33)])
def test_attention_without_chance_equals_torch(causal: bool, queries: int, keys: int) -> None:
    inputs = make(3, queries, keys)
    ours, *_ = dropout_attention(*inputs, None, None, causal, 8**-0.5, 0.0)
    torch.testing.assert_close(ours, F.scaled_dot_product_attention(*inputs, is_causal=causal), rtol=0, atol=1e-12)


def test_a_query_that_may_attend_to_nothing_gets_zeros_as_in_torch() -> None:
    inputs = make(1, 4, 4)
    mask = torch.ones(1, 1, 4, 4, dtype=torch.bool)
    mask[..., 2, :] = False
    ours, *_ = dropout_attention(*inputs, mask, None, False, 1.0, 0.0)
    torch.testing.assert_close(ours, F.scaled_dot_product_attention(*inputs, attn_mask=mask, scale=1.0))
    assert all(gradient.isfinite().all() for gradient in torch.autograd.grad(ours.sum(), inputs))


def test_the_layer_has_the_mean_of_undropped_attention() -> None:
    torch.manual_seed(5)
    layer = MultiHeadAttention(d_model=16, num_heads=2, dropout=0.2)
    x = torch.randn(1, 6, 16)
    with torch.no_grad():
        many = layer(x.expand(20_000, -1, -1), causal=True).mean(0)
        expected = layer.eval()(x, causal=True)[0]
    torch.testing.assert_close(many, expected, rtol=0, atol=0.01)


@pytest.mark.parametrize("bits", [32, 16])
def test_operators_are_well_formed(bits: int) -> None:
    """torch's own checks: schema, shapes under fake tensors, gradients registered."""
    inputs = [*make(2, 70, 70), torch.randn(1, 2, 70, 70)]
    *inputs, bias = [x.detach().to(torch.float32 if bits == 32 else torch.bfloat16).requires_grad_() for x in inputs]
    checks = ("test_schema", "test_autograd_registration", "test_faketensor")
    torch.library.opcheck(dropout_attention, (*inputs, None, bias, True, 0.3, 0.25), test_utils=checks)
