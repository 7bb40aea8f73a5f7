"""Asynchronous halving: decision by decision what Optuna's own study does."""

import random

import optuna
import pytest

from lit_transformer.config.errors import UserError
from lit_transformer.sweep.halving import check_factor, decide, rungs


@pytest.mark.parametrize(("least", "factor", "goal"), [(1, 2, "minimize"), (2, 3, "maximize"), (1, 4, "minimize")])
def test_a_study_of_optuna_prunes_the_same_trials_at_the_same_values(least: int, factor: int, goal: str) -> None:
    optuna.logging.set_verbosity(optuna.logging.WARNING)
    pick = random.Random(least * 10 + factor)
    pruner = optuna.pruners.SuccessiveHalvingPruner(min_resource=least, reduction_factor=factor)
    study = optuna.create_study(direction=goal, pruner=pruner)
    earlier: list[list[float]] = []
    pruned = 0
    for _ in range(40):
        trial = study.ask()
        values: list[float] = []
        for step in range(1, 13):
            values.append(round(pick.gauss(0, 1), 1))
            trial.report(values[-1], step)
            theirs = trial.should_prune()
            at_a_rung = step in rungs(step, least, factor)
            verdict = decide(values, earlier, metric="m", least=least, factor=factor, goal=goal)  # type: ignore[arg-type]
            ours = at_a_rung and verdict is not None and verdict.stop
            assert ours == theirs
            if verdict is not None and at_a_rung:
                beyond = values[-1] > verdict.threshold if goal == "minimize" else values[-1] < verdict.threshold
                assert beyond == ours
                assert 1 <= verdict.rank <= verdict.of <= len(earlier) + 1
            if theirs:
                pruned += 1
                break
        study.tell(
            trial, state=optuna.trial.TrialState.PRUNED if theirs else None, values=None if theirs else values[-1]
        )
        earlier.append(values)
    assert 10 < pruned < 40


def test_rungs_count_values() -> None:
    assert rungs(20, 2, 3) == [2, 6, 18]
    assert rungs(1, 2, 3) == []
    assert decide([1.0], [], metric="m", least=2, factor=3) is None


def test_a_broken_factor_is_refused() -> None:
    assert check_factor(3.0) == 3
    for eta in (1.5, 2.7):
        with pytest.raises(UserError, match=r"(?s)early_terminate.eta.*got .*allowed .*fix "):
            check_factor(eta)
