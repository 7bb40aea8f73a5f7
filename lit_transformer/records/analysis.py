"""What `analyze` leaves in a run's or a sweep's folder, torch-free to read: names, version, readers."""

from pathlib import Path

from lit_transformer.records.atomic import read_json

ANALYSIS_VERSION = 1
MEASURES = ("gradient", "removal", "entropy", "distance")
"""Of each head."""


def heads_file(run: Path) -> Path:
    """What the heads of a run do, as JSON: importance, pruning curves, where each looks."""
    return run / "analysis" / "heads.json"


def head_arrays_file(run: Path) -> Path:
    """The numbers of every head as arrays (layers, heads): `decoder/gradient`, `cross/entropy` and so on."""
    return run / "analysis" / "heads.npz"


def sweep_analysis_file(sweep: Path) -> Path:
    """What a sweep says about heads and size, as JSON: few heads against pruned ones, the scaling fit."""
    return sweep / "analysis" / "sweep.json"


def read_analysis(path: Path) -> dict[str, object]:
    """The JSON object in one of these files; empty where it is missing, damaged or of another version."""
    found = read_json(path)
    return found if found.get("version") == ANALYSIS_VERSION else {}
