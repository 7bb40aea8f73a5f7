"""Files that are hashed while they are written, and digests that are not taken twice."""

import io
import os
import random

import pytest

from lit_transformer.records.hashed import BUFFER, PIECE, Digests, hash_file, write_hashed

pytestmark = pytest.mark.timeout(300)


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
