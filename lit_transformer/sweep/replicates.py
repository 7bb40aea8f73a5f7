"""Replicates: cells that differ in their seed alone are one point of a sweep, shown as mean and deviation."""

import statistics
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Protocol, TypeVar

from rich.table import Table
from rich.text import Text

from lit_transformer.sweep.names import cell_name, identity
from lit_transformer.sweep.views import CellView

SEED = "seed"


class HasValues(Protocol):
    """A cell, planned or seen."""

    @property
    def values(self) -> Mapping[str, object]:
        """Swept key -> value."""


T = TypeVar("T", bound=HasValues)


@dataclass(frozen=True, kw_only=True)
class PointView:
    """The sweep's metric at one point, over its complete replicates."""

    point: str
    values: Mapping[str, object]
    replicates: int
    complete: int
    mean: float | None
    sd: float | None
    """Sample deviation (n - 1); None for fewer than two."""


def points(cells: Sequence[T]) -> list[list[T]]:
    """Cells by what they share beside the seed, in the order of each point's first one."""
    found: dict[str, list[T]] = {}
    for cell in cells:
        found.setdefault(identity(without_seed(cell.values)), []).append(cell)
    return list(found.values())


def without_seed(values: Mapping[str, object]) -> dict[str, object]:
    """The values of a point."""
    return {key: value for key, value in values.items() if key != SEED}


def point_name(values: Mapping[str, object], replicates: int) -> str:
    """The name of a cell's point, with the number of its seeds where there are several."""
    name = cell_name(without_seed(values))
    return f"{name} x {replicates} seeds" if replicates > 1 else name


def point_views(views: Sequence[CellView]) -> list[PointView]:
    """Every point that can be built; empty where no point has replicates."""
    groups = points([view for view in views if view.state != "impossible"])
    if all(len(group) == 1 for group in groups):
        return []
    return [_point(group) for group in groups]


def point_table(views: Sequence[PointView], metric: str) -> Table:
    """Points as a table: how many seeds are complete, and mean and deviation of the metric over these."""
    result = Table(box=None, pad_edge=False)
    for title in ("point", "seeds", f"{metric}, mean ± sd"):
        result.add_column(title, justify="left" if title == "point" else "right", overflow="fold")
    for view in views:
        mean = "" if view.mean is None else f"{view.mean:.4f}"
        sd = "" if view.sd is None else f" ± {view.sd:.4f}"
        result.add_row(Text(view.point), f"{view.complete}/{view.replicates}", mean + sd)
    return result


def _point(group: Sequence[CellView]) -> PointView:
    numbers = [view.metric for view in group if view.state == "complete" and view.metric is not None]
    values = without_seed(group[0].values)
    return PointView(
        point=cell_name(values),
        values=values,
        replicates=len(group),
        complete=sum(view.state == "complete" for view in group),
        mean=statistics.fmean(numbers) if numbers else None,
        sd=statistics.stdev(numbers) if len(numbers) > 1 else None,
    )
