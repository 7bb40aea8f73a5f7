"""The samples of one run, or of several side by side: masks with one slider over steps, attention maps, texts."""

from collections.abc import Sequence
from typing import Any

from dash import Dash, Input, Output, State, ctx, dcc, html, no_update
from dash.development.base_component import Component

from lit_transformer.compare.dashboard.index import LiveIndex
from lit_transformer.compare.dashboard.live_run import LiveRun
from lit_transformer.compare.dashboard.parts import choices, control, finished, menu
from lit_transformer.compare.dashboard.query import bounded, menu_text, text, texts
from lit_transformer.compare.dashboard.sample_figures import attention_map
from lit_transformer.compare.dashboard.samples import (
    Samples,
    attention,
    modules_in,
    picture,
    samples_of,
    text_rows,
    token_names,
    vocabulary,
)

MEAN = "mean of heads"
MOST = 8
"""Runs whose samples are shown side by side."""
LABELS = 8
"""Steps named under a slider."""


def sample_panel(prefix: str, runs: Sequence[LiveRun]) -> Component:
    """The part of a page that shows samples; filled by the callback of `register_panel` with the same prefix."""
    return html.Section(
        [
            html.H2("Samples"),
            html.Div(
                [
                    control(
                        "Step", html.Div(_slider(prefix, []), id=f"{prefix}-step-box", className="slider"), wide=True
                    ),
                    control("Attention of", menu(f"{prefix}-module", [], None)),
                    control("Head", menu(f"{prefix}-head", [MEAN], MEAN)),
                    control("Texts", menu(f"{prefix}-text", [], None)),
                ],
                className="controls",
                id=f"{prefix}-sample-controls",
            ),
            html.Div(id=f"{prefix}-samples", className="pair"),
            dcc.Store(id=f"{prefix}-sample-runs", data=[run.id for run in runs]),
            dcc.Store(id=f"{prefix}-sample-files"),
        ],
        className="card",
    )


def _slider(prefix: str, steps: Sequence[int]) -> dcc.Slider:
    low, high = (steps[0], steps[-1]) if steps else (0, 1)
    return dcc.Slider(
        id=f"{prefix}-step",
        min=low,
        max=max(high, low + 1),
        step=None,
        value=high,
        marks=marks_of(steps),
        included=False,
    )


def marks_of(steps: Sequence[int]) -> dict[str, str]:
    """A place on the slider for each step, a few of them named."""
    every = max(1, -(-len(steps) // LABELS))
    named = set(range(len(steps) - 1, -1, -every))
    return {str(step): str(step) if place in named else "" for place, step in enumerate(steps)}


def steps_of(found: Sequence[Samples]) -> list[int]:
    """The steps at which any of the runs saved masks or maps, ascending."""
    return sorted({step for samples in found for kind in (samples.masks, samples.attention) for step in kind})


def at_step(kind: dict[int, Any], step: float) -> int | None:
    """The last step of a kind that is not after `step`; the first one where all are."""
    before = [own for own in kind if own <= step]
    return before[-1] if before else next(iter(kind), None)


def register_panel(app: Dash, index: LiveIndex, prefix: str) -> None:
    """The panel follows its slider and menus, and new files."""

    @app.callback(
        Output(f"{prefix}-step-box", "children"),
        Output(f"{prefix}-module", "options"),
        Output(f"{prefix}-module", "value"),
        Output(f"{prefix}-text", "options"),
        Output(f"{prefix}-text", "value"),
        Output(f"{prefix}-sample-files", "data"),
        Input("version", "data"),
        State(f"{prefix}-sample-runs", "data"),
        State(f"{prefix}-sample-files", "data"),
        State(f"{prefix}-module", "value"),
        State(f"{prefix}-text", "value"),
    )
    def list_files(_: object, ids: object, known: object, module: object, shown_text: object) -> Any:
        runs = index.runs(texts(ids, MOST))
        found = [samples_of(run.run) for run in runs]
        steps, names = steps_of(found), list(dict.fromkeys(name for samples in found for name in samples.texts))
        files = [steps, names, [len(samples.masks) + len(samples.attention) for samples in found]]
        if files == known:
            return (no_update,) * 6
        maps = [attention(list(samples.attention.values())[-1]) for samples in found if samples.attention]
        modules = list(dict.fromkeys(name for arrays in maps for name in modules_in(arrays)))
        chosen = text(module) if text(module) in modules else next(iter(modules), "")
        opened = text(shown_text) if text(shown_text) in names else next(iter(names), "")
        return _slider(prefix, steps), choices(modules), menu_text(chosen), choices(names), menu_text(opened), files

    @app.callback(
        Output(f"{prefix}-samples", "children"),
        Output(f"{prefix}-head", "options"),
        Input(f"{prefix}-step", "value"),
        Input(f"{prefix}-module", "value"),
        Input(f"{prefix}-head", "value"),
        Input(f"{prefix}-text", "value"),
        Input(f"{prefix}-sample-files", "data"),
        State(f"{prefix}-sample-runs", "data"),
    )
    def show(step: object, module: object, head: object, name: object, _: object, ids: object) -> Any:
        if ctx.triggered_id is None:
            return no_update, no_update
        runs = index.runs(texts(ids, MOST))
        shown = [samples_of(run.run) for run in runs]
        if not any(samples.masks or samples.attention or samples.texts for samples in shown):
            return html.P(
                "No samples: neither masks, attention maps (tracking.attention=true) nor texts were saved."
            ), [MEAN]
        at = bounded(step, 0, 1e15, 1e15)
        heads = 0
        columns = []
        for run, samples in zip(runs, shown, strict=True):
            map_part, count = _map(run, samples, at, text(module), text(head, MEAN))
            heads = max(heads, count)
            parts = [*_masks(samples, at), *map_part, *_texts(samples, text(name))]
            columns.append(html.Div([html.H3(run.name), *(parts or [html.P("none", className="hint")])]))
        return columns, [MEAN, *(f"head {place}" for place in range(heads))]


def _masks(samples: Samples, step: float) -> list[Component]:
    at = at_step(samples.masks, step)
    if at is None:
        return []
    address = picture(samples.masks[at])
    if address is None:
        return [html.P(f"step {at}: the picture is damaged", className="hint")]
    told = f"step {at}: images, true masks, predicted masks, where they differ"
    return [html.Img(src=address, alt=told, className="sample"), html.P(told, className="hint")]


def _map(run: LiveRun, samples: Samples, step: float, module: str, head: str) -> tuple[list[Component], int]:
    at = at_step(samples.attention, step)
    if at is None:
        return [], 0
    arrays = attention(samples.attention[at])
    weights = arrays.get(module)
    if weights is None or weights.ndim != 3 or not weights.size:
        return [html.P(f"step {at}: no map of {module or 'any module'}", className="hint")], 0
    place = int(head.removeprefix("head ")) if head.removeprefix("head ").isdecimal() and len(head) < 12 else None
    heads, queries, keys = weights.shape
    targets = "decoder_inputs" if "decoder_inputs" in arrays and "encoder" not in module else "inputs"
    sources = "inputs" if "cross" in module else targets
    names = vocabulary(run.run)
    figure = attention_map(
        weights,
        place,
        token_names(names, arrays.get(targets), queries),
        token_names(names, arrays.get(sources), keys),
        f"{module}, {head if place is not None else MEAN}, step {at}",
    )
    return [finished(f"map-{run.id}", figure)], heads


def _texts(samples: Samples, name: str) -> list[Component]:
    path = samples.texts.get(name)
    if path is None:
        return []
    rows = text_rows(path)
    if not rows:
        return [html.P(f"{name} is empty or damaged", className="hint")]
    columns = list(dict.fromkeys(column for row in rows for column in row))[:8]
    head = html.Thead(html.Tr([html.Th(column, scope="col") for column in columns]))
    body = html.Tbody([html.Tr([html.Td(html.Pre(row.get(column, ""))) for column in columns]) for row in rows])
    return [html.Div(html.Table([head, body]), className="scroll")]
