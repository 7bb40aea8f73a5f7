"""`metric.target`: once a run has logged a value that reaches it, no cell is begun any more, whatever the method.

As W&B describes it: runs that have begun go on to their ends.
"""

import time

from lit_transformer.records.sweep_folder import SweepFolder
from lit_transformer.sweep.judge import Histories
from lit_transformer.sweep.ledger import Ledger
from lit_transformer.sweep.search import read_search

LOOK_SECONDS = 1.0
"""Between looks at a running trial's log."""


class Target:
    """Looks at the cells that a worker runs, and closes the sweep's ledger when one reaches the target."""

    def __init__(self, folder: SweepFolder, ledger: Ledger, histories: Histories, *, goal: str) -> None:
        self._folder, self._ledger, self._histories, self._goal = folder, ledger, histories, goal
        self._looked = 0.0

    def look(self, cell: str, *, at_once: bool = False) -> str:
        """Why the ledger was closed by this look, else nothing; once a second unless `at_once`. Raises OSError."""
        now = time.monotonic()
        if now - self._looked < LOOK_SECONDS and not at_once:
            return ""
        self._looked = now
        target = read_search(self._folder).target  # read each time: `sweep extend` may have changed it meanwhile
        if target is None:
            return ""
        values = self._histories.of(cell)
        best = (min if self._goal == "minimize" else max)(values, default=None)
        if best is None or not self._reaches(best, target) or self._ledger.why_closed():
            return ""
        why = f"the target {target:g} of {self._histories.metric} is reached: {best:.6g} in {cell}"
        self._ledger.close(why)
        return why

    def _reaches(self, value: float, target: float) -> bool:
        return value <= target if self._goal == "minimize" else value >= target
