"""Every fast path of a layer equals the plain one, in loss and gradients.

The plain one is computed in float64 from the same numbers, so the tolerance is what float32 rounds. What is proven
elsewhere: dropout in attention (test_dropout.py), the last block at targets alone (test_places.py), compiled networks
and recomputation (models/test_models.py, test_bert.py, test_glm.py, test_segmenter.py; whole steps in
training/test_every_task.py), fused optimizers (optim/test_optimizers.py), channels_last (models/test_segmenter.py),
the KV cache, which trains nothing (test_attention.py, decoding/test_sources.py), ranks and accumulated micro-batches
(training/test_accumulation.py).
"""

import copy
import math
from abc import ABC, abstractmethod
from typing import ClassVar

import pytest
import torch
from torch import Tensor
from torch.nn import functional as F

from lit_transformer.config.models import BertConfig, EncoderDecoderConfig, GLMConfig, GPTConfig, T5Config
from lit_transformer.config.schema import ObjectiveConfig
from lit_transformer.models import build_model
from lit_transformer.nn import linear as fast_linear
from lit_transformer.nn import losses, packing
from lit_transformer.nn.attention import SKIPS, MultiHeadAttention
from lit_transformer.nn.convolution import Upsample
from lit_transformer.nn.linear import linear, product
from lit_transformer.nn.losses import IGNORED, linear_cross_entropy
from lit_transformer.nn.norms import RMSNorm


class FastPath(ABC):
    """Inherit, and the one test compares `fast` in float32 with `plain` in float64."""

    tolerance: ClassVar[float] = 1e-5
    """Of the loss and of each gradient, over the largest number in it."""

    @abstractmethod
    def leaves(self) -> list[Tensor]:
        """Float32 inputs and weights, drawn anew."""

    @abstractmethod
    def fast(self, *leaves: Tensor) -> Tensor:
        """What training computes."""

    @abstractmethod
    def plain(self, *leaves: Tensor) -> Tensor:
        """The same from plain operators, in the leaves' type."""

    def test_loss_and_gradients_are_the_plain_ones(self) -> None:
        torch.manual_seed(0)
        found = [leaf.requires_grad_() for leaf in self.leaves()]
        exact = [leaf.detach().double().requires_grad_() for leaf in found]
        ours, theirs = self.fast(*found), self.plain(*exact)
        weights = torch.randn_like(ours)
        ours_grads = torch.autograd.grad(ours, found, weights)
        theirs_grads = torch.autograd.grad(theirs, exact, weights.double())
        assert any(gradient.any() for gradient in theirs_grads)
        for mine, its in zip((ours, *ours_grads), (theirs, *theirs_grads), strict=True):
            assert mine.dtype == torch.float32
            limit = self.tolerance * its.detach().abs().max().item()
            torch.testing.assert_close(mine.double(), its, rtol=0, atol=limit)


@pytest.mark.skipif(not fast_linear.HAS_ONEDNN, reason="needs oneDNN's operator")
class TestLinear(FastPath):
    """oneDNN's product with MKL's gradient of the weights."""

    @pytest.fixture(autouse=True)
    def on_any_processor(self, monkeypatch: pytest.MonkeyPatch) -> None:
        monkeypatch.setattr(fast_linear, "ONEDNN", True)

    def leaves(self) -> list[Tensor]:
        return [torch.randn(3, 17, 24), torch.randn(40, 24), torch.randn(40)]

    def fast(self, *leaves: Tensor) -> Tensor:
        result = linear(*leaves)
        assert "_Linear" in result.grad_fn.name(), "not the fast path"
        return result

    def plain(self, *leaves: Tensor) -> Tensor:
        return F.linear(*leaves)


class TestLinearWithoutBias(TestLinear):
    def leaves(self) -> list[Tensor]:
        return super().leaves()[:2]


class TestLinearOfAView(TestLinear):
    """As cross-attention gives it: rows of a larger matrix, and an input whose rows do not lie together."""

    def fast(self, x: Tensor, weight: Tensor, bias: Tensor) -> Tensor:
        return super().fast(x.transpose(0, 1), weight.split((16, 24))[1], bias.split((16, 24))[1])

    def plain(self, x: Tensor, weight: Tensor, bias: Tensor) -> Tensor:
        return F.linear(x.transpose(0, 1), weight[16:], bias[16:])


@pytest.mark.parametrize("onednn", [False, fast_linear.HAS_ONEDNN])
def test_a_product_takes_transposed_views_and_nothing(monkeypatch: pytest.MonkeyPatch, onednn: bool) -> None:
    monkeypatch.setattr(fast_linear, "ONEDNN", onednn)
    torch.manual_seed(0)
    x, weight = torch.randn(9, 12), torch.randn(12, 5)
    torch.testing.assert_close(product(x, weight.T), x @ weight, rtol=0, atol=1e-5)
    torch.testing.assert_close(product(x.T.contiguous().T, weight.T), x @ weight, rtol=0, atol=1e-5)
    assert product(x[:0], weight.T).shape == (0, 5)


class TestRMSNorm(FastPath):
    """The norm with a gradient of its own."""

    def leaves(self) -> list[Tensor]:
        return [torch.randn(4, 7, 48) * 3, torch.randn(48)]

    def fast(self, x: Tensor, weight: Tensor) -> Tensor:
        norm = RMSNorm(48, eps=1e-5)
        del norm.weight
        norm.weight = weight  # type: ignore[assignment]
        result = norm(x)
        assert "_RMSNorm" in result.grad_fn.name(), "not the fast path"
        return result

    def plain(self, x: Tensor, weight: Tensor) -> Tensor:
        return x / (x.square().mean(-1, keepdim=True) + 1e-5).sqrt() * weight


class ChunkedLoss(FastPath):
    """Output layer and loss a few rows at a time, without the rows that are ignored."""

    label_smoothing: ClassVar[float] = 0.0
    biased: ClassVar[bool] = True

    @pytest.fixture(autouse=True)
    def _small_chunks(self, monkeypatch: pytest.MonkeyPatch) -> None:
        monkeypatch.setitem(losses.CHUNK_BYTES, "cpu", 4 * 300 * 8)  # 8 rows at a time

    def targets(self) -> Tensor:
        ids = torch.randint(300, (4, 11), generator=torch.Generator().manual_seed(1))
        return ids.where(ids % 4 > 0, IGNORED)

    def leaves(self) -> list[Tensor]:
        return [torch.randn(4, 11, 16), torch.randn(300, 16), *([torch.randn(300)] if self.biased else [])]

    def fast(self, hidden: Tensor, weight: Tensor, bias: Tensor | None = None) -> Tensor:
        return linear_cross_entropy(hidden, weight, self.targets(), bias=bias, label_smoothing=self.label_smoothing)[0]

    def plain(self, hidden: Tensor, weight: Tensor, bias: Tensor | None = None) -> Tensor:
        logits = F.linear(hidden, weight, bias).flatten(0, -2)
        how = {"reduction": "sum", "ignore_index": IGNORED, "label_smoothing": self.label_smoothing}
        return F.cross_entropy(logits, self.targets().flatten(), **how)  # type: ignore[arg-type]


class TestChunkedLoss(ChunkedLoss):
    pass


class TestSmoothedChunkedLoss(ChunkedLoss):
    label_smoothing, biased = 0.1, False


class Attention(FastPath):
    """One layer of 4 heads, its weights and its bias of positions: all that its ways through kernels differ in."""

    time: ClassVar[int] = 24
    causal: ClassVar[bool] = False
    kv_heads: ClassVar[int] = 4
    masked: ClassVar[bool] = False
    cross: ClassVar[bool] = False
    rows: ClassVar[int] = 2

    def leaves(self) -> list[Tensor]:
        width = 32 + 2 * 8 * self.kv_heads
        x, weight, bias = torch.randn(self.rows, self.time, 32), torch.randn(width, 32) / 6, torch.randn(width) / 6
        return [x, weight, bias, torch.randn(1, 4, self.time, self.time)]

    def mask(self) -> Tensor | None:
        """The last quarter of the second row is padding."""
        kept = torch.ones(self.rows, 1, 1, self.time, dtype=torch.bool)
        kept[1, ..., 3 * self.time // 4 :] = False
        return kept if self.masked else None

    def biased(self, bias: Tensor) -> Tensor | None:
        return None

    def fast(self, x: Tensor, weight: Tensor, bias: Tensor, position_bias: Tensor) -> Tensor:
        layer = MultiHeadAttention(d_model=32, num_heads=4, num_kv_heads=self.kv_heads).train()
        layer.output.weight.data.copy_(torch.eye(32))
        layer.output.bias.data.zero_()
        del layer.input.weight, layer.input.bias
        layer.input.weight, layer.input.bias = weight, bias  # type: ignore[assignment]
        context = x.flip(1) if self.cross else None
        how = {"mask": self.mask(), "causal": self.causal, "position_bias": self.biased(position_bias)}
        return layer(x, context, **how) + 0 * position_bias.sum()

    def plain(self, x: Tensor, weight: Tensor, bias: Tensor, position_bias: Tensor) -> Tensor:
        widths = (32, 8 * self.kv_heads, 8 * self.kv_heads)
        context = x.flip(1) if self.cross else x
        pairs = zip((x, context, context), weight.split(widths), bias.split(widths), strict=True)
        queries, keys, values = (F.linear(*pair).unflatten(-1, (-1, 8)).transpose(1, 2) for pair in pairs)
        keys, values = (part.repeat_interleave(4 // self.kv_heads, dim=1) for part in (keys, values))
        scores = queries @ keys.mT / 8**0.5
        if (added := self.biased(position_bias)) is not None:
            scores = scores + added
        if (mask := self.mask()) is not None:
            scores = scores.masked_fill(~mask, -torch.inf)
        if self.causal:
            scores = scores.masked_fill(torch.ones(self.time, self.time, dtype=torch.bool).triu(1), -torch.inf)
        return (scores.softmax(-1) @ values).transpose(1, 2).flatten(2) + 0 * position_bias.sum()


class TestFusedKernel(Attention):
    """torch's own, from one matrix of queries, keys and values."""


class TestFusedCausalKernel(Attention):
    causal = True


class TestFusedKernelWithPadding(Attention):
    masked = True


class TestCausalWithPadding(Attention):
    causal = masked = True


class TestCrossAttention(Attention):
    cross = masked = True


class TestCausalThatStopsAtTheDiagonal(Attention):
    """From 129 keys on, where blocks of queries see no key behind them."""

    causal, time = True, SKIPS.start + 3


class TestCausalOfManyKeys(Attention):
    """As many keys as go to torch's kernel again."""

    causal, time, rows = True, SKIPS.stop, 2


class TestGroupedQueries(Attention):
    kv_heads, causal = 2, True


class TestOneKeyForAllHeads(Attention):
    kv_heads, masked = 1, True


class TestBiasOfPositions(Attention):
    """A bias that learns, beside a mask, and causal."""

    masked = causal = True

    def biased(self, bias: Tensor) -> Tensor | None:
        return bias


class TestUpsampling(FastPath):
    """Interpolation after the 1 x 1 convolution that it commutes with."""

    def leaves(self) -> list[Tensor]:
        return [torch.randn(2, 6, 5, 7), torch.randn(4, 6, 1, 1), torch.randn(4)]

    def fast(self, x: Tensor, weight: Tensor, bias: Tensor) -> Tensor:
        layer = Upsample(6, 4, "bilinear")
        del layer.layer.weight, layer.layer.bias
        layer.layer.weight, layer.layer.bias = weight, bias  # type: ignore[assignment]
        return layer(x, (9, 14))

    def plain(self, x: Tensor, weight: Tensor, bias: Tensor) -> Tensor:
        return F.conv2d(F.interpolate(x, scale_factor=2.0, mode="bilinear"), weight, bias)[..., :9, :14]


SHAPE = {"vocab_size": 31, "num_layers": 2, "num_heads": 2, "d_model": 16, "context_length": 12, "dropout": 0.0}
LENGTHS = (12, 5, 1)
NETWORKS = {
    "gpt": GPTConfig(**SHAPE),
    "gpt, llama": GPTConfig(
        **SHAPE, num_kv_heads=1, positions="rope", norm="rms_norm", activation="swiglu", bias=False
    ),
    "gpt, long": GPTConfig(**SHAPE | {"context_length": SKIPS.start + 1}),
    "bert": BertConfig(**SHAPE),
    "glm": GLMConfig(**SHAPE),
    "t5": T5Config(**SHAPE),
    "encoder_decoder": EncoderDecoderConfig(**SHAPE),
}


@pytest.mark.parametrize("name", NETWORKS)
def test_a_network_in_float32_is_the_one_in_float64(name: str) -> None:
    """Layers train in their faster ways in float32 alone; a network's loss to 1e-5 of it, its gradients to 1e-3."""
    torch.manual_seed(0)
    network = build_model(NETWORKS[name]).train()
    with torch.no_grad():
        for weight in network.parameters():
            weight.add_(torch.randn_like(weight) / 10)  # biases and norms start as zeros and ones, which hide mistakes
    batch = {key: value.expand(2, *value.shape[1:]) for key, value in network.dummy_batch(ObjectiveConfig()).items()}
    for key in ("inputs", "decoder_inputs", "targets"):
        if key in batch:
            batch[key] = torch.randint(31, batch[key].shape)
    plain = copy.deepcopy(network).double()
    (ours, count), (theirs, number) = network.loss(**batch), plain.loss(**batch)
    assert count == number
    torch.testing.assert_close(ours.double(), theirs, rtol=1e-5, atol=0)
    gradients = [torch.autograd.grad(loss, list(net.parameters())) for loss, net in ((ours, network), (theirs, plain))]
    for (named, _), mine, its in zip(network.named_parameters(), *gradients, strict=True):
        limit = 1e-3 * its.abs().max().item() + 1e-5  # keys have no bias that matters: their gradient is rounding
        torch.testing.assert_close(mine.double(), its, rtol=0, atol=limit, msg=lambda text, named=named: named + text)


@pytest.mark.parametrize("name", ["bert", "glm"])
def test_targets_alone_train_as_all_places_with_the_others_ignored(name: str) -> None:
    """Loss and gradients to 1e-11 in float64."""
    torch.manual_seed(0)
    network = build_model(NETWORKS[name]).double().train()
    ids, places = torch.randint(31, (3, 12)), torch.tensor([[0, 7], [3, 11], [5, 6]])
    targets = torch.randint(31, (3, 2))
    everywhere = torch.full((3, 12), IGNORED).scatter(1, places, targets)
    weights = list(network.parameters())
    few, count = network.loss(inputs=ids, targets=targets, target_positions=places)
    many, number = network.loss(inputs=ids, targets=everywhere)
    assert count == number == 6
    torch.testing.assert_close(few, many, rtol=0, atol=1e-11)
    found = (torch.autograd.grad(loss, weights, allow_unused=True) for loss in (few, many))
    for mine, its in zip(*found, strict=True):
        torch.testing.assert_close(mine, its, rtol=0, atol=1e-11)


@pytest.mark.parametrize(
    ("name", "worth"),
    [("bert", packing.WORTH), ("t5", math.inf), ("t5", 0.0), ("encoder_decoder", math.inf), ("encoder_decoder", 0.0)],
)
def test_rows_of_a_bucket_train_as_each_row_alone(name: str, worth: float, monkeypatch: pytest.MonkeyPatch) -> None:
    """Loss and gradients of padded rows are the sums of those without padding, to 1e-11 in float64.

    Whether the padding is left out (worth 0) or computed and masked.
    """
    monkeypatch.setattr(packing, "WORTH", worth)
    torch.manual_seed(0)
    network = build_model(NETWORKS[name]).double().train()
    kept = torch.arange(12) < torch.tensor(LENGTHS)[:, None]  # (rows, time)
    ids, targets = torch.randint(30, (3, 12)), torch.randint(30, (3, 12)).where(kept, IGNORED)
    batch = {"inputs": ids.where(kept, 30), "targets": targets, "input_mask": kept}
    if name != "bert":
        batch["decoder_inputs"] = ids.flip(1).where(kept, 30)
    weights = list(network.parameters())
    loss, count = network.loss(**batch)
    together = torch.autograd.grad(loss, weights)
    rows = [{key: value[row : row + 1, :length] for key, value in batch.items()} for row, length in enumerate(LENGTHS)]
    alone = [network.loss(**row) for row in rows]
    torch.testing.assert_close(loss, sum(one for one, _ in alone), rtol=0, atol=1e-11)
    assert count == sum(number for _, number in alone) == sum(LENGTHS)
    for mine, its in zip(together, torch.autograd.grad(sum(one for one, _ in alone), weights), strict=True):
        torch.testing.assert_close(mine, its, rtol=0, atol=1e-11)
