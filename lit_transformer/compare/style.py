"""How every figure looks: escaped labels, numbers as text, colours that a colour-blind reader can tell apart."""

import html
import math
import textwrap
from dataclasses import dataclass

import pandas as pd
import plotly.graph_objects as go
from plotly.colors import sample_colorscale

from lit_transformer.compare.comparison import values_of
from lit_transformer.compare.plain import label, printable
from lit_transformer.compare.statistics import Row

OKABE_ITO = ("#0072B2", "#E69F00", "#009E73", "#CC79A7", "#56B4E9", "#D55E00")
"""Okabe and Ito's palette without black and yellow, which vanish on a dark and on a light page."""
DASHES = ("solid", "dash", "dot", "dashdot")
SYMBOLS = ("circle", "square", "diamond", "triangle-up", "x", "star", "cross", "triangle-down")
MAX_LEGEND = 12
LEGEND = {
    "orientation": "h", "yref": "container", "y": 0, "yanchor": "bottom",
    "itemclick": False, "itemdoubleclick": False, "font": {"size": 11},
}  # fmt: skip
STANDING_WORDS = {"best": "best", "not told apart": "cannot be told from the best", "worse": "worse", "": ""}
"""What a page says of `judging.Standing`."""
UNITS = ((1e18, "E"), (1e15, "P"), (1e12, "T"), (1e9, "G"), (1e6, "M"), (1e3, "k"))
MAX_DIGITS = 6
"""Decimals of a mean and its deviation at most."""


def escape(value: object) -> str:
    """A label that plotly and a browser show as it is: plotly makes markup of `<a>`, `<b>` and `<br>` in any text."""
    return html.escape(printable(label(value)), quote=False).replace("%{", "%&#123;")  # %{...} is a template's field


def wrapped(text: str, width: int = 60, limit: int = 240) -> str:
    """A long text, shortened, escaped and broken into lines for a hover label."""
    lines = textwrap.wrap(textwrap.shorten(printable(text), limit, placeholder=" ..."), width)
    return "<br>".join(escape(line) for line in lines)


def short(key: str) -> str:
    """The last part of a dotted key."""
    return key.rpartition(".")[2]


def si(value: float) -> str:
    """A large number in three digits with its unit: 1.23 M."""
    if not math.isfinite(value):
        return ""
    for size, unit in UNITS:
        if abs(value) >= size:
            return f"{value / size:.3g} {unit}"
    return f"{value:.3g}"


def figure_of(metric: str, value: float) -> str:
    """A measured value as text: three decimals for a metric, a unit for a count."""
    if not math.isfinite(value):
        return ""
    if "/" not in metric:
        return si(value)
    return f"{value:.3f}" if 1e-3 <= abs(value) < 1e3 or value == 0 else f"{value:.3g}"


def mean_text(metric: str, mean: float, sd: float) -> str:
    """`2.313 ± 0.021`, or the mean alone where there is no standard deviation; of a small one the mean's digits too."""
    spread = figure_of(metric, sd)
    if "/" in metric and 0 < sd < 1e-3 <= abs(mean) < 1e3:
        digits = min(MAX_DIGITS, -math.floor(math.log10(sd)))
        return f"{mean:.{digits}f} ± {sd:.{digits}f}"
    return f"{figure_of(metric, mean)} ± {spread}" if spread else figure_of(metric, mean)


def behind_text(metric: str, row: Row) -> str:
    """`0.031 [0.010, 0.052]`: by how much a cell is worse than the best, with its interval; empty where unknown."""
    return interval_text(metric, float(row["behind"]), float(row["behind_low"]), float(row["behind_high"]))


def interval_text(metric: str, value: float, low: float, high: float) -> str:
    """`value [low, high]`; without the brackets where there is no interval."""
    if not math.isfinite(value):
        return ""
    if not math.isfinite(low):
        return figure_of(metric, value)
    if "/" in metric and 1e-2 <= max(abs(low), abs(high)) < 1e3:
        return f"{value:.3f} [{low:.3f}, {high:.3f}]"  # a small distance in the digits of its interval
    return f"{figure_of(metric, value)} {bracket(metric, low, high)}"


def bracket(metric: str, low: float, high: float) -> str:
    """`[low, high]`; empty where there is no interval."""
    return f"[{figure_of(metric, low)}, {figure_of(metric, high)}]" if math.isfinite(low) else ""


@dataclass(frozen=True)
class Looks:
    """The colour and the dash or symbol of every run: one setting decides each, so they agree in all figures.

    Without keys all are alike: a sweep of seeds alone is one cell.
    """

    keys: list[str]
    colours: dict[str, str]
    ranks: dict[str, int]

    def colour(self, row: Row) -> str:
        return self.colours[label(row[self.keys[0]])] if self.keys else OKABE_ITO[0]

    def rank(self, row: Row) -> int:
        return self.ranks[label(row[self.keys[1]])] if self.ranks else 0

    def dash(self, row: Row) -> str:
        return DASHES[self.rank(row)] if len(self.ranks) <= len(DASHES) else DASHES[0]

    def symbol(self, row: Row) -> str:
        return SYMBOLS[self.rank(row)] if len(self.ranks) <= len(SYMBOLS) else SYMBOLS[0]


def looks_of(frame: pd.DataFrame, keys: list[str]) -> Looks:
    """Colours by the values of `keys[0]`, dashes and symbols by those of `keys[1]`; of the keys that the frame has."""
    keys = [key for key in keys if key in frame.columns]
    if not keys:
        return Looks(keys=[], colours={}, ranks={})
    values = [label(value) for value in values_of(frame, keys[0])]
    if len(values) <= len(OKABE_ITO):
        colours = dict(zip(values, OKABE_ITO, strict=False))
    else:
        shares = [0.12 + 0.76 * index / (len(values) - 1) for index in range(len(values))]
        colours = dict(zip(values, sample_colorscale("Viridis", shares), strict=True))
    second = [label(value) for value in values_of(frame, keys[1])] if len(keys) > 1 else []
    return Looks(keys=keys, colours=colours, ranks={value: rank for rank, value in enumerate(second)})


def add_legend(figure: go.Figure, looks: Looks, kind: str) -> None:
    """What colours mean, then what dashes (`lines`) or symbols (`markers`) mean, as entries without data."""
    entries = [(looks.keys[0], value, colour, 0) for value, colour in looks.colours.items()]
    choices = len(DASHES if kind == "lines" else SYMBOLS)
    if 1 < len(looks.ranks) <= choices:
        entries += [(looks.keys[1], value, "#8a8f98", rank) for value, rank in looks.ranks.items()]
    if len(looks.colours) > MAX_LEGEND:
        entries = entries[len(looks.colours) :]
    for key, value, colour, rank in entries:
        figure.add_scatter(
            x=[None],
            y=[None],
            mode=kind,
            name=escape(value) if key == "run" else f"{escape(short(key))} {escape(value)}",
            line={"color": colour, "width": 2, "dash": DASHES[rank % len(DASHES)]},
            marker={"color": colour, "size": 9, "symbol": SYMBOLS[rank % len(SYMBOLS)]},
            hoverinfo="skip",
        )


def base_layout(title: str) -> dict[str, object]:
    """The layout that all figures share; the page or dashboard recolours font and grid to its theme."""
    return {
        "template": "none",
        "title": {
            "text": escape(title),
            "font": {"size": 14},
            "x": 0,
            "xref": "container",
            "xanchor": "left",
            "pad": {"l": 4},
        },
        "font": {"family": "system-ui, -apple-system, Segoe UI, Roboto, Helvetica, Arial, sans-serif", "size": 12},
        "paper_bgcolor": "rgba(0,0,0,0)",
        "plot_bgcolor": "rgba(0,0,0,0)",
        "margin": {"l": 56, "r": 12, "t": 36, "b": 46},
        "hoverlabel": {"align": "left"},
    }


def axis(title: str, **settings: object) -> dict[str, object]:
    """An axis with a thin grid and an escaped title."""
    return {
        "title": {"text": escape(title), "standoff": 8},
        "gridcolor": "rgba(128,128,128,0.2)",
        "zeroline": False,
        "automargin": True,
        **settings,
    }
