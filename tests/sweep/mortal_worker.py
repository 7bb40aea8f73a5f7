"""Run in place of a worker: the first one is killed between its first trial's result and the record of it.

With MORTAL=all its fork server and its W&B writer are killed before it, as by a machine that runs out of memory.
"""

import os
import signal
import sys
from pathlib import Path
from typing import Any

import psutil

from lit_transformer.sweep import worker


def die_once(claim: Any, run: Any, *arguments: Any, **options: Any) -> Any:
    died = Path(sys.argv[1]) / "died"
    if died.exists():
        return SETTLE(claim, run, *arguments, **options)
    died.touch()
    assert run.read_result()["status"] == "complete"
    if os.environ.get("MORTAL") == "all":
        for process in psutil.Process().children(recursive=True):
            process.kill()
    os.kill(os.getpid(), signal.SIGKILL)


SETTLE = worker.settle

if __name__ == "__main__":
    worker.settle = die_once
    sys.exit(worker.main())
