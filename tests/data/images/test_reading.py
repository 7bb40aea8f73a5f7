"""Every kind of image becomes the same colours or greys, or is refused by name before anything is decoded."""

from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from lit_transformer.config.errors import UserError
from lit_transformer.data.images.palette import IGNORED_COLOR, generated_colors, palette_colors, write_mask
from lit_transformer.data.images.reading import read_image, read_mask, resize, target_size
from tests.data.images.pictures import drawn, raw_png

LIMIT = 10_000
RED, WHITE = (200, 30, 10), (255, 255, 255)


def saved(image: Image.Image, name: str = "x.png", **settings: object) -> Path:
    image.save(name, **settings)
    return Path(name)


def halves(mode: str, left: object, right: object) -> Image.Image:
    """6 high, 8 wide, one colour on the left and one on the right."""
    image = Image.new(mode, (8, 6), left)  # type: ignore[arg-type]
    image.paste(right, (4, 0, 8, 6))  # type: ignore[arg-type]
    return image


def palette_image() -> Image.Image:
    image = halves("P", 3, 5)
    colors = {3: RED, 5: WHITE}
    image.putpalette([value for index in range(256) for value in colors.get(index, (0, 0, 0))])
    return image


CONVERTED = {
    "colour": halves("RGB", RED, WHITE),
    "alpha": halves("RGBA", (*RED, 0), (*WHITE, 7)),
    "palette": palette_image(),
    "grey": halves("L", 90, 255),
    "grey with alpha": halves("LA", (90, 0), (255, 9)),
    "black and white": halves("1", 0, 1),
}


@pytest.mark.parametrize("kind", CONVERTED)
def test_kinds_of_images_become_colour_or_grey(kind: str) -> None:
    left = {"grey": (90,) * 3, "grey with alpha": (90,) * 3, "black and white": (0, 0, 0)}.get(kind, RED)
    grey = Image.new("RGB", (1, 1), left).convert("L").getpixel((0, 0))
    path = saved(CONVERTED[kind])
    color, single = read_image(path, 3, LIMIT), read_image(path, 1, LIMIT)
    assert color.shape == (6, 8, 3) and single.shape == (6, 8, 1) and color.dtype == single.dtype == np.uint8
    assert (color[:, :4] == left).all() and (color[:, 4:] == 255).all()
    assert (single[:, :4, 0] == grey).all() and (single[:, 4:] == 255).all()


def test_cmyk_becomes_colour_or_grey() -> None:
    path = saved(halves("CMYK", (0, 255, 255, 0), (0, 0, 0, 0)), "x.tif")
    color = read_image(path, 3, LIMIT)
    assert (color[:, :4] == (255, 0, 0)).all() and (color[:, 4:] == 255).all()
    assert read_image(path, 1, LIMIT).shape == (6, 8, 1)
    jpeg = saved(halves("CMYK", (0, 255, 255, 0), (0, 0, 0, 0)), "x.jpg", quality=100)
    assert np.abs(read_image(jpeg, 3, LIMIT)[:, :3].astype(int) - (255, 0, 0)).max() < 12


@pytest.mark.parametrize("orientation", range(1, 9))
def test_an_image_is_turned_as_its_camera_was(orientation: int) -> None:
    upright, _ = drawn(1, 6, 10)
    turned = {
        1: upright, 2: upright[:, ::-1], 3: upright[::-1, ::-1], 4: upright[::-1],
        5: upright.transpose(1, 0, 2), 6: upright.transpose(1, 0, 2)[::-1],
        7: upright.transpose(1, 0, 2)[::-1, ::-1], 8: upright.transpose(1, 0, 2)[:, ::-1],
    }  # fmt: skip
    exif = Image.Exif()
    exif[0x0112] = orientation
    path = saved(Image.fromarray(np.ascontiguousarray(turned[orientation])), exif=exif)
    assert np.array_equal(read_image(path, 3, LIMIT), upright)


def broken(kind: str) -> Path:
    path = Path("bad.png")
    if kind == "text":
        path.write_text("no image")
    elif kind == "empty":
        path.touch()
    elif kind == "folder":
        path.mkdir()
    elif kind == "truncated":
        path = Path("bad.jpg")
        Image.fromarray(drawn(0, 64, 64)[0]).save(path)
        path.write_bytes(path.read_bytes()[:900])
    elif kind == "garbled":
        saved(Image.fromarray(drawn(0, 64, 64)[0]), "bad.png")
        content = bytearray(path.read_bytes())
        content[60:90] = bytes(30)
        path.write_bytes(content)
    elif kind == "large":
        saved(Image.new("L", (101, 100)), "bad.png")
    elif kind == "bomb":  # by its header 40,000 million pixels, which Pillow itself would refuse
        raw_png(path, width=200_000, bits=1, color_type=0, rows=[b"\0"])
        content = bytearray(path.read_bytes())
        content[20:24] = (200_000).to_bytes(4, "big")
        content[29:33] = __import__("zlib").crc32(content[12:29]).to_bytes(4, "big")
        path.write_bytes(content)
    elif kind == "16 bits":
        saved(Image.fromarray(np.arange(48, dtype=np.uint16).reshape(6, 8) * 1000), "bad.png")
    elif kind == "16 bits of colour":
        raw_png(path, width=2, bits=16, color_type=2, rows=[bytes(range(12))])
    elif kind == "floats":
        path = saved(Image.fromarray(np.zeros((6, 8), dtype=np.float32)), "bad.tif")
    return path


MESSAGES = {
    "missing": r"bad\.png: cannot be read \(No such file",
    "folder": r"bad\.png: cannot be read \(Is a directory",
    "text": r"bad\.png: not an image",
    "empty": r"bad\.png: not an image",
    "truncated": r"bad\.jpg: a broken image \(.*truncated",
    "garbled": r"bad\.png: a broken image",
    "large": r"bad\.png: too large, 101 x 100 = 10,100 pixels\n  allowed  10,000 \(data\.images\.max_pixels",
    "bomb": r"bad\.png: too large, 200000 x 200000 = 40,000,000,000 pixels",
    "16 bits": r"bad\.png: 16 bits or more a channel(.|\n)*8 bits",
    "16 bits of colour": r"bad\.png: 16 bits or more a channel \(Pillow's mode RGB, stored as RGB;16B",
    "floats": r"bad\.tif: 16 bits or more a channel",
}


@pytest.mark.parametrize("kind", MESSAGES)
def test_what_cannot_be_read_is_named(kind: str) -> None:
    path = broken(kind)
    for read in (lambda: read_image(path, 3, LIMIT), lambda: read_mask(path, LIMIT)):
        with pytest.raises(UserError, match=MESSAGES[kind]):
            read()


def test_pillows_own_limit_is_put_back() -> None:
    limit = Image.MAX_IMAGE_PIXELS
    read_image(saved(CONVERTED["colour"]), 3, LIMIT)
    with pytest.raises(UserError):
        read_image(Path("nowhere.png"), 3, LIMIT)
    assert limit and limit == Image.MAX_IMAGE_PIXELS


@pytest.mark.parametrize("kind", ["colour", "alpha", "grey with alpha"])
def test_a_mask_of_colours_is_refused(kind: str) -> None:
    with pytest.raises(UserError, match=r"x\.png: a mask of colours or alpha(.|\n)*indices of classes"):
        read_mask(saved(CONVERTED[kind]), LIMIT)


def test_masks_hold_what_the_file_stores() -> None:
    values = np.arange(256, dtype=np.uint8).reshape(16, 16)
    assert np.array_equal(read_mask(saved(Image.fromarray(values)), LIMIT), values)
    assert np.array_equal(np.unique(read_mask(saved(CONVERTED["palette"]), LIMIT)), [3, 5])
    assert np.array_equal(read_mask(saved(CONVERTED["black and white"]), LIMIT)[0], [0, 0, 0, 0, 1, 1, 1, 1])


@pytest.mark.parametrize(("bits", "row"), [(2, 0b00011011), (4, 0x0F), (1, 0b01100000)])
def test_grey_masks_of_few_bits_hold_what_the_file_stores(bits: int, row: int) -> None:
    width = 8 // bits
    raw_png(Path("x.png"), width=width, bits=bits, color_type=0, rows=[bytes([row])])
    expected = [row >> (8 - bits * (index + 1)) & ((1 << bits) - 1) for index in range(width)]
    assert read_mask(Path("x.png"), LIMIT).tolist() == [expected]


def test_written_masks_are_read_again_with_their_colours() -> None:
    indices = np.array([[0, 1, 2], [20, 255, 0]], dtype=np.uint8)
    colors = generated_colors(21)
    write_mask(Path("m.png"), indices, colors)
    assert np.array_equal(read_mask(Path("m.png"), LIMIT), indices)
    assert palette_colors(Path("m.png"), 21) == colors
    assert Image.open("m.png").convert("RGB").getpixel((1, 1)) == IGNORED_COLOR


def test_generated_colours_are_vocs() -> None:
    voc = generated_colors(21)
    assert voc[:4] == ((0, 0, 0), (128, 0, 0), (0, 128, 0), (128, 128, 0)) and voc[20] == (0, 64, 128)
    assert voc[15] == (192, 128, 128)
    assert len(set(generated_colors(254))) == 254


def test_palettes_without_colours_are_none() -> None:
    assert palette_colors(saved(halves("L", 0, 1)), 2) is None
    grey = halves("P", 0, 1)
    grey.putpalette([value for index in range(256) for value in (index, index, index)])
    assert palette_colors(saved(grey), 2) is None


@pytest.mark.parametrize(
    ("wished", "expected"),
    [((None, None), (30, 40)), ((15, None), (15, 20)), ((None, 20), (15, 20)), ((7, 9), (7, 9)), ((1, None), (1, 1))],
)
def test_sizes(wished: tuple[int | None, int | None], expected: tuple[int, int]) -> None:
    assert target_size(30, 40, *wished) == expected


@pytest.mark.parametrize("size", [(16, 20), (13, 31), (60, 80), (41, 7)])
def test_resized_masks_lie_where_their_images_lie(size: tuple[int, int]) -> None:
    """A mask drawn as an image: wherever it is still white or black, the nearest pixel is too."""
    mask = np.zeros((30, 40), dtype=np.uint8)
    mask[9:21, 12:29] = 1
    image, resized = resize(np.repeat(mask[:, :, None] * 255, 3, axis=2), mask, size)
    assert image.shape == (*size, 3) and resized.shape == size and set(np.unique(resized)) == {0, 1}
    pure = (image[:, :, 0] == 0) | (image[:, :, 0] == 255)
    assert pure.mean() > 0.5 and np.array_equal(resized[pure] == 1, image[:, :, 0][pure] == 255)


def test_resizing_grey_keeps_one_channel() -> None:
    image, mask = resize(np.full((6, 8, 1), 7, dtype=np.uint8), np.ones((6, 8), dtype=np.uint8), (3, 4))
    assert image.shape == (3, 4, 1) and (image == 7).all() and (mask == 1).all()
