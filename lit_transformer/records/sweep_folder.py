"""A sweep's folder: the names in it."""

from dataclasses import dataclass
from pathlib import Path

from lit_transformer.records.locks import FileLock
from lit_transformer.records.run_folder import RunFolder


@dataclass(frozen=True)
class SweepFolder:
    """One sweep on disk; see DESIGN.md's sweep folder."""

    path: Path

    @property
    def sweep_file(self) -> Path:
        """The sweep as it was made, frozen: grammar, overrides, threads."""
        return self.path / "sweep.yaml"

    @property
    def plan_file(self) -> Path:
        """The cells: id, swept values, derived values, and why one cannot be built."""
        return self.path / "plan.json"

    @property
    def search_file(self) -> Path:
        """How the sweep searches and stops, frozen; none where a grid runs to its end."""
        return self.path / "search.json"

    @property
    def stops_file(self) -> Path:
        """One line for each trial that was stopped early: cell, band, value, threshold, rank."""
        return self.path / "stops.jsonl"

    @property
    def proposals(self) -> Path:
        """The cells of a sweep that proposes them one after another: a file for each proposal."""
        return self.path / "proposals"

    @property
    def claims(self) -> Path:
        return self.path / "claims"

    @property
    def cells(self) -> Path:
        return self.path / "cells"

    @property
    def report_file(self) -> Path:
        return self.path / "report.html"

    @property
    def results_file(self) -> Path:
        return self.path / "results.csv"

    @property
    def stop_file(self) -> Path:
        """The newest request to stop, which every worker looks at."""
        return self.path / "stop.json"

    @property
    def policy_file(self) -> Path:
        """How workers treat failing cells: what the newest `sweep run` was told."""
        return self.path / "policy.json"

    @property
    def lock(self) -> FileLock:
        """The lock that the driver holds while it lives."""
        return FileLock(self.path / ".lock")

    def cell(self, name: str) -> RunFolder:
        """The run folder of a cell."""
        return RunFolder(self.cells / name)

    def exists(self) -> bool:
        """Whether this is a sweep's folder."""
        return self.sweep_file.is_file()


def sweep_of(run: RunFolder) -> SweepFolder | None:
    """The sweep that a run is a cell of; None for a run by itself."""
    sweep = SweepFolder(run.path.resolve().parent.parent)
    return sweep if sweep.exists() and run.path.resolve().parent == sweep.cells else None
