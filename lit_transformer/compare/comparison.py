"""What a comparison is about: the runs, what was swept, and the metric that they are judged by."""

from dataclasses import dataclass
from pathlib import Path

import pandas as pd

from lit_transformer.compare.plain import label, order
from lit_transformer.compare.plan import Goal, Plan, find_plans, read_plan
from lit_transformer.compare.read import FIELDS, Row, existing_folder, read_rows, to_frame
from lit_transformer.records.sweep_folder import SweepFolder

DEFAULT_METRIC = "val/loss"
SEED = "seed"
MAX_SETTINGS = 64
"""Settings of a cell that is one run, which its name tells from all others: runs may differ in thousands."""

LOWER_IS_BETTER = ("loss", "perplexity", "bits_per_byte")
HIGHER_IS_BETTER = ("accuracy", "bleu", "chrf", "exact_match", "f1", "mean_iou", "pixel_accuracy", "dice")


@dataclass(frozen=True)
class Comparison:
    """Runs to compare; what `read_comparison` makes and every table and figure takes."""

    directory: Path
    title: str
    runs: pd.DataFrame
    """As `read_runs` gives them."""
    swept: list[str]
    """Settings that differ between the runs by intention: those of the sweep's plan, else all that vary."""
    metric: str
    goal: Goal
    planned: bool
    """Whether every run is a cell of one sweep's plan."""
    is_sweep: bool
    """Whether the folder is one sweep's own, so that its results.csv is written too."""
    notes: tuple[str, ...] = ()
    """What could not be read."""

    @property
    def factors(self) -> list[str]:
        """The swept settings but the seed, over which numbers are averaged."""
        return [key for key in self.swept if key != SEED]

    @property
    def cell_keys(self) -> list[str]:
        """The columns that make a cell: the factors where only the seed differs within one, else the run itself too."""
        if SEED in self.swept:
            points = zip(*([label(value) for value in self.runs[key]] for key in self.swept), strict=True)
            if len(set(points)) == len(self.runs):  # the same point twice is no second seed
                return self.factors
        return [*self.factors[:MAX_SETTINGS], "run"]

    @property
    def averaged(self) -> bool:
        """Whether a cell's number is a mean over several seeds."""
        return SEED in self.swept and "run" not in self.cell_keys and self.runs[SEED].nunique() > 1

    @property
    def looks(self) -> list[str]:
        """What colour, then dash and symbol follow in every figure: heads and layers, the seed, or the run itself."""
        if "run" in self.cell_keys and not self.planned:
            return ["run"]
        alone = "run" if "run" in self.cell_keys else SEED
        return [key for key in default_axes(self.factors) if key is not None] or [alone]

    @property
    def metrics(self) -> list[str]:
        """The measured names in the runs, the one they are judged by first, then validation, test, training."""
        known = {"run", "status", "problem", "error", *FIELDS}
        names = [name for name in self.runs.columns if name not in known and _measured(self.runs, name)]
        rank = {"val": 0, "test": 1, "train": 2}
        return sorted(names, key=lambda name: (name != self.metric, rank.get(name.partition("/")[0], 3), name))


def _measured(runs: pd.DataFrame, name: str) -> bool:
    """Metrics are the columns named split/name; a setting is dotted and has no slash."""
    return "/" in name and runs[name].dtype.kind == "f" and bool(runs[name].notna().any())


def goal_of(metric: str, comparison: Comparison) -> Goal | None:
    """Which way `metric` is better; None where neither is, as for parameters."""
    if metric == comparison.metric:
        return comparison.goal
    name = metric.rpartition("/")[2]
    if name in LOWER_IS_BETTER:
        return "minimize"
    higher = name in HIGHER_IS_BETTER or name == "tokens_per_second" or "/iou/" in metric  # of one class
    return "maximize" if higher else None


def read_comparison(directory: str | Path) -> Comparison:
    """Everything at or under `directory`; UserError as in `read_runs`."""
    root = existing_folder(directory)
    folders = find_plans(root)
    read = [(folder, read_plan(folder)) for folder in folders]
    plans = [plan for _, plan in read if plan is not None]
    notes = tuple(f"{folder.plan_file} is damaged: cells without a run are not shown" for folder, p in read if not p)
    return comparison_of(root, plans, read_rows(root, plans), notes)


def comparison_of(root: Path, plans: list[Plan], rows: list[Row], notes: tuple[str, ...] = ()) -> Comparison:
    """What `rows`, those of `plans` first, are compared by."""
    runs = to_frame(rows)
    alone = plans[0] if len(plans) == 1 and len(rows) == len(plans[0].cells) else None
    metric, goal = _judged_by(plans)
    return Comparison(
        directory=root,
        title=alone.name if alone else (root.resolve().name or "runs"),
        runs=runs,
        swept=_swept(alone, runs, rows),
        metric=metric,
        goal=goal,
        planned=alone is not None,
        is_sweep=SweepFolder(root).exists() or SweepFolder(root).plan_file.is_file(),
        notes=notes,
    )


def _judged_by(plans: list[Plan]) -> tuple[str, Goal]:
    """The metric of the sweeps where they agree, else the validation loss."""
    judged = {(plan.metric, plan.goal) for plan in plans}
    return next(iter(judged)) if len(judged) == 1 else (DEFAULT_METRIC, "minimize")


def _swept(plan: Plan | None, runs: pd.DataFrame, rows: list[Row]) -> list[str]:
    """The settings of the sweep's plan; without one every setting that differs between runs."""
    if plan is not None and plan.swept:
        return [key for key in plan.swept if key in runs.columns]
    made = [row.config for row in rows if row.status not in ("missing", "impossible", "damaged")]
    keys = dict.fromkeys(key for config in made for key in config)
    return [key for key in keys if key in runs.columns and len({label(config.get(key)) for config in made}) > 1]


def values_of(frame: pd.DataFrame, key: str) -> list[object]:
    """The distinct values of a setting in order: numbers by size, then text, then null."""
    distinct = {label(value): value for value in frame[key]}
    return sorted(distinct.values(), key=order)


def default_axes(factors: list[str]) -> tuple[str | None, str | None]:
    """The settings drawn along x and y first: heads along x and layers along y where both were swept."""
    ranked = sorted(factors, key=lambda key: not key.endswith("heads"))
    x = ranked[0] if ranked else None
    rest = sorted((key for key in factors if key != x), key=lambda key: not key.endswith("layers"))
    return x, (rest[0] if rest else None)
