"""Files that are hashed while they are written, and hashed again when they are read."""

import errno
import hashlib
import io
import os
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from queue import SimpleQueue
from typing import IO

BUFFER = 1 << 20
"""Bytes gathered from small writes; torch.save makes many of a few bytes. Longer writes are not copied."""
PIECE = 1 << 22
"""Longest single write, so that the hashing follows closely."""


def write_hashed(path: Path, dump: Callable[[IO[bytes]], object]) -> tuple[str, int]:
    """Let `dump` fill the new file `path`, flush it to the disk, and return its SHA-256 and its bytes.

    `dump` may write and flush, not seek. Raises the OSError of a failed write, whatever `dump` made of it, and
    FileExistsError; removing the file is the caller's part.
    """
    descriptor = os.open(path, os.O_RDWR | os.O_CREAT | os.O_EXCL, 0o666)
    try:
        with ThreadPoolExecutor(1) as beside:
            raw = _Counting(descriptor)
            sha256 = beside.submit(_hash_behind, descriptor, raw.written)
            _fill(raw, dump)
            os.fsync(descriptor)
            return sha256.result(), raw.bytes
    finally:
        os.close(descriptor)


def _fill(raw: "_Counting", dump: Callable[[IO[bytes]], object]) -> None:
    buffered = io.BufferedWriter(raw, BUFFER)
    try:
        dump(buffered)
        buffered.flush()
    except Exception:
        if raw.error is not None:  # torch's writer hides a full disk behind "unexpected pos"
            raise raw.error from None
        raise
    finally:
        raw.close()  # else a failed buffer is flushed once collected, to what may be another file's descriptor
        raw.written.put(0)


class _Counting(io.RawIOBase):
    """Writes to a descriptor, and tells how many bytes each write added."""

    def __init__(self, descriptor: int) -> None:
        super().__init__()
        self._descriptor = descriptor
        self.written: SimpleQueue[int] = SimpleQueue()
        """Bytes of each write; 0 is the end."""
        self.bytes = 0
        self.error: OSError | None = None

    def writable(self) -> bool:
        return True

    def write(self, data: object, /) -> int:
        assert isinstance(data, bytes | bytearray | memoryview)
        view = memoryview(data).cast("B")
        done = 0
        try:
            while done < len(view):
                count = os.write(self._descriptor, view[done : done + PIECE])
                self.written.put(count)
                done += count
        except OSError as error:
            self.error = error
            raise
        self.bytes += done
        return done


def _hash_behind(descriptor: int, written: SimpleQueue[int]) -> str:
    """SHA-256 of what is being written, read back from the system's cache: a tensor's memory may be gone by then.

    SHA-256 is about as slow as a disk, so it runs beside the writing and the flush.
    """
    digest, at = hashlib.sha256(), 0
    while count := written.get():
        end = at + count
        while at < end:
            data = os.pread(descriptor, min(BUFFER, end - at), at)
            if not data:
                raise OSError(errno.EIO, "the file shrank while it was written")
            digest.update(data)
            at += len(data)
    return digest.hexdigest()


def hash_file(path: Path) -> str:
    """SHA-256 of a file's content, in hexadecimal; raises OSError."""
    with open(path, "rb", buffering=0) as file:
        return hashlib.file_digest(file, "sha256").hexdigest()


class Digests:
    """SHA-256 of files, each file hashed once unless it changes; its name does not matter.

    A file counts as unchanged while inode, size and time of change are: what a disk damages by itself goes unseen, so
    whoever is about to use a file starts with new Digests.
    """

    def __init__(self) -> None:
        self._known: dict[tuple[int, int, int, int], str] = {}

    def of(self, path: Path) -> str:
        """SHA-256 of `path`; raises OSError."""
        key = self._key(path)
        if key not in self._known:
            self._known[key] = hash_file(path)
        return self._known[key]

    def learn(self, path: Path, sha256: str) -> None:
        """Take for given what `path`, just written, holds."""
        self._known[self._key(path)] = sha256

    @staticmethod
    def _key(path: Path) -> tuple[int, int, int, int]:
        status = os.stat(path)
        return status.st_dev, status.st_ino, status.st_size, status.st_mtime_ns
