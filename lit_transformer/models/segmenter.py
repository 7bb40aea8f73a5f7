"""Segmenter: a convolutional encoder-decoder that gives each pixel of an image logits (Ronneberger et al. 2015)."""

import torch
from torch import Tensor, nn

from lit_transformer.config.models import SegmenterConfig
from lit_transformer.nn.convolution import Downsample, Fusion, Stage, Upsample
from lit_transformer.nn.initialisation import initialise_convolutions

FEWEST_LOGITS = 2
"""Of a network whose data were not prepared yet: enough to count its FLOPs."""

DUMMY_SIDE = 96
"""Side of `Segmenter.dummy_batch`'s image at least."""


MEAN, SCALE = 0.5, 0.25
"""An image's values from 0 to 1 go into the network less MEAN and over SCALE, so from -2 to 2."""


def normalise(images: Tensor) -> Tensor:
    """Images of bytes as the network takes them, of the same shape: (x / 255 - MEAN) / SCALE."""
    return images / (255 * SCALE) - MEAN / SCALE


class Segmenter(nn.Module):
    """Normalised images (batch, in_channels, height, width) -> logits (batch, num_logits, height, width), of any size.

    The encoder's stage i has base_channels * 2^i channels and is followed by downsampling. With a bottleneck the
    decoder upsamples, takes in the skip of the level, then convolves, as U-Net; without one it convolves, to half the
    channels of the encoder's stage, then upsamples and takes in the skip.
    """

    def __init__(self, config: SegmenterConfig) -> None:
        super().__init__()
        self.config = config
        self.num_logits = config.num_classes or FEWEST_LOGITS
        widths = [config.base_channels * 2**level for level in range(config.num_stages)]
        inputs = [config.in_channels, *widths[:-1]]
        self.encoder = nn.ModuleList(_stage(config, *pair) for pair in zip(inputs, widths, strict=True))
        self.downsamples = nn.ModuleList(Downsample(width, config.downsampling) for width in widths)
        channels = 2 * widths[-1] if config.bottleneck else widths[-1]
        self.bottleneck = _stage(config, widths[-1], channels) if config.bottleneck else nn.Identity()
        levels = []
        for width in reversed(widths):
            levels.append(DecoderLevel(config, channels, width))
            channels = levels[-1].out_channels
        self.decoder = nn.ModuleList(levels)
        self.head = nn.Conv2d(channels, self.num_logits, config.head_kernel, padding=config.head_kernel // 2)
        initialise_convolutions(self)

    def forward(self, images: Tensor) -> Tensor:
        x, sizes, skips = images, [], []
        for stage, downsample in zip(self.encoder, self.downsamples, strict=True):
            x = stage(x)  # (batch, base_channels * 2^level, height / 2^level, width / 2^level), rounded up
            sizes.append((x.shape[2], x.shape[3]))
            skips.append(None if self.config.skip == "none" else x)
            x = downsample(x)  # half as high and wide, rounded up
        x = self.bottleneck(x)  # with one, twice the channels
        for level in self.decoder:
            x = level(x, skips.pop(), sizes.pop())  # as high and wide as the encoder's stage of that level
        return self.head(x)  # (batch, num_logits, height, width)

    def dummy_batch(self, side: int | None = None) -> dict[str, Tensor]:
        """One square image and its mask, for counting FLOPs, which are the same for a pixel of any such image.

        side is a multiple of 2^num_stages; None = the least from DUMMY_SIDE on, and two pixels wide in the bottleneck.
        """
        stride = 2**self.config.num_stages
        side = side or stride * max(2, -(-DUMMY_SIDE // stride))
        images = torch.zeros(1, self.config.in_channels, side, side)  # (batch, in_channels, height, width)
        return {"images": images, "masks": torch.zeros(1, side, side, dtype=torch.long)}

    def num_parameters(self) -> int:
        """Numbers to be learned."""
        return sum(parameter.numel() for parameter in self.parameters())


class DecoderLevel(nn.Module):
    """Upsampling, the skip and convolutions, in the order of `Segmenter`; width is that of the encoder's stage."""

    def __init__(self, config: SegmenterConfig, in_channels: int, width: int) -> None:
        super().__init__()
        self.upsamples_first = config.bottleneck
        channels = width if config.bottleneck else max(1, width // 2)
        self.upsample = Upsample(in_channels if config.bottleneck else channels, channels, config.upsampling)
        self.fusion = Fusion(channels, width, config.skip)
        self.stage = _stage(config, self.fusion.out_channels if config.bottleneck else in_channels, channels)
        self.out_channels = channels if config.bottleneck else self.fusion.out_channels

    def forward(self, x: Tensor, skip: Tensor | None, size: tuple[int, int]) -> Tensor:
        """x (batch, in_channels, ...) and skip (batch, width, *size) -> (batch, out_channels, *size)."""
        if self.upsamples_first:
            return self.stage(self.fusion(self.upsample(x, size), skip))
        return self.fusion(self.upsample(self.stage(x), size), skip)


def _stage(config: SegmenterConfig, in_channels: int, out_channels: int) -> Stage:
    return Stage(
        in_channels,
        out_channels,
        convs=config.convs_per_stage,
        norm=config.norm,
        activation=config.activation,
        dropout=config.dropout,
    )
