"""Run as a process: claims cells and holds each for a moment, until none is left. Arguments: folder, cells, name."""

import fcntl
import os
import random
import sys
import time
from pathlib import Path

from lit_transformer.sweep.holder import Holder
from lit_transformer.sweep.ledger import Ledger


def main(root: Path, count: int, name: str) -> None:
    ledger = Ledger(root / "claims", [f"cell={index}" for index in range(count)], Holder.here(name))
    while ledger.unsettled():
        claim = ledger.claim()
        if claim is None:
            time.sleep(0.002)
            continue
        descriptor = os.open(root / f"{claim.cell}.lock", os.O_CREAT | os.O_RDWR)
        try:
            fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            (root / f"overlap-{claim.cell}").touch()
        time.sleep(random.uniform(0, 0.02))
        claim.end("complete")
        os.close(descriptor)


if __name__ == "__main__":
    main(Path(sys.argv[1]), int(sys.argv[2]), sys.argv[3])
