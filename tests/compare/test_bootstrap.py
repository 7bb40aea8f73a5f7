"""The paired bootstrap: metrics equal sacrebleu's and the task's, intervals those of theory, alarms rare."""

import math

import numpy as np
import pytest
from sacrebleu import corpus_bleu, corpus_chrf
from scipy import stats

from lit_transformer.compare.bootstrap import bleu, chrf, mean_iou, paired_bootstrap, ratio
from lit_transformer.tasks.mask_metrics import mask_metrics
from lit_transformer.tasks.text_metrics import STATISTICS, text_sums

REFERENCES = ["the cat sat on the mat", "a dog runs in the park", "two birds sing", "it is raining today again"] * 5
WORSE = ["the cat sat on a mat", "a dog walks in a park", "two birds sang", "it rains today again"] * 5


def statistics_of(texts: list[str], name: str) -> np.ndarray:
    rows = [text_sums([text], [reference]) for text, reference in zip(texts, REFERENCES, strict=True)]
    return np.array([[row[f"{name}_{index}"] for index in range(STATISTICS[name])] for row in rows])


def test_metrics_of_sums_are_those_of_sacrebleu() -> None:
    assert bleu(statistics_of(WORSE, "bleu").sum(0, keepdims=True))[0] == corpus_bleu(WORSE, [REFERENCES]).score
    assert chrf(statistics_of(WORSE, "chrf").sum(0, keepdims=True))[0] == corpus_chrf(WORSE, [REFERENCES]).score


def test_mean_iou_is_that_of_the_task_with_classes_that_are_absent() -> None:
    matrices = np.random.default_rng(0).integers(0, 50, size=(6, 3, 3)).astype(float)
    matrices[0, 2], matrices[0, :, 2] = 0, 0
    matrices[1] = 0
    expected = [mask_metrics(matrix, ["a", "b", "c"])["mean_iou"] for matrix in matrices]
    assert mean_iou(matrices.reshape(6, 9)) == pytest.approx(expected)


def test_interval_of_a_mean_is_that_of_theory_and_of_a_paired_difference_too() -> None:
    random = np.random.default_rng(1)
    hard = random.normal(size=400)
    a, b = 0.50 + hard + 0.1 * random.normal(size=400), 0.48 + hard + 0.1 * random.normal(size=400)
    arrays = [np.stack([values, np.ones(400)], axis=1) for values in (a, b)]
    found = paired_bootstrap(arrays, ratio)
    assert found.values == pytest.approx([a.mean(), b.mean()]) and found.standings is not None
    assert [found.low[0], found.high[0]] == pytest.approx(
        stats.norm.interval(0.95, a.mean(), stats.sem(a)), abs=0.15 * stats.sem(a)
    )
    low, high = stats.norm.interval(0.95, (a - b).mean(), stats.sem(a - b))  # pairing takes out how hard a row is
    assert [found.standings.low[1], found.standings.high[1]] == pytest.approx([low, high], abs=0.2 * stats.sem(a - b))


def test_worse_translations_are_found_and_equal_ones_are_not() -> None:
    texts = [REFERENCES, WORSE, [*WORSE[1:], WORSE[0]]]
    found = paired_bootstrap([statistics_of(text, "bleu") for text in texts], bleu, resamples=300)
    assert found.standings is not None and found.standings.worse.tolist() == [False, True, True]
    same = paired_bootstrap([statistics_of(WORSE, "bleu")] * 2, bleu, resamples=50)
    assert same.standings is None and same.values[0] == same.values[1]


def test_false_alarms_among_five_equal_networks_are_rare() -> None:
    random, alarms = np.random.default_rng(2), 0
    for index in range(120):
        hits = (random.uniform(size=(5, 300)) < 0.3 + 0.4 * random.uniform(size=(1, 300))).astype(float)
        arrays = [np.stack([row, np.ones(300)], axis=1) for row in hits]
        found = paired_bootstrap(arrays, ratio, resamples=300, random_seed=index).standings
        alarms += found is not None and bool(found.worse.any())
    assert stats.binomtest(alarms, 120, 0.05, alternative="greater").pvalue > 0.05, alarms


def test_metric_to_be_lowered_and_rows_that_do_not_match() -> None:
    random = np.random.default_rng(3)
    arrays = [np.stack([random.normal(loc, 0.1, 50), np.ones(50)], axis=1) for loc in (2.0, 1.0)]
    found = paired_bootstrap(arrays, ratio, lower_is_better=True, resamples=200).standings
    assert found is not None and found.best == 1 and found.worse.tolist() == [True, False]
    with pytest.raises(ValueError, match="of the same rows"):
        paired_bootstrap([arrays[0], arrays[1][:9]], ratio)
    with pytest.raises(ValueError, match="at least one"):
        paired_bootstrap([np.zeros((0, 2))], ratio)
    assert math.isnan(ratio(np.array([[1.0, 0.0]]))[0])
