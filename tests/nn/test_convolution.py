"""Layers of the convolutional encoder-decoder against torch's own, at even and odd sizes."""

import math

import pytest
import torch
from torch import nn
from torch.nn import functional as F

from lit_transformer.nn.convolution import ACTIVATIONS, Downsample, Fusion, Stage, Upsample
from lit_transformer.nn.initialisation import initialise_convolutions

UPSAMPLINGS = ("bilinear", "nearest", "transposed", "pixel_shuffle")
CLOSED = [
    (lambda: Stage(3, 4, activation="tanh"), r"'tanh'.*relu, gelu, silu"),
    (lambda: Stage(3, 4, norm="layer_norm"), r"'layer_norm'.*none, batch and group"),
    (lambda: Downsample(3, "mean"), r"'mean'.*max_pool and stride"),
    (lambda: Upsample(3, 4, "bicubic"), r"'bicubic'.*pixel_shuffle"),
    (lambda: Fusion(3, 4, "multiply"), r"'multiply'.*none, concat and add"),
]


@pytest.mark.parametrize(("build", "words"), CLOSED)
def test_names_are_closed(build, words) -> None:
    with pytest.raises(ValueError, match=words):
        build()


@pytest.mark.parametrize("activation", ACTIVATIONS)
@pytest.mark.parametrize("norm", ["none", "batch", "group"])
def test_a_stage_is_its_formula(norm, activation) -> None:
    torch.manual_seed(0)
    stage = Stage(3, 32, convs=2, norm=norm, activation=activation)
    x = y = torch.randn(2, 3, 5, 7)
    convolutions = [module for module in stage.modules() if isinstance(module, nn.Conv2d)]
    assert len(convolutions) == 2 and all((conv.bias is None) == (norm != "none") for conv in convolutions)
    for conv in convolutions:
        y = F.conv2d(y, conv.weight, conv.bias, padding=1)
        if norm == "batch":
            y = F.batch_norm(y, None, None, training=True)
        elif norm == "group":
            y = F.group_norm(y, 2)
        y = {"relu": F.relu, "gelu": F.gelu, "silu": F.silu}[activation](y)
    torch.testing.assert_close(stage(x), y)


@pytest.mark.parametrize(
    ("channels", "groups"), [(1, 1), (8, 1), (16, 1), (32, 2), (33, 1), (34, 2), (37, 1), (40, 2), (64, 4), (102, 6)]
)
def test_groups_of_sixteen_channels_or_the_next_size_that_divides(channels, groups) -> None:
    norm = next(module for module in Stage(3, channels, norm="group").modules() if isinstance(module, nn.GroupNorm))
    assert norm.num_groups == groups


def test_dropout_takes_whole_channels_after_the_last_activation() -> None:
    torch.manual_seed(0)
    stage = Stage(3, 64, norm="none", dropout=0.5)
    x = torch.randn(2, 3, 6, 6)
    whole, wet = stage.eval()(x), stage.train()(x)
    dropped = (wet == 0).all(dim=(2, 3))
    assert 20 < dropped.sum() < 100
    torch.testing.assert_close(wet[~dropped], 2 * whole[~dropped])


@pytest.mark.parametrize("kind", ["max_pool", "stride"])
@pytest.mark.parametrize("size", [(1, 1), (2, 3), (5, 8), (17, 6)])
def test_downsampling_rounds_up_and_reads_the_last_row(kind, size) -> None:
    torch.manual_seed(0)
    x = torch.randn(2, 4, *size, requires_grad=True)
    y = Downsample(4, kind)(x)
    assert y.shape == (2, 4, math.ceil(size[0] / 2), math.ceil(size[1] / 2))
    y[:, :, -1, -1].sum().backward()
    assert x.grad is not None and x.grad[:, :, -2:, -2:].any()
    assert not x.grad[:, :, :-3].any()
    if kind == "max_pool" and size[0] % 2 and size[1] % 2:
        torch.testing.assert_close(y[:, :, -1, -1], x[:, :, -1, -1])


@pytest.mark.parametrize("kind", UPSAMPLINGS)
@pytest.mark.parametrize("channels", [6, 4])
def test_upsampling_is_torchs_cut_to_the_size(kind, channels) -> None:
    torch.manual_seed(0)
    layer = Upsample(6, channels, kind).double()
    x = torch.randn(2, 6, 3, 5, dtype=torch.float64)
    if kind == "transposed":
        whole = F.conv_transpose2d(x, layer.layer.weight, layer.layer.bias, stride=2)
    elif kind == "pixel_shuffle":
        whole = F.pixel_shuffle(F.conv2d(x, layer.layer.weight, layer.layer.bias), 2)
    else:
        whole = F.interpolate(x, scale_factor=2, mode=kind)
        if channels != 6:  # a 1 x 1 convolution after the interpolation is the same as one before
            whole = F.conv2d(whole, layer.layer.weight, layer.layer.bias)
        else:
            assert not list(layer.parameters())
    for size in ((6, 10), (5, 10), (6, 9), (5, 9)):
        torch.testing.assert_close(layer(x, size), whole[:, :, : size[0], : size[1]])


def test_skips() -> None:
    torch.manual_seed(0)
    x, skip = torch.randn(2, 4, 3, 3), torch.randn(2, 6, 3, 3)
    none, concat, add = (Fusion(4, 6, kind) for kind in ("none", "concat", "add"))
    assert none(x, None) is x and none.out_channels == 4
    assert torch.equal(concat(x, skip), torch.cat((x, skip), dim=1)) and concat.out_channels == 10
    assert add.projection is not None and add.out_channels == 4
    torch.testing.assert_close(add(x, skip), x + F.conv2d(skip, add.projection.weight, add.projection.bias))
    assert torch.equal(Fusion(4, 4, "add")(x, x), 2 * x)


def test_initial_weights_keep_the_size_of_activations() -> None:
    torch.manual_seed(0)
    parts = {"conv": nn.Conv2d(64, 128, 3), **{kind: Upsample(128, 64, kind) for kind in UPSAMPLINGS}}
    network = nn.ModuleDict(parts)
    initialise_convolutions(network)
    inputs = {"conv": 9 * 64, "bilinear": 128, "nearest": 128, "transposed": 128, "pixel_shuffle": 128}
    for name, number in inputs.items():
        layer = network[name] if name == "conv" else network[name].layer
        assert layer.weight.std().item() == pytest.approx(math.sqrt(2 / number), rel=0.03), name
        assert not layer.bias.any()
    stack = nn.Sequential(*(Stage(64, 64, convs=1, norm="none") for _ in range(10)))
    initialise_convolutions(stack)
    x = torch.randn(2, 64, 32, 32)
    inner = stack(x)[:, :, 10:-10, 10:-10]  # far from the border, where zeros come in
    assert 0.5 < inner.square().mean() / (x.square().mean() / 2) < 4


def test_a_pixel_shuffle_starts_as_nearest_neighbours() -> None:
    torch.manual_seed(0)
    layer = Upsample(6, 4, "pixel_shuffle")
    x = torch.randn(2, 6, 3, 5)
    initialise_convolutions(layer)
    up = layer(x, (6, 10))
    torch.testing.assert_close(up, F.interpolate(up[:, :, ::2, ::2], scale_factor=2, mode="nearest"))
    assert up.std() > 0.5
