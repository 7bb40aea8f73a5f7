"""attention.html, a self-contained page over what `attend` found, and the arrays beside it."""

import html
import json
import textwrap
from importlib.resources import files
from pathlib import Path
from string import Template

import numpy as np
from numpy.typing import NDArray

from lit_transformer.config.errors import UserError
from lit_transformer.inference.attend import SIDES, Attention
from lit_transformer.records.atomic import write_atomic, write_text

MAX_WEIGHTS = 12_000_000
"""Numbers in one page, about 30 MB of it: a browser still opens that at once."""

SHOWN = 240
"""Characters of the text in the heading."""


def check_page(page: Path) -> None:
    """Raises UserError where the page cannot be written: before the network is loaded rather than afterwards."""
    if page.suffix not in (".html", ".htm"):
        wanted = "a file's name that ends in .html"
        raise UserError(f"--output\n  got      {page}\n  allowed  {wanted}\n  fix      --output {page.name}.html")
    if not page.parent.is_dir():
        raise UserError(f"--output\n  got      {page}\n  allowed  a file in a folder that exists\n"
                        f"  fix      mkdir -p {page.parent}")  # fmt: skip
    if page.is_dir():
        raise UserError(f"--output\n  got      {page}, which is a folder\n  allowed  a file's name")


def write_attention(attention: Attention, page: Path) -> Path:
    """Write the page, and beside it the .npz, whose path is returned: weights by name, `tokens`, `target_tokens`.

    Raises UserError where they cannot be written, or the page would be too large.
    """
    check_page(page)
    text, arrays = attention_html(attention), page.with_suffix(".npz")
    tokens = {"tokens": np.array(attention.tokens)}
    if attention.target_tokens is not None:
        tokens["target_tokens"] = np.array(attention.target_tokens)
    try:
        write_atomic(arrays, lambda file: np.savez_compressed(file, **tokens, **attention.weights))  # type: ignore[arg-type]
        write_text(page, text)
    except OSError as error:
        raise UserError(
            f"{page}: cannot be written ({error.strerror or error}); name another file with --output"
        ) from error
    return arrays


def attention_html(attention: Attention) -> str:
    """The page as one HTML document; raises UserError where it would hold more than MAX_WEIGHTS numbers."""
    size = sum(weights.size for weights in attention.weights.values())
    if size > MAX_WEIGHTS:
        raise UserError(
            f"The page would hold {size} weights: every layer's and head's, for {len(attention.tokens)} tokens.\n"
            f"  got      {size}\n  allowed  {MAX_WEIGHTS}\n  fix      give a shorter text"
        )
    assets = files("lit_transformer.inference") / "assets"
    page = Template((assets / "attention.html").read_text(encoding="utf-8"))
    counts = [f"tokens {len(attention.tokens)}"]
    if attention.target_tokens is not None:
        counts = [f"source tokens {len(attention.tokens)}", f"target tokens {len(attention.target_tokens)}"]
    return page.substitute(
        title=_text(f"Attention in {textwrap.shorten(attention.text, 60, placeholder=' …')}"),
        text=_text(attention.text if len(attention.text) <= SHOWN else f"{attention.text[:SHOWN]} …"),
        about=_text(" · ".join([attention.run, attention.model, *counts])),
        style=(assets / "attention.css").read_text(encoding="utf-8"),
        script=(assets / "attention.js").read_text(encoding="utf-8"),
        data=_script_json(page_data(attention)),
    )


def page_data(attention: Attention) -> dict[str, object]:
    """What the page's script reads: tokens, and weights in thousandths by side, layer, head and query."""
    sides = []
    for side in SIDES:
        if layers := attention.layers_of(side):
            queries, keys = attention.tokens_of(side)
            maps = [[_rows(head) for head in layer] for layer in layers]
            sides.append({"name": side, "queries": queries, "keys": keys, "layers": maps})
    return {"sides": sides}


def _rows(weights: NDArray[np.float32]) -> list[list[int]]:
    """Each query's weights (queries, keys) up to the last that is not 0: half of a causal map is never written."""
    rounded = np.rint(weights * 1000).astype(int)
    lengths = np.where(rounded.any(axis=1), rounded.shape[1] - (rounded[:, ::-1] != 0).argmax(axis=1), 0)
    return [row[:length].tolist() for row, length in zip(rounded, lengths, strict=True)]


def _text(text: str) -> str:
    return html.escape(text.encode("utf-8", "replace").decode(), quote=True)


def _script_json(value: object) -> str:
    """JSON that may stand inside a script element: no `<`, `>` or `&`, and only ASCII."""
    encoded = json.dumps(value, ensure_ascii=True, separators=(",", ":"), allow_nan=False)
    return encoded.replace("<", "\\u003c").replace(">", "\\u003e").replace("&", "\\u0026")
