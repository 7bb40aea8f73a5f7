"""Checkpoints on disk: what is saved, which are kept, which one is found, and what is removed."""

import json
import os
import subprocess
import sys

import pytest

from lit_transformer.records import checkpoints, finding
from lit_transformer.records.checkpoints import BEST, LAST, CheckpointFolder, Entry, Found
from lit_transformer.records.hashed import hash_file
from tests.records.saved import flip, names, newest, save, step_in

pytestmark = pytest.mark.timeout(300)


@pytest.mark.parametrize("keep", [1, 2, 5])
def test_the_newest_are_kept(tmp_path, keep):
    folder = CheckpointFolder(tmp_path / "checkpoints", keep=keep)
    for step in range(1, 9):
        save(folder, step)
        kept = range(max(step - keep, 0) + 1, step)
        assert names(folder) == {LAST, *(f"step-{earlier}.ckpt" for earlier in kept)}
        assert [entry.step for entry in folder.entries()] == [step, *reversed(kept)]
        assert all(step_in(folder.path / f"step-{earlier}.ckpt") == earlier for earlier in kept)
        assert step_in(folder.path / LAST) == step
    later = CheckpointFolder(tmp_path / "checkpoints", keep=1)
    save(later, 9)
    assert names(later) == {LAST} and [entry.step for entry in later.entries()] == [9]


def test_what_an_entry_says(folder):
    entry = folder.entries()[0]
    assert entry == Entry(
        name=LAST, sha256=hash_file(folder.path / LAST), step=30, serial=4,
        bytes=(folder.path / LAST).stat().st_size, resumable=True, facts={"saved_at": 30},
    )  # fmt: skip
    written = json.loads((folder.path / "manifest.json").read_text())
    assert written["version"] == 1 and set(written["files"]) == {item.sha256 for item in folder.entries()}
    assert "sha256" not in written["files"][entry.sha256] and written["files"][entry.sha256]["step"] == 30
    entry = folder.save(LAST, lambda file: file.write(b"x"), step=31, resumable=True, facts={"a": (1, float("inf"))})
    assert entry.facts == {"a": [1, None]} and newest(folder)[0].entry == entry
    with pytest.raises(TypeError):
        folder.save(LAST, lambda file: file.write(b"x"), step=32, resumable=True, facts={"a": {1}})
    with pytest.raises(ValueError, match=r"last\.ckpt or best\.ckpt"):
        folder.save("other.ckpt", lambda file: file.write(b"x"), step=32, resumable=True, facts={})


def test_an_empty_folder_has_none_and_says_nothing(tmp_path):
    folder = CheckpointFolder(tmp_path / "checkpoints")
    assert newest(folder) == (None, []) and folder.best(pytest.fail) is None and folder.entries() == []
    folder.clean()
    folder.prune("best")
    assert not folder.path.exists()


def test_the_same_step_saved_twice(folder):
    again = save(folder, 30)
    assert names(folder) == {LAST, "step-20.ckpt", BEST} and newest(folder)[0].entry == again  # the same content
    other = save(folder, 30, content="other")
    assert other.sha256 != again.sha256 and newest(folder)[0].entry == other
    assert names(folder) == {LAST, "step-20.ckpt", BEST} and len(folder.entries()) == 3
    flip(folder.path / LAST, 500)
    assert newest(folder)[0].entry.step == 20


def test_best_and_last_with_the_same_bytes(tmp_path):
    folder = CheckpointFolder(tmp_path, keep=1)

    def same(name: str, step: int, content: bytes) -> Entry:
        return folder.save(name, lambda file: file.write(content), step=step, resumable=name == LAST, facts={})

    for first, second in ((LAST, BEST), (BEST, LAST)):
        content = first.encode()
        same(first, 10, content)
        same(second, 10, content)
        assert folder.newest(pytest.fail).path == tmp_path / LAST and folder.best(pytest.fail).path == tmp_path / BEST
        assert folder.newest(pytest.fail).entry.resumable
        (tmp_path / LAST).unlink()
        assert newest(folder)[0].path == tmp_path / BEST  # the bytes are all that a resume needs
        same(LAST, 20, content + b"20")
        assert folder.best(pytest.fail).path == tmp_path / BEST and not folder.best(pytest.fail).entry.resumable
        same(BEST, 20, content + b"best")
        assert len(folder.entries()) == 2 and names(folder) == {LAST, BEST}
        same(LAST, 5, b"lower")


def test_without_a_best_the_newest_is_taken_and_said(folder):
    (folder.path / BEST).unlink()
    lines: list[str] = []
    assert folder.best(lines.append).entry.step == 30
    assert "best.ckpt of step 20 is passed over: it is missing; last.ckpt of step 30 is taken instead" in lines[0]
    other = CheckpointFolder(folder.path.parent / "other")
    save(other, 1)
    lines.clear()
    assert other.best(lines.append).entry.step == 1 and "best.ckpt was not saved; last.ckpt of step 1" in lines[0]


def test_prune(folder):
    everything = names(folder)
    folder.prune("all")
    assert names(folder) == everything == {LAST, BEST, "step-20.ckpt"}
    content = flip(folder.path / BEST, 500)
    folder.prune("best")
    assert names(folder) == everything  # else nothing good would be left
    (folder.path / BEST).write_bytes(content)
    CheckpointFolder(folder.path).prune("best")
    assert names(folder) == {BEST} and folder.best(pytest.fail).entry.step == 20 and newest(folder) == (None, [])
    folder.prune("last")
    assert names(folder) == {BEST}


def test_prune_to_the_last(folder):
    folder.prune("last")
    assert names(folder) == {LAST, "step-20.ckpt"} and folder.newest(pytest.fail).entry.step == 30
    assert all(entry.resumable for entry in folder.entries())
    folder.prune("best")
    assert names(folder) == {LAST, "step-20.ckpt"}


def test_clean_removes_what_killed_saves_left_and_nothing_else(folder, tmp_path):
    outside = tmp_path / "outside"
    outside.mkdir()
    (outside / ".last.ckpt.0000.tmp").write_text("another folder's")
    kept = {".last.ckpt.tmp", "notes.txt", ".notes.tmp", "x.last.ckpt.0000.tmp", ".other.ckpt.0000.tmp"}
    for name in [*kept, ".last.ckpt.12ab34cd.tmp", ".best.ckpt.a_b1.tmp", ".manifest.json.00.tmp"]:
        (folder.path / name).write_text("x")
    (folder.path / ".last.ckpt.1111.tmp").symlink_to(outside / ".last.ckpt.0000.tmp")
    (folder.path / ".last.ckpt.2222.tmp").symlink_to(outside)
    (folder.path / ".last.ckpt.3333.tmp").mkdir()
    (folder.path / "step-1.ckpt").symlink_to(outside / ".last.ckpt.0000.tmp")
    links = {".last.ckpt.1111.tmp", ".last.ckpt.2222.tmp", ".last.ckpt.3333.tmp", "step-1.ckpt"}
    folder.clean()
    save(folder, 40)
    folder.prune("last")
    assert names(folder) == kept | links | {LAST, "step-30.ckpt"}
    assert (outside / ".last.ckpt.0000.tmp").read_text() == "another folder's"


def test_a_reader_beside_saves_always_finds_one(tmp_path):
    """A child saves without a break; whoever looks finds a good checkpoint, never an older one than before."""
    path = tmp_path / "checkpoints"
    for name in (LAST, BEST):
        save(CheckpointFolder(path), 0, name)
    child = os.fork()
    if child == 0:
        try:
            writer = CheckpointFolder(path)
            for step in range(1, 80):
                save(writer, step)
                save(writer, step, BEST)
        finally:
            os._exit(0)
    serial, looks = 0, 0
    while os.waitpid(child, os.WNOHANG)[0] == 0:
        reader = CheckpointFolder(path)
        found, best = reader.newest(lambda line: None), reader.best(lambda line: None)
        assert found is not None and found.entry.serial >= serial and best is not None
        serial, looks = found.entry.serial, looks + 1
    assert looks > 3 and newest(CheckpointFolder(path))[0].entry.step == 79


def test_a_reader_looks_again_when_a_save_moved_the_files(folder, monkeypatch):
    look = finding.Look.newest

    def disturbed(self: finding.Look) -> Found | None:
        monkeypatch.undo()
        for step in (40, 50):
            save(CheckpointFolder(folder.path, keep=1), step)
        return look(self)

    monkeypatch.setattr(finding.Look, "newest", disturbed)
    assert folder.newest(pytest.fail).entry.step == 50


def test_a_large_file_is_removed_beside_the_training(folder, monkeypatch):
    monkeypatch.setattr(checkpoints, "LARGE", 1)
    for step in (40, 50, 60):
        save(folder, step)
    assert folder._removing is not None
    folder._removing.join(60)  # not every thread: other tests leave some that never end
    assert names(folder) == {LAST, "step-50.ckpt", BEST}


def test_no_torch_is_needed():
    program = f"import sys, {checkpoints.__name__}, {finding.__name__}; sys.exit('torch' in sys.modules)"
    subprocess.run([sys.executable, "-c", program], check=True, timeout=60)
