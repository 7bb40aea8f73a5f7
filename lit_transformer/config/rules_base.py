"""What a rule is, and what it says when it is broken."""

from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass

from lit_transformer.config.errors import Problem
from lit_transformer.config.schema import ExperimentConfig


@dataclass(frozen=True)
class Broken:
    """A broken rule; the first of `keys` is the one to mend."""

    keys: tuple[str, ...]
    got: str
    allowed: str
    fix: str = ""

    def problem(self, origins: Mapping[str, str]) -> Problem:
        """The rule as a problem of its first key."""
        return Problem(
            key=self.keys[0],
            origin=", ".join(dict.fromkeys(origins[key] for key in self.keys)),
            got=self.got,
            allowed=self.allowed,
            fix=self.fix,
        )


Rule = Callable[[ExperimentConfig], Iterator[Broken]]
