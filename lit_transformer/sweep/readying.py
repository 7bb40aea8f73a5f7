"""Making a claimed cell's folder ready for its trial: frozen anew, or as an earlier attempt left it."""

import shutil
from collections.abc import Callable, Mapping
from pathlib import Path

from lit_transformer.config.errors import UserError
from lit_transformer.records.atomic import read_json, write_json
from lit_transformer.records.run_folder import RunFolder
from lit_transformer.sweep.outcome import clear, forget_end
from lit_transformer.sweep.plan import PlannedCell
from lit_transformer.sweep.preparing import PREPARE, ask, never


class LocalData:
    """Where the prepared data of cells lie on this machine: as planned, or prepared here once."""

    def __init__(self, stop: Callable[[], bool] = never) -> None:
        """`stop` says that preparing is to end at once."""
        self._found: dict[str, Mapping[str, object]] = {}
        self._stop = stop

    def of(self, cell: PlannedCell) -> Mapping[str, object]:
        """What prepared.json is to say here; raises UserError where the data are missing here, or are others.

        Raises Stopped where it was asked to stop while they were prepared.
        """
        if Path(str(cell.prepared["folder"])).is_dir():
            return cell.prepared
        wanted = str(cell.prepared.get("fingerprint"))
        if wanted not in self._found:
            self._found[wanted] = _prepared_here(cell, wanted, self._stop)
        return self._found[wanted]


def _prepared_here(cell: PlannedCell, wanted: str, stop: Callable[[], bool]) -> Mapping[str, object]:
    cells = ask(PREPARE, {"cells": [{"cell": cell.name, "config": cell.config}]}, stop).get("cells")
    answer = cells.get(cell.name) if isinstance(cells, Mapping) else None
    problem = answer["problem"] if isinstance(answer, Mapping) else "they were not prepared"
    if isinstance(answer, Mapping) and not problem:
        here: Mapping[str, object] = answer["prepared"]
        if here.get("fingerprint") == wanted:
            return here
        problem = f"they have the fingerprint {here.get('fingerprint')}"
    raise UserError(
        f"{cell.name}: its data are not the sweep's on this machine: {problem}\n"
        f"  allowed  data with the fingerprint {wanted}\n"
        f"  fix      let LIT_TRANSFORMER_CACHE name a folder that this machine shares with the one that prepared "
        f"{cell.prepared['folder']}, or copy the data here"
    )


def make_ready(run: RunFolder, cell: PlannedCell, data: LocalData) -> bool:
    """Freeze the cell, or leave an earlier attempt's folder to go on in; False where that attempt still lives.

    Raises UserError and Stopped as `LocalData.of`, and OSError.
    """
    prepared = data.of(cell)
    before = read_json(run.prepared_file)
    if run.read_config() == cell.config and before.get("fingerprint", before) == prepared.get("fingerprint", prepared):
        if not forget_end(run):
            return False
        if before != prepared:  # the same data in another place
            write_json(run.prepared_file, dict(prepared))
        return True
    if not clear(run):
        return False
    tokenizer = Path(str(prepared["folder"])) / run.tokenizer_file.name
    if tokenizer.exists():  # images have none
        shutil.copyfile(tokenizer, run.tokenizer_file)
    run.freeze(dict(cell.config), dict(cell.origins), dict(prepared))
    return True
