import math

import pytest
import torch
from torch.nn import functional as F

from lit_transformer.config.layers import shell_layer
from lit_transformer.config.load import load_layers
from lit_transformer.config.registry import metric_names
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


@pytest.fixture
def pairs():
    """A BERT that also tells whether segments follow, and three rows for it, one of them without a second segment."""
    settings = ["model.kind=bert", "model.num_layers=2", "model.num_heads=2", "model.d_model=16", "model.dropout=0",
                "model.context_length=8", "model.vocab_size=11", "model.init_std=0.5",
                "objective.next_sentence=true"]  # fmt: skip
    torch.manual_seed(0)
    batch = {
        "inputs": torch.randint(11, (3, 8)),
        "token_types": (torch.arange(8) > 4).long().expand(3, 8),
        "targets": torch.tensor([[3, 4], [5, -100], [6, 7]]),
        "target_positions": torch.tensor([[1, 5], [2, 0], [3, 6]]),
        "next_sentence": torch.tensor([1, 0, -100]),
    }
    return LanguageModel(load_layers([shell_layer(settings)]).config), batch


def test_next_sentences_are_measured_beside_the_masked_tokens(pairs):
    task, batch = pairs
    given = {name: batch[name] for name in ("inputs", "token_types")}
    logits, follows = task(**given), batch["next_sentence"]
    at_targets = logits.gather(1, batch["target_positions"][..., None].expand(-1, -1, 11))  # (rows, targets, 11)
    masked = F.cross_entropy(at_targets.flatten(0, 1), batch["targets"].flatten(), reduction="sum")
    sentences = task.network.next_sentence_logits(**given)[:2]  # (rows with a second segment, 2)
    expected = F.cross_entropy(sentences, follows[:2], reduction="none")
    sums = task.evaluation_sums(batch, "val")
    torch.testing.assert_close(sums["loss"], masked)
    torch.testing.assert_close(sums["next_sentence_loss"], expected.sum())
    assert (sums["count"], sums["next_sentence_count"]) == (5, 2)
    assert sums["next_sentence_correct"] == (sentences.argmax(-1) == follows[:2]).sum()
    trained = task.training_sums(batch)
    torch.testing.assert_close(trained["loss"], masked + (expected * torch.tensor([2, 1])).sum())
    found = task.metrics({name: value.item() for name, value in sums.items()}, "val")
    assert {f"val/{name}" for name in found} < set(metric_names("language_model", ["next_sentence"]))
    assert found["loss"] == pytest.approx(masked.item() / 5)
    assert found["next_sentence_loss"] == pytest.approx(expected.mean().item())
    right = [int(row.argmax() == wanted) for row, wanted in zip(sentences, follows[:2], strict=True)]
    assert found["next_sentence_accuracy"] == sum(right) / 2
    whole = task.evaluation_sums(batch | {"next_sentence": torch.full((3,), -100)}, "val")
    assert task.metrics({name: value.item() for name, value in whole.items()}, "val")["next_sentence_loss"] == 0


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
