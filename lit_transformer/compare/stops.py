"""What hyperband decided: the lines of a sweep's stops.jsonl, damaged ones left out."""

from pathlib import Path

import pandas as pd

from lit_transformer.compare.plain import clean, number, whole
from lit_transformer.compare.plan import find_plans
from lit_transformer.records.run_folder import read_rows

COLUMNS = ("run", "rule", "metric", "band", "value", "threshold", "rank", "of")


def read_stops(directory: str | Path) -> pd.DataFrame:
    """Every trial that a sweep at or under `directory` stopped early, in order.

    Columns: `run` (as in `read_runs`), `rule` (hyperband or asha), `metric`, `band` (logged values at which trials were
    compared), `value` (the trial's), `threshold` (the worst that goes on), `rank` of `of` that had come as far.
    """
    root = Path(directory)
    found: list[dict[str, object]] = []
    for folder in find_plans(root):
        for line in read_rows(folder.stops_file):
            row: dict[str, object] = dict(line)
            cell, band = row.get("cell"), whole(row.get("band"))
            if not isinstance(cell, str) or Path(cell).name != cell or cell in ("", ".", "..") or band is None:
                continue
            found.append(
                {
                    "run": clean(folder.cell(cell).path.relative_to(root).as_posix()),
                    "rule": clean(str(row.get("rule"))),
                    "metric": clean(str(row.get("metric"))),
                    "band": band,
                    "value": number(row.get("value")),
                    "threshold": number(row.get("threshold")),
                    "rank": whole(row.get("rank")),
                    "of": whole(row.get("of")),
                }
            )
    return pd.DataFrame(found, columns=list(COLUMNS))
