"""From a point of a search to its cells: values by ppf, settings by the frozen layers, one cell for each replicate."""

from collections.abc import Mapping, Sequence
from dataclasses import replace

from lit_transformer.config.layers import Layer, flatten
from lit_transformer.sweep.cells import Cell, load_cell
from lit_transformer.sweep.choice import Point
from lit_transformer.sweep.command import run_config
from lit_transformer.sweep.file import frozen_sweep
from lit_transformer.sweep.names import drawn_name
from lit_transformer.sweep.plan import PlannedCell, with_dotted
from lit_transformer.sweep.search import Growth

FREE_OF_DATA = ("optimizer.", "schedule.", "tracking.", "seed")
"""Settings that neither the prepared data nor what follows from them depend on."""

DECIDED = ("prepare", "budget", "this machine")
"""Origins of settings that come after the cell's own."""


class Points:
    """The points of one search."""

    def __init__(self, growth: Growth) -> None:
        self._growth = growth
        self._file = frozen_sweep(growth.source)
        self._distributions = {item.key: item.distribution for item in self._file.parameters}

    @property
    def ours(self) -> bool:
        """Whether the cells are trials of ours, and no program's."""
        return self._file.ours

    def values(self, u: Sequence[float]) -> dict[str, object]:
        """What the searched settings are at a point."""
        axes = self._growth.search.axes
        return {axis.key: self._distributions[axis.key].ppf(each) for axis, each in zip(axes, u, strict=True)}

    def cells(self, u: Sequence[float], number: int) -> list[Cell]:
        """The cells of point `number`, each with its whole configuration, but for what data decide, or its problem."""
        return [replace(self._load(point), u=tuple(u)) for point in replicated(self.values(u), self._growth, number)]

    def same_data(self, cell: Cell, other: PlannedCell) -> bool:
        """Whether two cells of this sweep differ in nothing that their data depend on."""
        return other.problem is None and all(
            other.values.get(key) == value for key, value in cell.values.items() if not key.startswith(FREE_OF_DATA)
        )

    def like(self, cell: Cell, other: PlannedCell) -> PlannedCell:
        """The cell with what the other one's data decided."""
        decided = [key for key, origin in other.origins.items() if origin in DECIDED]
        settings = flatten(other.config)
        config = with_dotted(cell.config, {key: settings[key] for key in decided})
        origins = {**cell.origins, **{key: other.origins[key] for key in decided}}
        return PlannedCell(name=cell.name, values=cell.values, config=config, origins=origins,
                           prepared=other.prepared, u=cell.u)  # fmt: skip

    def _load(self, point: Point) -> Cell:
        growth, values = self._growth, point.values
        if not self.ours:
            config = run_config(self._file.parameters, values)
            return Cell(name=point.name, values=values, config=config, origins=growth.origins)
        chosen = {**growth.constant, **values, **growth.shell.values}
        given = {key: value for key, value in {**growth.constant, **values}.items() if key != "experiment"}
        own = {key: value for key, value in growth.shell.values.items() if key != "experiment"}
        layers = [*growth.experiments[str(chosen["experiment"])], Layer(given, growth.origins),
                  Layer(own, growth.shell.origins)]  # fmt: skip
        return load_cell(point, layers)


def replicated(values: Mapping[str, object], growth: Growth, number: int) -> list[Point]:
    """A point once for each of its replicates' seeds, each with its name."""
    runs = [dict(values)]
    for key, each in growth.replicates.items():
        runs = [{**run, key: value} for run in runs for value in each]
    return [Point(name=drawn_name(number, run), values=run) for run in runs]
