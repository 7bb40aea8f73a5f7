"""From files to pixels: nothing is lost, everything is counted, and what is wrong is named before the first step."""

import subprocess
import sys
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
import torch
from PIL import Image

from lit_transformer.config.errors import UserError
from lit_transformer.data.images import store
from lit_transformer.data.images.palette import generated_colors, write_mask
from lit_transformer.data.images.prepared import PreparedImages
from lit_transformer.data.locate import data_root
from lit_transformer.data.prepare import load_prepared, prepare_data
from tests.data.images.pictures import drawn, experiment, prepare, write_pair, write_pairs

DATA = data_root()
"""Before a test's own folder takes its place."""

HALF = {"val_fraction": 0.2, "test_fraction": 0.1}


def test_kept_pixels_are_those_of_the_files() -> None:
    write_pairs(sizes=[(12, 16), (9, 20)])
    prepared = prepare(**HALF)
    assert prepared.images == {"train": 7, "val": 2, "test": 1} and prepared.kept
    seen = []
    for split in prepared.images:
        found = prepared.store(split)
        assert len(found) == prepared.images[split] == len(prepared.names(split))
        for index, name in enumerate(prepared.names(split)):
            number = int(name.removesuffix(".png"))
            expected = drawn(number, *((12, 16), (9, 20))[number % 2])
            image, mask = found.load(index)
            assert image.dtype == torch.uint8 and mask.dtype == torch.int64
            assert np.array_equal(image.numpy().transpose(1, 2, 0), expected[0])
            assert np.array_equal(mask.numpy(), expected[1])
            assert found.sizes[index].tolist() == list(mask.shape)
            seen.append(number)
    assert sorted(seen) == list(range(10))
    with pytest.raises(IndexError):
        prepared.store("val").load(2)


def test_what_is_read_anew_is_what_was_kept(monkeypatch: pytest.MonkeyPatch) -> None:
    write_pairs(sizes=[(12, 16), (9, 20)])
    settings = {"images": {"height": 10}, "ignore_index": 2, "model": {"in_channels": 1}}
    kept = prepare(**settings)
    monkeypatch.setattr(store, "KEPT_BYTES", 10 * 10 * 10)
    monkeypatch.setenv("LIT_TRANSFORMER_CACHE", str(Path("another").absolute()))
    read = prepare(**settings)
    assert kept.kept and not read.kept and read.fingerprint == kept.fingerprint
    assert not list(read.folder.glob("*.images.bin")) and list(kept.folder.glob("*.images.bin"))
    for split in kept.images:
        assert np.array_equal(kept.store(split).sizes, read.store(split).sizes)
        for index in range(kept.images[split]):
            pairs = zip(kept.store(split).load(index), read.store(split).load(index), strict=True)
            assert all(torch.equal(one, other) for one, other in pairs)
    Path("images/00.png").unlink()
    where = next(split for split in read.images if "00.png" in read.names(split))
    with pytest.raises(UserError, match=r"images/00\.png: cannot be read"):
        read.store(where).load(read.names(where).index("00.png"))


def test_classes_are_counted() -> None:
    write_pairs(sizes=[(12, 16), (9, 20)])
    prepared = prepare(ignore_index=1, **HALF)
    masks = {split: [prepared.store(split).load(i)[1] for i in range(n)] for split, n in prepared.images.items()}
    assert prepared.classes == ("class 0", "class 1", "class 2") and prepared.class_pixels[1] == 0
    for index in range(3):
        assert prepared.class_pixels[index] == sum(int((mask == index).sum()) for mask in masks["train"])
        among = [int((mask >= 0).sum()) for mask in masks["train"] if (mask == index).any()]
        assert prepared.class_images_pixels[index] == sum(among)
    for split, found in masks.items():
        assert prepared.pixels[split] == sum(int((mask != -100).sum()) for mask in found)
        assert any((mask == -100).any() for mask in found)


def test_a_second_time_comes_out_of_the_cache() -> None:
    write_pairs()
    calls: list[tuple[int, int, str]] = []
    first = prepare_data(experiment(), progress=lambda *state: calls.append(state))
    assert calls == [(index, 10, "images") for index in range(1, 11)]
    again = prepare_data(experiment(), progress=lambda *state: calls.append(state))
    assert len(calls) == 10 and again == first == load_prepared(first.folder)
    assert isinstance(first, PreparedImages)


def test_the_folder_is_a_function_of_content_and_settings() -> None:
    write_pairs()
    base = prepare().fingerprint
    same = experiment(batch_size=2, seed=4, images={"crop": 8, "flip": True, "scale": 1.5}, model={"num_stages": 1})
    assert prepare_data(same).fingerprint == base
    changed = [
        {"images": {"height": 8}}, {"images": {"width": 8}}, {"model": {"in_channels": 1}}, {"ignore_index": 1},
        {"val_fraction": 0.3}, {"classes": "a, b, c"}, {"classes": "a, b, d"},
    ]  # fmt: skip
    found = {base, *(prepare(**settings).fingerprint for settings in changed)}
    assert len(found) == 1 + len(changed)
    image, mask = drawn(3, 12, 16)
    mask = mask.copy()
    mask[0, 0] = (mask[0, 0] + 1) % 3
    write_pair("03", image, mask)
    assert prepare().fingerprint not in found


@pytest.mark.parametrize(
    ("images", "shape"), [({"height": 6, "width": 9}, (6, 9)), ({"height": 6}, (6, 8)), ({"width": 24}, (18, 24))]
)
def test_images_are_resized(images: dict[str, object], shape: tuple[int, int]) -> None:
    write_pairs()
    prepared = prepare(images=images)
    image, mask = prepared.store("train").load(0)
    expected_image, expected_mask = drawn(int(prepared.names("train")[0][:2]), 12, 16)
    smaller = Image.fromarray(expected_image).resize(shape[::-1], Image.Resampling.BILINEAR)
    assert np.array_equal(image.numpy().transpose(1, 2, 0), np.asarray(smaller))
    nearest = Image.fromarray(expected_mask).resize(shape[::-1], Image.Resampling.NEAREST)
    assert np.array_equal(mask.numpy(), np.asarray(nearest))


def test_colours_come_from_the_list_the_palette_or_a_rule() -> None:
    write_pairs()
    assert prepare().colors == generated_colors(3)
    palette = ((9, 8, 7), (1, 2, 3), (200, 100, 0))
    for index in range(10):
        write_mask(Path(f"masks/{index:02}.png"), drawn(index, 12, 16)[1], palette)
    assert prepare().colors == palette
    Path("classes.txt").write_text("0 a 1 1 1\n1 b 2 2 2\n2 c 3 3 3\n")
    assert prepare(classes="classes.txt").colors == ((1, 1, 1), (2, 2, 2), (3, 3, 3))


def test_given_splits_and_lists() -> None:
    write_pairs(6)
    for name, numbers in (("train", (0, 1, 2)), ("val", (3, 4)), ("test", (5,))):
        lines = (f"images/{number:02}.png masks/{number:02}.png\n" for number in numbers)
        Path(f"{name}.txt").write_text("".join(lines))
    prepared = prepare(path="train.txt", val_path="val.txt", test_path="test.txt")
    assert prepared.images == {"train": 3, "val": 2, "test": 1}
    assert prepared.names("val") == ["images/03.png", "images/04.png"]


def test_the_orientation_of_a_camera_counts_before_sizes_are_compared() -> None:
    write_pairs()
    image, mask = drawn(0, 12, 16)
    exif = Image.Exif()
    exif[0x0112] = 6
    Image.fromarray(np.ascontiguousarray(image.transpose(1, 0, 2)[::-1])).save("images/00.png", exif=exif)
    prepared = prepare()
    where = next(split for split in prepared.images if "00.png" in prepared.names(split))
    found, classes = prepared.store(where).load(prepared.names(where).index("00.png"))
    assert np.array_equal(found.numpy().transpose(1, 2, 0), image) and np.array_equal(classes.numpy(), mask)


def save(path: str, pixels: np.ndarray) -> None:
    Image.fromarray(pixels).save(path)


def truncate() -> None:
    Path("images/04.png").unlink()
    save("images/04.jpg", drawn(4, 80, 80)[0])
    Path("images/04.jpg").write_bytes(Path("images/04.jpg").read_bytes()[:900])


def dangle() -> None:
    Path("masks/04.png").unlink()
    Path("masks/04.png").symlink_to("masks/nowhere")
    Path("list.txt").write_text("images/04.png masks/04.png\n")


def one_pixel(value: int) -> np.ndarray:
    mask = MASK.copy()
    mask[7, 5] = value
    return mask


IMAGE, MASK = drawn(4, 12, 16)

SPOILT: dict[str, tuple[Callable[[], object], dict[str, object]]] = {
    "another size": (lambda: save("masks/04.png", MASK[:11]), {}),
    "unknown class": (lambda: save("masks/04.png", one_pixel(9)), {"classes": "a, b, c"}),
    "unnamed 255": (lambda: save("masks/04.png", np.full_like(MASK, 255)), {}),
    "colours for indices": (lambda: save("masks/04.png", IMAGE), {}),
    "missing mask": (lambda: Path("masks/04.png").unlink(), {}),
    "16-bit image": (lambda: save("images/04.png", MASK.astype(np.uint16) * 999), {}),
    "16-bit mask": (lambda: save("masks/04.png", MASK.astype(np.uint16)), {}),
    "truncated": (truncate, {}),
    "bomb": (lambda: None, {"images": {"max_pixels": 12 * 16 - 1}}),
    "empty folder": (lambda: Path("nothing").mkdir(), {"path": "nothing", "mask_path": "masks"}),
    "small": (lambda: write_pair("04", IMAGE[:5], MASK[:5]), {"model": {"num_stages": 3}}),
    "small crop": (lambda: None, {"images": {"crop": 3}}),
    "too few names": (lambda: None, {"classes": "a, b, c", "model": {"num_classes": 4}}),
    "no image": (lambda: Path("images/04.png").write_text("text"), {}),
    "two of a name": (lambda: save("images/04.bmp", IMAGE), {}),
    "unreadable": (dangle, {"path": "list.txt"}),
    "folder without masks": (lambda: None, {"path": "images"}),
    "masks without images": (lambda: None, {"path": "images", "mask_path": "masks", "val_mask_path": "masks"}),
}
"""What happens to one of ten pairs, and the settings that go with it."""

MESSAGES = {
    "another size": r"masks/04\.png: the mask has another size than its image .*images/04\.png\n  got      11 x 16.*\n"
    r"  allowed  12 x 16",
    "unknown class": r"masks/04\.png: an unknown class at row 7, column 5(.|\n)*got      9\n  allowed  0 to 2",
    "unnamed 255": r"masks/04\.png: an unknown class at row 0, column 0(.|\n)*255\n(.|\n)*data\.ignore_index=255",
    "colours for indices": r"masks/04\.png: a mask of colours",
    "missing mask": r"images/04\.png: there is no mask 04\.\* in masks",
    "16-bit image": r"images/04\.png: 16 bits or more",
    "16-bit mask": r"masks/04\.png: 16 bits or more",
    "truncated": r"images/04\.jpg: a broken image",
    "bomb": r"images/\d\d\.png: too large, 16 x 12 = 192 pixels\n  allowed  191",
    "empty folder": r"data\.path: the folder .*nothing has no images",
    "small": r"images/04\.png: too small for the network\n  got      5 x 16.*\n  allowed  8 or more.*num_stages",
    "small crop": r"data\.images\.crop: got 3\n  allowed  4 or more",
    "too few names": r"model\.num_classes does not fit the data\n  got      4\n  allowed  3: a, b, c\n",
    "no image": r"images/04\.png: not an image",
    "two of a name": r"data\.path: two files of one name\n(.|\n)*04\.png",
    "unreadable": r"list\.txt:1: there is no mask .*masks/04\.png",
    "folder without masks": r"data\.path: images is a folder, and data\.mask_path is null(.|\n)*data\.mask_path",
    "masks without images": r"data\.val_mask_path: got 'masks', and data\.val_path is null",
}


@pytest.mark.parametrize("kind", MESSAGES)
def test_what_is_wrong_is_named(kind: str, tmp_path: Path) -> None:
    write_pairs()
    do, settings = SPOILT[kind]
    do()
    with pytest.raises(UserError, match=MESSAGES[kind]):
        prepare(**settings)
    assert not list((tmp_path / "cache" / "images").glob("*.tmp"))  # nothing half-made is left


def test_the_smallest_image_is_refused_out_of_the_cache_too() -> None:
    write_pairs()
    assert prepare(model={"num_stages": 3}).images["train"] == 8
    with pytest.raises(UserError, match=r"images/\d\d\.png: too small(.|\n)*12 x 16(.|\n)*16 or more"):
        prepare(model={"num_stages": 4})


def test_one_logit_takes_two_classes() -> None:
    for index in range(10):
        image, mask = drawn(index, 12, 16, classes=2)
        write_pair(f"{index:02}", image, mask)
    assert prepare(model={"num_classes": 1}).classes == ("class 0", "class 1")
    assert prepare(model={"num_classes": 1}, classes="ground, road").classes == ("ground", "road")
    assert prepare().classes == ("class 0", "class 1")
    write_pairs()
    with pytest.raises(UserError, match=r"an unknown class(.|\n)*got      2\n  allowed  0 to 1"):
        prepare(model={"num_classes": 1})


def test_more_classes_may_be_asked_for_than_masks_have() -> None:
    write_pairs()
    prepared = prepare(model={"num_classes": 5})
    assert len(prepared.classes) == len(prepared.class_pixels) == len(prepared.colors) == 5
    assert prepared.class_pixels[3:] == (0, 0) and "no training pixel has class 3, class 4" in prepared.summary()


@pytest.mark.parametrize("channels", [3, 1])
def test_the_builtin_set(channels: int, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("lit_transformer.data.images.shapes.SIZES", {"train": 20, "val": 6, "test": 4})
    prepared = prepare(source="builtin", model={"in_channels": channels})
    assert prepared.images == {"train": 20, "val": 6, "test": 4}
    assert prepared.classes == ("background", "circle", "square", "triangle")
    image, mask = prepared.store("val").load(3)
    assert image.shape == (channels, 96, 96) and mask.shape == (96, 96) and 0 < int(mask.max()) <= 3
    binary = prepare(source="builtin", model={"in_channels": channels, "num_classes": 1})
    assert binary.classes == ("background", "shape") and binary.fingerprint != prepared.fingerprint
    other, foreground = binary.store("val").load(3)
    assert torch.equal(other, image) and torch.equal(foreground, (mask > 0).long())
    assert binary.class_pixels == (prepared.class_pixels[0], sum(prepared.class_pixels[1:]))
    with pytest.raises(UserError, match=r"model\.num_classes does not fit(.|\n)*got      7\n  allowed  4: background"):
        prepare(source="builtin", model={"num_classes": 7})
    with pytest.raises(UserError, match=r"data\.path: got 'x', but data\.source=builtin reads no files"):
        prepare(source="builtin", path="x")


def test_preparing_imports_no_torch() -> None:
    write_pairs()
    code = (
        "import sys; from tests.data.images.pictures import prepare; prepare()\n"
        "print([name for name in ('torch', 'torchvision', 'lightning') if name in sys.modules])"
    )
    done = subprocess.run(
        [sys.executable, "-c", f"import sys; sys.path[:0] = {sys.path!r}\n{code}"],
        check=False,
        capture_output=True,
        text=True,
        timeout=60,
    )
    assert done.stdout.strip() == "[]", done.stderr


@pytest.mark.skipif(not (DATA / "camvid_half").is_dir(), reason="needs the shared data: camvid_half")
def test_camvid(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("LIT_TRANSFORMER_DATA", str(DATA))
    folder = "camvid_half"
    paths = {
        f"{role}path": f"{folder}/{name}.txt" for role, name in (("", "train"), ("val_", "val"), ("test_", "test"))
    }
    prepared = prepare(**paths, classes=f"{folder}/classes.txt", ignore_index=11)
    assert prepared.images == {"train": 367, "val": 101, "test": 233}
    assert len(prepared.classes) == 11 and prepared.classes[0] == "Sky" and prepared.colors[0] == (128, 128, 128)
    assert all(count > 0 for count in prepared.class_pixels) and prepared.kept
    assert set(map(tuple, prepared.store("test").sizes.tolist())) == {(180, 240)}
    raw = np.asarray(Image.open(DATA / folder / "testannot" / "0001TP_008550.png"))
    mask = prepared.store("test").load(0)[1].numpy()
    assert np.array_equal(mask, np.where(raw == 11, -100, raw.astype(int))) and (raw == 11).any()
    total = sum(
        int((np.asarray(Image.open(DATA / folder / line.split()[1])) != 11).sum())
        for line in (DATA / folder / "val.txt").read_text().splitlines()
    )
    assert prepared.pixels["val"] == total
