"""From a point of a search to its cells: values by ppf, settings by the frozen layers, one cell for each replicate."""

from collections.abc import Mapping, Sequence
from dataclasses import replace

import yaml

from lit_transformer.config.layers import Layer
from lit_transformer.config.yaml_lines import parse_yaml
from lit_transformer.sweep.cells import Cell, load_cell
from lit_transformer.sweep.file import parse_sweep
from lit_transformer.sweep.plan import PlannedCell, with_dotted
from lit_transformer.sweep.search import Growth

FREE_OF_DATA = ("optimizer.", "schedule.", "tracking.", "seed")
"""Settings that neither the prepared data nor what follows from them depend on."""


class Points:
    """The points of one search."""

    def __init__(self, growth: Growth) -> None:
        self._growth = growth
        text = yaml.safe_dump(dict(growth.source), sort_keys=False, allow_unicode=True)
        file = parse_sweep(parse_yaml(text, "sweep.yaml"), "sweep.yaml", "sweep")
        self._distributions = {item.key: item.distribution for item in file.parameters}

    def cells(self, u: Sequence[float]) -> list[Cell]:
        """The cells of a point, each with its whole configuration, but for what data decide, or with its problem."""
        axes = self._growth.search.axes
        point = {axis.key: self._distributions[axis.key].ppf(each) for axis, each in zip(axes, u, strict=True)}
        runs = [point]
        for key, values in self._growth.replicates.items():
            runs = [{**run, key: value} for run in runs for value in values]
        return [replace(self._load(run), u=tuple(u)) for run in runs]

    def same_data(self, cell: Cell, other: PlannedCell) -> bool:
        """Whether two cells of this sweep differ in nothing that their data depend on."""
        return other.problem is None and all(
            other.values.get(key) == value for key, value in cell.values.items() if not key.startswith(FREE_OF_DATA)
        )

    def like(self, cell: Cell, other: PlannedCell) -> PlannedCell:
        """The cell with what the other one's data decided."""
        decided = [key for key, origin in other.origins.items() if origin in ("prepare", "this machine")]
        config = with_dotted(cell.config, {key: _get(other.config, key) for key in decided})
        origins = {**cell.origins, **{key: other.origins[key] for key in decided}}
        return PlannedCell(name=cell.name, values=cell.values, config=config, origins=origins,
                           prepared=other.prepared, u=cell.u)  # fmt: skip

    def _load(self, values: Mapping[str, object]) -> Cell:
        growth = self._growth
        chosen = {**growth.constant, **values, **growth.shell.values}
        given = {key: value for key, value in {**growth.constant, **values}.items() if key != "experiment"}
        own = {key: value for key, value in growth.shell.values.items() if key != "experiment"}
        layers = [*growth.experiments[str(chosen["experiment"])], Layer(given, growth.origins),
                  Layer(own, growth.shell.origins)]  # fmt: skip
        return load_cell(values, layers)


def _get(config: Mapping[str, object], key: str) -> object:
    value: object = config
    for part in key.split("."):
        value = value.get(part) if isinstance(value, Mapping) else None
    return value
