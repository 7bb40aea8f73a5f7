"""The committed figures as tables: `python tests/benchmarks/tables.py` writes README's and docs/figures.md anew.

`--check` writes nothing and fails where they are otherwise.
"""

import sys
from collections.abc import Iterable
from pathlib import Path
from typing import Any

from figures import FOLDER, read_rows

ROOT = Path(__file__).resolve().parents[2]
COMMANDS = {"results-cpu": "make results", "bench-cpu": "make bench"}
"""File of figures -> what measures them."""
HEAD = """# Every figure

Written by `python tests/benchmarks/tables.py` from `tests/benchmarks/figures/`. Each number was printed by the command
above its table, on the machine in its row; what nothing is asked of has an empty column.
"""
SHAPES = ("demo", "d 256", "d 512")

Row = dict[str, Any]


def all_figures() -> str:
    """docs/figures.md."""
    lines = [HEAD]
    for name, command in COMMANDS.items():
        lines += [f"## `{command}`", "", *table(read_rows(FOLDER / f"{name}.json")), ""]
    return "\n".join(lines)


def results() -> str:
    """README's table of what training reaches."""
    return "\n".join(table(read_rows(FOLDER / "results-cpu.json")))


def table(rows: Iterable[Row]) -> list[str]:
    """One line a figure."""
    lines = ["| what | measured | asked | on |", "| --- | --- | --- | --- |"]
    for row in rows:
        what = row["name"] + (f" ({row['note']})" if row["note"] else "")
        missed = " (missed)" if row["met"] is False else ""
        lines.append(f"| {what} | {row['value']:.4g} {row['unit']}{missed} | {asked(row)} | {row['machine']} |")
    return lines


def asked(row: Row) -> str:
    """A figure's bound, empty without one."""
    return "" if row["bound"] is None else f"{'<=' if row['at_most'] else '>='} {row['bound']:.4g}"


def speed() -> str:
    """README's table of training beside peers: our speed over theirs at each shape, without and with dropout."""
    groups: dict[str, list[Row]] = {}
    for row in read_rows(FOLDER / "bench-cpu.json"):
        facts = row.get("facts") or {}
        if facts.get("work") == "training" and facts.get("shape") in SHAPES:
            peer = facts["peer"].partition(" (")[0]  # without its size
            groups.setdefault(f"{facts['system']} | {peer}", []).append(row)
    lines = ["| training | beside | demo | d 256 | d 512 | asked |", "| --- | --- | --- | --- | --- | --- |"]
    for group, rows in groups.items():
        cells = [ratios(row for row in rows if row["facts"]["shape"] == shape) for shape in SHAPES]
        bounds = dict.fromkeys(f"{row['bound']:.3g}" for row in rows if row["bound"] is not None)
        lines.append(f"| {group} | {' | '.join(cells)} | {' / '.join(bounds)} |")
    return "\n".join(lines)


def ratios(rows: Iterable[Row]) -> str:
    """Of one shape, in the order of dropout; in italics what falls short."""
    return " / ".join(f"*{row['value']:.2f}*" if row["met"] is False else f"{row['value']:.2f}" for row in rows)


def with_part(text: str, name: str, part: str) -> str:
    """A page with what stands between the marks of a part replaced."""
    begin, end = f"<!-- {name} -->", f"<!-- /{name} -->"
    before, _, rest = text.partition(begin)
    _, found, after = rest.partition(end)
    if not found:
        raise ValueError(f"no {begin} ... {end} in README.md")
    return f"{before}{begin}\n\n{part}\n\n{end}{after}"


def pages() -> dict[Path, str]:
    """File -> what it should be."""
    readme = ROOT / "README.md"
    text = with_part(readme.read_text(encoding="utf-8"), "results", results())
    return {readme: with_part(text, "speed", speed()), ROOT / "docs" / "figures.md": all_figures()}


def stale() -> dict[Path, str]:
    """Those of `pages` that are otherwise on disk."""
    return {path: text for path, text in pages().items() if not path.exists() or path.read_text("utf-8") != text}


if __name__ == "__main__":
    found = stale()
    if "--check" in sys.argv[1:]:
        sys.exit("\n".join(f"{path} is not what was measured: run {sys.argv[0]}" for path in found) or 0)
    for path, text in found.items():
        path.write_text(text, encoding="utf-8")
