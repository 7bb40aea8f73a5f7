"""What a run saved to look at: masks as pictures, attention maps as arrays, texts as rows; hostile until read."""

import base64
import io
import os
import re
import stat
import zipfile
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from lit_transformer.compare.dashboard.tail import parse_lines
from lit_transformer.compare.plain import clean, label
from lit_transformer.records.atomic import read_json
from lit_transformer.records.run_folder import RunFolder

MAX_PICTURE = 8_000_000
MAX_ARRAYS = 64_000_000
"""Bytes of a file of arrays once unpacked: a small one can hold a huge one."""
MAX_TEXT = 2_000_000
MAX_ROWS = 200
MAX_FIELD = 2_000
HEAD = {"version", "split", "rows"}
"""What the first line of a file of predictions holds; its other lines are rows."""
MAX_FILES = 5_000
PNG = b"\x89PNG\r\n\x1a\n"
TOKENS = ("inputs", "decoder_inputs", "input_mask")
"""Arrays beside the maps that say of which tokens they are."""
_STEPPED = re.compile(r"(masks|attention)-([0-9]{1,15})\.(png|npz)")


@dataclass(frozen=True)
class Samples:
    """The files of one run, by what they show and by step."""

    masks: dict[int, Path] = field(default_factory=dict)
    attention: dict[int, Path] = field(default_factory=dict)
    texts: dict[str, Path] = field(default_factory=dict)
    """File name -> rows of texts."""


def samples_of(run: RunFolder) -> Samples:
    """What lies in a run's samples folder, and what `evaluate` predicted; links, and names of others, are left out."""
    found = Samples()
    folder = run.path / "samples"
    for name in _files(folder):
        stepped = _STEPPED.fullmatch(name)
        if stepped and (stepped[1], stepped[3]) in (("masks", "png"), ("attention", "npz")):
            kind = found.masks if stepped[1] == "masks" else found.attention
            kind[int(stepped[2])] = folder / name
        elif name.endswith((".jsonl", ".txt")):
            found.texts[clean(name)] = folder / name
    for name in _files(run.path / "predictions"):
        if name.endswith(".jsonl"):
            found.texts[f"predictions/{clean(name)}"] = run.path / "predictions" / name
    return Samples(
        dict(sorted(found.masks.items())), dict(sorted(found.attention.items())), dict(sorted(found.texts.items()))
    )


def _files(folder: Path) -> list[str]:
    try:
        if not stat.S_ISDIR(os.lstat(folder).st_mode):
            return []
        with os.scandir(folder) as entries:
            return [
                entry.name
                for entry, _ in zip(entries, range(MAX_FILES), strict=False)
                if entry.is_file(follow_symlinks=False)
            ]
    except OSError:
        return []


def read_bytes(path: Path, limit: int) -> bytes | None:
    """A regular file's content; None where it is a link, too large, or gone."""
    content, size = _read(path, limit, from_end=False)
    return content if size <= limit else None


def read_end(path: Path, limit: int) -> str:
    """The last `limit` bytes of a text file, from the beginning of a line; empty where there is none."""
    content, size = _read(path, limit, from_end=True)
    if content is not None and size > limit:
        content = content.partition(b"\n")[2]
    return clean((content or b"").decode("utf-8", "replace"))


def _read(path: Path, limit: int, *, from_end: bool) -> tuple[bytes | None, int]:
    """At most `limit` bytes of a regular file, and how many it has; links are not followed, pipes not waited for."""
    try:
        descriptor = os.open(path, os.O_RDONLY | os.O_NOFOLLOW | os.O_NONBLOCK | os.O_CLOEXEC)
    except OSError:
        return None, 0
    try:
        state = os.fstat(descriptor)
        if not stat.S_ISREG(state.st_mode):
            return None, 0
        return os.pread(descriptor, limit, max(0, state.st_size - limit) if from_end else 0), state.st_size
    except OSError:
        return None, 0
    finally:
        os.close(descriptor)


def picture(path: Path) -> str | None:
    """A PNG as an address that holds it; None where the file is none."""
    content = read_bytes(path, MAX_PICTURE)
    if content is None or not content.startswith(PNG):
        return None
    return f"data:image/png;base64,{base64.b64encode(content).decode('ascii')}"


def attention(path: Path) -> dict[str, NDArray[Any]]:
    """Module -> weights (heads, queries, keys), and the TOKENS that there are; empty where the file is damaged."""
    content = read_bytes(path, MAX_ARRAYS)
    if content is None:
        return {}
    try:
        with zipfile.ZipFile(io.BytesIO(content)) as archive:
            if sum(item.file_size for item in archive.infolist()) > MAX_ARRAYS:
                return {}
        with np.load(io.BytesIO(content), allow_pickle=False) as arrays:
            return {clean(name): arrays[name] for name in arrays.files if arrays[name].ndim in (1, 3)}
    except (
        OSError,
        ValueError,
        KeyError,
        EOFError,
        zipfile.BadZipFile,
        NotImplementedError,
        RuntimeError,
        MemoryError,
    ):
        return {}


def modules_in(arrays: dict[str, NDArray[Any]]) -> list[str]:
    """The modules whose maps there are."""
    return [name for name, array in arrays.items() if array.ndim == 3 and name not in TOKENS]


def token_names(names: dict[int, str], ids: NDArray[Any] | None, count: int) -> list[str]:
    """Labels of `count` tokens: place and text by `vocabulary` where the ids are known, else the place alone."""
    if ids is None or ids.ndim != 1 or len(ids) != count:
        return [str(place) for place in range(count)]
    return [f"{place} {names.get(int(id), str(int(id)))}"[:40] for place, id in enumerate(ids)]


def vocabulary(run: RunFolder) -> dict[int, str]:
    """Token id -> text, from the run's tokenizer.json; empty where it is missing or damaged."""
    if run.tokenizer_file.is_symlink():
        return {}
    described = read_json(run.tokenizer_file)
    model, added = described.get("model"), described.get("added_tokens")
    entries = model.get("vocab") if isinstance(model, dict) else None
    names: dict[int, str] = {}
    if isinstance(entries, dict):
        names = {id: clean(str(text)) for text, id in entries.items() if isinstance(id, int)}
    for item in added if isinstance(added, list) else []:
        if isinstance(item, dict) and isinstance(item.get("id"), int):
            names[item["id"]] = clean(str(item.get("content", "")))
    return names


def text_rows(path: Path) -> list[dict[str, str]]:
    """The first rows of a file of texts, each field as text; a .txt file's lines are rows of one field."""
    content, size = _read(path, MAX_TEXT, from_end=False)
    if content is None:
        return []
    if size > MAX_TEXT:
        content = content[: content.rfind(b"\n") + 1]
    if path.suffix == ".txt":
        lines = clean(content.decode("utf-8", "replace")).splitlines()
        return [{"text": line} for line in lines[:MAX_ROWS]]
    rows = [row for row in parse_lines(content)[: MAX_ROWS + 1] if set(row) != HEAD][:MAX_ROWS]
    return [
        {clean(str(name)): clean(label(value))[:MAX_FIELD] for name, value in row.items() if name != "statistics"}
        for row in rows
    ]
