"""Names and colours of classes, and which value of a mask stands for which class. Imports no torch."""

from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from lit_transformer.config.errors import UserError
from lit_transformer.data.files import read_text
from lit_transformer.data.images.palette import Color
from lit_transformer.data.images.reading import Pixels
from lit_transformer.data.locate import candidates, find_files

IGNORED = 255
"""In kept masks, a pixel that counts nowhere."""

UNKNOWN = 254
"""In a table of values, one that no mask may hold; so there are at most 254 classes."""


@dataclass(frozen=True, kw_only=True)
class ClassList:
    """The classes of a data set."""

    names: tuple[str, ...] | None = None
    """By index; None where the masks themselves say how many there are."""
    colors: tuple[Color, ...] | None = None
    """By index; None where the masks or nobody says."""
    values: Mapping[int, int] | None = None
    """Value of a mask -> its class, or IGNORED; None where a value is its class."""
    ignored: int | None = None
    """Value that counts nowhere."""

    def table(self) -> Pixels:
        """For each value of a mask its class, IGNORED or UNKNOWN: (256,)."""
        table = np.full(256, UNKNOWN, dtype=np.uint8)
        count = UNKNOWN if self.names is None else len(self.names)
        values = self.values if self.values is not None else {index: index for index in range(count)}
        for value, index in values.items():
            table[value] = index
        if self.ignored is not None:
            table[self.ignored] = IGNORED
        return table

    def check_mask(self, raw: Pixels, table: Pixels, place: str) -> None:
        """Raise UserError with file, pixel and value for the first value that is no class."""
        unknown = np.flatnonzero(table[raw] == UNKNOWN)
        if not len(unknown):
            return
        row, column = divmod(int(unknown[0]), raw.shape[1])
        value = int(raw[row, column])
        fix = f"name it in data.classes, or set data.ignore_index={value} where such pixels count nowhere"
        if value == 255:
            fix = "set data.ignore_index=255 where such pixels count nowhere; a mask in black and white needs 0 and 1"
        raise UserError(
            f"{place}: an unknown class at row {row}, column {column}, counted from 0 ({len(unknown)} such pixels)\n"
            f"  got      {value}\n  allowed  {self._allowed(table)}\n  fix      {fix}"
        )

    def _allowed(self, table: Pixels) -> str:
        found = [int(value) for value in np.flatnonzero((table != UNKNOWN) & (table != IGNORED))]
        gaps = found[-1] - found[0] + 1 != len(found)
        text = ", ".join(map(str, found)) if gaps else f"{found[0]} to {found[-1]}"
        ignored = [str(value) for value in np.flatnonzero(table == IGNORED)]
        return f"{text}, and {', '.join(ignored)}, ignored" if ignored else text


def listed_classes(given: str, ignored: int | None) -> ClassList:
    """What data.classes says: names by commas, or a file of lines `index name [red green blue]`.

    The last class is left out where it is the ignored one. Raises UserError, with file and line, for lines that are
    not so, indices that leave a gap, names or indices that come twice, and more than 254 classes.
    """
    path = next((path for path in candidates(given) if path.is_file()), None)
    if path is None and "," not in given:
        (path,) = find_files(given, "data.classes")[:1]  # says what is like it
    if path is None:
        rows: dict[int, tuple[str, Color | None]] = {i: (name.strip(), None) for i, name in enumerate(given.split(","))}
    else:
        rows = _read_classes(path)
    if rows and ignored == max(rows):
        del rows[ignored]
    names = tuple(rows[index][0] for index in sorted(rows))
    place = str(path or "data.classes")
    if sorted(rows) != list(range(len(rows))) or not 1 < len(rows) <= UNKNOWN:
        raise UserError(
            f"{place}: the classes have the indices {', '.join(map(str, sorted(rows))) or 'none'}\n"
            f"  allowed  0, 1, 2 ... without a gap, 2 to {UNKNOWN} of them; the ignored one may come last"
        )
    if len(set(names)) < len(names) or not all(names):
        raise UserError(f"{place}: a class without a name, or a name that comes twice\n  got      {', '.join(names)}")
    colors = tuple(color for _, (_, color) in sorted(rows.items()) if color is not None)
    return ClassList(names=names, colors=colors if len(colors) == len(names) else None, ignored=ignored)


def numbered(count: int) -> tuple[str, ...]:
    """Names for classes that have none."""
    return tuple(f"class {index}" for index in range(count))


def check_num_classes(asked: int | None, names: tuple[str, ...]) -> None:
    """Raise UserError unless model.num_classes is null or fits; 1 is for two classes, a background and the other."""
    if asked is None or asked == len(names) or (asked == 1 and len(names) == 2):
        return
    shown = ", ".join(names[:10]) + (", ..." if len(names) > 10 else "")
    raise UserError(
        f"model.num_classes does not fit the data\n  got      {asked}\n"
        f"  allowed  {len(names)}: {shown}{'; or 1, for the second of two' if len(names) == 2 else ''}\n"
        "  fix      model.num_classes=null takes the data's; data.classes names them"
    )


def _read_classes(path: Path) -> dict[int, tuple[str, Color | None]]:
    rows: dict[int, tuple[str, Color | None]] = {}
    for number, line in enumerate(read_text(path).splitlines(), start=1):
        if not line.strip() or line.lstrip().startswith("#"):
            continue
        index, name, color = _read_line(line.split(), f"{path}:{number}")
        if index in rows:
            raise UserError(f"{path}:{number}: the index {index} comes twice")
        rows[index] = name, color
    return rows


def _read_line(words: list[str], place: str) -> tuple[int, str, Color | None]:
    """Index, name and colour; a name may have several words."""
    numbers = [int(word) if word.isascii() and word.isdigit() else -1 for word in words]
    color: Color | None = None
    if len(words) >= 5 and min(numbers[-3:]) >= 0:
        color, words = (numbers[-3], numbers[-2], numbers[-1]), words[:-3]
    if len(words) < 2 or not 0 <= numbers[0] <= IGNORED or (color and max(color) > 255):
        raise UserError(
            f"{place}: no class\n  got      {' '.join(words)[:80]}\n"
            "  allowed  index name, or index name red green blue, numbers from 0 to 255"
        )
    return numbers[0], " ".join(words[1:]), color
