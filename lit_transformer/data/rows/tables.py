"""Rows of tab-separated tables and of jsonl files."""

from collections.abc import Iterator
from pathlib import Path

from lit_transformer.config.errors import UserError
from lit_transformer.data.files import read_objects
from lit_transformer.data.rows.parallel import read_lines
from lit_transformer.data.rows.row import Row, flat


def read_tsv(paths: list[Path], *, header: bool) -> Iterator[Row]:
    """Rows of tab-separated files, columns under the names of the first row, or under their numbers from 1.

    Quotes are characters like any other. Raises UserError for a row of more columns than names.
    """
    for path in paths:
        lines = read_lines(path)
        names = lines[0].split("\t") if header and lines else None
        for number, line in enumerate(lines[1:] if header else lines, start=2 if header else 1):
            cells = line.split("\t") if line.strip() else []
            if names is not None and len(cells) > len(names):
                raise UserError(
                    f"{path}:{number}: more columns than the first row names\n"
                    f"  got      {len(cells)}\n  allowed  {len(names)}: {', '.join(names[:20])}"
                )
            keys = names or [str(column) for column in range(1, len(cells) + 1)]
            yield Row(dict(zip(keys, cells, strict=False)), f"{path}:{number}")


def read_jsonl_rows(paths: list[Path]) -> Iterator[Row]:
    """Rows of jsonl files, nested fields under dotted names; blank lines are skipped.

    Raises UserError with file and line where a line is no JSON object or holds half a surrogate pair.
    """
    for path in paths:
        for place, value in read_objects(path):
            row = Row(dict(flat(value)), place)
            try:
                "".join(row.fields.values()).encode()
            except UnicodeEncodeError as error:  # JSON can spell what no UTF-8 text can hold
                raise UserError(f"{place}: a text holds half a surrogate pair ({error.reason})") from error
            yield row
