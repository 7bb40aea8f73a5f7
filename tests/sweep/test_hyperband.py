"""Which trials hyperband stops: W&B's own answers, and what a verdict says."""

import gzip
import json
import math
from pathlib import Path

import pytest

from lit_transformer.config.errors import UserError
from lit_transformer.sweep.hyperband import bands, decide

ORACLE = Path(__file__).with_name("oracle") / "hyperband.json.gz"


def finite(values: list[object]) -> list[float]:
    """The values that W&B counts."""
    return [float(value) for value in values if isinstance(value, int | float) and math.isfinite(value)]


def test_every_decision_is_that_of_wandb() -> None:
    cases = json.loads(gzip.decompress(ORACLE.read_bytes()))["cases"]
    stopped = 0
    for case in cases:
        rule, answer = case["early_terminate"], case["main"]
        if not answer["bands"]:
            with pytest.raises(UserError, match="no band comes of it"):
                bands(**{key: rule[key] for key in ("min_iter", "max_iter", "s", "eta") if key in rule})
            continue
        found = bands(**{key: rule[key] for key in ("min_iter", "max_iter", "s", "eta") if key in rule})
        assert [band for band in found if band <= 1000] == answer["bands"]
        histories = [finite(run["history"]) for run in case["runs"]]
        options = {"metric": "m", "goal": case["goal"], "strict": rule.get("strict", True), "eta": rule.get("eta", 3)}
        stops = []
        for index, run in enumerate(case["runs"]):
            verdict = decide(histories[index], histories, found, **options)
            if run["state"] == "running" and verdict is not None and verdict.stop:
                stops.append(index)
            if verdict is not None:
                threshold = answer["thresholds"][answer["bands"].index(verdict.band)]
                assert verdict.threshold == (threshold if case["goal"] == "minimize" else -threshold)
        assert stops == answer["stop"]
        stopped += len(stops)
    assert len(cases) >= 2500
    assert stopped > 1000


def test_a_verdict_says_where_the_trial_stands() -> None:
    histories = [[5.0, 4.0], [5.0, 3.0, 2.0], [5.0, 2.0, 1.0], [3.0, 6.0]]
    verdict = decide(histories[0], histories, bands(min_iter=2, eta=2), metric="val/loss", eta=2)
    assert verdict is not None
    assert (verdict.stop, verdict.band, verdict.value, verdict.threshold, verdict.rank, verdict.of) == (
        False, 2, 4.0, 4.0, 3, 4,
    )  # fmt: skip
    verdict = decide(histories[3], histories, bands(min_iter=2, eta=2), metric="val/loss", eta=2)
    assert verdict is not None
    assert str(verdict) == "hyperband: val/loss 6 is worse than 4 at band 2 (rank 4 of 4)"
    assert verdict.to_json()["stop"] is True
    best = decide(histories[3], histories, bands(min_iter=2, eta=2), metric="val/loss", eta=2, strict=False)
    assert best is not None
    assert (best.stop, best.value) == (False, 3.0)
    assert decide([1.0], histories, [2, 4], metric="val/loss") is None


def test_bands() -> None:
    assert bands(max_iter=27, s=2) == [3, 9]
    assert bands(max_iter=27, s=9) == [1, 3, 9]
    assert bands(min_iter=3)[:4] == [3, 9, 27, 81]
    assert bands(min_iter=3, max_iter=8, s=1, eta=2) == [4]  # W&B looks at max_iter first
    for rule in ({"max_iter": 2, "s": 2}, {"max_iter": 9, "s": 0}, {}):
        with pytest.raises(UserError, match=r"(?s)got .*allowed .*fix "):
            bands(**rule)  # type: ignore[arg-type]
