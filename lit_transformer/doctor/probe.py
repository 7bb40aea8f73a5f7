"""Runs what may crash or hang in a process of its own, so that a crash is a line of the report."""

import json
import os
import signal
import subprocess
import sys
from collections.abc import Sequence
from dataclasses import dataclass

Answer = dict[str, object]
"""What a step found; `error` where it failed."""


@dataclass(frozen=True)
class Answers:
    """What the steps of a probe said before it ended."""

    steps: dict[str, Answer]
    end: str
    """Why a step is missing."""

    def get(self, step: str) -> Answer:
        """A step's answer; one with `error` where the process ended before it."""
        return self.steps.get(step, {"error": self.end})


def probe(module: str, arguments: Sequence[str] = (), *, timeout: float) -> Answers:
    """Run a module that prints a JSON object with `step` per line; it and its children are killed after `timeout` s."""
    process = subprocess.Popen(
        [sys.executable, "-m", module, *arguments],
        stdin=subprocess.DEVNULL,
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
        start_new_session=True,
    )
    late = False
    try:
        out, err = process.communicate(timeout=timeout)
    except subprocess.TimeoutExpired:
        late = True
    finally:  # Ctrl-C too: nothing stays behind
        if process.poll() is None:
            os.killpg(process.pid, signal.SIGKILL)
    if late:
        out, err = process.communicate()
    answers = [json.loads(line) for line in out.splitlines() if line.startswith('{"step"')]
    return Answers({str(answer["step"]): answer for answer in answers}, _end(process.returncode, err, timeout, late))


def answer(step: str, found: Answer) -> None:
    """Print a step's answer, in the probe's process."""
    print(json.dumps({"step": step, **found}), flush=True)


def _end(status: int, said: str, timeout: float, late: bool) -> str:
    if late:
        return f"did not answer within {timeout:.0f} s"
    last = said.strip().splitlines()[-1:] or ["it said nothing"]
    return f"died of {signal.Signals(-status).name}" if status < 0 else f"ended with status {status}: {last[0]}"
