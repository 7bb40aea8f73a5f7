"""The sweep file: W&B's sweep grammar, read with line numbers, every problem found at once."""

import difflib
from dataclasses import dataclass
from pathlib import Path

from lit_transformer.config.errors import ConfigError, Problem, UserError
from lit_transformer.config.layers import PROJECT, display_path
from lit_transformer.config.yaml_lines import Located, read_yaml
from lit_transformer.sweep.parameters import Parameter, read_parameters

KEYS: dict[str, str] = {
    "method": "how cells are chosen: grid",
    "parameters": "the settings and their values",
    "metric": "what is compared: {name, goal}",
    "name": "the sweep's name, and its folder's",
    "description": "a text for people",
    "project": "W&B's project, for W&B's own agent",
    "entity": "W&B's entity, for W&B's own agent",
    "command": "what W&B's own agent runs",
    "program": "what W&B's own agent runs",
}
"""Keys of W&B's grammar that are read here, or harmless."""
LATER = ("early_terminate", "run_cap")
"""Keys of W&B's grammar that would change what runs, and are not there yet."""
METHODS = ("random", "bayes")
DEFAULT_METRIC = "val/loss"


@dataclass(frozen=True, kw_only=True)
class Metric:
    """What a sweep's cells are compared by."""

    name: str = DEFAULT_METRIC
    goal: str = "minimize"
    origin: str = "default"


@dataclass(frozen=True, kw_only=True)
class SweepFile:
    """A sweep as its file states it."""

    shown: str
    """The file, as it is named in messages."""
    name: str
    """The sweep's name: the file's `name`, else the file's own name without .yaml."""
    source: dict[str, object]
    """The file's content, plain."""
    metric: Metric
    parameters: tuple[Parameter, ...]
    """Sorted by key."""


def find_sweep(sweep: str) -> Path:
    """The file of a sweep: a path, or a name in ./sweeps, then in the project's. Raises UserError."""
    given = Path(sweep)
    named = [folder / f"{sweep}.yaml" for folder in (Path.cwd() / "sweeps", PROJECT / "sweeps")]
    for path in [given, PROJECT / sweep, *named] if "/" not in sweep else [given, PROJECT / sweep]:
        if path.is_file():
            return path
    what = "is a directory; give the YAML file" if given.is_dir() else "does not exist"
    names = sorted({path.stem for folder in {path.parent for path in named} for path in folder.glob("*.yaml")})
    guess = difflib.get_close_matches(given.stem, names, n=1)
    raise UserError(
        f"The sweep file {sweep} {what}.\n  allowed  a path, or one of: {', '.join(names) or '(none found)'}"
        + (f"\n  fix      did you mean {guess[0]}?" if guess else "")
    )


def read_sweep(path: Path) -> SweepFile:
    """Read a sweep file; raises UserError (missing, not YAML) or ConfigError with all problems and their lines."""
    shown = display_path(path)
    return parse_sweep(read_yaml(path, shown), shown, path.stem)


def parse_sweep(root: Located, shown: str, stem: str) -> SweepFile:
    """A sweep from the YAML tree of a file named `shown`; raises ConfigError with all problems."""
    if not isinstance(root.value, dict) or not root.value:
        raise UserError(f"{shown}:{root.line}: a sweep is a mapping with method and parameters.")
    problems = [_unknown(key, item, shown) for key, item in root.value.items() if key not in KEYS]
    problems += _method(root.value.get("method"), shown)
    metric = _metric(root.value.get("metric"), shown, problems)
    parameters = _parameters(root.value.get("parameters"), shown, problems)
    name = root.value["name"].plain() if "name" in root.value else stem
    if not isinstance(name, str) or not name.strip():
        line = root.value["name"].line
        problems.append(Problem(key="name", origin=f"{shown}:{line}", got=repr(name), allowed="a text"))
    if problems:
        raise ConfigError(problems)
    source = root.plain()
    assert isinstance(source, dict)
    return SweepFile(shown=shown, name=str(name), source=source, metric=metric, parameters=parameters)


def _unknown(key: str, item: Located, shown: str) -> Problem:
    origin = f"{shown}:{item.line}"
    if key in LATER:
        return Problem(
            key=key, origin=origin, got=key, allowed=", ".join(KEYS), fix=f"remove it: {key} is not there yet"
        )
    close = difflib.get_close_matches(key, [*KEYS, *LATER], n=1)
    fix = f"did you mean {close[0]}?" if close else "settings stand under parameters:"
    return Problem(key=key, origin=origin, got="an unknown key", allowed=", ".join(KEYS), fix=fix)


def _method(item: Located | None, shown: str) -> list[Problem]:
    if item is None:
        return [Problem(key="method", origin=f"{shown}:1", got="no method", allowed="grid", fix="write method: grid")]
    if item.value == "grid":
        return []
    later = f"{item.value} sweeps are not there yet; list values and write method: grid"
    fix = later if item.value in METHODS else "write method: grid"
    return [Problem(key="method", origin=f"{shown}:{item.line}", got=repr(item.plain()), allowed="grid", fix=fix)]


def _metric(item: Located | None, shown: str, problems: list[Problem]) -> Metric:
    if item is None:
        return Metric()
    origin = f"{shown}:{item.line}"
    if not isinstance(item.value, dict):
        fix = f"write metric: {{name: {item.plain()}, goal: minimize}}"
        problems.append(Problem(key="metric", origin=origin, got=repr(item.plain()), allowed="{name, goal}", fix=fix))
        return Metric()
    for key in item.value:
        if key not in ("name", "goal"):
            later = key in ("target", "impute", "impute_while_running")
            fix = f"remove it: {key} comes with bayes sweeps" if later else ""
            problems.append(Problem(key=f"metric.{key}", origin=origin, got=key, allowed="name, goal", fix=fix))
    name = item.value["name"].plain() if "name" in item.value else None
    goal = item.value["goal"].plain() if "goal" in item.value else "minimize"
    if not isinstance(name, str):
        problems.append(Problem(key="metric.name", origin=origin, got=repr(name), allowed="a metric, such as val/loss"))
    if goal not in ("minimize", "maximize"):
        problems.append(Problem(key="metric.goal", origin=origin, got=repr(goal), allowed="minimize, maximize"))
    return Metric(name=str(name), goal=str(goal), origin=origin)


def _parameters(item: Located | None, shown: str, problems: list[Problem]) -> tuple[Parameter, ...]:
    if item is None or not isinstance(item.value, dict) or not item.value:
        origin = f"{shown}:{item.line if item else 1}"
        fix = "write parameters: and under it experiment: {value: gpt_tiny}"
        got = "no parameters" if item is None else repr(item.plain())
        problems.append(Problem(key="parameters", origin=origin, got=got, allowed="a mapping of settings", fix=fix))
        return ()
    found: dict[str, Parameter] = {}
    before = len(problems)
    for parameter in read_parameters(item, shown, problems):
        if parameter.key in found:
            first = found[parameter.key].origin
            got = f"the key twice, nested and dotted (first at {first})"
            problems.append(Problem(key=parameter.key, origin=parameter.origin, got=got, allowed="one of them"))
        found[parameter.key] = parameter
    if "experiment" not in found and len(problems) == before:
        fix = "write experiment: {value: gpt_tiny}"
        allowed = "the experiment that cells start from"
        origin = f"{shown}:{item.line}"
        problems.append(Problem(key="experiment", origin=origin, got="no experiment", allowed=allowed, fix=fix))
    return tuple(found[key] for key in sorted(found))
