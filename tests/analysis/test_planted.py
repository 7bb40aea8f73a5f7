"""All measures find the one head of a network that does the work."""

from pathlib import Path

import pytest

from lit_transformer.analysis.attention_statistics import attention_statistics
from lit_transformer.analysis.importance import gradient_scores, removal_scores
from lit_transformer.analysis.pruning import least_first, pruning_curves, steps
from lit_transformer.analysis.subject import Head, Subject
from tests.analysis.planted import HEADS, PLANTED, planted_subject

HEAD = Head("decoder", 0, PLANTED)


@pytest.fixture
def subject(tmp_path: Path) -> Subject:
    return planted_subject(tmp_path)


def test_the_planted_head_is_found_by_removal_and_by_gradient(subject: Subject) -> None:
    assert subject.metrics()["val/accuracy"] == 1.0
    removal, gradient = removal_scores(subject), gradient_scores(subject)
    others = [head for head in subject.heads if head != HEAD]
    assert removal[HEAD] > 1.0 and all(abs(removal[head]) < 0.02 for head in others)
    assert all(gradient[HEAD] > 5 * gradient[head] for head in others)
    assert subject.metrics([HEAD])["val/accuracy"] < 0.3 and subject.metrics(others)["val/accuracy"] == 1.0


def test_pruning_spares_the_planted_head_to_the_last(subject: Subject) -> None:
    scores = {"gradient": gradient_scores(subject), "removal": removal_scores(subject)}
    curves = pruning_curves(subject, scores)
    assert [curve.by for curve in curves] == ["gradient", "removal", *["random"] * 5]
    for curve in curves[:2]:
        assert curve.order[-1] == HEAD and curve.removed == [0, 1, 2, 3, 4]
        accuracies = [point["val/accuracy"] for point in curve.metrics]
        assert accuracies[:4] == [1.0] * 4 and accuracies[4] < 0.3
    for curve in curves[2:]:  # at random it goes as soon as it is its turn
        gone = curve.order.index(HEAD)
        assert all(
            (point["val/accuracy"] == 1.0) == (count <= gone)
            for count, point in zip(curve.removed, curve.metrics, strict=True)
        )
    assert all(curve.metrics[0] == subject.metrics() and sorted(curve.order) == subject.heads for curve in curves)


def test_the_planted_head_looks_one_token_back_and_at_nothing_else(subject: Subject) -> None:
    looks = attention_statistics(subject)
    assert looks[HEAD].distance == pytest.approx(0.9, abs=0.01)  # the first of ten tokens sees itself alone
    assert looks[HEAD].entropy < 0.01
    assert all(looks[head].entropy > 1 for head in subject.heads if head != HEAD) and len(looks) == HEADS


def test_least_first_and_steps() -> None:
    scores = {Head("decoder", 0, 0): 1.0, Head("decoder", 0, 1): 0.5, Head("decoder", 1, 0): 0.5}
    assert least_first(scores) == [Head("decoder", 1, 0), Head("decoder", 0, 1), Head("decoder", 0, 0)]
    assert steps(4) == [0, 1, 2, 3, 4] and steps(1) == [0, 1]
    assert steps(144) == [0, 14, 29, 43, 58, 72, 86, 101, 115, 130, 144]
