"""A cache folder is whole or not there, whatever happens to its writer or its disk."""

import errno
import json
import os
import shutil
import signal
import subprocess
import sys
import time
from collections.abc import Callable
from pathlib import Path

import pytest

from lit_transformer.config.errors import UserError
from lit_transformer.config.schema import ExperimentConfig
from lit_transformer.data import encode
from lit_transformer.data.cache import build_once, is_complete
from lit_transformer.data.prepare import load_prepared, prepare_text

PREPARE = """
import os, sys, time
from pathlib import Path
from lit_transformer.config.errors import UserError
from lit_transformer.config.schema import DataConfig, ExperimentConfig, GPTConfig, TokenizerConfig
from lit_transformer.data.prepare import prepare_text

config = ExperimentConfig(
    model=GPTConfig(context_length=8),
    data=DataConfig(source="text", path="text.txt", tokenizer=TokenizerConfig(kind="bpe", vocab_size=300)),
)
"""


def start(code: str) -> subprocess.Popen[str]:
    environment = os.environ | {"PYTHONPATH": str(Path(__file__).parents[2])}
    return subprocess.Popen(
        [sys.executable, "-c", PREPARE + code],
        env=environment,
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
    )


def wait_for(path: Path) -> None:
    limit = time.monotonic() + 60
    while not path.exists():
        assert time.monotonic() < limit, f"{path} never came"
        time.sleep(0.01)


def left_in(cache: Path) -> list[str]:
    """What lies in the cache, without locks."""
    return [str(path.relative_to(cache)) for path in cache.glob("*/*") if path.suffix != ".lock"]


def test_two_processes_at_once_make_one_cache(prose: str, tmp_path: Path) -> None:
    Path("text.txt").write_text(prose * 20)
    code = """
Path(sys.argv[0] + str(os.getpid()) + ".ready").touch()
while not Path("go").exists(): time.sleep(0.001)
calls = []
prepared = prepare_text(config, progress=lambda *state: calls.append(state))
print(len(calls) > 0, prepared.folder, prepared.tokens["train"])
"""
    workers = [start(code) for _ in range(3)]
    for worker in workers:
        wait_for(Path(f"-c{worker.pid}.ready"))
    Path("go").touch()
    answers = [worker.communicate(timeout=120) for worker in workers]
    assert all(worker.returncode == 0 for worker in workers), answers
    built, folders, tokens = zip(*(answer.split() for answer, _ in answers), strict=True)
    assert sorted(built) == ["False", "False", "True"]  # one built, the others took what it made
    assert len(set(folders)) == len(set(tokens)) == 1
    assert left_in(tmp_path / "cache") == [f"text/{Path(folders[0]).name}"]


def test_a_killed_writer_leaves_no_lock_and_no_half_folder(prose: str, tmp_path: Path) -> None:
    Path("text.txt").write_text(prose)
    code = """
def hang(*state):
    Path("writing").touch()
    time.sleep(300)
prepare_text(config, progress=hang)
"""
    writer = start(code)
    wait_for(Path("writing"))
    writer.send_signal(signal.SIGKILL)
    writer.communicate(timeout=60)
    assert any(name.endswith(".tmp") for name in left_in(tmp_path / "cache"))
    follower = start("print(prepare_text(config).folder)")
    answer, complaint = follower.communicate(timeout=60)
    assert is_complete(Path(answer.strip())), complaint
    assert left_in(tmp_path / "cache") == [f"text/{Path(answer.strip()).name}"]


@pytest.mark.parametrize(
    "damage",
    [
        lambda folder: (folder / "meta.json").unlink(),
        lambda folder: (folder / "meta.json").write_text('{"files"'),
        lambda folder: (folder / "meta.json").write_text("[]"),
        lambda folder: os.truncate(folder / "train.bin", 100),
        lambda folder: (folder / "val.bin").unlink(),
        lambda folder: (folder / "tokenizer.json").write_text(""),
    ],
)
def test_a_damaged_folder_is_made_again(
    damage: Callable[[Path], object], config: Callable[..., ExperimentConfig], prose: str
) -> None:
    Path("text.txt").write_text(prose)
    folder = prepare_text(config()).folder
    before = {path.name: path.read_bytes() for path in folder.iterdir()}
    damage(folder)
    with pytest.raises(UserError, match=r"no prepared data, or damaged ones"):
        load_prepared(folder)
    prepare_text(config())
    assert {path.name: path.read_bytes() for path in folder.iterdir()} == before


def test_a_second_call_builds_nothing(config: Callable[..., ExperimentConfig], prose: str) -> None:
    Path("text.txt").write_text(prose)
    first = prepare_text(config())
    times = {path: path.stat().st_mtime_ns for path in first.folder.iterdir()}

    def fail(*state: object) -> None:
        raise AssertionError("built again")

    assert prepare_text(config(), progress=fail) == first == load_prepared(first.folder)
    assert {path: path.stat().st_mtime_ns for path in first.folder.iterdir()} == times


def test_full_disk(prose: str, tmp_path: Path) -> None:
    """A real one: a tiny tmpfs where one may be mounted, else a limit on the size of files."""
    Path("text.txt").write_text(prose * 4)
    disk = tmp_path / "cache"
    mount = shutil.which("mount")
    small = ["-t", "tmpfs", "-o", "size=100k", "tmpfs", str(disk)]
    mounted = mount is not None and subprocess.run([mount, *small], check=False, capture_output=True).returncode == 0
    limit = "" if mounted else "import resource\nresource.setrlimit(resource.RLIMIT_FSIZE, (60_000, 60_000))\n"
    code = "try: prepare_text(config)\nexcept UserError as error: print(error)"
    try:
        answer, complaint = start(limit + code).communicate(timeout=60)
        _check_full(answer, disk, complaint)
    finally:
        if mounted:
            subprocess.run(["umount", str(disk)], check=True)


def test_file_size_limit(prose: str, tmp_path: Path) -> None:
    Path("text.txt").write_text(prose * 4)
    size = 60_000
    code = f"import resource\nresource.setrlimit(resource.RLIMIT_FSIZE, ({size}, {size}))\n"
    code += "try: prepare_text(config)\nexcept UserError as error: print(error)"
    answer, complaint = start(code).communicate(timeout=60)
    _check_full(answer, tmp_path / "cache", complaint)


def _check_full(answer: str, cache: Path, complaint: str) -> None:
    assert "the disk of the data cache is full: about" in answer, complaint
    assert f"folder   {cache / 'text'}" in answer
    needed = int(answer.partition("about ")[2].partition(" bytes")[0].replace(",", ""))
    assert 60_000 < needed < 1_000_000
    assert left_in(cache) == []


@pytest.mark.parametrize(("code", "message"), [(errno.ENOSPC, "is full: about"), (errno.EIO, "cannot be written")])
def test_a_failing_write_leaves_nothing_and_can_be_repeated(
    code: int,
    message: str,
    config: Callable[..., ExperimentConfig],
    prose: str,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    Path("text.txt").write_text(prose)

    def fail(*arguments: object) -> int:
        raise OSError(code, os.strerror(code))

    with monkeypatch.context() as patch:
        patch.setattr(encode.os, "write", fail)
        with pytest.raises(UserError, match=message):
            prepare_text(config())
    assert left_in(tmp_path / "cache") == []
    assert prepare_text(config()).tokens["train"] > 0


def test_a_cache_that_is_a_file(config: Callable[..., ExperimentConfig], prose: str, tmp_path: Path) -> None:
    Path("text.txt").write_text(prose)
    (tmp_path / "cache").rmdir()
    (tmp_path / "cache").write_text("")
    with pytest.raises(UserError, match=r"data cache cannot be written(.|\n)*LIT_TRANSFORMER_CACHE"):
        prepare_text(config())


def test_an_error_while_building_leaves_nothing(tmp_path: Path) -> None:
    def build(folder: Path) -> dict[str, object]:
        (folder / "half").write_text("x")
        raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        build_once(tmp_path / "cache" / "text" / "key", build)
    assert left_in(tmp_path / "cache") == []


def test_meta_names_every_file(config: Callable[..., ExperimentConfig], prose: str) -> None:
    Path("text.txt").write_text(prose)
    folder = prepare_text(config()).folder
    meta = json.loads((folder / "meta.json").read_text())
    assert set(meta["files"]) == {path.name for path in folder.iterdir()} - {"meta.json"}
