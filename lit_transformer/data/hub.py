"""Texts of a data set by the `datasets` library (extra `hub`): a name on the hub, or a folder it saved."""

from collections.abc import Iterable, Iterator, Mapping
from pathlib import Path
from typing import Protocol

from lit_transformer.config.errors import UserError
from lit_transformer.data.locate import candidates

VAL_NAMES = ("validation", "val", "valid", "dev")
"""Names under which data sets keep their validation split."""


class Rows(Protocol):
    """What is used of datasets.Dataset."""

    @property
    def column_names(self) -> list[str]: ...
    def __getitem__(self, key: str) -> Iterable[object]: ...
    def __iter__(self) -> Iterator[object]: ...


def read_hub(name: str, config: str | None, text_key: str) -> dict[str, list[str]]:
    """Texts of the splits of a data set: `train`, and `val` and `test` where it has them.

    Raises UserError where the extra is missing, the data set is not found, or it has no training rows or no such text.
    """
    return {role: _texts(rows, name, text_key) for role, rows in hub_splits(name, config).items()}


def hub_splits(name: str, config: str | None) -> dict[str, Rows]:
    """Rows of `train` and, where the data set has them, of `val` and `test`.

    Raises UserError where the extra is missing, the data set is not found, or it has no training rows.
    """
    splits = _load(name, config)
    chosen = {"train": splits.get("train") if len(splits) > 1 else next(iter(splits.values()))}
    chosen["val"] = next((splits[split] for split in VAL_NAMES if split in splits and len(splits) > 1), None)
    chosen["test"] = splits.get("test") if len(splits) > 1 else None
    if chosen["train"] is None:
        raise UserError(f"data.source=hub:{name}: no split named train; it has {', '.join(splits)}")
    return {role: rows for role, rows in chosen.items() if rows is not None}


def _load(name: str, config: str | None) -> Mapping[str, Rows]:
    try:
        import datasets
    except ImportError as error:
        raise UserError(
            f"data.source=hub:{name} needs the extra `hub`, which is not installed\n"
            "  fix      pip install 'lit-transformer[hub]'"
        ) from error
    folder = next((path for path in candidates(name) if _is_saved(path)), None)
    try:
        loaded = datasets.load_from_disk(str(folder)) if folder else datasets.load_dataset(name, config)
    except Exception as error:  # the library raises many kinds: not found, no network, a broken file, a missing name
        raise UserError(
            f"data.source=hub:{name} cannot be loaded ({type(error).__name__}: {str(error).strip()[:300]})\n"
            "  looked for a folder saved by datasets at\n"
            + "\n".join(f"    {path}" for path in candidates(name))
            + "\n  fix      correct the name or data.hub_config, or save it with save_to_disk where there is a network"
        ) from error
    return loaded if isinstance(loaded, Mapping) else {"train": loaded}


def _is_saved(path: Path) -> bool:
    return (path / "dataset_dict.json").is_file() or (path / "state.json").is_file()


def _texts(rows: Rows, name: str, text_key: str) -> list[str]:
    if text_key not in rows.column_names:
        raise UserError(
            f"data.text_key={text_key}: hub:{name} has no such column\n  allowed  {', '.join(rows.column_names)}"
        )
    texts: list[str] = []
    for index, text in enumerate(rows[text_key]):
        if not isinstance(text, str):
            raise UserError(f"hub:{name}: row {index} has no text under {text_key!r}, got {type(text).__name__}")
        texts.append(text)
    return texts
