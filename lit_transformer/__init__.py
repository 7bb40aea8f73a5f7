"""Sweep the heads and layers of Transformers and CNN encoder-decoders with Lightning, and compare the runs.

`load_task(RUN)` gives a trained task, and `read_runs(DIR)` a table of runs; each imports what it needs when it is used.
"""

from typing import TYPE_CHECKING

from lit_transformer.version import __version__

if TYPE_CHECKING:
    from lit_transformer.compare.read import read_runs
    from lit_transformer.inference.load import load_task

__all__ = ["__version__", "load_task", "read_runs"]

_HOMES = {"load_task": "lit_transformer.inference.load", "read_runs": "lit_transformer.compare.read"}


def __getattr__(name: str) -> object:
    if name not in _HOMES:
        raise AttributeError(f"module {__name__} has no attribute {name}")
    from importlib import import_module

    return getattr(import_module(_HOMES[name]), name)
