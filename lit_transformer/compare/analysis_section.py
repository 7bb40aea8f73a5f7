"""The part of the report on what `analyze` found: nothing where it was not run."""

import os
from collections.abc import Sequence
from dataclasses import dataclass, field
from pathlib import Path

import pandas as pd
import plotly.graph_objects as go

from lit_transformer.compare.analysis_figures import (
    MEASURE_TITLES,
    few_heads_figure,
    heads_map,
    pruning_figure,
    scaling_figure,
)
from lit_transformer.compare.analysis_files import (
    HeadsFile,
    Scaling,
    SweepFile,
    read_heads,
    read_sweep_analysis,
)
from lit_transformer.compare.page import text
from lit_transformer.compare.report_figures import plain_figure
from lit_transformer.compare.style import si
from lit_transformer.records.analysis import heads_file

MAX_RUNS = 4
"""Runs whose heads are drawn: each has five figures."""
VERDICTS = {
    "trained": "trained with few heads is better",
    "pruned": "pruned to few heads is better",
    "unclear": "cannot be told apart",
    "one seed": "one seed: no verdict",
}
"""What a match of few heads with pruned ones comes to."""
UNDETERMINED = "stands at the edge of what is allowed: these cells do not determine it"
"""Of an exponent of the fitted law."""


@dataclass
class Section:
    """A part of the page."""

    html: str = ""
    """Places `analysis-0`, `analysis-1` and so on for the figures; empty where there is nothing to show."""
    figures: list[dict[str, object]] = field(default_factory=list)
    """As Plotly.newPlot takes them."""

    def places(self, *figures: go.Figure) -> str:
        """HTML with a place for each of some more figures."""
        first = len(self.figures)
        self.figures += [plain_figure(figure) for figure in figures]
        plots = "".join(f'<div id="analysis-{first + index}" class="plot"></div>' for index in range(len(figures)))
        return f"<div class=curves>{plots}</div>"


def analysis_section(directory: Path, runs: pd.DataFrame) -> Section:
    """What sweep.json of `directory` and heads.json of the runs below it say; `runs` are `read_runs(directory)`."""
    section = Section()
    sweep = read_sweep_analysis(directory)
    parts = [] if sweep is None else _sweep_parts(section, sweep)
    analyzed = [run for run in runs["run"] if os.path.isfile(heads_file(directory / run))]
    drawn = 0
    for run in analyzed:
        found = read_heads(directory / run) if drawn < MAX_RUNS else None
        if found is not None:
            parts.append(_heads_part(section, run, found))
            drawn += 1
    if not parts:
        return Section()
    left = len(analyzed) - drawn
    parts += [f"<p class=hint>{left} more runs were analyzed; see them with `compare RUN`.</p>"] if left else []
    section.html = (
        f'<section class="card" id="analysis-card"><h2>What heads and layers do</h2>{"".join(parts)}</section>'
    )
    return section


def _sweep_parts(section: Section, sweep: SweepFile) -> list[str]:
    parts = []
    if sweep.matches is not None and len(sweep.matches):
        said = "".join(f"<li>{text(line)}</li>" for line in match_lines(sweep.matches))
        parts.append(
            "<p class=hint>Does a network trained with few heads match a large one pruned to as many?</p>"
            f"{section.places(few_heads_figure(sweep.matches))}<ul>{said}</ul>"
        )
    if sweep.scaling is not None:
        said = "".join(f"<li>{text(line)}</li>" for line in scaling_lines(sweep.scaling))
        parts.append(f"{section.places(scaling_figure(sweep.scaling))}<ul>{said}</ul>")
    return parts


def _heads_part(section: Section, run: str, found: HeadsFile) -> str:
    figures = [heads_map(found, measure) for measure in MEASURE_TITLES]
    figures += [pruning_figure(found)] if "val/loss" in found.curves else []
    return f"<p class=hint><code>{text(run)}</code>: {text(heads_line(found))}.</p>{section.places(*figures)}"


def heads_line(found: HeadsFile) -> str:
    """What the heads of a run were measured on, as plain text."""
    return f"{found.model}; on {found.batches} of {found.batches_there} validation batches"


def match_lines(matches: pd.DataFrame) -> list[str]:
    """Each comparison as plain text."""
    lines = []
    for match in matches.to_dict("records"):
        where = f"{match['cell']}: " if match["cell"] else ""
        ends = "" if pd.isna(match["low"]) else f" (95 % interval {match['low']:+.3f} to {match['high']:+.3f})"
        heads = "1 head" if match["heads"] == 1 else f"{match['heads']} heads"
        lines.append(
            f"{where}{heads} against {match['largest']} pruned to as many: pruned minus trained "
            f"{match['difference']:+.3f} nats{ends}, {VERDICTS.get(match['verdict'], match['verdict'])}."
        )
    return lines


def law_of(terms: Sequence[str]) -> tuple[str, str]:
    """The law that is fitted where the loss depends on these, and what its letters stand for."""
    if "tokens" in terms:
        return "E + A / N^alpha + B / D^beta", "N parameters, D tokens"
    return "E + A / N^alpha", "N parameters"


def scaling_lines(found: Scaling) -> list[str]:
    """The fitted law, and what it says of the cell that it did not see, as plain text."""
    law, sizes = law_of(found.terms)
    values = ", ".join(
        f"{name} {value:.3g} [{low:.3g}, {high:.3g}]" for name, (value, low, high) in found.coefficients.items()
    )
    lines = [f"{found.metric} = {law}, {sizes}: {values} (95 % intervals of the bootstrap)."]
    lines += [f"{name} {UNDETERMINED}." for name in found.at_bound]
    held = found.held_out
    lines.append(
        f"Held out: {held['label']} ({si(found.largest)} parameters): predicted {held['predicted']:.4f}, "
        f"measured {held['loss']:.4f}, error {held['error']:+.4f}."
    )
    return lines
