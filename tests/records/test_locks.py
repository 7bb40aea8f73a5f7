import os
import subprocess
import sys

from lit_transformer.records.locks import FileLock, is_locked

HOLD = """
import sys, pathlib
from lit_transformer.records.locks import FileLock
lock = FileLock(pathlib.Path(sys.argv[1]))
print(lock.acquire(), flush=True)
sys.stdin.read()
"""


def test_one_holder_at_a_time_and_death_releases(tmp_path):
    path = tmp_path / "x" / ".lock"
    assert not is_locked(path)
    holder = subprocess.Popen(
        [sys.executable, "-c", HOLD, str(path)], stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True
    )
    assert holder.stdout.readline() == "True\n"
    assert is_locked(path)
    assert not FileLock(path).acquire()
    holder.kill()
    holder.wait()
    assert not is_locked(path)
    with FileLock(path):
        assert is_locked(path)
    assert not is_locked(path)
    assert os.path.exists(path)
