"""The built-in shapes: what was promised of them, and the same on every machine."""

import hashlib
import subprocess
import sys

import numpy as np
import pytest

from lit_transformer.data.images import shapes

DIGEST = "9aa8193d6a03c48e"
"""Of the first images of each split: a change makes old numbers incomparable, and must be meant."""

CODE = """
import hashlib
from lit_transformer.data.images.shapes import SIZES, draw
whole = hashlib.blake2b(digest_size=8)
for split in SIZES:
    for index in range(20):
        for pixels in draw(split, index):
            whole.update(pixels.tobytes())
print(whole.hexdigest())
"""


def first_images(count: int = 80) -> tuple[np.ndarray, np.ndarray]:
    pairs = [shapes.draw("train", index) for index in range(count)]
    return np.stack([image for image, _ in pairs]), np.stack([mask for _, mask in pairs])


def test_the_images_are_the_same_on_every_machine() -> None:
    whole = hashlib.blake2b(digest_size=8)
    for split in shapes.SIZES:
        for index in range(20):
            for pixels in shapes.draw(split, index):
                whole.update(pixels.tobytes())
    assert whole.hexdigest() == DIGEST


def test_another_process_makes_the_same_images() -> None:
    settings = {"PYTHONHASHSEED": "7", "PYTHONPATH": ":".join(sys.path)}
    done = subprocess.run(
        [sys.executable, "-c", CODE], check=True, capture_output=True, text=True, timeout=60, env=settings
    )
    assert done.stdout.strip() == DIGEST


def test_sizes_splits_and_classes() -> None:
    assert shapes.SIZES == {"train": 2000, "val": 200, "test": 200}
    images, masks = first_images()
    assert images.shape == (80, 96, 96, 3) and images.dtype == masks.dtype == np.uint8
    assert set(np.unique(masks)) == {0, 1, 2, 3}
    occurs = [(masks == kind).any(axis=(1, 2)).mean() for kind in range(4)]
    assert occurs[0] == 1 and all(0.5 < share < 0.95 for share in occurs[1:])


def test_no_two_images_are_alike() -> None:
    digests = {shapes.draw(split, index)[0].tobytes() for split in shapes.SIZES for index in range(30)}
    assert len(digests) == 90


@pytest.mark.parametrize(("kind", "share"), [(1, 1.0), (2, 2 / np.pi), (3, 27**0.5 / 4 / np.pi)])
def test_shapes_have_the_area_of_their_radius(kind: int, share: float) -> None:
    """A circle's, or that of the square or triangle in it, within the roughness of its edge."""
    found = []
    for index in range(60):
        _, inside = shapes._inside(kind, shapes.Picks("area", index))
        radius = shapes.Picks("area", index).one(shapes.RADII)
        if inside.shape == (2 * radius + 1, 2 * radius + 1):  # whole, not cut at the image's edge
            found.append((radius, inside.sum() / (share * np.pi * radius**2)))
    assert len(found) > 20 and min(radius for radius, _ in found) <= 9 and max(radius for radius, _ in found) >= 21
    assert all(abs(ratio - 1) < 0.12 for _, ratio in found)
    assert abs(np.mean([ratio for _, ratio in found]) - 1) < 0.02


def test_shapes_overlap() -> None:
    """Less is seen than was drawn in many images, and never more."""
    hidden = [drawn - seen for drawn, seen in map(areas, range(60))]
    assert min(hidden) >= 0 and sum(area > 0 for area in hidden) > 20


def areas(index: int) -> tuple[int, int]:
    """Pixels of the shapes of an image, each alone, and those that are seen."""
    return sum(int(inside.sum()) for inside in drawn_shapes(index)), int((shapes.draw("train", index)[1] > 0).sum())


def drawn_shapes(index: int) -> list[np.ndarray]:
    """Each shape of an image alone, by the same picks."""
    picks = shapes.Picks("shapes", "train", index)
    shapes._paint(picks, shapes.WHOLE, colors=range(26, 103), periods=range(16, 33), amplitudes=range(8, 21))
    found = []
    for number in range(picks.one(shapes.COUNTS)):
        shape = shapes.Picks("shapes", "train", index, number)
        found.append(shapes._inside(shape.one(range(1, 4)), shape)[1])
    return found


def test_noise_has_the_promised_deviation() -> None:
    noise = np.stack([shapes._noise(0, index) for index in range(20)]).astype(float)
    assert abs(noise.std() / 255 - 0.2) < 0.002 and abs(noise.mean()) < 1
    assert abs(np.corrcoef(noise[..., 0].ravel(), noise[..., 1].ravel())[0, 1]) < 0.02
    assert abs(np.corrcoef(noise[:, :, 1:].ravel(), noise[:, :, :-1].ravel())[0, 1]) < 0.02
    assert abs((np.abs(noise) < noise.std()).mean() - 0.683) < 0.02  # a normal distribution's share


def test_colour_and_brightness_do_not_tell_the_shapes_apart() -> None:
    images, masks = first_images()
    means = [images[masks == kind].mean(axis=0) for kind in range(4)]
    assert np.abs(np.array(means[1:]) - means[1]).max() < 12
    assert min(np.array(means[1:]).min(axis=0) - means[0]) > 70  # but from their ground
