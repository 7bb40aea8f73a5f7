"""Measured figures beside what is asked of them, as a table and as JSON."""

import json
import platform
from collections.abc import Sequence
from dataclasses import asdict, dataclass
from pathlib import Path

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

    @property
    def met(self) -> bool | None:
        """Whether the bound is kept; None without one."""
        if self.bound is None:
            return None
        return self.value <= self.bound if self.at_most else self.value >= self.bound


def report(figures: Sequence[Figure], name: str, *, keep: bool = False) -> int:
    """Print the table, write `name`.json, and give 0 when every bound is kept, else 1; `keep` leaves other figures."""
    table = Table("figure", "measured", "asked", "", "note", title=name)
    for figure in figures:
        asked = "" if figure.bound is None else f"{'<=' if figure.at_most else '>='} {figure.bound:g}"
        verdict = {None: "", True: "ok", False: "MISSED"}[figure.met]
        table.add_row(figure.name, f"{figure.value:.4g} {figure.unit}", asked, verdict, figure.note)
    Console(width=160).print(table)
    FOLDER.mkdir(exist_ok=True)
    rows = [{**asdict(figure), "met": figure.met} for figure in figures]
    file = FOLDER / f"{name}.json"
    if keep and file.exists():
        known = {(row["name"], row["unit"]): row for row in [*json.loads(file.read_text())["figures"], *rows]}
        rows = list(known.values())
    content = {"machine": machine(), "figures": rows}
    file.write_text(json.dumps(content, indent=2) + "\n")
    return int(any(figure.met is False for figure in figures))


def machine() -> dict[str, object]:
    """What the figures were measured on."""
    from lit_transformer.processes.hardware import processor
    from lit_transformer.training.result import versions

    gpu = torch.cuda.get_device_name() if torch.cuda.is_available() else None
    return {
        "processor": processor(),
        "cores": torch.get_num_threads(),
        "gpu": gpu,
        "system": platform.system(),
        **versions(),
    }
