"""From runs to curves: which values, where along the axis, in whose colour, in which group."""

from collections.abc import Sequence

from lit_transformer.compare.dashboard.axes import along
from lit_transformer.compare.dashboard.choose import field_of
from lit_transformer.compare.dashboard.curve_figure import Curve
from lit_transformer.compare.dashboard.index import LiveIndex
from lit_transformer.compare.dashboard.parts import colour_of, dash_of
from lit_transformer.compare.plain import label
from lit_transformer.compare.style import short

MAX_RUNS = 200
"""Curves of one figure: more tell nothing apart. Groups average up to MAX_GROUPED runs."""
MAX_GROUPED = 1_000
LOOKED_AT = 20
"""Runs whose names of metrics make a menu, beside those in the results of all."""


def curves_of(
    index: LiveIndex, ids: Sequence[str], metric: str, axis: str, group: Sequence[str] = ()
) -> tuple[list[Curve], int]:
    """The curves of the runs that measured `metric`, and how many of `ids` were left out because they are too many."""
    view = index.view
    limit = MAX_GROUPED if group else MAX_RUNS
    curves = []
    for run in index.runs(ids[:limit]):
        steps, values = run.series().curve(metric)
        if not len(steps):
            continue
        row = view.row(run.id)
        place = view.colours.get(run.id, 0)
        name = ", ".join(f"{short(key)} {label(field_of(row, key))}" for key in group) if group and row else ""
        curves.append(Curve(run.name, along(run, axis, steps), values, colour_of(place), dash_of(place), name))
    return curves, max(0, len(ids) - limit)


def metric_names(index: LiveIndex, ids: Sequence[str]) -> list[str]:
    """The metrics that the first runs logged: validation, test, training, then what has no split."""
    names = {name for run in index.runs(ids[:LOOKED_AT]) for name in run.series().names}
    rank = {"val": 0, "test": 1, "train": 2}
    return sorted(names, key=lambda name: (rank.get(name.partition("/")[0], 3), name))


def newest_change(index: LiveIndex, ids: Sequence[str]) -> int:
    """The version in which one of the runs changed last."""
    return max((index.view.changed.get(id, 0) for id in ids), default=0)
