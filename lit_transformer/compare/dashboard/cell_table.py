"""The table of a sweep's cells: what makes each, its number with interval and seeds, where it stands, its state."""

from typing import Any

import pandas as pd

from lit_transformer.compare.comparison import Comparison
from lit_transformer.compare.dashboard.run_table import shown_value
from lit_transformer.compare.judging import Judged
from lit_transformer.compare.statistics import rows_of
from lit_transformer.compare.style import STANDING_WORDS, short

INTERVAL = (("low", "95 % low"), ("high", "95 % high"))
BEHIND = (("behind", "behind the best"), ("behind_low", "behind, 95 % low"), ("behind_high", "behind, 95 % high"))


def cell_columns(
    comparison: Comparison, metric: str, cells: pd.DataFrame, judged: Judged | None
) -> list[dict[str, Any]]:
    """The table's columns; intervals where there are seeds, standings where cells were compared."""
    keys = [{"field": f"k{place}", "headerName": short(key)} for place, key in enumerate(comparison.cell_keys)]
    number = {
        "filter": "agNumberColumnFilter",
        "type": "rightAligned",
        "valueFormatter": {"function": "measured(params)"},
    }
    numbers = [("mean", metric), ("sd", "sd"), ("n", "n")]
    numbers += INTERVAL if bool((cells["count"] > 1).any()) else ()
    compared = judged is not None and judged.compared
    numbers += BEHIND if compared else ()
    standing = [{"field": "standing", "headerName": "against the best", "minWidth": 190}] if compared else []
    return [
        *keys,
        *({"field": field, "headerName": name, **number} for field, name in numbers),
        *standing,
        {"field": "status", "headerName": "status", "cellRenderer": "RunState"},
    ]


def cell_rows(comparison: Comparison, cells: pd.DataFrame) -> list[dict[str, Any]]:
    """The rows of `cells`, which `standing.with_standing` gave, best first."""
    fields = ("mean", "sd", *(field for field, _ in (*INTERVAL, *BEHIND)))
    return [
        {
            **{field: shown_value(row[field]) for field in fields},
            "n": row["n"],
            "standing": STANDING_WORDS[row["standing"]],
            "status": row["status"],
            **{f"k{place}": shown_value(row[key]) for place, key in enumerate(comparison.cell_keys)},
        }
        for row in sorted(rows_of(cells), key=lambda row: row["place"])
    ]
