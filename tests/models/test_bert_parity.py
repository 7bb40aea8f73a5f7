"""BERT against transformers' networks with the same random weights: logits, loss and gradients of every parameter."""

from dataclasses import replace

import pytest
import torch
from torch import Tensor, nn
from torch.nn import functional as F
from transformers import BertConfig as PeerConfig
from transformers import (
    BertForMaskedLM,
    BertForMultipleChoice,
    BertForPreTraining,
    BertForSequenceClassification,
    PreTrainedModel,
)

from lit_transformer.config.models import BertConfig
from lit_transformer.models.base import TextNetwork
from lit_transformer.models.bert import Bert
from lit_transformer.models.heads import Chooser, Classifier, body_of

SMALL = BertConfig(num_layers=2, num_heads=4, d_model=32, context_length=17, vocab_size=65)
CONFIGS = [
    pytest.param(BertConfig(num_layers=1, num_heads=1, d_model=8, context_length=5, vocab_size=11), id="smallest"),
    pytest.param(SMALL, id="small"),
    pytest.param(replace(SMALL, num_layers=4, d_ff=72, context_length=70, vocab_size=301), id="deep"),
    pytest.param(replace(SMALL, activation="gelu_tanh", token_types=3, norm_eps=1e-5), id="options"),
]
ACTIVATIONS = {"gelu": "gelu", "gelu_tanh": "gelu_new"}
ROWS, CLASSES, CHOICES = 3, 5, 4


def make_pair(
    config: BertConfig, model: TextNetwork, kind: type[PreTrainedModel]
) -> tuple[TextNetwork, PreTrainedModel]:
    """Both networks, with normal weights everywhere, biases and norms included."""
    torch.manual_seed(0)
    peer = kind(
        PeerConfig(
            vocab_size=config.vocab_size,
            hidden_size=config.d_model,
            num_hidden_layers=config.num_layers,
            num_attention_heads=config.num_heads,
            intermediate_size=config.d_ff or 4 * config.d_model,
            hidden_act=ACTIVATIONS[config.activation],
            hidden_dropout_prob=0.0,
            attention_probs_dropout_prob=0.0,
            max_position_embeddings=config.context_length,
            type_vocab_size=config.token_types,
            layer_norm_eps=config.norm_eps,
            pad_token_id=None,  # else the embedding of that token gets no gradient
            num_labels=CLASSES,
        )
    )
    for parameter in peer.parameters():
        nn.init.normal_(parameter, std=0.2)
    with torch.no_grad():
        for name, parameter in model.named_parameters():
            parameter.copy_(theirs(peer, name))
    return model, peer


def theirs(peer: PreTrainedModel, name: str, *, gradient: bool = False) -> Tensor:
    """Their weight, or its gradient, for the name of our parameter."""
    names = {
        "token_embedding": ["bert.embeddings.word_embeddings"],
        "position_embedding": ["bert.embeddings.position_embeddings"],
        "token_type_embedding": ["bert.embeddings.token_type_embeddings"],
        "embedding_norm": ["bert.embeddings.LayerNorm"],
        "pooler": ["bert.pooler.dense"],
        "next_sentence_head": ["cls.seq_relationship"],
        "lm_head.dense": ["cls.predictions.transform.dense"],
        "lm_head.norm": ["cls.predictions.transform.LayerNorm"],
        "lm_head": ["cls.predictions"],
        "output": ["classifier"],
        "attention.input": [f"attention.self.{part}" for part in ("query", "key", "value")],
        "attention.output": ["attention.output.dense"],
        "attention_norm": ["attention.output.LayerNorm"],
        "feed_forward.input": ["intermediate.dense"],
        "feed_forward.output": ["output.dense"],
        "feed_forward_norm": ["output.LayerNorm"],
    }
    path, kind = name.removeprefix("body.").rsplit(".", 1)
    layer = ""
    if path.startswith("blocks."):
        _, index, path = path.split(".", 2)
        layer = f"bert.encoder.layer.{index}."
    parameters = [peer.get_parameter(f"{layer}{part}.{kind.removeprefix('output_')}") for part in names[path]]
    found = [parameter.grad if gradient else parameter for parameter in parameters]
    assert all(tensor is not None for tensor in found), name
    return torch.cat(found).flip(0) if path == "next_sentence_head" else torch.cat(found)  # they call following 0


def assert_equal_gradients(model: nn.Module, peer: nn.Module) -> None:
    for name, parameter in model.named_parameters():
        assert parameter.grad is not None and parameter.grad.any(), f"{name} takes no part"
        torch.testing.assert_close(parameter.grad, theirs(peer, name, gradient=True), rtol=0, atol=2e-6, msg=name)


def texts(config: BertConfig, *shape: int) -> dict[str, Tensor]:
    """Random ids with two segments, padded to the right of different lengths, the first row whole."""
    time = config.context_length
    lengths = torch.randint(2, time + 1, shape)
    lengths.view(-1)[0] = time
    places = torch.arange(time)
    return {
        "inputs": torch.randint(config.vocab_size, (*shape, time)),
        "input_mask": places < lengths[..., None],
        "token_types": (places >= lengths[..., None] // 2).long(),
    }


def their_names(batch: dict[str, Tensor]) -> dict[str, Tensor]:
    names = {"inputs": "input_ids", "input_mask": "attention_mask", "token_types": "token_type_ids"}
    return {names[name]: value.long() for name, value in batch.items()}


def spread(config: BertConfig, targets: Tensor, places: Tensor) -> Tensor:
    """Targets (rows, n) at their places (rows, n) as labels (rows, time), -100 elsewhere."""
    return torch.full((ROWS, config.context_length), -100).scatter(1, places, targets)


def random_targets(config: BertConfig, n: int) -> tuple[Tensor, Tensor]:
    """n targets of every row and their places, no place twice."""
    places = torch.stack([torch.randperm(config.context_length)[:n] for _ in range(ROWS)])  # (rows, n)
    return torch.randint(config.vocab_size, (ROWS, n)), places


@pytest.mark.parametrize("config", CONFIGS)
@pytest.mark.parametrize("padded", [True, False])
@pytest.mark.parametrize("gathered", [True, False])
def test_masked_lm(config: BertConfig, padded: bool, gathered: bool) -> None:
    model, peer = make_pair(config, Bert(config), BertForMaskedLM)
    assert model.num_parameters() == peer.num_parameters()
    batch = (
        texts(config, ROWS) if padded else {"inputs": torch.randint(config.vocab_size, (ROWS, config.context_length))}
    )
    targets, places = random_targets(config, 3)
    labels = spread(config, targets, places)
    output = peer(**their_names(batch), labels=labels)
    options = {name: value for name, value in batch.items() if name != "inputs"}
    torch.testing.assert_close(model(batch["inputs"], **options), output.logits, rtol=0, atol=5e-6)
    wanted = {"targets": targets, "target_positions": places} if gathered else {"targets": labels}
    total, count = model.loss(**batch, **wanted)
    assert count == 3 * ROWS
    torch.testing.assert_close(total / count, output.loss, rtol=0, atol=5e-6)
    (total / count).backward()
    output.loss.backward()
    assert_equal_gradients(model, peer)


def test_empty_places_of_targets_count_nothing() -> None:
    """Rows with fewer targets than others are filled up with place 0 and no target."""
    model, peer = make_pair(SMALL, Bert(SMALL), BertForMaskedLM)
    batch = texts(SMALL, ROWS)
    targets, places = random_targets(SMALL, 5)
    labels = spread(SMALL, targets[:, :3], places[:, :3])
    targets[:, 3:], places[:, 3:] = -100, 0
    total, count = model.loss(**batch, targets=targets, target_positions=places)
    assert count == 3 * ROWS
    expected = peer(**their_names(batch), labels=labels).loss
    torch.testing.assert_close(total / count, expected, rtol=0, atol=5e-6)
    (total / count).backward()
    expected.backward()
    assert_equal_gradients(model, peer)


def test_label_smoothing_is_torchs() -> None:
    model, peer = make_pair(SMALL, Bert(SMALL), BertForMaskedLM)
    inputs = torch.randint(65, (ROWS, SMALL.context_length))
    targets, places = random_targets(SMALL, 3)
    total, count = model.loss(inputs, targets, target_positions=places, label_smoothing=0.1)
    logits, labels = peer(input_ids=inputs).logits, spread(SMALL, targets, places)
    expected = F.cross_entropy(logits.flatten(0, 1), labels.flatten(), label_smoothing=0.1)
    torch.testing.assert_close(total / count, expected, rtol=0, atol=5e-6)


@pytest.mark.parametrize("config", CONFIGS)
def test_next_sentence(config: BertConfig) -> None:
    model, peer = make_pair(config, Bert(config, next_sentence=True), BertForPreTraining)
    assert model.num_parameters() == peer.num_parameters()
    batch = texts(config, ROWS)
    targets, places = random_targets(config, 3)
    follows = torch.tensor([1, 0, 1])
    output = peer(**their_names(batch), labels=spread(config, targets, places), next_sentence_label=1 - follows)
    ours = model.next_sentence_logits(**batch)
    torch.testing.assert_close(ours.flip(1), output.seq_relationship_logits, rtol=0, atol=5e-6)
    total, count = model.loss(**batch, targets=targets, target_positions=places, next_sentence=follows)
    torch.testing.assert_close(total / count, output.loss, rtol=0, atol=5e-6)
    (total / count).backward()
    output.loss.backward()
    assert_equal_gradients(model, peer)


@pytest.mark.parametrize("config", CONFIGS)
def test_sequence_classification(config: BertConfig) -> None:
    model, peer = make_pair(config, Classifier(body_of(config), CLASSES), BertForSequenceClassification)
    assert model.num_parameters() == peer.num_parameters()
    batch, labels = texts(config, ROWS), torch.tensor([4, 0, 2])
    output = peer(**their_names(batch), labels=labels)
    torch.testing.assert_close(model(**batch), output.logits, rtol=0, atol=5e-6)
    total, count = model.loss(**batch, targets=labels)
    assert count == ROWS
    torch.testing.assert_close(total / count, output.loss, rtol=0, atol=5e-6)
    (total / count).backward()
    output.loss.backward()
    assert_equal_gradients(model, peer)


@pytest.mark.parametrize("config", CONFIGS)
def test_multiple_choice(config: BertConfig) -> None:
    model, peer = make_pair(config, Chooser(body_of(config)), BertForMultipleChoice)
    assert model.num_parameters() == peer.num_parameters() - 1  # their bias, which the softmax takes out again
    batch, labels = texts(config, ROWS, CHOICES), torch.tensor([3, 0, 2])
    output = peer(**their_names(batch), labels=labels)
    bias = peer.classifier.bias.detach()
    torch.testing.assert_close(model(**batch) + bias, output.logits, rtol=0, atol=5e-6)
    total, count = model.loss(**batch, targets=labels)
    torch.testing.assert_close(total / count, output.loss, rtol=0, atol=5e-6)
    (total / count).backward()
    output.loss.backward()
    assert_equal_gradients(model, peer)
