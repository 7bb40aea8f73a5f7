"""Figures as pure functions: tables in, a plotly figure out; report and dashboard draw with the same ones."""

from lit_transformer.compare.figures.cost import against, pareto_front
from lit_transformer.compare.figures.importance import importance_bars, variance_bars
from lit_transformer.compare.figures.learning import MIN_SMOOTHED, learning_curves
from lit_transformer.compare.figures.parallel import parallel_coordinates
from lit_transformer.compare.figures.states import state_map
from lit_transformer.compare.figures.stops import stop_figure

__all__ = [
    "MIN_SMOOTHED",
    "against",
    "importance_bars",
    "learning_curves",
    "parallel_coordinates",
    "pareto_front",
    "state_map",
    "stop_figure",
    "variance_bars",
]
