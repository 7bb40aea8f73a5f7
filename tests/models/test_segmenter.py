"""The convolutional encoder-decoder: its presets, every size of image, every way to run it."""

import copy
import itertools
from dataclasses import replace
from typing import Any

import pytest
import torch
from torch import Tensor, nn
from torch.nn import functional as F

from lit_transformer.config.models import PRESETS, SegmenterConfig
from lit_transformer.config.schema import ObjectiveConfig
from lit_transformer.models import build_model
from lit_transformer.models.flops import training_cost
from lit_transformer.models.segmenter import Segmenter, normalise
from lit_transformer.nn.pixel_losses import pixel_losses
from lit_transformer.nn.recompute import recompute_blocks

UPSAMPLINGS = ("bilinear", "nearest", "transposed", "pixel_shuffle")
SKIPS = ("none", "concat", "add")
TINY = SegmenterConfig(base_channels=4, num_stages=2, num_classes=3)
VARIANTS: dict[str, SegmenterConfig] = {
    "default": TINY,
    "plain": replace(TINY, bottleneck=False, norm="none", skip="none", convs_per_stage=1, head_kernel=3),
    "unet": replace(TINY, norm="none", upsampling="transposed"),
    "add": replace(TINY, skip="add", norm="group", upsampling="pixel_shuffle", downsampling="stride"),
    "convolve-first": replace(TINY, bottleneck=False, upsampling="nearest", activation="silu", in_channels=1),
    "convolve-first-add": replace(TINY, bottleneck=False, skip="add", activation="gelu", num_classes=1),
}


def preset(name: str, **changes: Any) -> SegmenterConfig:
    return SegmenterConfig(**{"preset": name, **PRESETS[name], **changes})


def images_for(config: SegmenterConfig, rows: int = 2, size: tuple[int, int] = (13, 10)) -> Tensor:
    return torch.randn(rows, config.in_channels, *size)


def loss_of(network: Segmenter, images: Tensor) -> Tensor:
    """A loss of targets that depend on the shape alone."""
    height, width = images.shape[2:]
    pixels = torch.arange(len(images) * height * width).view(len(images), height, width)
    masks = pixels // 7 % max(network.num_logits, 2)
    return pixel_losses(network(images), masks, terms={"bce": 1.0, "dice": 1.0})[0]


def gradients(network: nn.Module) -> list[Tensor]:
    return [parameter.grad for parameter in network.parameters() if parameter.grad is not None]


@pytest.fixture
def network(request: pytest.FixtureRequest) -> Segmenter:
    torch.manual_seed(0)
    return Segmenter(VARIANTS[request.param])


def test_plain_is_the_same_layers_in_a_row() -> None:
    torch.manual_seed(0)
    ours = build_model(preset("plain"))
    theirs = nn.Sequential(
        nn.Conv2d(3, 64, 3, padding=1), nn.ReLU(), nn.MaxPool2d(2),
        nn.Conv2d(64, 128, 3, padding=1), nn.ReLU(), nn.MaxPool2d(2),
        nn.Conv2d(128, 64, 3, padding=1), nn.ReLU(), nn.Upsample(scale_factor=2, mode="bilinear"),
        nn.Conv2d(64, 32, 3, padding=1), nn.ReLU(), nn.Upsample(scale_factor=2, mode="bilinear"),
        nn.Conv2d(32, 1, 3, padding=1),
    )  # fmt: skip
    pairs = list(zip(ours.parameters(), theirs.parameters(), strict=True))
    for mine, other in pairs:
        other.data.copy_(mine.data)
    images = torch.randn(2, 3, 24, 36, requires_grad=True)
    masks = torch.randint(2, (2, 24, 36))
    torch.testing.assert_close(ours(images).sigmoid(), theirs(images).sigmoid(), rtol=0, atol=1e-6)
    total, count = pixel_losses(ours(images), masks, terms={"bce": 1.0})
    expected = F.binary_cross_entropy(theirs(images).sigmoid(), masks[:, None].float())
    torch.testing.assert_close(total / count, expected)
    mine = torch.autograd.grad(total / count, [images, *ours.parameters()])
    others = torch.autograd.grad(expected, [images, *theirs.parameters()])
    for left, right in zip(mine, others, strict=True):
        torch.testing.assert_close(left, right, rtol=1e-4, atol=1e-7)


@pytest.mark.parametrize("classes", [1, 2])
def test_unet_has_its_thirty_one_million_weights(classes: int) -> None:
    with torch.device("meta"):
        unet = Segmenter(preset("unet", num_classes=classes))
    # Ronneberger's layers with 3 channels going in: 31,031,745 with one class.
    assert unet.num_parameters() == 31_031_745 + 65 * (classes - 1)
    assert unet.num_parameters() == pytest.approx(31_030_000, rel=0.005)


@pytest.mark.parametrize(("upsampling", "skip"), itertools.product(UPSAMPLINGS, SKIPS))
@pytest.mark.parametrize("downsampling", ["max_pool", "stride"])
def test_every_size_comes_back_and_its_last_pixel_counts(upsampling, skip, downsampling) -> None:
    torch.manual_seed(0)
    for bottleneck, stages in ((True, 3), (False, 4)):
        network = Segmenter(
            SegmenterConfig(
                base_channels=2, num_stages=stages, num_classes=2, convs_per_stage=1, norm="none", activation="silu",
                upsampling=upsampling, downsampling=downsampling, skip=skip, bottleneck=bottleneck,
            )
        )  # fmt: skip
        sizes = [(side, side) for side in range(17, 41)] + [(17, 40), (39, 18), (32, 23), (1, 1), (2, 9)]
        for size in sizes:
            images = torch.randn(1, 3, *size, requires_grad=True)
            logits = network(images)
            assert logits.shape == (1, 2, *size)
            (gradient,) = torch.autograd.grad(logits[..., -1, -1].sum(), images)
            assert gradient[..., -1, -1].any(), size


@pytest.mark.parametrize("network", VARIANTS, indirect=True)
def test_every_parameter_takes_part(network: Segmenter) -> None:
    images = images_for(network.config)
    assert network(images).shape == (2, network.num_logits, 13, 10)
    loss_of(network, images).backward()
    for name, parameter in network.named_parameters():
        assert parameter.grad is not None and parameter.grad.isfinite().all() and parameter.grad.any(), name


@pytest.mark.parametrize("network", VARIANTS, indirect=True)
def test_evaluation_is_the_same_twice_and_for_an_image_alone(network: Segmenter) -> None:
    network = Segmenter(replace(network.config, dropout=0.5))
    images = images_for(network.config, rows=3)
    assert not torch.equal(network(images), network(images))
    network.eval()
    first = network(images)
    assert torch.equal(first, network(images))
    torch.testing.assert_close(network(images[1:2]), first[1:2], rtol=1e-4, atol=1e-5)


@pytest.mark.parametrize("network", VARIANTS, indirect=True)
def test_channels_last_is_the_same(network: Segmenter) -> None:
    images = images_for(network.config)
    there = copy.deepcopy(network).to(memory_format=torch.channels_last)
    loss_of(network, images).backward()
    loss_of(there, images.contiguous(memory_format=torch.channels_last)).backward()
    for here, other in zip(gradients(network), gradients(there), strict=True):
        torch.testing.assert_close(here, other, rtol=1e-3, atol=1e-5)


@pytest.mark.parametrize("network", VARIANTS, indirect=True)
def test_bfloat16_autocast(network: Segmenter) -> None:
    images = images_for(network.config, size=(16, 16))
    expected = network(images)
    with torch.autocast("cpu", torch.bfloat16):
        logits, loss = network(images), loss_of(network, images)
    assert logits.dtype == torch.bfloat16 and loss.dtype == torch.float32
    loss.backward()
    assert all(gradient.isfinite().all() for gradient in gradients(network))
    assert (logits.float() - expected).std() / expected.std() < 0.1


@pytest.mark.parametrize("network", VARIANTS, indirect=True)
@pytest.mark.parametrize("recompute", [False, True])
def test_compiles_whole_with_the_same_gradients(network: Segmenter, recompute: bool) -> None:
    torch.compiler.reset()
    if recompute:
        recompute_blocks(network)
    again, images = copy.deepcopy(network), images_for(network.config)
    compiled = torch.compile(lambda images: loss_of(again, images), fullgraph=not recompute, backend="aot_eager")
    loss_of(network, images).backward()
    compiled(images).backward()
    for here, other in zip(gradients(network), gradients(again), strict=True):
        torch.testing.assert_close(here, other, rtol=1e-4, atol=1e-5)
    for (name, here), other in zip(network.named_buffers(), again.buffers(), strict=True):
        torch.testing.assert_close(here, other, msg=name)


def test_recomputing_counts_a_batch_once_where_norms_are_synchronised_too() -> None:
    torch.manual_seed(0)
    plain = Segmenter(TINY).train()
    synchronised = torch.nn.SyncBatchNorm.convert_sync_batchnorm(copy.deepcopy(plain))  # alone it is a batch norm
    assert any(isinstance(module, torch.nn.SyncBatchNorm) for module in synchronised.modules())
    recompute_blocks(synchronised)
    images = images_for(TINY)
    for network in (plain, synchronised):
        loss_of(network, images).backward()
    for (name, here), other in zip(plain.named_buffers(), synchronised.buffers(), strict=True):
        torch.testing.assert_close(here, other, msg=name)


@pytest.mark.parametrize("upsampling", UPSAMPLINGS)
@pytest.mark.parametrize("name", ["default", "plain", "convolve-first-add"])
def test_an_exported_network_takes_any_size(name: str, upsampling: str) -> None:
    torch.manual_seed(0)
    network = Segmenter(replace(VARIANTS[name], upsampling=upsampling)).eval()
    any_size = dict.fromkeys((0, 2, 3), torch.export.Dim.DYNAMIC)
    exported = torch.export.export(network, (images_for(network.config, size=(24, 16)),), dynamic_shapes=(any_size,))
    for rows, *size in ((1, 24, 16), (3, 17, 17), (2, 19, 32), (1, 40, 37), (1, 5, 6)):
        images = images_for(network.config, rows, (size[0], size[1]))
        torch.testing.assert_close(exported.module()(images), network(images), rtol=1e-5, atol=1e-6)


class Kept:
    """Counts the bytes that autograd keeps."""

    def __init__(self) -> None:
        self.storages: dict[int, Tensor] = {}

    def pack(self, tensor: Tensor) -> Tensor:
        self.storages.setdefault(tensor.untyped_storage().data_ptr(), tensor)
        return tensor

    def bytes(self) -> int:
        return sum(tensor.untyped_storage().nbytes() for tensor in self.storages.values())


@pytest.mark.parametrize("network", VARIANTS, indirect=True)
@pytest.mark.parametrize("dropout", [0.0, 0.3])
def test_recomputed_stages_give_the_same_from_less_memory(network: Segmenter, dropout: float) -> None:
    network = Segmenter(replace(network.config, dropout=dropout, convs_per_stage=3))
    again, images = copy.deepcopy(network), images_for(network.config, size=(32, 32))
    stages = 2 * network.config.num_stages + network.config.bottleneck
    assert recompute_blocks(again) == stages
    much, little = Kept(), Kept()
    for model, kept in ((network, much), (again, little)):
        torch.manual_seed(1)
        with torch.autograd.graph.saved_tensors_hooks(kept.pack, lambda tensor: tensor):
            loss = loss_of(model, images)
        loss.backward()
    assert little.bytes() < 0.7 * much.bytes()
    assert all(torch.equal(here, other) for here, other in zip(gradients(network), gradients(again), strict=True))
    for (name, here), other in zip(network.named_buffers(), again.buffers(), strict=True):
        assert torch.equal(here, other), name  # running statistics took in the batch once


def test_seed_decides_the_weights() -> None:
    weights = []
    for _ in range(2):
        torch.manual_seed(5)
        weights.append(Segmenter(TINY).state_dict())
    assert all(torch.equal(weights[0][key], weights[1][key]) for key in weights[0])


def test_normalise() -> None:
    images = torch.randint(256, (2, 3, 4, 5), dtype=torch.uint8)
    torch.testing.assert_close(normalise(images), (images.float() / 255 - 0.5) / 0.25)
    assert normalise(torch.tensor([0, 255], dtype=torch.uint8)).tolist() == [-2, 2]


def by_hand(config: SegmenterConfig) -> int:
    """FLOPs of a pixel in training: a U-Net's or a plain network's convolutions, three times but for the images."""
    forward, channels, share = 0.0, config.in_channels, 1.0
    widths = [config.base_channels * 2**level for level in range(config.num_stages)]

    def stage(inputs: int, outputs: int) -> float:
        return share * 18 * (inputs * outputs + (config.convs_per_stage - 1) * outputs**2)

    for width in widths:
        forward, channels, share = forward + stage(channels, width), width, share / 4
    if config.bottleneck:
        forward, channels = forward + stage(channels, 2 * channels), 2 * channels
    for width in reversed(widths):
        if config.bottleneck:
            forward += share * 2 * channels * 4 * width  # four products for each pixel before the upsampling
            share *= 4
            forward, channels = forward + stage(2 * width, width), width
        else:
            forward, channels = forward + stage(channels, width // 2), width // 2
            share *= 4
    forward += 2 * config.head_kernel**2 * channels * (config.num_classes or 2)
    return int(3 * forward - 18 * config.in_channels * config.base_channels)


@pytest.mark.parametrize("config", [preset("plain"), preset("unet", base_channels=8), VARIANTS["plain"]])
def test_flops_by_hand(config: SegmenterConfig) -> None:
    assert training_cost(config, "segmentation").flops_per_token == by_hand(config)


@pytest.mark.parametrize("side", [8, 12, 32, 100])
@pytest.mark.parametrize("name", VARIANTS)
def test_flops_of_a_pixel_are_those_of_any_image(name: str, side: int, monkeypatch: pytest.MonkeyPatch) -> None:
    usual = training_cost(VARIANTS[name], "segmentation")
    make = Segmenter.dummy_batch
    monkeypatch.setattr(Segmenter, "dummy_batch", lambda network: make(network, side))
    other = training_cost.__wrapped__(VARIANTS[name], "segmentation")
    assert other.sequence_tokens == side**2 and usual.sequence_tokens == 96**2
    assert other.flops_per_token == usual.flops_per_token > 1000
    assert other.parameters == usual.parameters


@pytest.mark.parametrize("stages", [1, 5, 7])
def test_the_counted_image_fits_the_stages(stages: int) -> None:
    cost = training_cost(replace(TINY, num_stages=stages, base_channels=1), "segmentation")
    assert cost.sequence_tokens == max(96, 2 * 2**stages) ** 2


@pytest.mark.parametrize("losses", [None, "dice, bce"])
@pytest.mark.parametrize("name", VARIANTS)
def test_activation_memory_is_what_autograd_keeps(name: str, losses: str | None) -> None:
    network, objective = Segmenter(VARIANTS[name]), ObjectiveConfig(name="pixels", losses=losses)
    weights, kept = {parameter.untyped_storage().data_ptr() for parameter in network.parameters()}, Kept()
    batch = network.dummy_batch()
    terms = {"dice": 1.0, "bce": 1.0} if losses else {"bce" if network.num_logits == 1 else "cross_entropy": 1.0}
    with torch.autograd.graph.saved_tensors_hooks(kept.pack, lambda tensor: tensor):
        loss, _ = pixel_losses(network(batch["images"]), batch["masks"], terms=terms)
    real = sum(t.untyped_storage().nbytes() for pointer, t in kept.storages.items() if pointer not in weights)
    counted = training_cost(VARIANTS[name], "segmentation", objective).activation_bytes
    assert counted == pytest.approx(real, rel=0.1)
    assert loss.isfinite()
