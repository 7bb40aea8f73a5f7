"""Weights from elsewhere and for elsewhere: other runs, and Hugging Face's formats in both directions."""

from lit_transformer.interop.export import export
from lit_transformer.interop.initialise import Report, initialise

__all__ = ["Report", "export", "initialise"]
