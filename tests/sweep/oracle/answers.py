"""Reads the recorded answers; record.py says what is in them."""

import gzip
import json
from pathlib import Path
from typing import Any


def answers(name: str) -> list[dict[str, Any]]:
    """The cases of `ppf`, `grid` or `hyperband`."""
    with gzip.open(Path(__file__).with_name(f"{name}.json.gz"), "rt", encoding="utf-8") as file:
        return json.load(file)["cases"]
