"""Scores of heads are what their definitions say, for every network and kind of data."""

import pytest
import torch
from torch import Tensor

from lit_transformer.analysis.importance import gradient_scores, removal_scores
from lit_transformer.analysis.subject import Subject, open_subject
from lit_transformer.inference.evaluate import evaluate
from lit_transformer.nn.attention import attention_layers
from lit_transformer.nn.head_masks import mask_heads
from lit_transformer.tasks.base import Batch, inputs_of
from tests.analysis.conftest import Fresh


def rows_of(batch: Batch) -> list[Batch]:
    """Each row of a batch as a batch of its own."""
    inputs = inputs_of(batch)
    return [{name: value[row : row + 1] for name, value in inputs.items()} for row in range(len(inputs["inputs"]))]


def loss_sum(subject: Subject, row: Batch, name: str, mask: Tensor) -> float:
    with torch.no_grad(), mask_heads(subject.body, {name: mask}):
        return float(subject.task.evaluation_sums(row, "val")["loss"])


def test_gradient_scores_are_finite_differences_of_each_rows_loss(subject: Subject) -> None:
    subject.batches = [{name: value[:3] for name, value in subject.batches[0].items() if value.ndim}]
    by_text = getattr(subject.task, "by_text", False)  # whose scores are summed in float32
    rows, small = rows_of(subject.batches[0]), 1e-2 if by_text else 1e-5
    close = {"rel": 5e-2, "abs": 1e-4} if by_text else {"rel": 1e-4, "abs": 1e-8}
    targets = sum(float(subject.task.evaluation_sums(row, "val")["count"]) for row in rows)
    scores = gradient_scores(subject)
    assert list(scores) == subject.heads
    for layer, name in subject.layers.items():
        for head in subject.heads_of(layer):
            step = torch.zeros(len(subject.heads_of(layer)), dtype=torch.float64)
            step[head.head] = small
            slopes = [
                (loss_sum(subject, row, name, 1 + step) - loss_sum(subject, row, name, 1 - step)) / (2 * small)
                for row in rows
            ]
            assert scores[head] == pytest.approx(sum(map(abs, slopes)) / targets, **close)
    assert max(scores.values()) > 1e-6


def test_removal_scores_are_those_of_zeroed_columns(subject: Subject) -> None:
    scores, whole = removal_scores(subject), subject.loss()
    layers = attention_layers(subject.body)
    for layer, name in subject.layers.items():
        module = layers[name]
        for head in subject.heads_of(layer):
            columns = slice(head.head * module.head_dim, (head.head + 1) * module.head_dim)
            kept = module.output.weight.data[:, columns].clone()
            module.output.weight.data[:, columns] = 0
            subject._known.clear()
            assert scores[head] == subject.loss() - whole
            module.output.weight.data[:, columns] = kept
    assert any(scores.values())


@pytest.mark.parametrize("name", ["gpt words", "translation", "pairs", "choices text"])
def test_the_loss_with_all_heads_and_batches_is_the_one_that_evaluate_tells(fresh: Fresh, name: str) -> None:
    subject = open_subject(fresh(name), batches=10_000, device="cpu")
    assert len(subject.batches) == subject.batches_there
    told = evaluate(fresh(name), "val")
    metrics = subject.metrics()
    assert metrics == {key: told[key] for key in metrics} and "val/loss" in metrics and "val/bleu" not in metrics
