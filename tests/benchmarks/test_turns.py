"""Rounds, medians and budgets, by a clock that stands still between the acts."""

import pytest
from alternating import Spread, Turns, take_turns


class Clock:
    """Seconds that acts let pass, and nothing else."""

    def __init__(self) -> None:
        self.now = 0.0

    def __call__(self) -> float:
        return self.now

    def act(self, *lengths: float):
        """An act that takes these seconds, one after another, and then the last."""
        left = list(lengths)

        def run() -> None:
            self.now += left.pop(0) if len(left) > 1 else left[0]

        return run


def test_a_round_calls_every_act_once_in_changing_order():
    called: list[str] = []
    acts = {name: lambda name=name: called.append(name) for name in ("ours", "theirs", "ceiling")}
    turns = take_turns(acts, seconds=0.0, least=20, most=20)
    rounds = [tuple(called[start : start + 3]) for start in range(0, 60, 3)]
    assert all(set(names) == set(acts) for names in rounds) and len(set(rounds)) > 2
    assert turns.rounds == 20


@pytest.mark.parametrize(
    ("seconds", "least", "most", "rounds"), [(10.0, 5, 60, 5), (30.0, 5, 60, 10), (0.0, 5, 60, 5), (999.0, 5, 7, 7)]
)
def test_the_budget_decides_between_the_least_and_the_most(seconds, least, most, rounds):
    clock = Clock()
    acts = {"ours": clock.act(1.0), "theirs": clock.act(2.0)}
    assert take_turns(acts, seconds=seconds, least=least, most=most, clock=clock).rounds == rounds


def test_seconds_are_those_of_each_act():
    clock = Clock()
    turns = take_turns({"ours": clock.act(1.0, 3.0, 2.0), "theirs": clock.act(4.0)}, seconds=0.0, least=3, clock=clock)
    assert turns.seconds == {"ours": [1.0, 3.0, 2.0], "theirs": [4.0, 4.0, 4.0]} and turns.median("ours") == 2.0


def test_a_machine_that_slows_down_changes_no_ratio():
    drift = [1.0, 2.0, 5.0, 9.0]
    turns = Turns({"ours": drift, "theirs": [1.5 * value for value in drift]})
    assert turns.speedup("ours", "theirs") == Spread(1.5, 1.5, 1.5)
    assert turns.speedup("theirs", "ours").median == pytest.approx(1 / 1.5)


def test_the_spread_is_the_median_between_quartiles():
    assert Spread.of([5.0, 1.0, 4.0, 2.0, 3.0]) == Spread(3.0, 2.0, 4.0)
    assert Spread.of([7.0]) == Spread(7.0, 7.0, 7.0)


def test_the_ratio_is_the_median_of_pairs_and_not_the_ratio_of_medians():
    turns = Turns({"ours": [1.0, 2.0, 4.0], "theirs": [3.0, 2.0, 8.0]})
    assert turns.speedup("ours", "theirs").median == 2.0 != turns.median("theirs") / turns.median("ours")
