"""Importance: analysis of variance against statsmodels, PED-ANOVA on planted effects."""

import math
from itertools import product

import numpy as np
import pandas as pd
import pytest
from statsmodels.formula.api import ols
from statsmodels.stats.anova import anova_lm

from lit_transformer.compare.importance import anova, ped_anova
from lit_transformer.compare.statistics import COSTS, summarise


def runs_of(levels: dict[str, list[object]], loss: "np.ufunc | object", seeds: int = 1) -> pd.DataFrame:
    """One complete run for each point of the grid and seed; `loss` takes the levels' positions and the seed."""
    rows = []
    for places in product(*(range(len(values)) for values in levels.values())):
        for seed in range(seeds):
            point = {key: values[place] for place, (key, values) in zip(places, levels.items(), strict=True)}
            rows.append({**point, "seed": seed, "status": "complete", "val/loss": loss(*places, seed)})  # type: ignore[operator]
    return pd.DataFrame(rows).assign(**dict.fromkeys(COSTS, math.nan), problem=None, error=None)


def test_anova_with_seeds_is_that_of_statsmodels() -> None:
    random = np.random.default_rng(0)
    runs = runs_of(
        {"heads": [1, 2, 4], "layers": [1, 2], "norm": ["pre", None]},
        lambda h, n, k, s: 0.5 * h + 0.2 * n + 0.3 * (h == 2) * k + 0.1 * s + 0.05 * random.normal(),
        seeds=3,
    )
    effects = {effect.factors: effect for effect in anova(runs, ["heads", "layers", "norm"], "val/loss")}
    data = runs.rename(columns={"val/loss": "loss"}).assign(norm=runs["norm"].fillna("null"))
    peer = anova_lm(ols("loss ~ C(heads) * C(layers) * C(norm) + C(seed)", data).fit())
    names = {"Residual": ("noise",), "C(seed)": ("seed",)}
    for name, row in peer.iterrows():
        factors = names.get(str(name)) or tuple(part[2:-1] for part in str(name).split(":"))
        found = effects.pop(factors)
        assert (found.sum_of_squares, found.df) == (pytest.approx(row["sum_sq"], abs=1e-12), row["df"])
        assert found.p == pytest.approx(row["PR(>F)"], rel=1e-6, nan_ok=True)
        assert found.share == pytest.approx(row["sum_sq"] / peer["sum_sq"].sum(), abs=1e-12)
    assert not effects


def test_planted_interaction_is_found_and_shares_sum_to_one() -> None:
    runs = runs_of({"a": [1, 2], "b": [1, 2], "c": [1, 2, 3]}, lambda a, b, c, s: 3.0 * (a ^ b) + 0.01 * c)
    effects = anova(runs, ["a", "b", "c"], "val/loss")
    assert effects[0].factors == ("a", "b") and effects[0].share > 0.99
    assert sum(effect.share for effect in effects) == pytest.approx(1) and all(math.isnan(e.p) for e in effects)
    assert {e.factors: e.share for e in effects}["a",] == pytest.approx(0, abs=1e-12)


def test_grid_with_a_hole_a_repeated_point_or_no_variance_has_no_anova() -> None:
    runs = runs_of({"a": [1, 2], "b": [1, 2]}, lambda a, b, s: float(a + b), seeds=2)
    assert len(anova(runs, ["a", "b"], "val/loss")) == 5
    assert anova(runs.iloc[1:], ["a", "b"], "val/loss") == []
    assert anova(pd.concat([runs, runs.iloc[:1]]), ["a", "b"], "val/loss") == []
    assert anova(runs.assign(**{"val/loss": 1.0}), ["a", "b"], "val/loss") == []
    assert anova(runs, [], "val/loss") == anova(runs, ["a", "b"], "val/absent") == []
    failed = runs.assign(status=["failed", *runs["status"][1:]])
    assert anova(failed, ["a", "b"], "val/loss") == []


@pytest.mark.parametrize("goal", ["minimize", "maximize"])
def test_ped_anova_ranks_planted_settings_of_every_kind(goal: str) -> None:
    random = np.random.default_rng(1)
    count, sign = 200, 1 if goal == "minimize" else -1
    runs = pd.DataFrame(
        {
            "lr": 10 ** random.uniform(-5, -1, count),
            "norm": random.choice(np.array(["pre", "post", None], dtype=object), count),
            "dropout": random.uniform(0, 0.5, count),
        }
    )
    loss = (np.log10(runs["lr"]) + 3) ** 2 + 0.3 * (runs["norm"] == "post") + 0.01 * random.normal(size=count)
    runs = runs.assign(**{"val/loss": sign * loss}, status="complete", problem=None, error=None)
    runs = runs.assign(**dict.fromkeys(COSTS, math.nan))
    cells = summarise(runs, ["lr", "norm", "dropout"], "val/loss")
    shares = ped_anova(cells, ["lr", "norm", "dropout"], goal)  # type: ignore[arg-type]
    assert list(shares) == ["lr", "norm", "dropout"] and shares["lr"] > 0.6
    assert sum(shares.values()) == pytest.approx(1)


def test_ped_anova_of_few_points_or_of_nothing_that_varies_is_empty() -> None:
    runs = runs_of({"a": [1, 2, 3], "b": [1, 2]}, lambda a, b, s: float(a + b))
    assert ped_anova(summarise(runs, ["a", "b"], "val/loss"), ["a", "b"], "minimize") == {}
    same = runs_of({"a": [1], "b": [*range(20)]}, lambda a, b, s: float(b))
    cells = summarise(same, ["a", "b"], "val/loss")
    assert set(ped_anova(cells, ["a", "b"], "minimize")) == {"b"} and ped_anova(cells, ["a"], "minimize") == {}
