"""What a sweep's search and its early stopping are, from its file and the options of `sweep run`."""

from collections.abc import Sequence
from dataclasses import replace
from itertools import accumulate
from typing import Literal

from lit_transformer.config.errors import ConfigError, Problem, UserError
from lit_transformer.config.layers import Layer
from lit_transformer.sweep.bayes import STARTUP, Axis, Sampler, Search, suggest
from lit_transformer.sweep.cells import Cell, checked_layers
from lit_transformer.sweep.choice import Choice, with_seeds
from lit_transformer.sweep.distributions import Categorical, CategoricalWithProbabilities, Distribution
from lit_transformer.sweep.file import SweepFile
from lit_transformer.sweep.foreign import check_foreign
from lit_transformer.sweep.halving import FACTOR, LEAST, check_factor
from lit_transformer.sweep.hyperband import bands
from lit_transformer.sweep.judge import StopRule
from lit_transformer.sweep.parameters import Parameter
from lit_transformer.sweep.points import Points, replicated
from lit_transformer.sweep.search import Growth

Stopping = Literal["hyperband", "asha", "none"]
REPLICATES = "seed"
"""The setting whose values are replicates of every point, never searched: the best seed is luck."""
FIRST_POINTS = 50
"""Points that are looked at for the first one that can be built."""


def stop_rule(file: SweepFile, stopper: Stopping | None = None) -> StopRule | None:
    """How trials stop early: as the file's early_terminate says, or as `--stopper` does. Raises UserError."""
    given = file.early_terminate
    if stopper == "none" or (stopper is None and given is None):
        return None
    if given is None and stopper == "hyperband":
        raise UserError(
            f"--stopper hyperband: {file.shown} does not say at which bands\n"
            "  got      no early_terminate\n"
            "  fix      write early_terminate: {type: hyperband, min_iter: 3}"
        )
    found, eta, strict = [LEAST], float(FACTOR), True
    if given is not None:
        found = bands(min_iter=given.min_iter, max_iter=given.max_iter, s=given.s or 0, eta=given.eta)
        eta, strict = float(check_factor(given.eta) if stopper == "asha" else given.eta), given.strict
    return StopRule(
        stopper="asha" if stopper == "asha" else "hyperband",
        metric=file.metric.name,
        goal="maximize" if file.metric.goal == "maximize" else "minimize",
        bands=tuple(found),
        eta=eta,
        strict=strict,
    )


def begin_growth(
    file: SweepFile,
    overrides: Sequence[str] = (),
    seeds: int | None = None,
    choice: Choice | None = None,
    sampler: Sampler | None = None,
) -> Growth | None:
    """The search of a bayes sweep; None for other methods, which no `sampler` goes with. Raises UserError."""
    if file.method != "bayes":
        if sampler is not None:
            raise UserError(f"--sampler {sampler} goes with method: bayes\n  got      method: {file.method}")
        return None
    if not file.ours:
        check_foreign(file, overrides, seeds)
    choice, parameters = choice or Choice(), with_seeds(file.parameters, seeds)
    replicates = [item for item in parameters if item.swept and item.key == REPLICATES and file.ours]
    searched = [item for item in parameters if item.swept and item not in replicates]
    cap = file.run_cap if choice.count is None else choice.count
    problems = _problems(file, replicates, searched, cap)
    if problems:
        raise ConfigError(problems)
    assert cap is not None
    growth = Growth(
        search=_search(file, searched, choice.seed, sampler or "tpe"),
        source=file.source,
        experiments={},
        constant={item.key: item.values[0] for item in parameters if not item.swept},
        shell=Layer(),
        origins={item.key: item.origin for item in parameters},
        replicates={item.key: list(item.values) for item in replicates},
        settings={},
        cap=cap,
    )
    if not file.ours:
        return growth
    points = Points(growth)
    first = [points.values(suggest(growth.search, [], number)) for number in range(min(cap, STARTUP))]
    listed = [(item.key, value) for item in searched for value in _listed(item.distribution)]
    first += [{**first[0], key: value} for key, value in listed]  # every experiment, and every mistake in a list
    found = [point for number, values in enumerate(first) for point in replicated(values, growth, number)]
    layers = checked_layers(file, overrides, seeds, found)
    return replace(growth, experiments=layers.experiments, shell=layers.shell)


def first_cells(growth: Growth) -> list[Cell]:
    """The cells of the first point that can be built, and of those before it, which cannot."""
    points, cells = Points(growth), list[Cell]()
    for number in range(min(growth.cap, FIRST_POINTS)):
        cells += points.cells(suggest(growth.search, [], number), number)
        if cells[-1].problem is None:
            break
    return cells


def startup_cells(growth: Growth) -> list[Cell]:
    """The cells of the points that are drawn at random, before any result counts."""
    points = Points(growth)
    return [
        cell
        for number in range(min(growth.cap, STARTUP))
        for cell in points.cells(suggest(growth.search, [], number), number)
    ]


def _search(file: SweepFile, searched: Sequence[Parameter], seed: int, sampler: Sampler) -> Search:
    metric = file.source.get("metric")
    return Search(
        axes=tuple(Axis(key=item.key, edges=edges(item.distribution)) for item in searched),
        goal="maximize" if file.metric.goal == "maximize" else "minimize",
        impute=file.metric.impute if isinstance(metric, dict) and "impute" in metric else None,
        impute_running=file.metric.impute_while_running,
        sampler=sampler,
        seed=f"{file.name}/{seed}",
    )


def edges(distribution: Distribution) -> tuple[float, ...]:
    """Up to which u each value of an unordered list reaches; none for a scale."""
    if isinstance(distribution, Categorical):
        count = len(distribution.values)
        return tuple((index + 1) / count for index in range(count))
    if isinstance(distribution, CategoricalWithProbabilities):
        return tuple(accumulate(distribution.probabilities))
    return ()


def _listed(distribution: Distribution) -> Sequence[object]:
    return distribution.values if isinstance(distribution, Categorical | CategoricalWithProbabilities) else ()


def _problems(
    file: SweepFile, replicates: Sequence[Parameter], searched: Sequence[Parameter], cap: int | None
) -> list[Problem]:
    found, origin = [], f"{file.shown}:1"
    if cap is None or cap < 1:
        got = "method: bayes without a run_cap, which never ends" if cap is None else f"--count {cap}"
        fix = "write run_cap: 20 into the file, or give --count 20 on the command line"
        found.append(Problem(key="run_cap", origin=origin, got=got, allowed="an integer, 1 or more", fix=fix))
    if not searched:
        got, fix = "no setting that is searched", "give a setting min and max, or values"
        found.append(Problem(key="parameters", origin=origin, got=got, allowed="one or more", fix=fix))
    for item in replicates:
        if not item.values:
            fix = "write seed: {values: [0, 1, 2]}, or leave it out and give --seeds 3"
            allowed = "values, each of which trains every point once; no seed is searched"
            got = "a distribution that cannot be listed"
            found.append(Problem(key=item.key, origin=item.origin, got=got, allowed=allowed, fix=fix))
    return found
