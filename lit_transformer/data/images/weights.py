"""Weights of classes from their shares of the training pixels. Imports no torch."""

import statistics

from lit_transformer.data.images.prepared import PreparedImages


def class_weights(prepared: PreparedImages, how: str) -> tuple[float, ...]:
    """A weight for each class, whose mean over the counted training pixels is 1.

    `none`: all 1. `inverse`: by 1 / a class's share of the pixels. `median_frequency` (SegNet): by 1 / its frequency,
    its pixels over the counted pixels of the images that it occurs in. A class that the training split lacks has
    weight 0 in the latter two: nothing is known of it.
    """
    pixels = prepared.class_pixels
    if how == "none":
        return (1.0,) * len(pixels)
    among = prepared.class_images_pixels if how == "median_frequency" else (sum(pixels),) * len(pixels)
    shares = [count / whole if count else 0.0 for count, whole in zip(pixels, among, strict=True)]
    middle = statistics.median([share for share in shares if share] or [1.0])
    raw = [middle / share if share else 0.0 for share in shares]
    mean = sum(weight * count for weight, count in zip(raw, pixels, strict=True)) / max(sum(pixels), 1)
    return tuple(weight / mean if mean else 0.0 for weight in raw)
