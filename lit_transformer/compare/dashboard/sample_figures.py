"""An attention map as a figure."""

import numpy as np
import plotly.graph_objects as go
from numpy.typing import NDArray

from lit_transformer.compare.style import axis, base_layout, escape

MAX_SIDE = 512
"""Queries and keys drawn: more are finer than a screen."""


def attention_map(
    weights: NDArray[np.float32], head: int | None, queries: list[str], keys: list[str], title: str
) -> go.Figure:
    """Who attends to whom: `weights` (heads, queries, keys) of one head, or their mean where `head` is None."""
    chosen = weights.mean(axis=0) if head is None or not 0 <= head < len(weights) else weights[head]
    shown = np.nan_to_num(np.asarray(chosen, dtype=np.float64)[:MAX_SIDE, :MAX_SIDE])
    figure = go.Figure(layout=base_layout(title))
    figure.add_heatmap(
        z=np.round(shown, 4).tolist(),
        x=list(range(shown.shape[1])),
        y=list(range(shown.shape[0])),
        colorscale="Viridis",
        zmin=0,
        zmax=max(float(shown.max(initial=0.0)), 1e-6),
        customdata=[[f"{escape(q)} looks at {escape(k)}" for k in keys[:MAX_SIDE]] for q in queries[:MAX_SIDE]],
        hovertemplate="%{customdata}: %{z:.3f}<extra></extra>",
        colorbar={"thickness": 10, "outlinewidth": 0},
    )
    figure.update_layout(xaxis=_tokens(keys, shown.shape[1], "keys"), yaxis=_tokens(queries, shown.shape[0], "queries"))
    figure.update_yaxes(autorange="reversed")
    return figure


def _tokens(names: list[str], count: int, title: str) -> dict[str, object]:
    """An axis that names its tokens where there is room for them."""
    if count > 48:
        return axis(title, showgrid=False)
    ticks = list(range(count))
    return axis(
        title, showgrid=False, tickvals=ticks, ticktext=[escape(name) for name in names[:count]], tickfont={"size": 9}
    )
