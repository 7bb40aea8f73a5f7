import json
import os

import pytest

from lit_transformer.records.atomic import finite, read_json, write_atomic, write_json, write_text


def test_a_failed_write_leaves_the_earlier_file_and_nothing_else(tmp_path):
    path = tmp_path / "sub" / "a.txt"
    write_text(path, "before")

    def fail(file):
        file.write(b"half")
        raise OSError(28, "No space left on device")

    with pytest.raises(OSError, match="No space"):
        write_atomic(path, fail)
    assert path.read_text() == "before"
    assert os.listdir(path.parent) == ["a.txt"]


def test_a_writer_killed_in_the_middle_leaves_the_earlier_file(tmp_path):
    path = tmp_path / "a.txt"
    write_text(path, "before")
    child = os.fork()
    if child == 0:

        def die(file):
            file.write(b"half")
            file.flush()
            os.kill(os.getpid(), 9)

        write_atomic(path, die)
        os._exit(0)
    assert os.waitstatus_to_exitcode(os.waitpid(child, 0)[1]) == -9
    assert path.read_text() == "before"


def test_json_without_nan(tmp_path):
    write_json(tmp_path / "a.json", {"a": float("nan"), "b": [1.5, float("-inf")], "c": {"d": (1, "é")}})
    assert json.loads((tmp_path / "a.json").read_text()) == {"a": None, "b": [1.5, None], "c": {"d": [1, "é"]}}
    assert finite(True) is True


@pytest.mark.parametrize("text", [None, "", "{", "[1]", "null"])
def test_reading_what_is_no_object_gives_an_empty_one(tmp_path, text):
    if text is not None:
        (tmp_path / "a.json").write_text(text)
    assert read_json(tmp_path / "a.json") == {}
