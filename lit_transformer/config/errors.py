"""Errors that are the user's to mend: shown on one screen, without a traceback, with exit status 2."""

from dataclasses import dataclass


class UserError(Exception):
    """A mistake in what the user gave; the message says where, what was given, what is allowed, and the fix."""


@dataclass(frozen=True, kw_only=True)
class Problem:
    """One thing wrong with a setting."""

    key: str
    """Dotted key, such as model.num_heads."""
    origin: str
    """Where the value came from: file:line, or `command line`."""
    got: str
    """What was given, as text."""
    allowed: str
    """What would be accepted."""
    fix: str = ""
    """What to do, such as a did-you-mean."""

    def __str__(self) -> str:
        lines = [self.key, f"  at       {self.origin}", f"  got      {self.got}", f"  allowed  {self.allowed}"]
        return "\n".join([*lines, f"  fix      {self.fix}"] if self.fix else lines)


class ConfigError(UserError):
    """Everything that is wrong with a configuration, at once."""

    def __init__(self, problems: list[Problem]) -> None:
        self.problems = problems
        count = f"{len(problems)} settings are" if len(problems) > 1 else "1 setting is"
        super().__init__("\n".join([f"{count} wrong:", *map(str, problems)]))
