"""Layers of a convolutional encoder-decoder, over images (batch, channels, height, width)."""

from collections.abc import Callable, Iterator
from contextlib import AbstractContextManager, contextmanager, nullcontext
from functools import partial
from typing import Literal

import torch
from torch import Tensor, nn
from torch.nn import functional as F
from torch.nn.modules.batchnorm import _BatchNorm
from torch.utils.checkpoint import checkpoint

from lit_transformer.nn.recompute import Recomputable

ConvNormName = Literal["none", "batch", "group"]
ConvActivationName = Literal["relu", "gelu", "silu"]
UpsamplingName = Literal["bilinear", "nearest", "transposed", "pixel_shuffle"]
DownsamplingName = Literal["max_pool", "stride"]
SkipName = Literal["none", "concat", "add"]

ACTIVATIONS: dict[str, Callable[[], nn.Module]] = {
    "relu": partial(nn.ReLU, inplace=True),  # its gradient needs its output alone, and so does no layer before it
    "gelu": nn.GELU,
    "silu": nn.SiLU,
}

GROUP_CHANNELS = 16
"""Channels of a group of GroupNorm at least (Wu and He 2018, table 3)."""


class Stage(Recomputable):
    """`convs` 3 x 3 convolutions of the same height and width, each with a norm and an activation.

    After the last, dropout acts on whole channels (Tompson et al. 2015). A convolution has a bias where no norm
    follows. Raises ValueError for an unknown name.
    """

    def __init__(
        self,
        in_channels: int,
        out_channels: int,
        *,
        convs: int = 2,
        norm: ConvNormName = "batch",
        activation: ConvActivationName = "relu",
        dropout: float = 0.0,
    ) -> None:
        super().__init__()
        if activation not in ACTIVATIONS:
            raise ValueError(
                f"no activation of convolutions is called {activation!r}; there are {', '.join(ACTIVATIONS)}"
            )
        layers: list[nn.Module] = []
        for channels in (in_channels, *[out_channels] * (convs - 1)):
            layers.append(nn.Conv2d(channels, out_channels, 3, padding=1, bias=norm == "none"))
            layers += [*_norm(norm, out_channels), ACTIVATIONS[activation]()]
        if dropout:
            layers.append(nn.Dropout2d(dropout))
        self.layers = nn.Sequential(*layers)

    def forward(self, x: Tensor) -> Tensor:  # type: ignore[override]  # it has no options
        """x (batch, in_channels, height, width) -> (batch, out_channels, height, width)."""
        if torch.compiler.is_compiling() or not (self.recompute and self.training and torch.is_grad_enabled()):
            return super().forward(x)
        contexts = partial(_first_and_again, self)
        return checkpoint(self.compute, x, use_reentrant=False, context_fn=contexts)

    def compute(self, x: Tensor) -> Tensor:  # type: ignore[override]  # it has no options
        return self.layers(x)


class Downsample(nn.Module):
    """Half the height and width, rounded up: the largest of 2 x 2, or a 3 x 3 convolution with stride 2.

    (batch, channels, height, width) -> (batch, channels, ceil(height / 2), ceil(width / 2)). Raises ValueError for an
    unknown name.
    """

    def __init__(self, channels: int, kind: DownsamplingName = "max_pool") -> None:
        super().__init__()
        if kind == "max_pool":
            self.layer: nn.Module = nn.MaxPool2d(2, ceil_mode=True)
        elif kind == "stride":
            self.layer = nn.Conv2d(channels, channels, 3, stride=2, padding=1)
        else:
            raise ValueError(f"no downsampling is called {kind!r}; there are max_pool and stride")

    def forward(self, x: Tensor) -> Tensor:
        return self.layer(x)


class Upsample(nn.Module):
    """Twice the height and width, by interpolation, a transposed convolution or a shuffle (Shi et al. 2016).

    Interpolation follows a 1 x 1 convolution where the channels differ: it commutes with that, and costs a quarter of
    what it would after it. Raises ValueError for an unknown name.
    """

    def __init__(self, in_channels: int, out_channels: int, kind: UpsamplingName = "bilinear") -> None:
        super().__init__()
        self.kind = kind
        if kind == "transposed":
            self.layer: nn.Module = nn.ConvTranspose2d(in_channels, out_channels, 2, stride=2)
        elif kind == "pixel_shuffle":
            self.layer = nn.Conv2d(in_channels, 4 * out_channels, 1)
        elif kind in ("bilinear", "nearest"):
            self.layer = _projection(in_channels, out_channels)
        else:
            raise ValueError(
                f"no upsampling is called {kind!r}; there are bilinear, nearest, transposed and pixel_shuffle"
            )

    def forward(self, x: Tensor, size: tuple[int, int]) -> Tensor:
        """x (batch, in_channels, height, width) -> (batch, out_channels, *size).

        size is twice x's, or one less where it was halved upwards; the last row or column is then cut off.
        """
        x = self.layer(x)  # (batch, out_channels, 2 height, 2 width) of transposed, for pixel_shuffle 4 out_channels
        if self.kind == "pixel_shuffle":
            x = F.pixel_shuffle(x, 2)  # (batch, out_channels, 2 height, 2 width)
        elif self.kind == "bilinear":
            x = F.interpolate(x, scale_factor=2.0, mode="bilinear", align_corners=False)  # the same
        elif self.kind == "nearest":
            x = F.interpolate(x, scale_factor=2.0, mode="nearest")  # the same
        if torch.compiler.is_compiling():  # a slice would tie an exported graph to even or to odd sizes
            return F.pad(x, (0, size[1] - x.shape[3], 0, size[0] - x.shape[2]))  # (batch, out_channels, *size)
        return x[..., : size[0], : size[1]]  # (batch, out_channels, *size)


class Fusion(nn.Module):
    """The decoder's features with the encoder's of the same height and width: beside each other, or their sum.

    A sum takes a 1 x 1 convolution of the encoder's where their channels differ. Raises ValueError for an unknown name.
    """

    def __init__(self, channels: int, skip_channels: int, kind: SkipName = "concat") -> None:
        super().__init__()
        if kind not in ("none", "concat", "add"):
            raise ValueError(f"no skip connection is called {kind!r}; there are none, concat and add")
        self.kind = kind
        self.out_channels = channels + skip_channels if kind == "concat" else channels
        self.projection = _projection(skip_channels, channels) if kind == "add" else None

    def forward(self, x: Tensor, skip: Tensor | None) -> Tensor:
        """x (batch, channels, height, width), skip (batch, skip_channels, height, width); None with the kind none.

        The result is (batch, out_channels, height, width).
        """
        if skip is None:
            return x
        if self.projection is not None:
            return x + self.projection(skip)
        return torch.cat((x, skip), dim=1)  # (batch, channels + skip_channels, height, width)


def _projection(in_channels: int, out_channels: int) -> nn.Module:
    return nn.Identity() if in_channels == out_channels else nn.Conv2d(in_channels, out_channels, 1)


def _norm(name: ConvNormName, channels: int) -> list[nn.Module]:
    if name == "none":
        return []
    if name == "batch":
        return [nn.BatchNorm2d(channels)]
    if name == "group":
        most = max(1, channels // GROUP_CHANNELS)
        return [nn.GroupNorm(max(n for n in range(1, most + 1) if channels % n == 0), channels)]
    raise ValueError(f"no normalisation of convolutions is called {name!r}; there are none, batch and group")


def _first_and_again(stage: nn.Module) -> tuple[AbstractContextManager[None], AbstractContextManager[None]]:
    return nullcontext(), _still_statistics(stage)


@contextmanager
def _still_statistics(stage: nn.Module) -> Iterator[None]:
    """Keep the running statistics of batch norms as they are: the first time has already counted this batch."""
    norms = [module for module in stage.modules() if isinstance(module, _BatchNorm)]  # SyncBatchNorm is one as well
    kept = [(norm.momentum, count.clone()) for norm in norms if (count := norm.num_batches_tracked) is not None]
    for norm in norms:
        norm.momentum = 0.0
    try:
        yield
    finally:
        for norm, (momentum, batches) in zip(norms, kept, strict=True):
            norm.momentum = momentum
            assert norm.num_batches_tracked is not None
            norm.num_batches_tracked.copy_(batches)
