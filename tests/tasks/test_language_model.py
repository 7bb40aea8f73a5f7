import math

import pytest
import torch
from torch.nn import functional as F

from lit_transformer.config.layers import shell_layer
from lit_transformer.config.load import load_layers
from lit_transformer.tasks.facts import Facts
from lit_transformer.tasks.language_model import LanguageModel
from lit_transformer.tasks.sums import Sums


@pytest.fixture
def task():
    settings = ["model.num_layers=2", "model.num_heads=2", "model.d_model=16", "model.context_length=8",
                "model.vocab_size=11", "objective.label_smoothing=0.1"]  # fmt: skip
    torch.manual_seed(0)
    return LanguageModel(load_layers([shell_layer(settings)]).config, facts=Facts(bytes_per_token={"val": 2.5}))


@pytest.fixture
def batch():
    ids = torch.randint(11, (3, 9), generator=torch.Generator().manual_seed(1))
    targets = ids[:, 1:].clone()
    targets[2, 4:] = -100
    return {"inputs": ids[:, :-1], "targets": targets}


def test_sums_agree_with_torch_and_smoothing_is_for_training_alone(task, batch):
    logits = task(batch["inputs"])
    plain = F.cross_entropy(logits.flatten(0, 1), batch["targets"].flatten(), reduction="sum")
    smooth = F.cross_entropy(logits.flatten(0, 1), batch["targets"].flatten(), reduction="sum", label_smoothing=0.1)
    torch.testing.assert_close(task.training_sums(batch)["loss"], smooth)
    evaluated = task.evaluation_sums(batch, "val")
    torch.testing.assert_close(evaluated["loss"], plain)
    counted = batch["targets"] != -100
    assert evaluated["count"] == counted.sum() == 20
    assert evaluated["correct"] == (logits.argmax(-1) == batch["targets"])[counted].sum()


def test_metrics_by_hand(task):
    found = task.metrics({"loss": 20.0, "count": 10.0, "correct": 4.0}, "val")
    assert found == pytest.approx(
        {"loss": 2.0, "perplexity": math.exp(2), "bits_per_byte": 2 / math.log(2) / 2.5, "accuracy": 0.4}
    )
    assert "bits_per_byte" not in task.metrics({"loss": 1.0, "count": 1.0}, "train")
    assert task.metrics({"loss": 1e6, "count": 1.0}, "val")["perplexity"] == math.inf


def test_sums_keep_their_digits_and_start_again():
    sums = Sums()
    assert sums.take() == {}
    for _ in range(1000):
        sums.add({"loss": torch.tensor(16_777_216.0), "count": torch.tensor(1)})
        sums.add({"loss": torch.tensor(1.0)})
    assert sums.take() == {"loss": 1000 * 16_777_217.0, "count": 1000.0}  # float32 would lose every 1.0
    assert sums.take() == {}


def test_calling_the_task_gives_logits(task, batch):
    assert task(batch["inputs"]).shape == (3, 8, 11)
