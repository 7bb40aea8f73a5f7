"""What the pilots of a sweep ask SLURM for: from flags, and from a small YAML file below them."""

import dataclasses
import math
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path

from lit_transformer.config.durations import seconds
from lit_transformer.config.errors import ConfigError, Problem, UserError
from lit_transformer.config.suggest import did_you_mean
from lit_transformer.config.yaml_lines import Located, read_yaml


@dataclass(frozen=True, kw_only=True)
class PilotSettings:
    """A sweep's pilots: jobs that run cells one after another."""

    pilots: int = 1
    """Jobs at once."""
    nodes: int | None = None
    """Nodes of each pilot; default: what the largest cell trains on."""
    gpus: int = 0
    """GPUs of each node; 0 trains on CPUs."""
    cpus: int = 1
    """CPUs, and so threads, of each rank."""
    time: str = "1h"
    """How long a pilot runs before it goes back into the queue."""
    lead: str = "2min"
    """How long before its end a pilot stops its trials at a checkpoint."""
    partition: str | None = None
    account: str | None = None
    qos: str | None = None
    constraint: str | None = None
    mem: str | None = None
    """Memory of each node, as sbatch takes it: 16G."""
    sbatch: Mapping[str, object] = field(default_factory=dict)
    """Further options of sbatch, long names without dashes: {reservation: night}."""

    @property
    def minutes(self) -> int:
        """`time` in SLURM's unit, rounded up."""
        return math.ceil(seconds(self.time) / 60)

    @property
    def lead_seconds(self) -> int:
        return math.ceil(seconds(self.lead))


NAMES = tuple(field.name for field in dataclasses.fields(PilotSettings))
WHOLE = {"pilots": 1, "nodes": 1, "gpus": 0, "cpus": 1}
"""Name of a whole number -> the least that it may be."""
DURATIONS = ("time", "lead")


def pilot_settings(file: Path | None, flags: Mapping[str, object]) -> PilotSettings:
    """Settings from a file and from flags, which win where they are not None.

    Raises UserError for a file that is missing or no YAML, ConfigError with every unknown name and impossible value.
    """
    given: dict[str, tuple[object, str]] = {}
    problems: list[Problem] = []
    if file is not None:
        root = read_yaml(file)
        for name, item in root.value.items() if isinstance(root.value, dict) else ():
            given[name] = (item.plain(), f"{file}:{item.line}")
        problems += _not_a_mapping(root, file)
    given |= {name: (value, f"--{name}") for name, value in flags.items() if value is not None}
    for name, (value, origin) in given.items():
        problems += _wrong(name, value, origin)
    if problems:
        raise ConfigError(problems)
    settings = dataclasses.replace(PilotSettings(), **{name: value for name, (value, _) in given.items()})  # type: ignore[arg-type]
    if settings.lead_seconds >= settings.minutes * 60:
        origin = given.get("lead", ("", given.get("time", ("", "default"))[1]))[1]
        fix = "a longer --time, or a shorter lead in the file that --slurm names"
        got = f"{settings.lead} before the end of {settings.time}"
        raise ConfigError([Problem(key="lead", origin=origin, got=got, allowed="less than time", fix=fix)])
    return settings


def _not_a_mapping(root: Located, file: Path) -> list[Problem]:
    if isinstance(root.value, dict):
        return []
    allowed = "a mapping such as {partition: gpu, time: 4h}"
    return [Problem(key="--slurm", origin=f"{file}:{root.line}", got=repr(root.plain()), allowed=allowed)]


def _wrong(name: str, value: object, origin: str) -> list[Problem]:
    if name not in NAMES:
        guess = did_you_mean(name, NAMES)
        fix = f"did you mean {guess}?" if guess else f"other options of sbatch: sbatch: {{{name}: ...}}"
        return [Problem(key=name, origin=origin, got="an unknown name", allowed=", ".join(NAMES), fix=fix)]
    allowed = _allowed(name, value)
    return [Problem(key=name, origin=origin, got=repr(value), allowed=allowed)] if allowed else []


def _allowed(name: str, value: object) -> str:
    """What `name` takes where `value` is nothing of that kind, else nothing."""
    if name in WHOLE:
        good = isinstance(value, int) and not isinstance(value, bool) and value >= WHOLE[name]
        return "" if good else f"a whole number, {WHOLE[name]} or more"
    if name in DURATIONS:
        try:
            seconds(str(value))
        except ValueError:
            return "a duration such as 90s, 30min, 4h, 2d"
        return ""
    if name == "sbatch":
        return "" if isinstance(value, dict) else "a mapping of sbatch's options, such as {reservation: night}"
    return "" if isinstance(value, str) else "a text"


def sbatch_problem(message: str) -> UserError:
    """What SLURM said of a submission that it refused, as the user's mistake."""
    said = " ".join(line.strip() for line in message.splitlines() if line.strip())
    return UserError(
        f"SLURM takes no pilot of this sweep\n  got      {said or 'no reason'}\n"
        "  allowed  what `sinfo` lists, for your account\n"
        "  fix      change --partition, --account, --nodes, --gpus, --cpus or --time, or the file that --slurm names"
    )
