"""Figures as pure functions: tables in, a plotly figure out; report and dashboard draw with the same ones."""

from lit_transformer.compare.figures.cost import against, pareto_front
from lit_transformer.compare.figures.learning import MIN_SMOOTHED, learning_curves

__all__ = ["MIN_SMOOTHED", "against", "learning_curves", "pareto_front"]
