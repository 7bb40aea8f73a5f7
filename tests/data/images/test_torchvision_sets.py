"""torchvision's data sets, on small folders laid out as it leaves them."""

import urllib.error
from pathlib import Path

import numpy as np
import pytest
from PIL import Image
from torchvision.datasets import oxford_iiit_pet, voc

from lit_transformer.config.errors import UserError
from lit_transformer.data.images.torchvision_sets import PETS_URLS, VOC_CLASSES, VOC_URLS
from tests.data.images.pictures import drawn, prepare, write_pair

TRIMAP = np.array([[2, 2, 2, 2], [2, 3, 3, 2], [2, 3, 1, 1], [2, 3, 1, 1]], dtype=np.uint8)


@pytest.fixture(autouse=True)
def _no_network(monkeypatch: pytest.MonkeyPatch) -> None:
    def fail(*arguments: object, **settings: object) -> None:
        raise urllib.error.URLError("no network here")

    for module in (oxford_iiit_pet, voc):
        monkeypatch.setattr(module, "download_and_extract_archive", fail)


def write_pets(root: str = "pets") -> None:
    base = Path(root, "oxford-iiit-pet")
    (base / "annotations" / "trimaps").mkdir(parents=True)
    (base / "images").mkdir()
    for split, count in (("trainval", 10), ("test", 3)):
        names = [f"{split}_cat_{index}" for index in range(count)]
        (base / "annotations" / f"{split}.txt").write_text("".join(f"{name} 1 1 1\n" for name in names))
        for index, name in enumerate(names):
            Image.fromarray(drawn(index, 4, 4)[0]).save(base / "images" / f"{name}.jpg")
            Image.fromarray(TRIMAP).save(base / "annotations" / "trimaps" / f"{name}.png")


def write_voc(root: str = "voc") -> None:
    base = Path(root, "VOCdevkit", "VOC2012")
    (base / "ImageSets" / "Segmentation").mkdir(parents=True)
    for split, count in (("train", 10), ("val", 4)):
        names = [f"{split}_{index}" for index in range(count)]
        (base / "ImageSets" / "Segmentation" / f"{split}.txt").write_text("\n".join(names) + "\n")
        for index, name in enumerate(names):
            mask = np.full((6, 8), index, dtype=np.uint8)
            mask[0], mask[1] = 255, 20
            image = drawn(index, 6, 8)[0]
            write_pair(name, image, mask, images=str(base / "JPEGImages"), masks=str(base / "SegmentationClass"))
            Image.fromarray(image).save(base / "JPEGImages" / f"{name}.jpg")


@pytest.mark.parametrize(
    ("model", "data", "names", "expected"),
    [
        ({}, {}, ("background", "pet", "border"), {1: 1, 2: 0, 3: 2}),
        ({"num_classes": 3}, {}, ("background", "pet", "border"), {1: 1, 2: 0, 3: 2}),
        ({"num_classes": 2}, {}, ("background", "pet"), {1: 1, 2: 0, 3: -100}),
        ({"num_classes": 1}, {}, ("background", "pet"), {1: 1, 2: 0, 3: -100}),
        ({}, {"ignore_index": 3}, ("background", "pet"), {1: 1, 2: 0, 3: -100}),
        ({}, {"classes": "ground, animal, edge"}, ("ground", "animal", "edge"), {1: 1, 2: 0, 3: 2}),
    ],
)
def test_pets(
    model: dict[str, object], data: dict[str, object], names: tuple[str, ...], expected: dict[int, int]
) -> None:
    write_pets()
    prepared = prepare(source="pets", path="pets", model={"num_stages": 2, **model}, val_fraction=0.2, **data)
    assert prepared.images == {"train": 8, "val": 2, "test": 3} and prepared.classes == names
    assert all(name.startswith("test_cat_") for name in prepared.names("test"))
    image, mask = prepared.store("test").load(1)
    assert image.shape == (3, 4, 4) and mask.tolist() == np.vectorize(expected.get)(TRIMAP).tolist()
    assert prepared.pixels["train"] == 8 * int((mask != -100).sum())


def test_voc(tmp_path: Path) -> None:
    write_voc(f"{tmp_path}/data/voc")  # under LIT_TRANSFORMER_DATA
    prepared = prepare(source="voc", path="voc", val_fraction=0.2)
    assert prepared.images == {"train": 8, "val": 2, "test": 4} and prepared.classes == VOC_CLASSES
    assert len(prepared.classes) == 21 and prepared.colors[15] == (192, 128, 128)
    assert prepared.names("test") == [f"val_{index}.jpg" for index in range(4)]
    mask = prepared.store("test").load(2)[1]
    assert mask[0].unique().tolist() == [-100] and mask[1].unique().tolist() == [20] and mask[2:].unique().item() == 2


@pytest.mark.parametrize(("source", "urls"), [("pets", PETS_URLS), ("voc", VOC_URLS)])
def test_a_failed_download_says_what_to_fetch_and_where_to(source: str, urls: tuple[str, ...]) -> None:
    with pytest.raises(UserError) as caught:
        prepare(source=source, path="somewhere")
    text = str(caught.value)
    assert text.startswith("data.path:") and "no network here" in text and str(Path("somewhere").absolute()) in text
    assert all(url in text for url in urls)


def test_a_folder_that_is_not_whole_is_said() -> None:
    write_voc()
    Path("voc/VOCdevkit/VOC2012/ImageSets/Segmentation/val.txt").unlink()
    with pytest.raises(UserError, match=r"data\.path: the data set is not in .*voc, or not whole"):
        prepare(source="voc", path="voc")
    Path("voc/VOCdevkit/VOC2012/ImageSets/Segmentation/val.txt").write_text("train_0\nnowhere\n")
    with pytest.raises(UserError, match=r"nowhere\.jpg: cannot be read"):
        prepare(source="voc", path="voc", val_fraction=0.2)


@pytest.mark.parametrize("key", ["mask_path", "val_path", "test_mask_path"])
def test_settings_that_it_has_no_use_for_are_refused(key: str) -> None:
    with pytest.raises(UserError, match=rf"data\.{key}: got 'x', but data\.source=voc"):
        prepare(source="voc", path="voc", **{key: "x"})


def test_as_many_names_as_classes() -> None:
    write_pets()
    with pytest.raises(UserError, match=r"data\.classes: got 2 names, and data\.source=pets has 3 classes"):
        prepare(source="pets", path="pets", classes="a, b")
