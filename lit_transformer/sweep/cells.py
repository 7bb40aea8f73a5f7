"""The cells of a sweep: every point of its grid, or every one drawn, loaded and checked before the first trial."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace

from lit_transformer.config.errors import ConfigError, Problem, UserError
from lit_transformer.config.layers import Layer, file_layer, find_experiment, shell_layer
from lit_transformer.config.load import check_key, load_layers
from lit_transformer.config.registry import ASKED_FOR, TASK_METRICS, is_metric, metric_names
from lit_transformer.config.schema import MODEL_CONFIGS, ExperimentConfig, ObjectiveConfig
from lit_transformer.config.show import to_plain
from lit_transformer.config.suggest import did_you_mean
from lit_transformer.sweep.choice import Choice, Point, choose, drawn, with_seeds
from lit_transformer.sweep.file import SweepFile
from lit_transformer.sweep.parameters import Parameter


@dataclass(frozen=True, kw_only=True)
class Cell:
    """One point of a sweep."""

    name: str
    values: Mapping[str, object]
    """Swept key -> value."""
    problem: str | None = None
    """Why the cell cannot be built; None where it can."""
    config: Mapping[str, object] = field(default_factory=dict)
    """The whole configuration as nested plain values; empty where there is a problem."""
    origins: Mapping[str, str] = field(default_factory=dict)
    u: tuple[float, ...] = ()
    """The point of a bayes sweep that the cell belongs to."""


@dataclass(frozen=True, kw_only=True)
class Layers:
    """What a sweep's cells are built of."""

    parameters: Sequence[Parameter]
    """With the seeds of `--seeds`, and with the values that the points have."""
    experiments: Mapping[str, Sequence[Layer]]
    """Each experiment's settings, read once."""
    shell: Layer


def build_cells(
    sweep: SweepFile, overrides: Sequence[str] = (), seeds: int | None = None, choice: Choice | None = None
) -> list[Cell]:
    """Every cell: of a grid in W&B's order, of a random sweep in the order drawn.

    `overrides` (key=value) hold for all; `seeds` replicates every cell with seed 0 to seeds - 1. Raises ConfigError
    with everything wrong in the file, the overrides and the metric, and UserError for a random sweep without an end. A
    cell that breaks a rule (heads that do not divide the width) is returned with its `problem`.
    """
    points = choose(sweep, seeds, choice or Choice())
    layers = checked_layers(sweep, overrides, seeds, points)
    parameters, shell, experiments = layers.parameters, layers.shell, layers.experiments
    constant = {item.key: item.values[0] for item in parameters if not item.swept}
    origins = {item.key: item.origin for item in parameters}
    cells = []
    for point in points:
        values = {**constant, **point.values}
        chosen = {**values, **shell.values}
        cell = Layer({k: v for k, v in values.items() if k != "experiment"}, origins)
        own = Layer({k: v for k, v in shell.values.items() if k != "experiment"}, shell.origins)
        cells.append(load_cell(point, [*experiments[str(chosen["experiment"])], cell, own]))
    return cells


def checked_layers(sweep: SweepFile, overrides: Sequence[str], seeds: int | None, points: Sequence[Point]) -> Layers:
    """What cells are built of; raises ConfigError with everything wrong in the file, the overrides and the metric."""
    parameters = drawn(with_seeds(sweep.parameters, seeds), sweep.method, points)
    shell = shell_layer(overrides)
    experiments, problems = _experiments(parameters, shell)
    problems += _overrides_of_swept(parameters, shell)
    problems += _wrong_settings(parameters, shell, experiments)
    problems += _metric(sweep, parameters, shell, experiments)
    if problems:
        raise ConfigError(problems)
    return Layers(parameters=parameters, experiments=experiments, shell=shell)


def swept_keys(sweep: SweepFile, seeds: int | None = None) -> list[str]:
    """The keys that differ between cells, sorted."""
    return [item.key for item in with_seeds(sweep.parameters, seeds) if item.swept]


def load_cell(point: Point, layers: Sequence[Layer]) -> Cell:
    """The cell of a point, with what is wrong about it."""
    name, values = point.name, point.values
    try:
        loaded = load_layers(layers)
    except ConfigError as error:
        reasons = "; ".join(f"{item.key}: {item.got}, allowed {item.allowed}" for item in error.problems)
        return Cell(name=name, values=values, problem=reasons)
    return Cell(name=name, values=values, config=to_plain(loaded.config), origins=loaded.origins)


def _experiments(parameters: Sequence[Parameter], shell: Layer) -> tuple[dict[str, tuple[Layer, Layer]], list[Problem]]:
    """Each experiment's layers, read once, and what is wrong with the names or the files."""
    item = next(item for item in parameters if item.key == "experiment")
    if "experiment" in shell.values:
        item = replace(item, values=(shell.values["experiment"],), origin=shell.origins["experiment"])
    found: dict[str, tuple[Layer, Layer]] = {}
    problems: list[Problem] = []
    for value in item.values:
        try:
            path = find_experiment(str(value))
            layer = file_layer(path)
        except UserError as error:
            allowed = "an experiment's name or file"
            lines = " ".join(line.strip() for line in str(error).splitlines()[1:])
            fix = lines or str(error)
            problems.append(Problem(key="experiment", origin=item.origin, got=repr(value), allowed=allowed, fix=fix))
            continue
        found[str(value)] = (Layer({"experiment": path.stem}, {"experiment": "default"}), layer)
    return found, problems


def _overrides_of_swept(parameters: Sequence[Parameter], shell: Layer) -> list[Problem]:
    return [
        Problem(
            key=item.key,
            origin=shell.origins[item.key],
            got=f"{item.key}={shell.values[item.key]}, which the sweep varies ({item.origin})",
            allowed="settings that the sweep does not vary",
            fix="change the sweep file's values, or leave the override out",
        )
        for item in parameters
        if item.swept and item.key in shell.values
    ]


def _wrong_settings(
    parameters: Sequence[Parameter], shell: Layer, experiments: Mapping[str, tuple[Layer, Layer]]
) -> list[Problem]:
    """Unknown keys and values of a wrong type: wrong in every cell, so the sweep's mistake and no impossible cell's."""
    kinds = _values_of("model.kind", parameters, shell, experiments, ExperimentConfig().model.kind)
    known = [str(kind) for kind in kinds if kind in MODEL_CONFIGS] or list(MODEL_CONFIGS)
    settings = [
        (key, value, layer.origins[key]) for _, layer in experiments.values() for key, value in layer.values.items()
    ]
    settings += [(item.key, value, item.origin) for item in parameters for value in item.values]
    settings += [(key, value, shell.origins[key]) for key, value in shell.values.items()]
    problems: list[Problem] = []
    for key, value, origin in settings:
        checks = [check_key(key, value, origin, kind) for kind in known] if key != "experiment" else [None]
        if checks[0] is not None and None not in checks and key not in {problem.key for problem in problems}:
            problems.append(checks[0])
    return problems


def _metric(
    sweep: SweepFile, parameters: Sequence[Parameter], shell: Layer, experiments: Mapping[str, tuple[Layer, Layer]]
) -> list[Problem]:
    tasks = _values_of("task", parameters, shell, experiments, ExperimentConfig().task)
    asked = {
        name
        for name in ASKED_FOR
        if all(_values_of(f"objective.{name}", parameters, shell, experiments, getattr(ObjectiveConfig(), name)))
    }
    problems = []
    for task in [str(task) for task in tasks if task in TASK_METRICS]:
        names = metric_names(task, asked)
        if not is_metric(sweep.metric.name, task, asked):
            guess = did_you_mean(sweep.metric.name, names)
            got = f"{sweep.metric.name}, which the task {task} never logs"
            allowed = ", ".join(names)
            fix = f"did you mean {guess}?" if guess else ""
            for name in [name for name in ASKED_FOR if sweep.metric.name in metric_names(task, {*asked, name})]:
                got, fix = f"{sweep.metric.name}, which is not measured here", f"set objective.{name}: {{value: true}}"
            origin = sweep.metric.origin
            problems.append(Problem(key="metric.name", origin=origin, got=got, allowed=allowed, fix=fix))
    return problems


def _values_of(
    key: str,
    parameters: Sequence[Parameter],
    shell: Layer,
    experiments: Mapping[str, tuple[Layer, Layer]],
    default: object,
) -> list[object]:
    """Every value that `key` takes in some cell."""
    if key in shell.values:
        return [shell.values[key]]
    for item in parameters:
        if item.key == key:
            return list(item.values)
    return list(dict.fromkeys(layer.values.get(key, default) for _, layer in experiments.values()))
