"""What `lit-transformer compare DIR --bootstrap SPLIT` does."""

import json
import sys
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from rich.console import Console
from rich.table import Table
from rich.text import Text

from lit_transformer.compare.bootstrap import SCORES, Bootstrapped, paired_bootstrap, ratio
from lit_transformer.compare.plain import clean, printable
from lit_transformer.compare.read import existing_folder
from lit_transformer.config.errors import UserError
from lit_transformer.records.atomic import finite
from lit_transformer.records.predictions import paired_statistics, predictions_file, read_predictions
from lit_transformer.records.run_folder import find_runs

PIPED_WIDTH = 200
"""Columns of a table that goes into a pipe or file, where no terminal says how wide it may be."""
SPLITS = ("test", "val")


@dataclass(frozen=True)
class Pairs:
    """Runs compared on the rows that all of them were evaluated on."""

    split: str
    runs: list[str]
    rows: int
    metrics: dict[str, Bootstrapped]

    def to_json(self) -> dict[str, object]:
        """For each metric the runs, best first."""
        found = {name: self.ranked(name) for name in self.metrics}
        return {"split": self.split, "rows": self.rows, "metrics": found}

    def ranked(self, metric: str) -> list[dict[str, object]]:
        """The runs by a metric, best first: value with its interval, distance from the best with its own."""
        found = self.metrics[metric]
        lines: list[dict[str, object]] = []
        for index in np.argsort(-found.values, kind="stable").tolist():
            line: dict[str, object] = {"run": self.runs[index], "value": float(found.values[index])}
            line |= {"low": float(found.low[index]), "high": float(found.high[index])}
            if found.standings is not None:
                for name in ("behind", "low", "high"):
                    key = name if name == "behind" else f"behind_{name}"
                    line[key] = float(getattr(found.standings, name)[index])
                line["worse"] = bool(found.standings.worse[index])
            lines.append(line)
        return lines


def read_pairs(directory: Path, split: str) -> Pairs:
    """The runs at or under a folder that have predictions of a split; raises UserError where these are no two alike."""
    if split not in SPLITS:
        raise UserError(f"--bootstrap\n  got      {split}\n  allowed  {', '.join(SPLITS)}")
    root = existing_folder(directory)
    there = find_runs(root)
    runs = [run for run in there if predictions_file(run.path, split).is_file()]
    if len(runs) < 2:
        raise UserError(
            f"{root}: a paired bootstrap needs two runs or more that were evaluated on the {split} split\n"
            f"  got      {len(runs)} of {len(there)} runs\n"
            f"  fix      lit-transformer evaluate RUN --split {split} saves what a run predicts"
        )
    read = [read_predictions(run.path, split) for run in runs]
    if not read[0].rows:
        raise UserError(f"{predictions_file(runs[0].path, split)} has no row to compare")
    metrics = {
        name: paired_bootstrap(paired_statistics(read, name), SCORES.get(name, ratio)) for name in read[0].statistics
    }
    names = [clean(run.path.relative_to(root).as_posix()) for run in runs]
    return Pairs(split, names, len(read[0].rows), metrics)


def compare_predictions(directory: Path, split: str, *, others: bool, as_json: bool) -> None:
    """Print which runs differ on the rows that they were evaluated on, or one JSON document; raises UserError.

    `others`: an option of the report was given too, which is refused.
    """
    if others:
        raise UserError("--bootstrap prints its own tables\n  got      --csv or --html too\n  fix      leave one out")
    found = read_pairs(directory, split)
    if as_json:
        sys.stdout.write(json.dumps(finite(found.to_json()), ensure_ascii=False, indent=2) + "\n")
        return
    console = Console(width=None if sys.stdout.isatty() else PIPED_WIDTH)
    for metric in found.metrics:
        console.print(_table(found, metric))
    print(
        f"Paired bootstrap over {found.rows} rows of the {split} split: it answers for another draw of rows, "
        "and not for another seed of training."
    )


def _table(found: Pairs, metric: str) -> Table:
    table = Table(header_style="bold")
    table.add_column("run", overflow="fold")
    for name in (f"{found.split}/{metric}", "95 %", "behind the best", "95 %, all together"):
        table.add_column(name, justify="right", no_wrap=True)
    table.add_column("")
    digits = 2 if metric in ("bleu", "chrf") else 4
    for line in found.ranked(metric):
        numbers = [f"{line['value']:.{digits}f}", f"{line['low']:.{digits}f} to {line['high']:.{digits}f}"]
        said = ""
        if "worse" in line:
            numbers.append(f"{line['behind']:.{digits}f}")
            numbers.append(f"{line['behind_low']:.{digits}f} to {line['behind_high']:.{digits}f}")
            said = "worse than the best" if line["worse"] else "cannot be told from the best"
            said = "best" if line["behind"] == 0 else said
        else:
            numbers += ["", ""]
        table.add_row(Text(printable(str(line["run"]))), *numbers, said)
    return table
