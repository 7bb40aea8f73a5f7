"""Rules of segmentation."""

from collections.abc import Iterator

from lit_transformer.config.losses import LOSSES, parse_losses
from lit_transformer.config.models import SegmenterConfig, TextModelConfig
from lit_transformer.config.registry import IMAGE_TASKS
from lit_transformer.config.rules_base import Broken
from lit_transformer.config.schema import ExperimentConfig


def image_rules(config: ExperimentConfig) -> Iterator[Broken]:
    """Every rule about images, masks and their losses that `config` breaks."""
    classes = getattr(config.model, "num_classes", None)
    least = 2 if isinstance(config.model, TextModelConfig) else 1
    if classes is not None and classes < least:
        yield Broken(("model.num_classes",), str(classes), f"{least} or more")
    if config.tracking.attention and config.task in IMAGE_TASKS:
        yield Broken(("tracking.attention", "task"), f"true with task {config.task}", "false: it has no attention")
    if config.task not in IMAGE_TASKS or not isinstance(config.model, SegmenterConfig):
        return
    images = config.data.images
    if not 0 <= images.hue <= 0.5:
        yield Broken(("data.images.hue",), str(images.hue), "0 to 0.5, a share of the circle of colours")
    for key, value in (("brightness", images.brightness), ("saturation", images.saturation)):
        if value > 1:
            yield Broken((f"data.images.{key}",), str(value), "0 to 1")
    if config.model.in_channels not in (1, 3):
        yield Broken(("model.in_channels",), str(config.model.in_channels), "3 (colour) or 1 (grey)")
    if config.trainer.average_checkpoints > 1 and config.model.norm == "batch":
        keys = ("trainer.average_checkpoints", "model.norm")
        yield Broken(keys, "an average with norm batch", "0: its statistics are those of no one network", "norm: group")
    if classes == 1 and config.objective.class_weights != "none":
        keys = ("objective.class_weights", "model.num_classes")
        yield Broken(keys, f"{config.objective.class_weights} with one logit a pixel", "none, or num_classes 2")
    try:
        parse_losses(config.objective.losses, classes or 2)
    except ValueError as error:
        allowed = f"{', '.join(LOSSES)}, by commas, a number before each or not"
        yield Broken(("objective.losses", "model.num_classes"), f"{config.objective.losses!r}: {error}", allowed)
