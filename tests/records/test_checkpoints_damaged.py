"""Damaged checkpoints: every one is found, said and passed over, and takes no place of a good one."""

import os
import random

import pytest

from lit_transformer.records.checkpoints import BEST, LAST, CheckpointFolder, verify
from tests.records.saved import flip, names, newest, save, step_in

pytestmark = pytest.mark.timeout(300)


def test_what_verify_finds(folder, tmp_path):
    entry, path = folder.entries()[0], folder.path / LAST
    assert verify(path, entry) is None
    assert verify(tmp_path / "none", entry) == "it is missing"
    assert verify(folder.path, entry) == f"it has {folder.path.stat().st_size} bytes instead of {entry.bytes}"
    flip(path, 1000)
    assert verify(path, entry) == "its SHA-256 differs from the manifest's"
    os.truncate(path, 99)
    assert verify(path, entry) == f"it has 99 bytes instead of {entry.bytes}"
    (tmp_path / "loop").symlink_to(tmp_path / "loop")
    assert verify(tmp_path / "loop", entry) == "it cannot be read (Too many levels of symbolic links)"


@pytest.mark.parametrize("name", [LAST, BEST])
def test_every_flipped_bit_and_every_cut_is_found(folder, name):
    chance, path = random.Random(0), folder.path / name
    search = {LAST: folder.newest, BEST: folder.best}[name]
    size = path.stat().st_size
    for _ in range(200):
        for change in ("flip", "cut"):
            if change == "flip":
                content, why = flip(path, chance.randrange(size * 8)), "SHA-256 differs"
            else:
                content, kept = path.read_bytes(), chance.randrange(size)
                os.truncate(path, kept)
                why = f"it has {kept} bytes instead of {size}"
            lines: list[str] = []
            found = search(lines.append)
            other = folder.path / ("step-20.ckpt" if name == LAST else LAST)
            assert found.path == other and step_in(found.path) == found.entry.step == (20 if name == LAST else 30)
            assert len(lines) == 1 and why in lines[0] and str(path) in lines[0]
            assert lines[0].endswith(f"; {other.name} of step {found.entry.step} is taken instead")
            path.write_bytes(content)
            assert search(pytest.fail).path == path


def test_a_flipped_bit_in_the_manifest_never_loads_anything_wrong(folder):
    chance, path = random.Random(0), folder.path / "manifest.json"
    right, trusted = newest(folder)[0], 0
    for _ in range(400):
        content = flip(path, chance.randrange(path.stat().st_size * 8))
        found, lines = newest(folder)
        assert found == right or (found is None and len(lines) == 1 and str(path) in lines[0]), lines
        trusted += found is not None
        path.write_bytes(content)
    assert trusted < 100  # only white space may change


@pytest.mark.parametrize(
    ("content", "why"),
    [
        (None, "is missing"),
        (b"", "is damaged"),
        (b'{"version": 1, "files"', "is damaged"),
        (b"[]", "not this project's"),
        (b'{"version": 1, "best": null, "files": {}}', "its own SHA-256 differs"),
        (b'{"version": 2}', "of another version (2, not 1)"),
    ],
)
def test_without_a_manifest_nothing_is_trusted(folder, content, why):
    path = folder.path / "manifest.json"
    path.unlink()
    if content is not None:
        path.write_bytes(content)
    found, lines = newest(folder)
    assert found is None and len(lines) == 1 and why in lines[0] and "no checkpoint can be trusted" in lines[0]
    lines.clear()
    assert folder.best(lines.append) is None and why in lines[0] and folder.entries() == []
    save(folder, 40)  # a new start: what was not trusted is not kept either
    assert newest(folder)[0].entry.serial == 1 and names(folder) == {LAST, BEST}


def test_what_is_missing_is_passed_over(folder):
    (folder.path / LAST).unlink()
    found, lines = newest(folder)
    assert found.path.name == "step-20.ckpt" and "last.ckpt of step 30 is passed over: it is missing" in lines[0]
    (folder.path / "step-20.ckpt").unlink()
    found, lines = newest(folder)
    assert found is None and [line.split("/")[-1].split(" ")[0] for line in lines] == [LAST, "step-20.ckpt"]
    assert all(line.endswith("; nothing else is left") for line in lines)
    save(folder, 40)
    assert names(folder) == {LAST, BEST}


def test_a_good_file_is_found_under_any_name(folder):
    os.replace(folder.path / LAST, folder.path / "step-7.ckpt")
    assert newest(folder)[0].path.name == "step-7.ckpt" and step_in(newest(folder)[0].path) == 30


@pytest.mark.parametrize("anew", [False, True], ids=["same process", "new process"])
@pytest.mark.parametrize("damage", ["flip", "cut"])
def test_a_damaged_last_takes_no_kept_place(folder, damage, anew):
    content = flip(folder.path / LAST, 500)
    if damage == "cut":
        (folder.path / LAST).write_bytes(content[:-1])
    folder = CheckpointFolder(folder.path) if anew else folder
    assert newest(folder)[0].entry.step == 20
    save(folder, 40)
    assert names(folder) == {LAST, "step-20.ckpt", BEST} and step_in(folder.path / "step-20.ckpt") == 20
    assert [entry.step for entry in folder.entries() if entry.resumable] == [40, 20]


def test_a_damaged_earlier_one_takes_no_kept_place(tmp_path):
    folder = CheckpointFolder(tmp_path, keep=3)
    for step in (10, 20, 30, 40):
        save(folder, step)
    flip(tmp_path / "step-30.ckpt", 500)
    folder = CheckpointFolder(tmp_path, keep=3)
    save(folder, 50)
    assert names(folder) == {LAST, "step-40.ckpt", "step-20.ckpt"}


def test_a_given_up_future_never_comes_back(tmp_path):
    folder = CheckpointFolder(tmp_path, keep=4)
    for step in (10, 20, 30, 40):
        save(folder, step)
    flip(tmp_path / LAST, 500)
    flip(tmp_path / "step-30.ckpt", 500)
    found, lines = newest(folder)
    assert found.entry.step == 20 and len(lines) == 2
    save(folder, 25)
    assert names(folder) == {LAST, "step-20.ckpt", "step-10.ckpt"}
    assert [entry.step for entry in folder.entries()] == [25, 20, 10]
    save(folder, 35)
    flip(tmp_path / LAST, 500)
    assert newest(folder)[0].entry.step == 25


def test_an_unreadable_manifest_is_not_written_over(folder):
    (folder.path / "manifest.json").unlink()
    (folder.path / "manifest.json").symlink_to(folder.path / "manifest.json")
    with pytest.raises(OSError, match="symbolic links"):
        save(folder, 40)
    found, lines = newest(folder)
    assert found is None and "cannot be read" in lines[0] and step_in(folder.path / LAST) == 30
