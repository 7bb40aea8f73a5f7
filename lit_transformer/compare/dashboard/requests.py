"""Whether a request is one that the pages themselves make: its path, and the body of Dash's POST."""

import json
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from dash import Dash

from lit_transformer.compare.plain import MAX_INT64

UPDATE = "/_dash-update-component"
DASH_PATHS = ("/_dash-layout", "/_dash-dependencies", "/_favicon.ico")
SUITES = "/_dash-component-suites/"
ASSETS = "/assets/"
MAX_BODY = 1_000_000
"""Bytes of a POST: the selected rows of a table of a thousand runs fit."""
MAX_DEPTH = 12


class Requests:
    """What `app` answers; everything else is refused before Dash sees it, which would answer some of it with 500."""

    def __init__(self, app: Dash, pages: tuple[str, ...]) -> None:
        self._app = app
        self._pages = pages
        folder = Path(app.config.assets_folder)
        self._assets = {ASSETS + file.name for file in folder.iterdir() if file.is_file()}

    def is_known(self, path: str) -> bool:
        """Whether a GET of `path`, decoded, has an answer."""
        if ".." in path or "\\" in path or "//" in path or not path.isprintable():
            return False
        if path in self._pages or path in DASH_PATHS:
            return True
        if path.startswith(SUITES):
            return self._in_suites(path.removeprefix(SUITES))
        return path in self._assets

    def _in_suites(self, rest: str) -> bool:
        from dash.fingerprint import check_fingerprint

        package, _, name = rest.partition("/")
        known: Mapping[str, Any] = self._app.registered_paths
        try:
            return package in known and check_fingerprint(name)[0] in known[package]
        except (ValueError, IndexError):
            return False

    def is_update(self, body: bytes) -> bool:
        """Whether `body` asks for one of the pages' callbacks, with its own inputs, states and outputs."""
        try:
            asked = json.loads(body, parse_int=_whole, parse_constant=_whole)
        except (ValueError, RecursionError):
            return False
        if not isinstance(asked, dict) or not isinstance(asked.get("output"), str):
            return False
        known = self._app.callback_map.get(asked["output"])
        if known is None or _depth(asked) > MAX_DEPTH or not _are_texts(asked.get("changedPropIds", [])):
            return False
        return (
            _same(asked.get("inputs", []), known["inputs"])
            and _same(asked.get("state", []), known["state"])
            and _is_output(asked.get("outputs"), asked["output"])
        )


def _whole(text: str) -> int:
    """A number that a browser can send: no NaN, none beyond 64 bits, which could not be sent back."""
    value = int(text)
    if abs(value) > MAX_INT64:
        raise ValueError("too large")
    return value


def _same(given: object, known: list[dict[str, str]]) -> bool:
    """Whether the given values are of the known properties, in their order."""
    if not isinstance(given, list) or len(given) != len(known):
        return False
    return all(
        isinstance(one, dict) and one.get("id") == its["id"] and one.get("property") == its["property"]
        for one, its in zip(given, known, strict=True)
    )


def _is_output(given: object, output: str) -> bool:
    """Whether `outputs` names the properties that `output`, the callback's key, is made of."""
    several = output.startswith("..")
    parts = output[2:-2].split("...") if several else [output]
    items = given if several else [given]
    if not isinstance(items, list) or len(items) != len(parts):
        return False
    wanted = [tuple(part.partition("@")[0].rsplit(".", 1)) for part in parts]
    return all(
        isinstance(item, dict) and (item.get("id"), str(item.get("property")).partition("@")[0]) == want
        for item, want in zip(items, wanted, strict=True)
    )


def _are_texts(value: object) -> bool:
    return isinstance(value, list) and all(isinstance(item, str) for item in value)


def _depth(value: object, level: int = 0) -> int:
    """How deep lists and dicts stand in one another, as far as that is too deep."""
    if level > MAX_DEPTH or not isinstance(value, list | dict):
        return level
    items = value.values() if isinstance(value, dict) else value
    return max((_depth(item, level + 1) for item in items), default=level)
