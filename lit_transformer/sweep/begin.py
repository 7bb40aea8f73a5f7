"""What a sweep's search and its early stopping are, from its file and the options of `sweep run`."""

import zlib
from collections.abc import Sequence
from itertools import accumulate
from typing import Literal, get_args

from lit_transformer.config.errors import ConfigError, Problem, UserError
from lit_transformer.sweep.bayes import Axis, Sampler, Search, suggest
from lit_transformer.sweep.cells import Cell, Layers, checked_layers
from lit_transformer.sweep.distributions import Categorical, CategoricalWithProbabilities, Distribution
from lit_transformer.sweep.file import SweepFile
from lit_transformer.sweep.halving import FACTOR, LEAST, check_factor
from lit_transformer.sweep.hyperband import bands
from lit_transformer.sweep.judge import StopRule
from lit_transformer.sweep.parameters import Parameter
from lit_transformer.sweep.points import Points
from lit_transformer.sweep.search import Growth

Stopping = Literal["hyperband", "asha", "none"]
STOPPINGS: tuple[Stopping, ...] = get_args(Stopping)
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
    found, eta, strict = (LEAST,), float(FACTOR), True
    if given is not None:
        found = tuple(bands(min_iter=given.min_iter, max_iter=given.max_iter, s=given.s or 0, eta=given.eta))
        eta, strict = float(check_factor(given.eta) if stopper == "asha" else given.eta), given.strict
    return StopRule(
        stopper="asha" if stopper == "asha" else "hyperband",
        metric=file.metric.name,
        goal="maximize" if file.metric.goal == "maximize" else "minimize",
        bands=found,
        eta=eta,
        strict=strict,
    )


def begin_growth(
    file: SweepFile, overrides: Sequence[str] = (), seeds: int | None = None, sampler: Sampler | None = None
) -> Growth | None:
    """The search of a bayes sweep; None for other methods, which no `sampler` goes with. Raises UserError."""
    if file.method != "bayes":
        if sampler is not None:
            raise UserError(f"--sampler {sampler} goes with method: bayes\n  got      method: {file.method}")
        return None
    layers = checked_layers(file, overrides, seeds)
    searched = [item for item in layers.parameters if item.swept and item.key != REPLICATES]
    problems = _problems(file, layers, searched)
    if problems:
        raise ConfigError(problems)
    assert file.run_cap is not None
    metric = file.source.get("metric")
    asked = metric if isinstance(metric, dict) else {}
    search = Search(
        axes=tuple(Axis(key=item.key, edges=edges(item.distribution)) for item in searched),
        goal="maximize" if file.metric.goal == "maximize" else "minimize",
        impute=file.metric.impute if "impute" in asked else None,
        impute_running=file.metric.impute_while_running,
        sampler=sampler or "tpe",
        seed=zlib.crc32(file.name.encode()),
    )
    return Growth(
        search=search,
        source=file.source,
        experiments=layers.experiments,
        constant={item.key: item.values[0] for item in layers.parameters if not item.swept},
        shell=layers.shell,
        origins={item.key: item.origin for item in layers.parameters},
        replicates={item.key: list(item.values) for item in layers.parameters if item.swept and item.key == REPLICATES},
        settings={},
        cap=file.run_cap,
        target=file.metric.target,
    )


def first_cells(growth: Growth) -> list[Cell]:
    """The cells of the first point that can be built, and of those before it, which cannot."""
    points, cells = Points(growth), []
    for number in range(min(growth.cap, FIRST_POINTS)):
        cells += points.cells(suggest(growth.search, [], number))
        if cells[-1].problem is None:
            break
    return cells


def edges(distribution: Distribution) -> tuple[float, ...]:
    """Up to which u each value of an unordered list reaches; none for a scale."""
    if isinstance(distribution, Categorical):
        count = len(distribution.values)
        return tuple((index + 1) / count for index in range(count))
    if isinstance(distribution, CategoricalWithProbabilities):
        return tuple(accumulate(distribution.probabilities))
    return ()


def _problems(file: SweepFile, layers: Layers, searched: Sequence[Parameter]) -> list[Problem]:
    found = []
    if file.run_cap is None:
        fix = "write run_cap: 20, the number of points"
        origin = f"{file.shown}:1"
        found.append(Problem(key="run_cap", origin=origin, got="none, and bayes never ends", allowed="a number", fix=fix))
    if not searched:
        fix = "give a setting min and max, or values"
        got = "no setting that is searched"
        found.append(Problem(key="parameters", origin=f"{file.shown}:1", got=got, allowed="one or more", fix=fix))
    for item in layers.parameters:
        if item.key == REPLICATES and item.swept and not item.values:
            fix = "write seed: {values: [0, 1, 2]}, or leave it out and give --seeds 3"
            allowed = "values, each of which trains every point once; no seed is searched"
            got = "a distribution that cannot be listed"
            found.append(Problem(key=item.key, origin=item.origin, got=got, allowed=allowed, fix=fix))
    return found
