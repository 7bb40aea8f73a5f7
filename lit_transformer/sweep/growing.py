"""A plan that may grow while workers run it: whoever runs the sweep looks for new cells."""

from lit_transformer.records.sweep_folder import SweepFolder


class PlanWatch:
    """Tells whether plan.json was replaced since the last look; its configurations are then whole already."""

    def __init__(self, folder: SweepFolder) -> None:
        self._file = folder.plan_file
        self._seen = self._stamp()

    def changed(self) -> bool:
        """Whether it is another file than at the last look; one `stat`."""
        stamp = self._stamp()
        if stamp is None or stamp == self._seen:
            return False
        self._seen = stamp
        return True

    def _stamp(self) -> tuple[int, int, int] | None:
        try:
            found = self._file.stat()
        except OSError:
            return None
        return found.st_ino, found.st_size, found.st_mtime_ns
