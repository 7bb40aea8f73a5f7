"""How much each swept setting matters, as bars."""

import math
from collections.abc import Mapping, Sequence

import plotly.graph_objects as go

from lit_transformer.compare.importance import NOISE, SEEDS, Effect
from lit_transformer.compare.style import OKABE_ITO, axis, base_layout, escape, short

MAX_BARS = 16
CHANCE = "#8a8f98"
"""Bars of what nobody chose: the seed and the noise."""
TINY = 0.0005


def variance_bars(effects: Sequence[Effect], metric: str) -> go.Figure:
    """The shares of variance of `importance.anova`, largest first; seed and noise below them in grey."""
    chance = [effect for effect in effects if effect.factors in ((SEEDS,), (NOISE,))]
    chosen = [effect for effect in effects if effect not in chance]
    shown = [*chosen[:MAX_BARS], *chance]
    names = [" × ".join(short(factor) for factor in effect.factors) for effect in shown]
    hovers = [
        f"{_share(effect.share)} of the variance of {metric}"
        + (f", p = {effect.p:.2g}" if math.isfinite(effect.p) else "")
        for effect in shown
    ]
    if chosen and not chance:  # without seeds nothing tells the largest interaction from chance
        largest = max(range(len(chosen)), key=lambda index: len(chosen[index].factors))
        if largest < MAX_BARS and len(chosen[largest].factors) > 1:
            names[largest] += " or noise"
    colours = [CHANCE if effect in chance else OKABE_ITO[0] for effect in shown]
    return _bars(names, [effect.share for effect in shown], hovers, colours, f"Share of the variance of {metric}")


def importance_bars(shares: Mapping[str, float], metric: str) -> go.Figure:
    """The shares of `importance.ped_anova`, largest first."""
    shown = sorted(shares.items(), key=lambda item: -item[1])[:MAX_BARS]
    hovers = [f"{_share(share)} of what decides whether {metric} is among the best" for _, share in shown]
    names = [short(key) for key, _ in shown]
    return _bars(names, [share for _, share in shown], hovers, [OKABE_ITO[2]] * len(shown), f"What makes {metric} good")


def _share(value: float) -> str:
    return f"{100 * value:.1f} %" if value >= TINY else "0 %"


def _bars(names: list[str], shares: list[float], hovers: list[str], colours: list[str], title: str) -> go.Figure:
    figure = go.Figure(layout=base_layout(title))
    figure.add_bar(
        x=shares,
        y=[*range(len(names))],
        orientation="h",
        marker={"color": colours},
        text=[_share(share) for share in shares],
        textposition="outside",
        cliponaxis=False,
        hovertext=[f"{escape(name)}: {escape(hover)}" for name, hover in zip(names, hovers, strict=True)],
        hovertemplate="%{hovertext}<extra></extra>",
        showlegend=False,
    )
    figure.update_layout(
        xaxis=axis("", range=[0, 1.16 * max(shares, default=1.0)], tickformat=".0%"),
        yaxis=axis(
            "", tickvals=[*range(len(names))], ticktext=[escape(name) for name in names], autorange="reversed",
            showgrid=False,
        ),
        bargap=0.35,
    )  # fmt: skip
    return figure
