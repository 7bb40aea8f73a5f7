"""Rows of a data set of the `datasets` library."""

from lit_transformer.data.hub import Rows, hub_splits
from lit_transformer.data.rows.row import ListRows, Row, flat


def hub_rows(name: str, config: str | None) -> dict[str, ListRows]:
    """Rows of `train` and, where the data set has them, `val` and `test`; raises UserError like `hub_splits`."""
    return {role: ListRows(_rows(rows, f"hub:{name} {role}")) for role, rows in hub_splits(name, config).items()}


def _rows(rows: Rows, name: str) -> list[Row]:
    return [Row(dict(flat(row)), f"{name} row {index}") for index, row in enumerate(rows)]
