"""What the page of a sweep draws from: its cells, the curves by which it was stopped early, what a brush holds."""

import math
from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
import pandas as pd
import plotly.graph_objects as go

from lit_transformer.compare.comparison import Comparison
from lit_transformer.compare.dashboard.index import LiveIndex, Sweep
from lit_transformer.compare.dashboard.live_run import LiveRun, run_id
from lit_transformer.compare.dashboard.query import bounded
from lit_transformer.compare.dashboard.standing import by_metric, with_standing
from lit_transformer.compare.judging import Judged
from lit_transformer.compare.statistics import summarise
from lit_transformer.compare.stops import COLUMNS, read_stops

Brushes = dict[str, list[list[float]]]
"""Place of an axis -> the stretches of it that are brushed."""


def cells_of(comparison: Comparison, metric: str) -> pd.DataFrame:
    """The cells with mean, sd and n of `metric`; see `statistics.summarise`."""
    return summarise(comparison.runs, comparison.cell_keys, metric)


def judged_cells(index: LiveIndex, comparison: Comparison, metric: str) -> tuple[pd.DataFrame, Judged | None]:
    """The cells by `metric` with their standing as far as it is known soon, and the judgement that says it."""
    judging = by_metric(comparison, metric)
    judged = None if judging is None else index.judging.ask(judging)
    return with_standing(cells_of(comparison, metric), judged, comparison.cell_keys), judged


def cell_of(index: LiveIndex, run: LiveRun) -> Sweep | None:
    """The sweep that a run is a planned cell of; None for a run by itself."""
    name, folder = run.run.path.name, run.run.path.parent
    near = [sweep for sweep in index.view.sweeps if sweep.plan is not None and sweep.folder.cells == folder]
    return next((s for s in near if s.plan and any(cell.cell == name for cell in s.plan.cells)), None)


def ids_of(comparison: Comparison) -> list[str]:
    """The ids of a comparison's runs."""
    return [run_id(name) for name in comparison.runs["run"]]


def stops_of(sweep: Sweep | None) -> pd.DataFrame:
    """What stopped a sweep's trials early; without rows where nothing did."""
    if sweep is None or not sweep.folder.stops_file.is_file() or sweep.folder.stops_file.is_symlink():
        return pd.DataFrame(columns=list(COLUMNS))
    return read_stops(sweep.folder.path)


def curves_for(index: LiveIndex, sweep: Sweep, comparison: Comparison, metric: str) -> pd.DataFrame:
    """`metric` of a sweep's runs in long form, as `curves.read_curves` gives it, runs named from the sweep's folder."""
    base = sweep.folder.path
    parts = []
    for run in index.runs(ids_of(comparison)):
        steps, values = run.series().curve(metric)
        name = run.run.path.relative_to(base).as_posix()
        parts.append(pd.DataFrame({"run": name, "step": steps, "metric": metric, "value": values}))
    empty = pd.DataFrame({"run": [], "step": [], "metric": [], "value": []})
    return pd.concat(parts, ignore_index=True) if parts else empty


def brushed(known: object, change: object, axes: int) -> Brushes:
    """The brushes after a restyle event of parallel coordinates; anything else in it is left out."""
    kept = clean_brushes(known, axes)
    event = change[0] if isinstance(change, list) and change and isinstance(change[0], Mapping) else {}
    for name, value in event.items():
        if not isinstance(name, str):
            continue
        place = name.removeprefix("dimensions[").partition("]")[0]
        if name == f"dimensions[{place}].constraintrange" and place.isdecimal() and len(place) < 4:
            kept.pop(place, None)
            if int(place) < axes and (stretches := _stretches(value)):
                kept[place] = stretches
    return kept


def clean_brushes(known: object, axes: int) -> Brushes:
    """Brushes as a page sent them back."""
    if not isinstance(known, Mapping):
        return {}
    return {
        str(place): stretches
        for place, value in known.items()
        if isinstance(place, str)
        and place.isdecimal()
        and len(place) < 4
        and int(place) < axes
        and (stretches := _stretches(value))
    }


def _stretches(value: object) -> list[list[float]]:
    """One stretch or several; plotly wraps them in one list more than it says."""
    while isinstance(value, list) and len(value) == 1 and isinstance(value[0], list):
        value = value[0]
    if not isinstance(value, list):
        return []
    items = value if value and isinstance(value[0], list) else [value]
    ends = [[bounded(end, -1e300, 1e300, math.nan) for end in item] for item in items[:50] if isinstance(item, list)]
    return [pair for pair in ends if len(pair) == 2 and all(map(math.isfinite, pair))]


def inside(figure: go.Figure, brushes: Brushes) -> list[int]:
    """Positions of the lines of parallel coordinates that every brush holds."""
    traces: Any = figure.data
    if not traces:
        return []
    axes = traces[0].dimensions
    kept = np.ones(len(axes[0]["values"]) if axes else 0, dtype=bool)
    for place, stretches in brushes.items():
        values = np.asarray(axes[int(place)]["values"], dtype=float)
        kept &= np.any([(values >= min(pair)) & (values <= max(pair)) for pair in stretches], axis=0)
    return [int(position) for position in np.flatnonzero(kept)]


def drawn_rows(cells: pd.DataFrame) -> pd.DataFrame:
    """The cells that parallel coordinates draw: those with a number, in their order."""
    return cells[[math.isfinite(value) for value in cells["mean"]]].reset_index(drop=True)


def first_two(keys: Sequence[str], x: str, y: str) -> tuple[str | None, str | None]:
    """Two different settings for the axes of a map: those asked for, as far as they were swept."""
    across = x if x in keys else next(iter(keys), None)
    others = [key for key in keys if key != across]
    return across, (y if y in others else next(iter(others), None))
