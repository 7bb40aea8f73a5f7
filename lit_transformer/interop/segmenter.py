"""A trained segmenter as a folder that torch and safetensors load, without this package."""

import json
from collections.abc import Sequence
from dataclasses import asdict
from pathlib import Path

import torch
from safetensors.torch import save_file

from lit_transformer.config.schema import ExperimentConfig
from lit_transformer.interop.folder import new_folder
from lit_transformer.models.segmenter import MEAN, SCALE, Segmenter

GRAPH, WEIGHTS, CONFIG = "network.pt2", "model.safetensors", "config.json"


def export_segmenter(
    network: Segmenter,
    config: ExperimentConfig,
    folder: Path,
    *,
    classes: Sequence[str],
    colors: Sequence[Sequence[int]],
) -> None:
    """Write the network's graph for images of any number and size, its weights, and what both mean.

    The graph takes images (batch, channels, height, width), from 0 to 1, less `mean` and over `std` of the config, and
    gives logits (batch, num_logits, height, width). Raises UserError where the folder is in use.
    """
    with new_folder(folder) as target:
        network = network.eval().to(memory_format=torch.contiguous_format)
        save_file({name: value.contiguous() for name, value in network.state_dict().items()}, target / WEIGHTS)
        torch.export.save(exported(network), target / GRAPH)
        about = {
            "architecture": "lit_transformer.Segmenter",
            "model": asdict(config.model),
            "classes": list(classes),
            "colors": [list(color) for color in colors],
            "mean": MEAN,
            "std": SCALE,
            "resize": {"height": config.data.images.height, "width": config.data.images.width},
        }
        (target / CONFIG).write_text(json.dumps(about, indent=2, ensure_ascii=False) + "\n", encoding="utf-8")


def exported(network: Segmenter) -> torch.export.ExportedProgram:
    """The network's graph, for any batch, and any height and width of more than one pixel in its lowest stage."""
    side = 2 ** (network.config.num_stages + 1) + 3  # an odd example: nothing is taken for a multiple of the stride
    images = torch.zeros(2, network.config.in_channels, side, side + 2)
    dimensions = {0: torch.export.Dim.AUTO, 2: torch.export.Dim.AUTO, 3: torch.export.Dim.AUTO}
    return torch.export.export(network, (images,), dynamic_shapes=(dimensions,))
