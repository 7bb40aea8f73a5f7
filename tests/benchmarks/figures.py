"""Measured figures beside what is asked of them, as a table and as JSON; run it for README's table."""

import json
from collections.abc import Sequence
from dataclasses import asdict, dataclass
from pathlib import Path

import torch
from rich.console import Console
from rich.table import Table

FOLDER = Path(__file__).parent / "figures"
"""Where the JSON of the last committed measurement lies."""

COMMANDS = {"results-cpu": "make results", "bench-cpu": "make bench"}
"""File of figures -> what measures them."""


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
    rows = [{**asdict(figure), "met": figure.met, "machine": machine()} for figure in figures]
    file = FOLDER / f"{name}.json"
    if keep and file.exists():
        known = {(row["name"], row["unit"]): row for row in [*json.loads(file.read_text())["figures"], *rows]}
        rows = list(known.values())
    file.write_text(json.dumps({"figures": rows}, indent=2) + "\n")
    return int(any(figure.met is False for figure in figures))


def machine() -> str:
    """What a figure is measured on, and with which torch."""
    gpu = torch.cuda.get_device_name() if torch.cuda.is_available() else None
    processor = " ".join(_processor().replace("(R)", "").replace(" Processor", "").split())
    return f"{gpu or f'{processor}, {torch.get_num_threads()} threads'}, torch {torch.__version__.partition('+')[0]}"


def _processor() -> str:
    from lit_transformer.processes.hardware import processor

    return processor()


def markdown() -> str:
    """README's table: every figure of the last committed measurements, each with its machine and command."""
    lines = ["| what | measured | asked | on | command |", "| --- | --- | --- | --- | --- |"]
    for name, command in COMMANDS.items():
        file = FOLDER / f"{name}.json"
        for row in json.loads(file.read_text())["figures"] if file.exists() else []:
            what = row["name"] + (f" ({row['note']})" if row["note"] else "")
            asked = "" if row["bound"] is None else f"{'<=' if row['at_most'] else '>='} {row['bound']:.4g}"
            missed = " (missed)" if row["met"] is False else ""
            lines.append(
                f"| {what} | {row['value']:.4g} {row['unit']}{missed} | {asked} | {row['machine']} | `{command}` |"
            )
    return "\n".join(lines)


if __name__ == "__main__":
    print(markdown())
