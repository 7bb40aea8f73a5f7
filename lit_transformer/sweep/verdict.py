"""What a rule of early stopping says about a trial that has reached one of its bands."""

from collections.abc import Sequence
from dataclasses import asdict, dataclass
from typing import Literal

Goal = Literal["minimize", "maximize"]


@dataclass(frozen=True, kw_only=True)
class Verdict:
    """Where a trial stands among all that came as far."""

    stop: bool
    rule: str
    """`hyperband` or `asha`."""
    metric: str
    band: int
    """The number of logged values at which the trials are compared."""
    value: float
    """What of the trial is compared."""
    threshold: float
    """The worst value that goes on."""
    rank: int
    """1 is the best; equal values share the better rank."""
    of: int
    """Trials that have reached the band."""

    def __str__(self) -> str:
        what = "is worse than" if self.stop else "is no worse than"
        return (
            f"{self.rule}: {self.metric} {self.value:.6g} {what} {self.threshold:.6g} at band {self.band} "
            f"(rank {self.rank} of {self.of})"
        )

    def to_json(self) -> dict[str, object]:
        """As it stands in a run's request and in stops.jsonl."""
        return asdict(self)


def rank(value: float, values: Sequence[float], goal: Goal) -> int:
    """1 and how many of `values` are better."""
    return 1 + sum(other < value if goal == "minimize" else other > value for other in values)
