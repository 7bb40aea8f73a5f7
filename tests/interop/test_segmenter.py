"""A segmenter's export gives the same logits by README's lines, which know nothing of this package."""

import dataclasses
import json
import re
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest
import torch
from PIL import Image

from lit_transformer.config.errors import UserError
from lit_transformer.config.layers import shell_layer
from lit_transformer.config.load import load_layers
from lit_transformer.interop.segmenter import export_segmenter
from lit_transformer.models.segmenter import Segmenter, normalise

README = (Path(__file__).resolve().parents[2] / "README.md").read_text(encoding="utf-8")


def snippet():
    (found,) = (text for text in re.findall(r"^```python\n(.*?)^```", README, re.M | re.S) if "torch.export" in text)
    assert len(found.splitlines()) <= 11 and "lit_transformer" not in found
    return found


def exported(folder, *settings):
    config = load_layers([shell_layer(["task=segmentation", "model.kind=segmenter", *settings])]).config
    torch.manual_seed(0)
    network = Segmenter(config.model).eval()
    with torch.no_grad():
        for buffer in network.buffers():  # statistics that mean something
            if buffer.is_floating_point():
                buffer.add_(torch.rand_like(buffer))
    classes = [f"class {index}" for index in range(max(network.num_logits, 2))]
    colors = [(index, index, index) for index in range(len(classes))]
    export_segmenter(network, config, folder, classes=classes, colors=colors)
    return network


@pytest.mark.parametrize(
    "settings",
    [
        ("model.preset=plain", "model.base_channels=8"),
        ("model.num_classes=3", "model.num_stages=3", "model.base_channels=4"),
        ("model.num_classes=4", "model.num_stages=2", "model.base_channels=4", "model.upsampling=pixel_shuffle",
         "model.downsampling=stride", "model.skip=add", "model.norm=group"),
    ],
    ids=["plain", "concat", "add"],
)  # fmt: skip
def test_readmes_lines_give_the_same_mask(tmp_path, settings):
    network = exported(tmp_path / "exported", *settings)
    pixels = np.random.default_rng(0).integers(256, size=(45, 38, 3), dtype=np.uint8)
    Image.fromarray(pixels).save(tmp_path / "photo.png")
    code = snippet() + "\nnumpy.save('logits.npy', logits.detach().numpy()); numpy.save('mask.npy', mask.numpy())\n"
    subprocess.run([sys.executable, "-c", code], cwd=tmp_path, check=True, timeout=300)
    with torch.no_grad():
        logits = network(normalise(torch.from_numpy(pixels).permute(2, 0, 1)[None]))
    found = torch.from_numpy(np.load(tmp_path / "logits.npy"))
    torch.testing.assert_close(found, logits, rtol=1e-4, atol=1e-5)
    mask = np.load(tmp_path / "mask.npy")
    assert mask.shape == (45, 38)
    assert np.array_equal(mask, (logits.argmax(1)[0] if logits.shape[1] > 1 else logits[0, 0] > 0).numpy())


def test_the_folder_says_what_the_numbers_mean_and_is_not_written_over(tmp_path):
    network = exported(tmp_path / "there", "model.num_classes=3", "model.num_stages=1", "model.base_channels=2")
    about = json.loads((tmp_path / "there" / "config.json").read_text())
    assert about["classes"] == ["class 0", "class 1", "class 2"] and about["colors"][1] == [1, 1, 1]
    assert about["model"] == dataclasses.asdict(network.config)
    assert sorted(file.name for file in (tmp_path / "there").iterdir()) == [
        "config.json",
        "model.safetensors",
        "network.pt2",
    ]
    with pytest.raises(UserError, match="is there already"):
        exported(tmp_path / "there", "model.num_stages=1", "model.base_channels=2")
