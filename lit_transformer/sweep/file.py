"""The sweep file: W&B's sweep grammar, read with line numbers, every problem found at once."""

import difflib
from dataclasses import dataclass
from pathlib import Path

import yaml

from lit_transformer.config.errors import ConfigError, Problem, UserError
from lit_transformer.config.layers import PROJECT, display_path
from lit_transformer.config.yaml_lines import Located, parse_yaml, read_yaml
from lit_transformer.sweep.parameters import Parameter, notes_of, read_parameters
from lit_transformer.sweep.reading import Reader
from lit_transformer.sweep.sections import (
    EarlyTerminate,
    Metric,
    is_ours,
    read_command,
    read_early_terminate,
    read_metric,
)

KEYS: dict[str, str] = {
    "method": "how cells are chosen: grid, random, bayes",
    "parameters": "the settings and their values",
    "metric": "what is compared: {name, goal, target, impute}",
    "early_terminate": "which cells end early: {type: hyperband, min_iter or max_iter and s, eta, strict}",
    "run_cap": "how many cells there are at most",
    "name": "the sweep's name, and its folder's",
    "description": "a text for people",
    "project": "W&B's project",
    "entity": "W&B's entity",
    "command": "what starts a cell, with macros",
    "program": "the script of ${program}",
}
"""Keys of W&B's grammar."""
HARMLESS = ("apiVersion", "kind", "controller")
"""Keys of W&B's grammar that say nothing to us."""
LAUNCH = ("job", "image_uri")
"""Keys of W&B's grammar for its product Launch."""
METHODS = ("grid", "random", "bayes")


@dataclass(frozen=True, kw_only=True)
class SweepFile:
    """A sweep as its file states it."""

    shown: str
    """The file, as it is named in messages."""
    name: str
    """The sweep's name: the file's `name`, else the file's own name without .yaml."""
    source: dict[str, object]
    """The file's content, plain."""
    method: str
    metric: Metric
    parameters: tuple[Parameter, ...]
    """Sorted by key."""
    early_terminate: EarlyTerminate | None = None
    run_cap: int | None = None
    """Cells at most; replicates (`--seeds`) of one count as one."""
    command: tuple[str, ...] | None = None
    program: str | None = None
    description: str | None = None
    project: str | None = None
    entity: str | None = None
    notes: tuple[str, ...] = ()
    """What is right and yet surprises, for a person."""

    @property
    def ours(self) -> bool:
        """Whether it sweeps our experiments, and not some program of the user's."""
        return is_ours(self.command, self.program)


def find_sweep(sweep: str) -> Path:
    """The file of a sweep: a path, or a name in ./sweeps, then in the project's. Raises UserError."""
    given = Path(sweep)
    folders = (Path.cwd() / "sweeps", PROJECT / "sweeps")
    named = [folder / f"{sweep}.yaml" for folder in folders]
    for path in [given, PROJECT / sweep, *named] if "/" not in sweep else [given, PROJECT / sweep]:
        if path.is_file():
            return path
    what = "is a directory; give the YAML file" if given.is_dir() else "does not exist"
    names = sorted({path.stem for folder in folders for path in folder.glob("*.yaml")})
    guess = difflib.get_close_matches(given.stem, names, n=1)
    raise UserError(
        f"The sweep file {sweep} {what}.\n  allowed  a path, or one of: {', '.join(names) or '(none found)'}"
        + (f"\n  fix      did you mean {guess[0]}?" if guess else "")
    )


def read_sweep(path: Path) -> SweepFile:
    """Read a sweep file; raises UserError (missing, not YAML) or ConfigError with all problems and their lines."""
    shown = display_path(path)
    return parse_sweep(read_yaml(path, shown), shown, path.stem)


def frozen_sweep(source: object) -> SweepFile:
    """The sweep that a folder's sweep.yaml or search.json keeps as plain values; raises as `read_sweep`."""
    text = yaml.safe_dump(source, sort_keys=False, allow_unicode=True)
    return parse_sweep(parse_yaml(text, "sweep.yaml"), "sweep.yaml", "sweep")


def parse_sweep(root: Located, shown: str, stem: str) -> SweepFile:
    """A sweep from the YAML tree of a file named `shown`; raises ConfigError with all problems."""
    if not isinstance(root.value, dict) or not root.value:
        raise UserError(f"{shown}:{root.line}: a sweep is a mapping with method and parameters.")
    reader, given = Reader(shown, []), root.value
    for key, item in given.items():
        _check_known(key, item, reader)
    method = _method(given.get("method"), reader)
    texts = {key: reader.text(key, given.get(key)) for key in ("name", "description", "project", "entity", "program")}
    program = texts["program"]
    command = read_command(given.get("command"), program, reader)
    sections = (read_metric(given.get("metric"), reader), read_early_terminate(given.get("early_terminate"), reader))
    run_cap = reader.whole("run_cap", given.get("run_cap"), least=1)
    ours = is_ours(command, program) and (command is not None or not {"command", "program"} & given.keys())
    parameters = _parameters(given.get("parameters"), method, reader, ours=ours)
    if reader.problems:
        raise ConfigError(reader.problems)
    source = root.plain()
    assert isinstance(source, dict)
    return SweepFile(
        shown=shown, name=texts["name"] or stem, source=source, method=method, metric=sections[0],
        parameters=parameters, early_terminate=sections[1], run_cap=run_cap, command=command, program=program,
        description=texts["description"], project=texts["project"], entity=texts["entity"],
        notes=notes_of(parameters),
    )  # fmt: skip


def _check_known(key: str, item: Located, reader: Reader) -> None:
    if key in LAUNCH:
        fix = "remove it, and write program: train.py, or a command"
        reader.wrong(key, item, ", ".join(KEYS), got=f"{key}, which is W&B Launch's", fix=fix)
    elif key not in KEYS and key not in HARMLESS:
        close = difflib.get_close_matches(key, KEYS, n=1)
        fix = f"did you mean {close[0]}?" if close else "settings stand under parameters:"
        reader.wrong(key, item, ", ".join(KEYS), got="an unknown key", fix=fix)


def _method(item: Located | None, reader: Reader) -> str:
    if item is None:
        reader.wrong("method", Located(None, 1), ", ".join(METHODS), got="no method", fix="write method: grid")
    return reader.choice("method", item, METHODS, "")


def _parameters(item: Located | None, method: str, reader: Reader, *, ours: bool) -> tuple[Parameter, ...]:
    if item is None or not isinstance(item.value, dict) or not item.value:
        fix = "write parameters: and under it experiment: {value: gpt_tiny}"
        got = "no parameters" if item is None else ""
        reader.wrong("parameters", item or Located(None, 1), "a mapping of settings", got=got, fix=fix)
        return ()
    found: dict[str, Parameter] = {}
    before = len(reader.problems)
    for parameter in read_parameters(item, reader, grid=method == "grid"):
        if parameter.key in found:
            first = found[parameter.key].origin
            got = f"the key twice, nested and dotted (first at {first})"
            origin = parameter.origin
            reader.problems.append(Problem(key=parameter.key, origin=origin, got=got, allowed="one of them"))
        found[parameter.key] = parameter
    if ours and "experiment" not in found and len(reader.problems) == before:
        allowed = "the experiment that cells start from"
        fix = "write experiment: {value: gpt_tiny}, or command: or program: for a program of your own"
        reader.wrong("experiment", item, allowed, got="no experiment", fix=fix)
    return tuple(found[key] for key in sorted(found))
