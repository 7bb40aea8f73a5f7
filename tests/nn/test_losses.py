"""Losses against F.cross_entropy."""

import pytest
import torch
from torch import Tensor
from torch.nn import functional as F

from lit_transformer.nn import losses
from lit_transformer.nn.losses import cross_entropy, linear_cross_entropy

CLASSES, WIDTH = 11, 6


def sample(dtype: torch.dtype = torch.float64) -> tuple[Tensor, Tensor, Tensor]:
    torch.manual_seed(0)
    hidden = torch.randn(3, 5, WIDTH, dtype=dtype, requires_grad=True)
    weight = torch.randn(CLASSES, WIDTH, dtype=dtype, requires_grad=True)
    targets = torch.randint(CLASSES, (3, 5))
    targets[0, 1:4] = -100
    return hidden, weight, targets


@pytest.mark.parametrize("label_smoothing", [0.0, 0.1, 1.0])
@pytest.mark.parametrize("chunk_rows", [1, 4, 100])
def test_sum_count_and_gradients(label_smoothing: float, chunk_rows: int, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(losses.CHUNK_BYTES, "cpu", chunk_rows * CLASSES * 4)
    hidden, weight, targets = sample()
    expected = F.cross_entropy((hidden @ weight.T).flatten(0, 1), targets.flatten(), label_smoothing=label_smoothing)
    gradients = torch.autograd.grad(expected, (hidden, weight))
    for total, count in (
        cross_entropy(hidden @ weight.T, targets, label_smoothing=label_smoothing),
        linear_cross_entropy(hidden, weight, targets, label_smoothing=label_smoothing),
    ):
        assert count == 12
        torch.testing.assert_close(total / count, expected, rtol=0, atol=1e-12)
        for ours, theirs in zip(torch.autograd.grad(total / count, (hidden, weight)), gradients, strict=True):
            torch.testing.assert_close(ours, theirs, rtol=0, atol=1e-12)


def test_one_target_by_hand() -> None:
    logits = torch.tensor([[0.0, 0.0, torch.log(torch.tensor(2.0)).item()]])
    total, count = cross_entropy(logits, torch.tensor([2]))
    assert (total.item(), count.item()) == (pytest.approx(0.6931472), 1)  # -log(2 / 4)


@pytest.mark.parametrize("loss", ["plain", "linear"])
def test_nothing_to_predict_is_zero_of_zero(loss: str) -> None:
    hidden, weight, targets = sample()
    none = torch.full_like(targets, -100)
    total, count = (
        cross_entropy(hidden @ weight.T, none) if loss == "plain" else linear_cross_entropy(hidden, weight, none)
    )
    total.backward()
    assert total == 0 and count == 0 and hidden.grad is not None and not hidden.grad.any()


def test_parts_add_up_to_the_whole() -> None:
    hidden, weight, targets = sample()
    whole, count = linear_cross_entropy(hidden, weight, targets)
    parts = [linear_cross_entropy(hidden[i], weight, targets[i]) for i in range(3)]
    torch.testing.assert_close(sum(total for total, _ in parts), whole)
    assert sum(n for _, n in parts) == count


@pytest.mark.parametrize("mode", ["autocast", "weights"])
def test_half_precision_sums_in_float32(mode: str) -> None:
    dtype = torch.float32 if mode == "autocast" else torch.bfloat16
    hidden, weight, targets = sample(dtype)
    exact, _ = cross_entropy((hidden.double() @ weight.double().T), targets)
    with torch.autocast("cpu", torch.bfloat16, enabled=mode == "autocast"):
        total, _ = linear_cross_entropy(hidden, weight, targets)
    assert total.dtype == torch.float32
    assert total.item() == pytest.approx(exact.item(), rel=0.02)
    total.backward()
    assert hidden.grad is not None and weight.grad is not None
    assert hidden.grad.dtype == weight.grad.dtype == dtype
    for ours, theirs in zip((hidden.grad, weight.grad), torch.autograd.grad(exact, (hidden, weight)), strict=True):
        torch.testing.assert_close(ours, theirs, rtol=0.05, atol=0.05)


@pytest.mark.parametrize("frozen", ["hidden", "weight", "both"])
def test_frozen_inputs(frozen: str) -> None:
    hidden, weight, targets = sample()
    total, _ = linear_cross_entropy(
        hidden.detach() if frozen != "weight" else hidden, weight.detach() if frozen != "hidden" else weight, targets
    )
    assert total.requires_grad == (frozen != "both")
    torch.testing.assert_close(total, cross_entropy(hidden @ weight.T, targets)[0])


@pytest.mark.parametrize("label_smoothing", [0.0, 0.1])
@pytest.mark.parametrize("chunk_rows", [1, 4, 100])
def test_bias_and_its_gradient(label_smoothing: float, chunk_rows: int, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(losses.CHUNK_BYTES, "cpu", chunk_rows * CLASSES * 4)
    hidden, weight, targets = sample()
    bias = torch.randn(CLASSES, dtype=torch.float64, requires_grad=True)
    expected, _ = cross_entropy(F.linear(hidden, weight, bias), targets, label_smoothing=label_smoothing)
    total, count = linear_cross_entropy(hidden, weight, targets, bias=bias, label_smoothing=label_smoothing)
    assert count == 12
    torch.testing.assert_close(total, expected, rtol=0, atol=1e-12)
    inputs = (hidden, weight, bias)
    for ours, theirs in zip(torch.autograd.grad(total, inputs), torch.autograd.grad(expected, inputs), strict=True):
        torch.testing.assert_close(ours, theirs, rtol=0, atol=1e-12)


@pytest.mark.parametrize("frozen", ["all but the bias", "the bias"])
def test_a_bias_trains_alone_or_is_frozen(frozen: str) -> None:
    hidden, weight, targets = sample()
    bias = torch.randn(CLASSES, dtype=torch.float64, requires_grad=True)
    inputs = (hidden, weight, bias.detach()) if frozen == "the bias" else (hidden.detach(), weight.detach(), bias)
    learned = [tensor for tensor in inputs if tensor.requires_grad]
    total, _ = linear_cross_entropy(*inputs[:2], targets, bias=inputs[2])
    expected, _ = cross_entropy(F.linear(*inputs), targets)
    for ours, theirs in zip(torch.autograd.grad(total, learned), torch.autograd.grad(expected, learned), strict=True):
        torch.testing.assert_close(ours, theirs, rtol=0, atol=1e-12)


@pytest.mark.parametrize("biased", [True, False])
def test_target_weights_multiply_each_loss(biased: bool) -> None:
    hidden, weight, targets = sample()
    bias = torch.randn(CLASSES, dtype=torch.float64, requires_grad=True) if biased else None
    weights = torch.rand(3, 5, dtype=torch.float64)
    weights[1, 2] = 0.0  # counts as a target, weighs nothing
    rows = F.cross_entropy(
        F.linear(hidden, weight, bias).flatten(0, 1), targets.flatten(), reduction="none", label_smoothing=0.1
    )
    expected = (rows * weights.flatten()).sum()
    total, count = linear_cross_entropy(hidden, weight, targets, bias=bias, target_weights=weights, label_smoothing=0.1)
    assert count == 12
    torch.testing.assert_close(total, expected, rtol=0, atol=1e-12)
    inputs = [tensor for tensor in (hidden, weight, bias) if tensor is not None]
    for ours, theirs in zip(torch.autograd.grad(total, inputs), torch.autograd.grad(expected, inputs), strict=True):
        torch.testing.assert_close(ours, theirs, rtol=0, atol=1e-12)


@pytest.mark.parametrize("mode", ["autocast", "weights"])
def test_bias_in_half_precision(mode: str) -> None:
    dtype = torch.float32 if mode == "autocast" else torch.bfloat16
    hidden, weight, targets = sample(dtype)
    bias = torch.randn(CLASSES, dtype=dtype, requires_grad=True)
    inputs = (hidden, weight, bias)
    exact, _ = cross_entropy(F.linear(*(tensor.double() for tensor in inputs)), targets)
    weights = torch.ones(3, 5)  # float32 beside halves, as from a count
    with torch.autocast("cpu", torch.bfloat16, enabled=mode == "autocast"):
        total, _ = linear_cross_entropy(hidden, weight, targets, bias=bias, target_weights=weights)
    assert total.dtype == torch.float32
    assert total.item() == pytest.approx(exact.item(), rel=0.02)
    for ours, theirs in zip(torch.autograd.grad(total, inputs), torch.autograd.grad(exact, inputs), strict=True):
        assert ours.dtype == dtype
        torch.testing.assert_close(ours, theirs, rtol=0.05, atol=0.05)


def test_bias_compiles_whole() -> None:
    hidden, weight, targets = sample()
    bias = torch.randn(CLASSES, dtype=torch.float64, requires_grad=True)
    inputs = (hidden, weight, bias)

    def loss() -> Tensor:
        return linear_cross_entropy(hidden, weight, targets, bias=bias, target_weights=torch.ones(3, 5))[0]

    plain, compiled = loss(), torch.compile(loss, fullgraph=True, backend="aot_eager")()
    torch.testing.assert_close(compiled, plain)
    for ours, theirs in zip(torch.autograd.grad(compiled, inputs), torch.autograd.grad(plain, inputs), strict=True):
        torch.testing.assert_close(ours, theirs)


@pytest.mark.parametrize("biased", [True, False])
def test_operator_is_well_formed(biased: bool) -> None:
    hidden, weight, targets = sample(torch.float32)
    rows = hidden.detach().flatten(0, 1).requires_grad_()
    bias = torch.randn(CLASSES, requires_grad=True) if biased else None
    labels = targets.flatten()
    torch.library.opcheck(losses._operator, (rows, weight, bias, labels, labels != -100, 0.1, True))


def test_gradients_are_scaled_in_place_and_so_once() -> None:
    hidden, weight, targets = sample(torch.float32)
    loss, count = linear_cross_entropy(hidden, weight, targets)
    (loss / count).backward(retain_graph=True)
    with pytest.raises(RuntimeError, match="modified by an inplace operation"):
        (loss / count).backward()
