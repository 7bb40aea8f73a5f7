"""Folders of prepared data, shared by processes: written once under a lock, beside their place, and renamed."""

import errno
import fcntl
import json
import os
import shutil
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path

from lit_transformer.config.errors import UserError

CACHE_VARIABLE = "LIT_TRANSFORMER_CACHE"
"""Environment variable with the folder of prepared data."""

META = "meta.json"
"""Written last: what the folder holds, and the size of each of its files."""

NO_SPACE = (errno.ENOSPC, errno.EDQUOT, errno.EFBIG)
"""What the system says where no more can be written."""


class OutOfSpaceError(OSError):
    """The disk is full, a quota is used up or a file may not grow; says how many bytes are needed in all."""

    def __init__(self, needed: int) -> None:
        super().__init__(errno.ENOSPC, os.strerror(errno.ENOSPC))
        self.needed = needed


def cache_root() -> Path:
    """Folder of prepared data: LIT_TRANSFORMER_CACHE, else ~/.cache/lit-transformer."""
    return Path(os.environ.get(CACHE_VARIABLE) or "~/.cache/lit-transformer").expanduser().resolve()


def is_complete(folder: Path) -> bool:
    """The folder has its meta.json and every file named there, with its size."""
    try:
        files = json.loads((folder / META).read_text(encoding="utf-8"))["files"]
        return all((folder / name).stat().st_size == size for name, size in files.items())
    except (OSError, ValueError, KeyError, AttributeError, TypeError):
        return False


def build_once(folder: Path, build: Callable[[Path], dict[str, object]]) -> None:
    """Makes `folder` by `build(temporary folder) -> meta` unless it is complete; one process builds, the others wait.

    A damaged folder and what a killed process left are replaced. Raises UserError where the disk is full, naming the
    folder and the bytes needed, or where the cache cannot be written; nothing half-made stays.
    """
    if is_complete(folder):
        return
    with _locked(folder):
        if is_complete(folder):
            return
        for left in folder.parent.glob(f"{folder.name}.*.tmp"):
            shutil.rmtree(left, ignore_errors=True)
        temporary = folder.with_name(f"{folder.name}.{os.getpid()}.tmp")
        try:
            temporary.mkdir()
            _write_meta(temporary, build(temporary))
            shutil.rmtree(folder, ignore_errors=True)
            temporary.rename(folder)
            _fsync(folder.parent)
        except OSError as error:
            raise _user_error(folder, error) from error
        finally:
            shutil.rmtree(temporary, ignore_errors=True)


@contextmanager
def _locked(folder: Path) -> Iterator[None]:
    """Holds the lock of a folder; it is the file's, so it ends with the process however that ends."""
    try:
        folder.parent.mkdir(parents=True, exist_ok=True)
        lock = folder.with_name(f"{folder.name}.lock").open("a")
    except OSError as error:
        raise _user_error(folder, error) from error
    with lock:
        fcntl.flock(lock, fcntl.LOCK_EX)
        yield


def _write_meta(folder: Path, meta: dict[str, object]) -> None:
    files = {path.name: path.stat().st_size for path in sorted(folder.iterdir())}
    for name in files:
        _fsync(folder / name)
    with (folder / META).open("w", encoding="utf-8") as file:
        json.dump(meta | {"files": files}, file, indent=1)
        file.flush()
        os.fsync(file.fileno())
    _fsync(folder)


def _fsync(path: Path) -> None:
    descriptor = os.open(path, os.O_RDONLY)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)


def _user_error(folder: Path, error: OSError) -> UserError:
    root = folder.parent
    if error.errno in NO_SPACE:
        needed = (
            f"about {error.needed:,} bytes are needed" if isinstance(error, OutOfSpaceError) else "no space is left"
        )
        free = f"{shutil.disk_usage(root).free:,} are free" if root.exists() else "the folder could not be made"
        return UserError(
            f"the disk of the data cache is full: {needed}, {free}\n  folder   {root}\n"
            f"  fix      free some space, or set {CACHE_VARIABLE} to a folder on another disk"
        )
    return UserError(
        f"the data cache cannot be written: {error.strerror or error}\n  folder   {root}\n"
        f"  fix      set {CACHE_VARIABLE} to a folder that you can write"
    )
