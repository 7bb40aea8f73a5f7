"""A mask and its image change alike, by chance that follows from seed, epoch and image alone."""

from dataclasses import replace

import numpy as np
import pytest
import torch
from torch import Tensor

from lit_transformer.config.schema import ImageConfig
from lit_transformer.data.images.augment import augment, to_targets
from lit_transformer.data.images.classes import IGNORED
from lit_transformer.data.randomness import row_generator
from tests.data.images.pictures import drawn

COLORS = torch.tensor([[10, 240, 90], [200, 20, 30], [60, 90, 250]], dtype=torch.uint8)
"""Of three classes; no mixture of two is the third."""

GEOMETRY = {
    "nothing": ({}, (40, 56)),
    "flip": ({"flip": True}, (40, 56)),
    "crop": ({}, (24, 24)),
    "crop larger than the image": ({}, (72, 72)),
    "crop larger on one side": ({"flip": True}, (48, 48)),
}


def rendered(mask: Tensor) -> Tensor:
    """The mask (h, w) in the colours of its classes, black where ignored: (3, h, w)."""
    colors = torch.cat([COLORS, torch.zeros(1, 3, dtype=torch.uint8)])
    return colors[torch.where(mask == IGNORED, 3, mask.long())].permute(2, 0, 1)


def some_mask(seed: int = 0, height: int = 40, width: int = 56) -> Tensor:
    return torch.from_numpy(drawn(seed, height, width)[1].copy())


def changed(mask: Tensor, settings: ImageConfig, size: tuple[int, int], row: int = 0) -> tuple[Tensor, Tensor]:
    return augment(rendered(mask), mask, settings, size, row_generator(0, 0, row))


@pytest.mark.parametrize("kind", GEOMETRY)
def test_a_mask_drawn_as_an_image_survives(kind: str) -> None:
    settings, size = GEOMETRY[kind]
    outcomes = set()
    for row in range(30):
        image, mask = changed(some_mask(row), ImageConfig(**settings), size, row)
        assert image.shape == (3, *size) and mask.shape == size
        assert image.dtype == mask.dtype == torch.uint8
        assert torch.equal(image, rendered(mask))
        padding = max(size[0] - 40, 0) * size[1] + max(size[1] - 56, 0) * min(size[0], 40)
        assert int((mask == IGNORED).sum()) == padding
        outcomes.add(changed(some_mask(0), ImageConfig(**settings), size, row)[1].numpy().tobytes())
    assert (len(outcomes) > 1) == (kind != "nothing")  # it is not always the same change


@pytest.mark.parametrize("size", [(40, 56), (24, 24), (72, 72)])
def test_a_mask_drawn_as_an_image_survives_scaling(size: tuple[int, int]) -> None:
    """Where the image still has a class's very colour, not a mixture, the mask has that class, to the pixel."""
    pure_share, factors = [], set()
    for row in range(40):
        image, mask = changed(some_mask(row), ImageConfig(scale=2.0, flip=True), size, row)
        known = mask != IGNORED
        colors = torch.cat([COLORS, torch.zeros(1, 3, dtype=torch.uint8)])
        is_pure = (image[:, None] == colors.T[:, :, None, None]).all(dim=0)  # (colours, h, w)
        agrees = (image == rendered(mask)).all(dim=0)
        assert (agrees | ~is_pure.any(dim=0)).all()
        assert agrees[~known].all()
        pure_share.append(float(agrees[known].float().mean()))
        factors.add(int(known.sum()))
    assert min(pure_share) > 0.6 and np.mean(pure_share) > 0.85
    assert size == (24, 24) or len(factors) > 8


def test_a_torn_pair_would_be_seen() -> None:
    """The proof above fails where the mask lies one pixel aside."""
    image, mask = changed(some_mask(1), ImageConfig(scale=2.0), (40, 56), 1)
    shifted = mask.roll(1, dims=1)
    is_pure = (image[:, None] == COLORS.T[:, :, None, None]).all(dim=0).any(dim=0)
    assert not ((image == rendered(shifted)).all(dim=0) | ~is_pure).all()


def test_scaled_masks_do_not_drift() -> None:
    """torch's plain nearest would move them up and left by almost half a pixel here, and not their images."""
    drift = []
    for row in range(80):
        mask = torch.zeros(60, 60, dtype=torch.uint8)
        top, left = 12 + row % 5, 14 + row % 7
        mask[top : top + 29, left : left + 27] = 1
        image, found = augment(mask.expand(3, 60, 60) * 255, mask, ImageConfig(scale=3.0), (60, 60), generator(row))
        if int((found != IGNORED).sum()) < 40 * 40:  # smaller now, and whole
            drift.append(centre((found == 1).float()) - centre(image[0].float()))
    assert len(drift) > 20 and torch.stack(drift).mean(dim=0).abs().max() < 0.1


def generator(row: int) -> np.random.Generator:
    return row_generator(1, 0, row)


def centre(weights: Tensor) -> Tensor:
    """Mean row and column."""
    rows, columns = torch.meshgrid(*map(torch.arange, weights.shape), indexing="ij")
    return torch.stack([(axis * weights).sum() / weights.sum() for axis in (rows, columns)])


def test_scaling_goes_both_ways_within_its_bounds() -> None:
    sizes = []
    for row in range(200):
        image = torch.full((3, 30, 30), 255, dtype=torch.uint8)
        mask = torch.zeros(30, 30, dtype=torch.uint8)
        _, found = augment(image, mask, ImageConfig(scale=2.0), (90, 90), row_generator(3, 0, row))
        sizes.append(int((found == 0).any(dim=1).sum()))
    assert min(sizes) in (15, 16) and 56 <= max(sizes) <= 60
    assert abs(np.mean(np.log(np.array(sizes) / 30))) < 0.08  # as often smaller as larger


def test_every_place_can_be_cut_out_and_padded() -> None:
    corners, places = set(), set()
    mask = torch.arange(36, dtype=torch.uint8).reshape(6, 6)
    for row in range(200):
        image = mask.expand(3, 6, 6)
        cut = augment(image, mask, ImageConfig(), (4, 4), row_generator(0, 0, row))[1]
        corners.add(int(cut[0, 0]))
        padded = augment(image, mask, ImageConfig(), (8, 8), row_generator(0, 0, row))[1]
        places.add(int((padded == 0).nonzero()[0] @ torch.tensor([8, 1])))
    assert corners == {6 * down + right for down in range(3) for right in range(3)}
    assert places == {8 * down + right for down in range(3) for right in range(3)}


def test_half_of_the_images_are_mirrored() -> None:
    mask = some_mask(2)
    same = sum(torch.equal(changed(mask, ImageConfig(flip=True), (40, 56), row)[1], mask) for row in range(200))
    assert 75 < same < 125


COLOR = {"brightness": 0.5, "contrast": 0.5, "saturation": 0.5, "hue": 0.3}


@pytest.mark.parametrize("name", COLOR)
def test_colours_change_the_image_alone(name: str) -> None:
    image = torch.from_numpy(drawn(4, 20, 20)[0].copy()).permute(2, 0, 1)
    mask = some_mask(4, 20, 20)
    found = [
        augment(image, mask, ImageConfig(**{name: COLOR[name]}), (20, 20), row_generator(0, 0, row))
        for row in range(20)
    ]
    assert all(torch.equal(changed_mask, mask) for _, changed_mask in found)
    assert len({picture.numpy().tobytes() for picture, _ in found}) > 15
    light = [float(picture.float().mean()) for picture, _ in found]
    if name == "brightness":
        assert min(light) < 0.75 * float(image.float().mean()) and max(light) > 1.1 * float(image.float().mean())
    if name == "contrast":
        assert max(light) - min(light) < 12


def test_padding_stays_black_when_colours_change() -> None:
    image, mask = torch.full((3, 10, 10), 200, dtype=torch.uint8), torch.zeros(10, 10, dtype=torch.uint8)
    for row in range(10):
        found, classes = augment(image, mask, ImageConfig(**COLOR), (16, 16), row_generator(0, 0, row))
        assert (found[:, classes == IGNORED] == 0).all() and (found[:, classes == 0] > 0).any()


def test_grey_images_change_too() -> None:
    image = torch.from_numpy(drawn(4, 20, 24)[0][..., :1].copy()).permute(2, 0, 1)
    found, _ = augment(image, some_mask(4, 20, 24), ImageConfig(**COLOR, flip=True, scale=1.5), (16, 16),
                       row_generator(0, 0, 0))  # fmt: skip
    assert found.shape == (1, 16, 16) and found.dtype == torch.uint8


ALL = ImageConfig(crop=24, scale=1.5, flip=True, **COLOR)


def test_changes_follow_from_the_generator_alone() -> None:
    mask = some_mask(5)
    states = torch.get_rng_state(), np.random.get_state()[1].tolist()
    first = changed(mask, ALL, (24, 24), 7)
    torch.manual_seed(99)
    np.random.seed(99)
    again = changed(mask, ALL, (24, 24), 7)
    assert all(map(torch.equal, first, again))
    torch.set_rng_state(states[0])
    changed(mask, ALL, (24, 24), 8)
    assert torch.equal(torch.get_rng_state(), states[0])  # nothing global moves
    other = changed(mask, ALL, (24, 24), 8)
    assert not torch.equal(first[0], other[0])


def test_one_setting_does_not_change_what_another_draws() -> None:
    mask = some_mask(6)
    plain = replace(ALL, brightness=0.0, contrast=0.0, saturation=0.0, hue=0.0)
    for row in range(10):
        assert torch.equal(changed(mask, ALL, (24, 24), row)[1], changed(mask, plain, (24, 24), row)[1])


def test_targets() -> None:
    masks = torch.tensor([[0, 3], [IGNORED, 253]], dtype=torch.uint8)
    assert to_targets(masks).tolist() == [[0, 3], [-100, 253]] and to_targets(masks).dtype == torch.int64
