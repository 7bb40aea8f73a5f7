"""Counts of classes give torchmetrics' numbers, and add up over batches."""

import pytest
import torch
from torchmetrics.functional import accuracy, f1_score, matthews_corrcoef

from lit_transformer.tasks.label_metrics import label_metrics, label_sums
from lit_transformer.tasks.sums import Sums


@pytest.mark.parametrize("classes", [2, 3, 7])
@pytest.mark.parametrize("seed", range(5))
def test_against_torchmetrics_in_three_batches(classes, seed):
    generator = torch.Generator().manual_seed(seed)
    labels = torch.randint(classes, (90,), generator=generator)
    noise = torch.randint(classes, (90,), generator=generator)
    predicted = torch.where(torch.rand(90, generator=generator) < 0.5, labels, noise)
    sums = Sums()
    for part in torch.arange(90).split(37):
        sums.add(label_sums(predicted[part], labels[part], classes))
    found = label_metrics(sums.take(), classes)
    how = {"task": "multiclass", "num_classes": classes}
    assert found["accuracy"] == pytest.approx(float(accuracy(predicted, labels, **how, average="micro")), abs=1e-6)
    assert found["matthews"] == pytest.approx(float(matthews_corrcoef(predicted, labels, **how)), abs=1e-6)
    expected = (
        f1_score(predicted, labels, task="binary")
        if classes == 2
        else f1_score(predicted, labels, **how, average="macro")
    )
    assert found["f1"] == pytest.approx(float(expected), abs=1e-6)


def test_rows_of_padding_do_not_count():
    labels, predicted = torch.tensor([0, 1, -100, -100]), torch.tensor([0, 0, 1, 0])
    sums = {name: float(value) for name, value in label_sums(predicted, labels, 2).items()}
    assert sums["rows"] == 2 and sums["hits"] == 1 and sums["predicted_0"] == 2 and sums["predicted_1"] == 0


def test_one_class_alone_gives_no_correlation():
    sums = {name: float(value) for name, value in label_sums(torch.zeros(4).long(), torch.zeros(4).long(), 2).items()}
    assert label_metrics(sums, 2) == {"accuracy": 1.0, "f1": 0.0, "matthews": 0.0}
