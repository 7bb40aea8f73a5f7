"""What `analyze` wrote, checked and as tables; a file that is damaged or holds anything else counts as missing."""

import math
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any, TypeVar

import pandas as pd

from lit_transformer.compare.plain import clean, label, number, plain
from lit_transformer.compare.style import short
from lit_transformer.records.analysis import (
    ANALYSIS_VERSION,
    MEASURES,
    heads_file,
    read_analysis,
    sweep_analysis_file,
)
from lit_transformer.records.atomic import read_json

Found = TypeVar("Found")
UNFIT = (KeyError, TypeError, ValueError, AttributeError, IndexError, ArithmeticError)
"""What reading and drawing a file raise that holds anything else."""


@dataclass(frozen=True)
class HeadsFile:
    """heads.json of a run."""

    model: str
    batches: int
    batches_there: int
    heads: pd.DataFrame
    """attention, layer, head, and MEASURES (NaN where there is none)."""
    curves: pd.DataFrame
    """number (of the curve), by (gradient, removal, random), share (of heads removed), and a column for each metric."""


@dataclass(frozen=True)
class Scaling:
    """The scaling fit of a sweep."""

    metric: str
    terms: list[str]
    coefficients: dict[str, tuple[float, float, float]]
    """Value, low and high end of the 95 % interval."""
    at_bound: list[str]
    cells: pd.DataFrame
    """label, parameters, tokens, loss, sd, n, fitted."""
    line: pd.DataFrame
    """parameters, loss, low, high."""
    tokens: float
    """Of the line."""
    held_out: dict[str, object]
    """label, parameters, tokens, loss, predicted, error, relative_error."""

    @property
    def largest(self) -> float:
        """Parameters of the held-out cell."""
        return number(self.held_out["parameters"])


@dataclass(frozen=True)
class SweepFile:
    """sweep.json of a sweep."""

    matches: pd.DataFrame | None
    """cell, heads, largest, mean and sd of trained and pruned, n, difference, low, high, verdict; see few_heads.py."""
    scaling: Scaling | None
    reasons: tuple[str, ...] = ()
    """Why a part is None, in one line each."""


def read_heads(run: Path) -> HeadsFile | None:
    """heads.json in a run's folder; None where there is none that is whole."""
    return _whole(_heads, read_analysis(heads_file(run)))


def read_sweep_analysis(sweep: Path) -> SweepFile | None:
    """sweep.json in a sweep's folder; None where there is none that is whole."""
    return _whole(_sweep, read_analysis(sweep_analysis_file(sweep)))


def _whole(read: Callable[[dict[str, Any]], Found], document: dict[str, Any]) -> Found | None:
    try:
        return read(document) if document else None
    except UNFIT:
        return None


def unread(path: Path) -> str:
    """Why a file of `analyze` that is there cannot be shown."""
    name, found = f"{path.parent.name}/{path.name}", read_json(path)
    if found and found.get("version") != ANALYSIS_VERSION:
        return f"{name} has version {label(found.get('version'))[:40]}, known is {ANALYSIS_VERSION}: it is not shown."
    return f"{name} is damaged and not shown: `lit-transformer analyze` writes it anew."


def _heads(document: dict[str, Any]) -> HeadsFile:
    heads = [
        {
            "attention": clean(str(head["attention"])),
            "layer": int(head["layer"]),
            "head": int(head["head"]),
            **{name: number(head[name]) for name in MEASURES},
        }
        for head in document["heads"]
    ]
    points: list[dict[str, object]] = []
    for index, curve in enumerate(document["curves"]):
        columns = {clean(str(name)): list(values) for name, values in curve["metrics"].items()}
        for place, removed in enumerate(curve["removed"]):
            values = {name: number(column[place]) for name, column in columns.items()}
            points.append({"number": index, "by": clean(str(curve["by"])), "share": removed / len(heads), **values})
    return HeadsFile(
        model=clean(str(document["model"])),
        batches=int(document["batches"]),
        batches_there=int(document["batches_there"]),
        heads=pd.DataFrame(heads, columns=["attention", "layer", "head", *MEASURES]),
        curves=pd.DataFrame(points),
    )


def _sweep(document: dict[str, Any]) -> SweepFile:
    matches, scaling = document["few_heads"], document["scaling"]
    return SweepFile(
        matches=None if matches is None else pd.DataFrame([_match(match) for match in matches]),
        scaling=None if scaling is None else _scaling(scaling),
        reasons=tuple(
            clean(str(document[name])).partition("\n")[0]
            for name in ("few_heads_reason", "scaling_reason")
            if document.get(name)
        ),
    )


def _match(match: dict[str, Any]) -> dict[str, object]:
    found: dict[str, object] = {"cell": cell_label(match["cell"])}
    found |= {name: int(match[name]) for name in ("heads", "largest")}
    for name in ("trained", "pruned", "unpruned"):
        values = pd.Series([number(value) for value in match[name]])
        found |= {name: float(values.mean()), f"{name}_sd": float(values.std()), "n": len(values)}
    found |= {name: number(match[name]) for name in ("difference", "low", "high")}
    return {**found, "verdict": clean(str(match["verdict"]))}


def _scaling(scaling: dict[str, Any]) -> Scaling:
    line = scaling["line"]
    columns = {name: [number(value) for value in line[name]] for name in ("parameters", "loss", "low", "high")}
    ends = ("value", "low", "high")
    return Scaling(
        metric=clean(str(scaling["metric"])),
        terms=[clean(str(term)) for term in scaling["terms"]],
        coefficients={
            clean(str(name)): (number(value[ends[0]]), number(value[ends[1]]), number(value[ends[2]]))
            for name, value in scaling["coefficients"].items()
        },
        at_bound=[clean(str(name)) for name in scaling["at_bound"]],
        cells=pd.DataFrame([_sized(cell, ("loss", "sd", "n", "fitted")) for cell in scaling["cells"]]),
        line=pd.DataFrame(columns),
        tokens=number(line["tokens"]),
        held_out=_sized(scaling["held_out"], ("loss", "predicted", "error", "relative_error")),
    )


def _sized(cell: dict[str, Any], names: tuple[str, ...]) -> dict[str, object]:
    sizes = {name: number(cell[name]) for name in ("parameters", "tokens")}
    if not all(math.isfinite(size) and size > 0 for size in sizes.values()):
        raise ValueError("a cell has no size")
    return {"label": cell_label(cell["cell"]), **sizes, **{name: number(cell[name]) for name in names}}


def cell_label(cell: dict[str, Any]) -> str:
    """Settings of a cell on one line."""
    return ", ".join(f"{short(clean(str(key)))} {label(plain(value))}" for key, value in cell.items())
