"""Where a bayes sweep looks next: as good as Optuna's own study, and right about what failed, stopped or runs."""

import math
import statistics
import sys
from collections.abc import Callable, Sequence
from dataclasses import replace

import optuna
import pytest
from scipy import stats

from lit_transformer.sweep.bayes import STARTUP, Axis, Search, Seen, ask_child, imputed, suggest

Function = Callable[[Sequence[float]], float]
LINE = Search(axes=(Axis(key="x"),))


def branin(u: Sequence[float]) -> float:
    x, y = 15 * u[0] - 5, 15 * u[1]
    curve = y - 5.1 / (4 * math.pi**2) * x**2 + 5 / math.pi * x - 6
    return curve**2 + 10 * (1 - 1 / (8 * math.pi)) * math.cos(x) + 10


def rosenbrock(u: Sequence[float]) -> float:
    x = [4 * each - 2 for each in u]
    return math.log1p(sum(100 * (x[i + 1] - x[i] ** 2) ** 2 + (1 - x[i]) ** 2 for i in range(len(x) - 1)))


ALPHA = (1.0, 1.2, 3.0, 3.2)
A = ((10, 3, 17, 3.5, 1.7, 8), (0.05, 10, 17, 0.1, 8, 14), (3, 3.5, 1.7, 10, 17, 8), (17, 8, 0.05, 10, 0.1, 14))
P = ((1312, 1696, 5569, 124, 8283, 5886), (2329, 4135, 8307, 3736, 1004, 9991), (2348, 1451, 3522, 2883, 3047, 6650),
     (4047, 8828, 8732, 5743, 1091, 381))  # fmt: skip


def hartmann(u: Sequence[float]) -> float:
    far = [sum(a * (x - p / 1e4) ** 2 for a, x, p in zip(A[i], u, P[i], strict=True)) for i in range(4)]
    return -sum(alpha * math.exp(-each) for alpha, each in zip(ALPHA, far, strict=True))


def space(function: Function, dimensions: int, seed: int) -> Search:
    return Search(axes=tuple(Axis(key=f"x{index}") for index in range(dimensions)), seed=f"{function.__name__}/{seed}")


def ours(function: Function, dimensions: int, points: int, seed: int) -> float:
    search = space(function, dimensions, seed)
    seen: list[Seen] = []
    for number in range(points):
        u = suggest(search, seen, number)
        seen.append(Seen(u=u, state="complete", values=(function(u),)))
    return min(item.values[0] for item in seen)


def theirs(function: Function, dimensions: int, points: int, seed: int) -> float:
    optuna.logging.set_verbosity(optuna.logging.ERROR)
    study = optuna.create_study(sampler=optuna.samplers.TPESampler(seed=seed))
    for number in range(STARTUP):  # from the same beginning, which is chance
        u = suggest(space(function, dimensions, seed), [], number)
        study.enqueue_trial({f"x{index}": each for index, each in enumerate(u)})

    def objective(trial: optuna.Trial) -> float:
        return function([trial.suggest_float(f"x{index}", 0, 1) for index in range(dimensions)])

    study.optimize(objective, n_trials=points)
    return study.best_value


@pytest.mark.slow
@pytest.mark.parametrize(("function", "dimensions"), [(branin, 2), (rosenbrock, 4), (hartmann, 6)])
def test_no_worse_than_optunas_own_study(function: Function, dimensions: int) -> None:
    points = 50
    mine = [ours(function, dimensions, points, seed) for seed in range(20)]
    its = [theirs(function, dimensions, points, seed) for seed in range(20)]
    worse = stats.mannwhitneyu(mine, its, alternative="greater").pvalue
    assert worse > 0.05, (statistics.median(mine), statistics.median(its))
    chance = [
        min(function([_uniform(seed, i, j) for j in range(dimensions)]) for i in range(points)) for seed in range(20)
    ]
    assert stats.mannwhitneyu(mine, chance, alternative="less").pvalue < 0.01


def test_the_same_question_has_the_same_answers_as_in_optunas_own_study() -> None:
    optuna.logging.set_verbosity(optuna.logging.ERROR)
    scales = {name: optuna.distributions.FloatDistribution(0, 1) for name in ("x0", "x1")}
    study = optuna.create_study(sampler=optuna.samplers.TPESampler(seed=3))
    study.optimize(lambda trial: branin([trial.suggest_float(name, 0, 1) for name in scales]), n_trials=30)
    seen = [
        Seen(u=tuple(trial.params.values()), state="complete", values=(trial.value or 0,)) for trial in study.trials
    ]
    mine, its = [], []
    for draw in range(100):
        study.sampler = optuna.samplers.TPESampler(seed=draw)
        trial = study.ask(scales)
        study.tell(trial, state=optuna.trial.TrialState.FAIL)
        its.append(tuple(trial.params.values()))
        mine.append(suggest(space(branin, 2, 0), seen, 30, draw))
    for index in range(2):
        assert stats.ks_2samp([u[index] for u in mine], [u[index] for u in its]).pvalue > 0.05


def _uniform(seed: int, *parts: int) -> float:
    return suggest(replace(LINE, seed=f"{seed}/{parts}"), [], 0)[0]


def follow(search: Search, points: int, come_of: Callable[[tuple[float, ...]], Seen]) -> list[Seen]:
    """Propose so many points one after another."""
    seen: list[Seen] = []
    for number in range(points):
        seen.append(come_of(suggest(search, seen, number)))
    return seen


def test_a_suggestion_is_a_function_of_what_was_seen() -> None:
    seen = follow(LINE, 15, lambda u: Seen(u=u, state="complete", values=(u[0],)))
    assert suggest(LINE, seen, 15) == suggest(LINE, seen, 15)
    assert len({suggest(LINE, seen, 15, draw) for draw in range(5)}) == 5
    assert suggest(replace(LINE, seed="1"), [], 0) != suggest(LINE, [], 0)
    assert all(0 < item.u[0] < 1 for item in seen)


@pytest.mark.parametrize("state", ["failed", "pruned"])
def test_the_search_leaves_where_trials_fail_or_are_pruned(state: str) -> None:
    def come_of(u: tuple[float, ...]) -> Seen:
        if u[0] < 0.5:
            return Seen(u=u, state=state, values=() if state == "failed" else (5.0,))  # type: ignore[arg-type]
        return Seen(u=u, state="complete", values=(5.0, 1 + (u[0] - 0.8) ** 2))

    after = follow(LINE, 40, come_of)[STARTUP + 5 :]
    assert sum(item.u[0] < 0.5 for item in after) <= len(after) / 4


def test_what_stands_for_a_trial_without_a_result() -> None:
    trials = [
        Seen(u=(0.1,), state="complete", values=(4.0, 2.0)),
        Seen(u=(0.2,), state="failed", values=(3.0, 1.0, 1.5)),
        Seen(u=(0.3,), state="failed"),
        Seen(u=(0.4,), state="running", values=(9.0,)),
    ]
    for goal, impute, values in (
        ("minimize", "best", (1.0, 4.0)), ("minimize", "latest", (1.5, 4.0)), ("minimize", "worst", (4.0, 4.0)),
        ("maximize", "best", (3.0, 1.0)), ("maximize", "worst", (1.0, 1.0)), ("minimize", None, (4.0, 4.0)),
    ):  # fmt: skip
        search = replace(LINE, goal=goal, impute=impute)
        assert tuple(imputed(search, item, trials, "worst") for item in trials[1:3]) == values
    assert imputed(LINE, trials[2], [trials[2]], "worst") is None


def test_trials_that_say_nothing_keep_the_search_at_random() -> None:
    seen = [Seen(u=(index / 20 + 0.01,), state="failed") for index in range(20)]
    assert suggest(LINE, seen, 20) == suggest(LINE, [], 20)
    running = [Seen(u=(index / 20 + 0.01,), state="running") for index in range(20)]
    assert suggest(LINE, running, 20) == suggest(LINE, [], 20)


def test_a_trial_that_runs_is_seen() -> None:
    done = follow(LINE, 30, lambda u: Seen(u=u, state="complete", values=((u[0] - 0.3) ** 2,)))
    alone = suggest(LINE, done, 30)
    crowd = [*done, *(Seen(u=alone, state="running") for _ in range(15))]
    assert abs(suggest(LINE, crowd, 30)[0] - alone[0]) > 1e-3
    known = [*done, *(Seen(u=alone, state="running", values=(0.0,)) for _ in range(3))]
    told = suggest(replace(LINE, impute_running="latest"), known, 30)
    assert told != suggest(LINE, known, 30)


def test_a_list_is_no_scale() -> None:
    search = Search(axes=(Axis(key="kind", edges=(0.25, 0.25, 0.5, 0.75, 1.0)), Axis(key="x")), goal="maximize")
    axis = search.axes[0]
    assert axis.possible() == [0, 2, 3, 4]
    assert [axis.category(axis.middle(index)) for index in axis.possible()] == axis.possible()

    def come_of(u: tuple[float, ...]) -> Seen:
        good = axis.category(u[0]) in (0, 3)  # no neighbours
        return Seen(u=u, state="complete", values=(good - (u[1] - 0.5) ** 2,))

    seen = follow(search, 50, come_of)
    assert {axis.category(item.u[0]) for item in seen} <= {0, 2, 3, 4}
    late = [axis.category(item.u[0]) in (0, 3) for item in seen[25:]]
    assert sum(late) > 0.7 * len(late)


@pytest.mark.slow
def test_the_gaussian_process_runs_in_a_child() -> None:
    search = replace(LINE, sampler="gp")
    seen = [Seen(u=(index / 12 + 0.01,), state="complete", values=((index / 12 - 0.6) ** 2,)) for index in range(12)]
    seen.append(Seen(u=(0.99,), state="pruned", values=(0.4, 0.3)))
    before = set(sys.modules)
    u = ask_child(search, seen, 13)
    assert abs(u[0] - 0.6) < 0.15
    assert "torch" not in set(sys.modules) - before
