"""Finds the files that `data.path` and its like name."""

import difflib
import glob
import os
from pathlib import Path

from lit_transformer.config.errors import UserError

DATA_VARIABLE = "LIT_TRANSFORMER_DATA"
"""Environment variable with the second folder in which a relative path is looked up."""


def data_root() -> Path:
    """Second folder for relative paths: LIT_TRANSFORMER_DATA, else `../shared/data` from the project's root."""
    given = os.environ.get(DATA_VARIABLE)
    return Path(given).expanduser() if given else Path(__file__).resolve().parents[2].parent / "shared" / "data"


def candidates(name: str) -> list[Path]:
    """Absolute paths that `name` may mean, the preferred one first."""
    path = Path(name).expanduser()
    return [path] if path.is_absolute() else [Path.cwd() / path, data_root() / path]


def find_files(name: str, key: str) -> list[Path]:
    """Files that a path or glob names, sorted; a file whose name holds glob characters counts as itself.

    Raises UserError where nothing is found, naming the folders searched and near misses, and where a folder is given.
    """
    tried = candidates(name)
    for path in tried:
        if path.is_file():
            return [path]
    for path in tried:
        if path.is_dir():
            raise UserError(
                f"{key}: {path} is a folder, not a file\n"
                f"  allowed  a file, or a glob of files\n"
                f"  fix      name the files in it, for example {key}={os.path.join(name, '*.txt')}"
            )
    if glob.has_magic(name):
        for path in tried:
            files = sorted(Path(match) for match in glob.glob(str(path), recursive=True) if os.path.isfile(match))
            if files:
                return files
        raise UserError(f"{key}: no file matches {name}\n  looked in\n{_listed(tried)}\n{_near_misses(tried, key)}")
    raise UserError(f"{key}: there is no file {name}\n  looked for\n{_listed(tried)}\n{_near_misses(tried, key)}")


def _listed(paths: list[Path]) -> str:
    return "\n".join(f"    {path}" for path in paths)


def _near_misses(tried: list[Path], key: str) -> str:
    """The line with the fix: a file of a similar name, else the variable that moves the second folder."""
    for path in tried:
        missing = path
        while not missing.parent.is_dir() and missing.parent != missing:
            missing = missing.parent  # the first part of the path that is not there
        close = difflib.get_close_matches(missing.name, _names(missing.parent), n=3, cutoff=0.6)
        if close:
            rest = path.relative_to(missing)
            return f"  fix      did you mean {' or '.join(str(missing.parent / name / rest) for name in close)}?"
    return f"  fix      correct {key}, or set {DATA_VARIABLE} to the folder that holds it"


def _names(folder: Path) -> list[str]:
    try:
        return sorted(entry.name for entry in folder.iterdir())
    except OSError:
        return []
