"""Reading the plain parts of a sweep file: texts, numbers, choices, each mistake with its line."""

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from math import isfinite

from lit_transformer.config.errors import Problem
from lit_transformer.config.suggest import did_you_mean
from lit_transformer.config.yaml_lines import Located


@dataclass
class Reader:
    """Takes values out of a file's tree; what is wrong with them is added to `problems`."""

    shown: str
    """The file, as it is named in messages."""
    problems: list[Problem]

    def at(self, item: Located) -> str:
        """Where a value stands."""
        return f"{self.shown}:{item.line}"

    def wrong(self, key: str, item: Located, allowed: str, *, got: str = "", fix: str = "") -> None:
        """Note a mistake; what was given is shown unless `got` says it."""
        got = got or shown(item.plain())
        self.problems.append(Problem(key=key, origin=self.at(item), got=got, allowed=allowed, fix=fix))

    def section(self, key: str, item: Located, known: Sequence[str], fix: str) -> Mapping[str, Located] | None:
        """A mapping; its unknown keys are noted. None where it is none."""
        if not isinstance(item.value, dict):
            self.wrong(key, item, f"{{{', '.join(known)}}}", fix=fix)
            return None
        for word, inner in item.value.items():
            if word not in known:
                guess = did_you_mean(word, known)
                hint = f"did you mean {guess}?" if guess else ""
                self.wrong(f"{key}.{word}", inner, ", ".join(known), got=f"an unknown key {word}", fix=hint)
        return item.value

    def text(self, key: str, item: Located | None, allowed: str = "a text") -> str | None:
        """A text that is not empty."""
        if item is None:
            return None
        if isinstance(item.value, str) and item.value.strip():
            return item.value
        self.wrong(key, item, allowed)
        return None

    def choice(self, key: str, item: Located | None, choices: Iterable[str], default: str) -> str:
        """One of some words."""
        if item is None:
            return default
        names = list(choices)
        if item.value in names:
            return str(item.value)
        guess = did_you_mean(str(item.value), names)
        self.wrong(key, item, ", ".join(names), fix=f"did you mean {guess}?" if guess else f"write {names[0]}")
        return default

    def whole(self, key: str, item: Located | None, *, least: int) -> int | None:
        """An integer that is `least` or more."""
        if item is None:
            return None
        if isinstance(item.value, int) and not isinstance(item.value, bool) and item.value >= least:
            return item.value
        self.wrong(key, item, f"an integer, {least} or more")
        return None

    def number(self, key: str, item: Located | None, *, above: float | None = None) -> float | None:
        """A finite number, above a bound."""
        if item is None:
            return None
        value = item.value
        number = isinstance(value, int | float) and not isinstance(value, bool) and isfinite(value)
        if not isinstance(value, int | float) or not number or (above is not None and value <= above):
            self.wrong(key, item, "a number" if above is None else f"a number above {above:g}")
            return None
        return value

    def flag(self, key: str, item: Located | None, *, default: bool) -> bool:
        """True or false."""
        if item is None:
            return default
        if isinstance(item.value, bool):
            return item.value
        self.wrong(key, item, "true, false")
        return default


def shown(value: object) -> str:
    """A value as YAML would write it."""
    return "null" if value is None else str(value).lower() if isinstance(value, bool) else repr(value)
