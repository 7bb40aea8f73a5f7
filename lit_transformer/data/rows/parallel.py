"""Pairs of lines out of two files: line i of the one is the source of line i of the other."""

from collections.abc import Iterator
from itertools import zip_longest
from pathlib import Path

from lit_transformer.config.errors import UserError
from lit_transformer.data.files import read_text
from lit_transformer.data.rows.row import Row


def read_lines(path: Path) -> list[str]:
    r"""Lines of a UTF-8 file, which end with \n alone: U+2028 and its like stay inside one. A \r before it is dropped.

    Raises UserError where the file cannot be read or is not UTF-8.
    """
    lines = [line.removesuffix("\r") for line in read_text(path).split("\n")]
    return lines if lines[-1] else lines[:-1]


def read_parallel(sources: list[Path], targets: list[Path]) -> Iterator[Row]:
    """`source` and `target` of each pair of lines.

    Raises UserError where the files differ in number or in length, naming both counts and the first line without its
    partner.
    """
    if len(sources) != len(targets):
        raise UserError(
            f"{len(sources)} files of sources and {len(targets)} of targets\n"
            f"  got      {_names(sources)} and {_names(targets)}\n  allowed  one file of targets for each of sources"
        )
    for source, target in zip(sources, targets, strict=True):
        lines, partners = read_lines(source), read_lines(target)
        if len(lines) != len(partners):
            raise _uneven(source, lines, target, partners)
        for number, (text, partner) in enumerate(zip(lines, partners, strict=True), start=1):
            yield Row({"source": text, "target": partner}, f"{source}:{number}")


def _uneven(source: Path, lines: list[str], target: Path, partners: list[str]) -> UserError:
    longer, shorter = (source, target) if len(lines) > len(partners) else (target, source)
    number = min(len(lines), len(partners)) + 1
    text = next(a or b for a, b in list(zip_longest(lines, partners, fillvalue=""))[number - 1 :])
    return UserError(
        f"{shorter}:{number}: this line is missing, parallel files differ in length\n"
        f"  got      {len(lines):,} lines in {source}\n           {len(partners):,} lines in {target}\n"
        f"  allowed  line i of the one is the partner of line i of the other\n"
        f"  fix      find the lines that slipped, before {longer}:{number}: {text[:60]!r}"
    )


def _names(paths: list[Path]) -> str:
    return ", ".join(path.name for path in paths[:5]) or "none"
