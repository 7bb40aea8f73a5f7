"""Metrics of masks against scikit-learn, on random masks with pixels that count nowhere."""

import numpy as np
import pytest
import torch
from sklearn.metrics import accuracy_score, confusion_matrix, f1_score, jaccard_score

from lit_transformer.tasks.mask_metrics import confusion, key, mask_metrics


def masks(seed, classes, present=None):
    generator = torch.Generator().manual_seed(seed)
    shape = (3, 17, 23)
    truth = torch.randint(present or classes, shape, generator=generator)
    noise = torch.randint(present or classes, shape, generator=generator)
    predicted = torch.where(torch.rand(shape, generator=generator) < 0.6, truth, noise)
    truth[torch.rand(shape, generator=generator) < 0.2] = -100
    return predicted, truth


@pytest.mark.parametrize("classes", [2, 4, 11])
def test_they_are_those_of_scikit_learn(classes):
    predicted, truth = masks(classes, classes)
    kept = truth != -100
    left, right = truth[kept].numpy(), predicted[kept].numpy()
    matrix = confusion(predicted, truth, classes)
    assert np.array_equal(matrix.view(classes, classes), confusion_matrix(left, right, labels=range(classes)))
    found = mask_metrics(matrix.view(classes, classes).double().numpy(), [f"class {i}" for i in range(classes)])
    assert found["mean_iou"] == pytest.approx(jaccard_score(left, right, average="macro"))
    assert found["dice"] == pytest.approx(f1_score(left, right, average="macro"))
    assert found["pixel_accuracy"] == pytest.approx(accuracy_score(left, right))
    for index, iou in enumerate(jaccard_score(left, right, average=None)):
        assert found[f"iou/class_{index}"] == pytest.approx(iou)


def test_a_class_that_nobody_has_is_left_out_and_one_that_only_the_prediction_has_counts():
    predicted, truth = masks(0, 5, present=3)
    predicted[0, 0, 0], truth[0, 0, 0] = 4, 1  # class 4 is predicted once; class 3 is nowhere
    kept = truth != -100
    matrix = confusion(predicted, truth, 5).view(5, 5).double().numpy()
    found = mask_metrics(matrix, "abcde")
    assert {name for name in found if name.startswith("iou/")} == {"iou/a", "iou/b", "iou/c", "iou/e"}
    assert found["iou/e"] == 0
    expected = jaccard_score(truth[kept].numpy(), predicted[kept].numpy(), average="macro", labels=[0, 1, 2, 4])
    assert found["mean_iou"] == pytest.approx(expected)


def test_batches_add_up_to_the_whole_set_and_not_to_a_mean_of_means():
    predicted, truth = masks(1, 4)
    parts = sum(confusion(predicted[index], truth[index], 4) for index in range(len(truth)))
    assert torch.equal(parts, confusion(predicted, truth, 4))


def test_nothing_that_counts():
    nothing = torch.full((2, 3, 3), -100)
    found = mask_metrics(confusion(torch.zeros_like(nothing), nothing, 3).view(3, 3).double().numpy(), "abc")
    assert found == {"mean_iou": 0.0, "pixel_accuracy": 0.0, "dice": 0.0}


def test_a_name_is_one_word_of_a_metric():
    assert key("road / pavement  left") == "road_pavement_left"
