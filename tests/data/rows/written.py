"""Files of rows for tests."""

import json
from collections.abc import Sequence
from pathlib import Path


def write_lines(name: str, lines: Sequence[str]) -> Path:
    path = Path(name)
    path.write_text("".join(f"{line}\n" for line in lines), encoding="utf-8", newline="")
    return path


def write_jsonl(name: str, rows: Sequence[object]) -> Path:
    return write_lines(name, [json.dumps(row, ensure_ascii=False) for row in rows])
