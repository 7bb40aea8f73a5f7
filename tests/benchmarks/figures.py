"""Measured figures beside what is asked of them, as a table and as JSON; run it for README's table."""

import json
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import Any

import torch
from rich.console import Console
from rich.table import Table

FOLDER = Path(__file__).parent / "figures"
"""Where the JSON of the last committed measurement lies."""


@dataclass(frozen=True)
class Figure:
    """One number and its bound."""

    name: str
    value: float
    unit: str
    bound: float | None = None
    """None for a number that is only shown."""
    at_most: bool = True
    note: str = ""
    facts: Mapping[str, object] = field(default_factory=dict)
    """What the page draws: system, shape, both speeds, ..."""

    @property
    def met(self) -> bool | None:
        """Whether the bound is kept; None without one."""
        if self.bound is None:
            return None
        return self.value <= self.bound if self.at_most else self.value >= self.bound


def report(
    figures: Sequence[Figure], name: str, *, keep: bool = False, part: str | None = None, folder: Path = FOLDER
) -> int:
    """Print the table, write `name`.json, and give 0 when every bound is kept, else 1.

    keep leaves other figures as they are. With a part, these are all of its figures, and those of other parts stay.
    """
    Console(width=160).print(table_of(figures, name if part is None else f"{name}: {part}"))
    on = machine()
    rows = [{**asdict(figure), "met": figure.met, "machine": on, "part": part} for figure in figures]
    file = folder / f"{name}.json"
    known = read_rows(file)
    if part is not None:
        rows = with_part(known, rows, part)
    elif keep:
        rows = list({(row["name"], row["unit"]): row for row in [*known, *rows]}.values())
    folder.mkdir(parents=True, exist_ok=True)
    file.write_text(json.dumps({"figures": rows}, indent=2) + "\n")
    return int(any(figure.met is False for figure in figures))


def table_of(figures: Sequence[Figure], title: str) -> Table:
    """What the terminal shows."""
    table = Table("figure", "measured", "asked", "", "note", title=title)
    for figure in figures:
        asked = "" if figure.bound is None else f"{'<=' if figure.at_most else '>='} {figure.bound:g}"
        verdict = {None: "", True: "ok", False: "MISSED"}[figure.met]
        table.add_row(figure.name, f"{figure.value:.4g} {figure.unit}", asked, verdict, figure.note)
    return table


def with_part(known: Sequence[dict[str, Any]], rows: Sequence[dict[str, Any]], part: str) -> list[dict[str, Any]]:
    """Known rows with those of a part replaced, in their place; behind the others where it had none."""
    places = [place for place, row in enumerate(known) if row.get("part") == part]
    place = places[0] if places else len(known)
    before, after = known[:place], known[place:]
    return [*before, *rows, *(row for row in after if row.get("part") != part)]


def read_rows(file: Path) -> list[dict[str, Any]]:
    """The figures of a file as they were written; none where it is not there."""
    return json.loads(file.read_text())["figures"] if file.exists() else []


def machine() -> str:
    """What a figure is measured on, and with which torch."""
    gpu = torch.cuda.get_device_name() if torch.cuda.is_available() else None
    processor = " ".join(_processor().replace("(R)", "").replace(" Processor", "").split())
    return f"{gpu or f'{processor}, {torch.get_num_threads()} threads'}, torch {torch.__version__.partition('+')[0]}"


def _processor() -> str:
    from lit_transformer.processes.hardware import processor

    return processor()
