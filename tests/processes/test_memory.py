"""What tensors free stays with the process; each case in a process of its own, for the setting cannot be taken back."""

import os
import subprocess
import sys

import pytest

STEPS = """
import resource, sys
import numpy
from lit_transformer.processes.memory import keep_freed_memory

if sys.argv[1] == "keep":
    print(keep_freed_memory())
for step in range(11):
    if step == 1:
        before = resource.getrusage(resource.RUSAGE_SELF).ru_minflt
    blocks = [numpy.ones(2_000_000) for _ in range(4)]  # 16 MB each
    del blocks
print(resource.getrusage(resource.RUSAGE_SELF).ru_minflt - before)
"""


def run(case: str, **environment: str) -> list[str]:
    done = subprocess.run(
        [sys.executable, "-c", STEPS, case], check=True, capture_output=True, text=True, env=os.environ | environment
    )
    return done.stdout.split()


@pytest.mark.skipif(sys.platform != "linux", reason="glibc's setting")
def test_freed_memory_is_taken_again_without_new_pages() -> None:
    told, faults = run("keep")
    assert told == "True"
    without = int(run("leave")[0])
    assert without > 1000 and int(faults) < without / 20  # 160 pages of 2 MB at least, even where those are used


def test_what_the_user_set_stands() -> None:
    assert run("keep", MALLOC_TRIM_THRESHOLD_="100000")[0] == "False"
