"""One thing that both sides do, and how it is measured: by turns, with a plain matrix product beside them."""

from collections.abc import Callable, Sequence
from dataclasses import dataclass

import torch
from alternating import LEAST, Act, take_turns
from ceiling import Product
from counting import count_flops
from figures import Figure

SECONDS = {"demo": 0.8, "d 256": 2.0, "d 512": 2.5}
"""Shape -> seconds of rounds, where the least number of rounds does not take longer."""


@dataclass(frozen=True, kw_only=True)
class Case:
    """The same work by our network and by a peer's; nothing is built before it is measured."""

    system: str
    peer: str
    work: str
    """training, evaluation, or what the system is there for: generation, beam search, ..."""
    shape: str
    ours: Callable[[], Act]
    """Builds our network and gives what is called once a round."""
    theirs: Callable[[], Act]
    units: int
    """What one call gets done, in `unit`."""
    product: Product
    """The matrix product whose speed is the ceiling."""
    unit: str = "tokens"
    dropout: float | None = None
    """That of both sides; None where nothing is dropped, as in evaluation."""
    required: float | None = None
    """Our speed over theirs, at least."""
    share: float | None = None
    """Our share of the ceiling in percent, at least."""
    apart: float | None = None
    """How far the first results, which are losses, may differ for the work to be the same; None: they are no losses."""

    same: bool = False
    """Whether both must find the very same."""

    @property
    def name(self) -> str:
        """Without the peer."""
        dropped = "" if self.dropout is None else f", dropout {self.dropout:g}"
        return f"{self.system} {self.work}, {self.shape}{dropped}"


@dataclass(frozen=True)
class Pace:
    """How long to measure."""

    budget: float = 1.0
    """Factor on every number of seconds."""
    least: int = LEAST
    """Rounds at least."""


def measure(case: Case, pace: Pace) -> list[Figure]:
    """Our speed over theirs and, where it is asked for, the share of the ceiling; RuntimeError for other work."""
    acts: dict[str, Act] = {}
    flops: dict[str, int] = {}
    first: dict[str, object] = {}
    for name, make in (("ours", case.ours), ("theirs", case.theirs)):
        torch.manual_seed(0)
        acts[name] = make()
        first[name], flops[name] = count_flops(acts[name])
        acts[name]()
    check(case, first)
    seconds = SECONDS.get(case.shape, SECONDS["d 256"]) * pace.budget
    turns = take_turns({**acts, "ceiling": case.product.act()}, seconds=seconds, least=pace.least)
    ratio = turns.speedup("ours", "theirs")
    most = case.product.flops * case.product.times
    # The ceiling's time, scaled to as many FLOPs, over that of the act.
    shares = {name: 100 * turns.speedup(name, "ceiling").median * flops[name] / most for name in acts}
    speeds = {name: case.units / turns.median(name) for name in acts}
    facts: dict[str, object] = {
        "system": case.system, "peer": case.peer, "work": case.work, "shape": case.shape, "dropout": case.dropout,
        "unit": f"{case.unit}/s", "ours": speeds["ours"], "theirs": speeds["theirs"], "low": ratio.low,
        "high": ratio.high, "rounds": turns.rounds, "share_ours": shares["ours"], "share_theirs": shares["theirs"],
        "flops_ours": flops["ours"] / case.units, "flops_theirs": flops["theirs"] / case.units,
        "ceiling": most / turns.median("ceiling"),
    }  # fmt: skip
    note = (
        f"{speeds['ours']:,.4g} and {speeds['theirs']:,.4g} {case.unit}/s; quartiles {ratio.low:.2f} to "
        f"{ratio.high:.2f} of {turns.rounds} rounds; {shares['ours']:.0f} and {shares['theirs']:.0f} % of the ceiling"
    )
    found = [Figure(f"{case.name}, over {case.peer}", ratio.median, "x", case.required, at_most=False, note=note,
                    facts=facts)]  # fmt: skip
    if case.share is not None:
        ceiling = f"a product of {case.product.rows} x {case.product.inner} x {case.product.columns}: " \
                  f"{facts['ceiling'] / 1e9:,.0f} GFLOP/s"  # type: ignore[operator]  # fmt: skip
        found.append(Figure(f"{case.name}, of the matmul ceiling", shares["ours"], "%", case.share, at_most=False,
                            note=ceiling))  # fmt: skip
    return found


def check(case: Case, first: dict[str, object]) -> None:
    """Raises RuntimeError where the first losses are further apart than two random initialisations make them.

    And where both must find the same and do not.
    """
    if case.same and first["ours"] != first["theirs"]:
        raise RuntimeError(f"{case.name}: the results differ, so the two do different work")
    if case.apart is None:
        return
    ours, theirs = (float(first[name]) for name in ("ours", "theirs"))  # type: ignore[arg-type]
    if not abs(ours - theirs) <= case.apart:
        raise RuntimeError(f"{case.name}: the first losses differ, so the networks do different work: {first}")


def of_shape(cases: Sequence[Case], shape: str) -> list[Case]:
    """Those of one shape."""
    return [case for case in cases if case.shape == shape]
