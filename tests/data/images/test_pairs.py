"""Images find their masks, and what is held out follows from names alone."""

from pathlib import Path

import pytest

from lit_transformer.config.errors import UserError
from lit_transformer.config.schema import DataConfig
from lit_transformer.data.images.pairs import Pair, find_images, match_pairs, read_list, split_pairs


def touch(*names: str) -> None:
    for name in names:
        Path(name).parent.mkdir(parents=True, exist_ok=True)
        Path(name).touch()


def names(pairs: list[Pair]) -> list[tuple[str, str, str]]:
    return [(pair.name, pair.image.name, pair.mask.name) for pair in pairs]


@pytest.mark.parametrize(("path", "mask_path"), [("i", "m"), ("i/*.jpg", "m/*.png"), ("**/*.JPG", "m"), ("i", "m/*")])
def test_images_and_masks_of_one_name_are_pairs(path: str, mask_path: str) -> None:
    kind = "JPG" if "JPG" in path else "jpg"
    touch(f"i/b.{kind}", f"i/a.{kind}", "i/notes.txt", "m/a.png", "m/b.png", "m/c.png")  # c has no image: left alone
    assert names(match_pairs(path, mask_path, "")) == [
        (f"a.{kind}", f"a.{kind}", "a.png"),
        (f"b.{kind}", f"b.{kind}", "b.png"),
    ]


def test_paths_are_looked_up_in_the_data_folder(tmp_path: Path) -> None:
    touch(f"{tmp_path}/data/set/i/a.jpg", f"{tmp_path}/data/set/m/a.png")
    assert names(match_pairs("set/i", "set/m", "")) == [("a.jpg", "a.jpg", "a.png")]


def test_a_missing_mask_is_named() -> None:
    touch("i/a.jpg", "i/b.jpg", "i/c.jpg", "m/a.png")
    with pytest.raises(
        UserError, match=r"i/b\.jpg: there is no mask b\.\* in m\n  got      2 of 3(.|\n)*data\.val_path="
    ):
        match_pairs("i", "m", "val_")


@pytest.mark.parametrize("where", ["i", "m"])
def test_two_files_of_one_name_are_refused(where: str) -> None:
    touch("i/a.jpg", "m/a.png", f"{where}/a.bmp")
    key = {"i": "data.path", "m": "data.mask_path"}[where]
    with pytest.raises(UserError, match=rf"{key}: two files of one name\n(.|\n)*a\.bmp\n(.|\n)*{where}/a\.(jpg|png)"):
        match_pairs("i", "m", "")


@pytest.mark.parametrize(
    ("path", "message"),
    [
        ("empty", r"data\.path: the folder .*empty has no images\n(.|\n)*\.png(.|\n)*empty/\*\*/\*\.png"),
        ("imges", r"data\.path: there is no file imges(.|\n)*did you mean .*images"),
        ("images/*.bmp", r"data\.path: no file matches images/\*\.bmp"),
    ],
)
def test_images_that_are_not_there(path: str, message: str) -> None:
    touch("empty/notes.txt", "images/a.png")
    with pytest.raises(UserError, match=message):
        find_images(path, "data.path")


def test_lists_are_relative_to_their_folder() -> None:
    touch("set/i/a.jpg", "set/i/b b.jpg", "set/m/1.png", "set/m/2.png")
    Path("set/list.txt").write_text("i/a.jpg m/1.png\n\n i/b b.jpg\tm/2.png \n")
    found = read_list("set/list.txt", "data.path")
    assert [pair.name for pair in found] == ["i/a.jpg", "i/b b.jpg"]
    assert [pair.mask.name for pair in found] == ["1.png", "2.png"] and all(pair.image.is_file() for pair in found)


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("a.jpg a.png\na.jpg\n", r"list\.txt:2: no pair of an image and its mask\n  got      a\.jpg"),
        (
            "a.jpg a.png a.png",
            r"list\.txt:1: no pair(.|\n)*data\.val_path is a list of pairs since data\.val_mask_path",
        ),
        ("a.jpg a.png\nb.jpg a.png", r"list\.txt:2: there is no image .*b\.jpg"),
        ("a.jpg b.png", r"list\.txt:1: there is no mask .*b\.png"),
        ("\n", r"data\.val_path: list\.txt names no pair"),
    ],
)
def test_lists_that_are_wrong(text: str, message: str) -> None:
    touch("a.jpg", "a.png")
    Path("list.txt").write_text(text)
    with pytest.raises(UserError, match=message):
        read_list("list.txt", "data.val_path")


def some_pairs(count: int, folder: str = "i") -> list[Pair]:
    return [Pair(f"{index}.jpg", Path(folder, f"{index}.jpg"), Path("m", f"{index}.png")) for index in range(count)]


def test_held_out_pairs_follow_from_names_alone() -> None:
    data = DataConfig(val_fraction=0.2, test_fraction=0.1)
    splits = split_pairs({"train": some_pairs(50)}, data)
    assert {split: len(pairs) for split, pairs in splits.items()} == {"train": 35, "val": 10, "test": 5}
    found = [pair.name for pairs in splits.values() for pair in pairs]
    assert sorted(found) == sorted(pair.name for pair in some_pairs(50))
    assert [pair.name for pair in splits["val"]] != [f"{index}.jpg" for index in range(35, 45)]
    others = split_pairs({"train": some_pairs(50, "elsewhere")[::-1]}, data)
    for split, pairs in splits.items():
        assert {pair.name for pair in others[split]} == {pair.name for pair in pairs}
        assert pairs == [pair for pair in some_pairs(50) if pair in pairs]  # in their order
    kept = {pair.name for pair in split_pairs({"train": some_pairs(50)}, DataConfig(test_fraction=0.1))["test"]}
    assert kept == {pair.name for pair in splits["test"]}


def test_given_splits_are_kept() -> None:
    given = {"train": some_pairs(20), "val": some_pairs(3, "v"), "test": some_pairs(4, "t")}
    assert split_pairs(given, DataConfig()) == given
    assert len(split_pairs({"train": some_pairs(20), "val": some_pairs(3, "v")}, DataConfig())["train"]) == 18
    assert split_pairs({"train": some_pairs(20)}, DataConfig(test_fraction=0))["test"] == []


@pytest.mark.parametrize(
    ("count", "settings", "message"),
    [
        (6, {"val_fraction": 0.05}, r"the val split is empty: 0\.05 of 6 images\n  fix      raise data\.val_fraction"),
        (3, {"val_fraction": 0.4}, r"the test split is empty: 0\.1 of 3 images"),
        (9, {"val_fraction": 0.0}, r"the validation split of 9 images is empty(.|\n)*data\.val_path"),
        (2, {"val_fraction": 0.5, "test_fraction": 0.49}, r"the training split of 2 images is empty"),
    ],
)
def test_splits_that_are_empty(count: int, settings: dict[str, float], message: str) -> None:
    with pytest.raises(UserError, match=message):
        split_pairs({"train": some_pairs(count)}, DataConfig(**settings))
