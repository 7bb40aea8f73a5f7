"""Where the rows of a task come from."""

from collections.abc import Callable, Iterator
from dataclasses import dataclass
from functools import partial
from pathlib import Path

from lit_transformer.config.errors import UserError
from lit_transformer.config.registry import PAIR_TASKS
from lit_transformer.config.schema import DataConfig, ExperimentConfig
from lit_transformer.config.suggest import did_you_mean
from lit_transformer.data.files import digest_files
from lit_transformer.data.generated import GENERATED
from lit_transformer.data.locate import find_files
from lit_transformer.data.rows.composed import ComposedRows
from lit_transformer.data.rows.copa import read_copa
from lit_transformer.data.rows.hub import hub_rows
from lit_transformer.data.rows.parallel import read_parallel
from lit_transformer.data.rows.row import ListRows, Row, RowSource
from lit_transformer.data.rows.tables import read_jsonl_rows, read_tsv

ROLES = ("", "val_", "test_")
"""Before `path` and `target_path`: the settings of each split's files."""


@dataclass(frozen=True)
class FileRows:
    """Rows that are read out of files when they are needed."""

    paths: list[Path]
    read: Callable[[], Iterator[Row]]

    def digest(self) -> str:
        """Hash of the files' contents."""
        return digest_files(self.paths)

    def rows(self) -> Iterator[Row]:
        """The rows, file by file."""
        return self.read()


def open_rows(config: ExperimentConfig) -> dict[str, RowSource]:
    """The rows to train on and, where they come from a place of their own, those of `val` and `test`.

    Raises UserError for an unknown source, files that are not found, a wrong `data.source_template`, and settings that
    do not go together.
    """
    found = _open(config)
    if config.data.source_template is None:
        return found
    return {role: ComposedRows(source, config.data) for role, source in found.items()}


def _open(config: ExperimentConfig) -> dict[str, RowSource]:
    data, task = config.data, config.task
    kind = data.source.partition(":")[0]
    _check(data, task, kind)
    if kind == "builtin":
        made = GENERATED[task]()
        return {split: ListRows([Row(row, f"builtin {split}") for row in rows]) for split, rows in made.items()}
    if kind == "hub":
        return dict(hub_rows(data.source.removeprefix("hub:"), data.hub_config))
    found: dict[str, RowSource] = {}
    for role, prefix in zip(("train", "val", "test"), ROLES, strict=True):
        if path := getattr(data, f"{prefix}path"):
            files = find_files(path, f"data.{prefix}path")
            found[role] = _file_rows(data, kind, prefix, files)
    return found


def _file_rows(data: DataConfig, kind: str, prefix: str, files: list[Path]) -> FileRows:
    if kind == "text":
        targets = find_files(getattr(data, f"{prefix}target_path"), f"data.{prefix}target_path")
        return FileRows([*files, *targets], partial(read_parallel, files, targets))
    if kind == "tsv":
        return FileRows(files, partial(read_tsv, files, header=data.header))
    return FileRows(files, partial(read_jsonl_rows if kind == "jsonl" else read_copa, files))


def _check(data: DataConfig, task: str, kind: str) -> None:
    _check_source(data, task, kind)
    if kind in ("builtin", "hub"):
        _refuse(data, [f"{role}{name}" for role in ROLES for name in ("path", "target_path")], "reads no files")
        return
    if not data.path:
        raise UserError(f"data.path: source {kind} needs a file or glob\n  fix      set data.path")
    if kind != "text":
        _refuse(data, [f"{role}target_path" for role in ROLES], "has both texts in one file")
        return
    for role in ROLES:
        path, target = getattr(data, f"{role}path"), getattr(data, f"{role}target_path")
        if bool(path) != bool(target):
            missing = f"data.{role}{'target_path' if path else 'path'}"
            raise UserError(
                f"{missing}: source text takes pairs of files, and data.{role}{'path' if path else 'target_path'} "
                f"is {path or target!r}\n  fix      set {missing}, whose line i goes with line i of the other"
            )


def _check_source(data: DataConfig, task: str, kind: str) -> None:
    own = {"text": PAIR_TASKS, "copa": ("multiple_choice",)}
    fitting = [name for name in ("builtin", "text", "tsv", "jsonl", "copa", "hub") if task in own.get(name, (task,))]
    if kind in fitting and (kind == "hub") == (":" in data.source) and data.source != "hub:":
        return
    shown = ["hub:NAME_OR_FOLDER" if name == "hub" else name for name in fitting]
    near = did_you_mean(kind, fitting)
    raise UserError(
        f"data.source: got {data.source!r} with task {task}\n  allowed  {', '.join(shown)}"
        + (f"\n  fix      did you mean {near}?" if near and near != kind else "")
    )


def _refuse(data: DataConfig, keys: list[str], why: str) -> None:
    for key in keys:
        if value := getattr(data, key):
            raise UserError(
                f"data.{key}: got {value!r}, but data.source={data.source} {why}\n"
                f"  fix      leave data.{key} out, or set another data.source"
            )
