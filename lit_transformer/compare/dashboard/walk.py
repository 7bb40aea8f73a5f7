"""The folders of runs and sweeps below a root, looked through again only where something was made or removed."""

import os
import stat
import time
from dataclasses import dataclass, field
from pathlib import Path

from lit_transformer.records.sweep_folder import SweepFolder

SETTLED = 2.0
"""Seconds after which a folder's time of change is told from that of the next change: clocks of disks are coarse."""
MAX_DEPTH = 24


@dataclass
class Found:
    """What a walk came across, sorted by path."""

    runs: list[Path] = field(default_factory=list)
    plans: list[Path] = field(default_factory=list)
    unreadable: list[Path] = field(default_factory=list)


class Walk:
    """Finds runs and sweeps as `find_runs` and `find_plans` do: links are not followed, a run is not searched."""

    def __init__(self, root: Path) -> None:
        self.root = root
        self._kept: dict[str, tuple[int, list[str]]] = {}

    def look(self) -> Found:
        found = Found()
        kept: dict[str, tuple[int, list[str]]] = {}
        self._visit(str(self.root), found, kept, in_plan=False, depth=0)
        self._kept = kept
        return found

    def _visit(
        self, folder: str, found: Found, kept: dict[str, tuple[int, list[str]]], *, in_plan: bool, depth: int
    ) -> None:
        if not in_plan and _is_file(str(SweepFolder(Path(folder)).plan_file)):
            found.plans.append(Path(folder))
            in_plan = True
        if _is_file(f"{folder}/config.yaml"):
            found.runs.append(Path(folder))
            return
        names = self._folders(folder, kept)
        if names is None:
            found.unreadable.append(Path(folder))
        if depth < MAX_DEPTH:
            for name in names or []:
                self._visit(f"{folder}/{name}", found, kept, in_plan=in_plan, depth=depth + 1)

    def _folders(self, folder: str, kept: dict[str, tuple[int, list[str]]]) -> list[str] | None:
        """The folders in a folder; None where it is not ours to read."""
        now = time.time_ns()
        try:
            changed = os.lstat(folder).st_mtime_ns
            known = self._kept.get(folder)
            if known is None or known[0] != changed:
                with os.scandir(folder) as entries:
                    names = sorted(entry.name for entry in entries if entry.is_dir(follow_symlinks=False))
            else:
                names = known[1]
        except OSError:
            return None
        if now - changed > SETTLED * 1e9:
            kept[folder] = (changed, names)
        return names


def _is_file(path: str) -> bool:
    """Whether there is a regular file, no link."""
    try:
        return stat.S_ISREG(os.lstat(path).st_mode)
    except OSError:
        return False
