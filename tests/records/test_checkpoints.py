"""Checkpoints on disk: which are kept, which are good, and what is done when a disk is full or damages them."""

import errno
import io
import json
import os
import random
import subprocess
import sys
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest
import torch

from lit_transformer.records import checkpoints, finding
from lit_transformer.records.atomic import is_full
from lit_transformer.records.checkpoints import BEST, LAST, CheckpointFolder, Entry, Found, verify
from lit_transformer.records.hashed import BUFFER, PIECE, Digests, hash_file, write_hashed
from tests.records.power_cut import Call, watched

pytestmark = pytest.mark.timeout(300)


def save(folder: CheckpointFolder, step: int, name: str = LAST, content: object = None) -> Entry:
    value = {"step": step, "name": name, "content": content}
    return folder.save(
        name, lambda file: torch.save(value, file), step=step, resumable=name == LAST, facts={"saved_at": step}
    )


def step_in(path: Path) -> int:
    return torch.load(path, weights_only=True)["step"]


def newest(folder: CheckpointFolder) -> tuple[Found | None, list[str]]:
    lines: list[str] = []
    return folder.newest(lines.append), lines


def names(folder: CheckpointFolder) -> set[str]:
    return set(os.listdir(folder.path)) - {"manifest.json"}


def failure(action: Callable[[], object]) -> OSError | None:
    """The OSError of `action`, torch's RuntimeError not among them."""
    try:
        action()
    except OSError as error:
        return error
    return None


@pytest.fixture
def folder(tmp_path: Path) -> CheckpointFolder:
    """Steps 10, 20 and 30 were saved, two are kept, 20 was the best."""
    folder = CheckpointFolder(tmp_path / "checkpoints")
    for step in (10, 20, 30):
        save(folder, step)
        if step == 20:
            save(folder, step, BEST)
    return folder


def flip(path: Path, bit: int) -> bytes:
    """Flip one bit in place; returns the earlier content."""
    content = path.read_bytes()
    damaged = bytearray(content)
    damaged[bit // 8] ^= 1 << bit % 8
    path.write_bytes(damaged)
    return content


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


@pytest.mark.parametrize("name", [LAST, BEST])
@pytest.mark.parametrize("code", [errno.ENOSPC, errno.EIO])
def test_any_call_may_fail(tmp_path, name, code):
    """Whichever call fails, its error passes through, nothing temporary stays, and what was good stays good."""
    failures = 0
    for number in range(100):
        folder = CheckpointFolder(tmp_path / str(number))
        for step in (1, 2):
            save(folder, step)
            save(folder, step, BEST)
        calls = 0

        def fail(call: object, number: int = number) -> None:
            nonlocal calls
            calls += 1
            if calls == number + 1:
                raise OSError(code, os.strerror(code))

        with watched(folder.path, before=fail, after=lambda call: None):
            error = failure(lambda folder=folder: save(folder, 3, name))
        assert error is None or error.errno == code
        failures += error is not None
        last, best = newest(folder)[0], folder.best(lambda line: None)
        assert step_in(last.path) == last.entry.step in {2, 3} and step_in(best.path) == best.entry.step in {2, 3}
        assert best.entry.name == BEST and not [item for item in names(folder) if item.startswith(".")]
        save(folder, 4, name)
        assert folder.newest(pytest.fail).entry.step == (4 if name == LAST else 2)
        if calls <= number:
            break
    assert 10 < failures < 40


@pytest.mark.parametrize("number", [1, 2, 3])
def test_torch_does_not_hide_a_full_disk(folder, number):
    """Its writer says RuntimeError: unexpected pos."""
    writes = 0

    def fail(call: Call) -> None:
        nonlocal writes
        if call.name == "write":
            writes += 1
            if writes == number:
                raise OSError(errno.ENOSPC, "No space left on device")

    before = names(folder)
    with watched(folder.path, before=fail, after=lambda call: None):
        error = failure(lambda: save(folder, 40, content=torch.zeros(3_000_000)))
    assert error is not None and error.errno == errno.ENOSPC and writes == number
    assert names(folder) == before and folder.newest(pytest.fail).entry.step == 30


@pytest.fixture
def small_disk(tmp_path: Path) -> Iterator[Path]:
    """A tmpfs of 1 MiB."""
    disk = tmp_path / "disk"
    disk.mkdir()
    run = [] if os.geteuid() == 0 else ["sudo", "-n"]
    mounted = subprocess.run(
        [*run, "mount", "-t", "tmpfs", "-o", "size=1m,mode=777", "tmpfs", disk],
        check=False,
        capture_output=True,
        text=True,
    )
    if mounted.returncode:
        pytest.skip(f"a small disk needs root: {mounted.stderr}")  # fails in CI
    yield disk
    subprocess.run([*run, "umount", disk], check=True)


def test_a_disk_full_at_every_write(small_disk):
    folder = CheckpointFolder(small_disk / "checkpoints")
    content = torch.arange(40_000, dtype=torch.float32)
    for step in (1, 2):
        save(folder, step, content=content)
    filler, errors = small_disk / "filler", 0
    page = os.statvfs(small_disk).f_frsize
    free = os.statvfs(small_disk).f_bavail
    for left in range(free):
        filler.write_bytes(bytes((free - left) * page))
        assert os.statvfs(small_disk).f_bavail == left
        error = failure(lambda: save(folder, 3, content=content))
        if error is None:
            break
        assert error.errno == errno.ENOSPC and is_full(error)
        errors += 1
        assert names(folder) == {LAST, "step-1.ckpt"} and folder.newest(pytest.fail).entry.step == 2
        filler.unlink()
    assert errors > 30 and folder.newest(pytest.fail).entry.step == 3 and names(folder) == {LAST, "step-2.ckpt"}


def test_a_disk_that_takes_no_writes(small_disk):
    folder = CheckpointFolder(small_disk / "checkpoints")
    for step in (1, 2):
        save(folder, step)
    run = [] if os.geteuid() == 0 else ["sudo", "-n"]
    subprocess.run([*run, "mount", "-o", "remount,ro", small_disk], check=True)
    with pytest.raises(OSError, match="Read-only"):
        save(folder, 3)
    assert folder.newest(pytest.fail).entry.step == 2 and names(folder) == {LAST, "step-1.ckpt"}


def test_a_writer_that_fails_leaves_nothing(folder):
    before = names(folder)

    def fail(file: io.BufferedWriter) -> None:
        file.write(b"half")
        raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        folder.save(LAST, fail, step=40, resumable=True, facts={})
    assert names(folder) == before and folder.newest(pytest.fail).entry.step == 30


def test_what_a_failed_save_buffered_goes_into_no_other_file(folder, tmp_path):
    files: list[io.BufferedWriter] = []

    def fail(file: io.BufferedWriter) -> None:
        file.write(b"half")
        files.append(file)
        raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        folder.save(LAST, fail, step=40, resumable=True, facts={})
    others = [(tmp_path / str(number)).open("wb", buffering=0) for number in range(20)]  # one has its descriptor now
    files[0].close()  # as the collector does
    for other in others:
        other.close()
        assert Path(other.name).stat().st_size == 0


def test_an_unreadable_manifest_is_not_written_over(folder):
    (folder.path / "manifest.json").unlink()
    (folder.path / "manifest.json").symlink_to(folder.path / "manifest.json")
    with pytest.raises(OSError, match="symbolic links"):
        save(folder, 40)
    found, lines = newest(folder)
    assert found is None and "cannot be read" in lines[0] and step_in(folder.path / LAST) == 30


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


@pytest.mark.parametrize("sizes", [[], [0], [1], [BUFFER], [3, PIECE * 2 + 7, 5, BUFFER + 1, 1] * 2])
def test_hashing_while_writing(tmp_path, sizes):
    def dump(file: io.BufferedWriter) -> None:
        for size in sizes:
            data = bytearray(random.Random(size).randbytes(size))
            file.write(memoryview(data))
            data[:] = bytes(size)  # the memory is the writer's again
            file.flush()

    sha256, size = write_hashed(tmp_path / "file", dump)
    expected = b"".join(random.Random(size).randbytes(size) for size in sizes)
    assert (tmp_path / "file").read_bytes() == expected and size == len(expected)
    assert hash_file(tmp_path / "file") == sha256
    with pytest.raises(FileExistsError):
        write_hashed(tmp_path / "file", dump)


def test_digests_follow_a_file_not_its_name(tmp_path, monkeypatch):
    digests, path = Digests(), tmp_path / "a"
    path.write_bytes(b"one")
    one = digests.of(path)
    os.replace(path, tmp_path / "b")
    with monkeypatch.context() as patch:
        patch.setattr("lit_transformer.records.hashed.hash_file", pytest.fail)
        assert digests.of(tmp_path / "b") == one
    (tmp_path / "b").write_bytes(b"other")
    assert digests.of(tmp_path / "b") == hash_file(tmp_path / "b") != one


def test_no_torch_is_needed():
    program = f"import sys, {checkpoints.__name__}, {finding.__name__}; sys.exit('torch' in sys.modules)"
    subprocess.run([sys.executable, "-c", program], check=True, timeout=60)
