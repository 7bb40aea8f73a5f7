"""Classifier's and chooser's heads: GPT-2's double heads in transformers, sums over rows, padding, unused weights."""

from dataclasses import replace

import pytest
import torch
from torch import Tensor, nn
from torch.nn import functional as F
from transformers import GPT2Config, GPT2DoubleHeadsModel

from lit_transformer.config.errors import UserError
from lit_transformer.config.models import BertConfig, GLMConfig, GPTConfig
from lit_transformer.config.schema import ObjectiveConfig
from lit_transformer.models.bert import Bert
from lit_transformer.models.gpt import GPT
from lit_transformer.models.heads import Chooser, Classifier, Head, body_of
from lit_transformer.nn.recompute import recompute_blocks

ROWS, CHOICES, CLASSES, TIME, VOCAB, LM_WEIGHT = 3, 2, 4, 9, 23, 0.5
GPT1 = GPTConfig(
    num_layers=2,
    num_heads=2,
    d_model=16,
    context_length=TIME,
    vocab_size=VOCAB,
    norm_position="post",
    activation="gelu",
    init_std=0.2,
)
BERT = BertConfig(num_layers=2, num_heads=2, d_model=16, context_length=TIME, vocab_size=VOCAB, init_std=0.2)
CONFIGS = [
    pytest.param(GPT1, id="gpt1"),
    pytest.param(replace(GPT1, norm_position="pre", tie_embeddings=False, positions="rope"), id="gpt"),
    pytest.param(BERT, id="bert"),
]
KINDS = pytest.mark.parametrize("kind", [Classifier, Chooser])


def build(kind: type[Head], config: GPTConfig | BertConfig, lm_weight: float = LM_WEIGHT) -> Head:
    torch.manual_seed(0)
    body = body_of(config)
    if kind is Classifier:
        return Classifier(body, CLASSES, lm_weight=lm_weight)
    return Chooser(body, lm_weight=lm_weight)


def random_batch(model: Head) -> dict[str, Tensor]:
    """Texts of different lengths, padded on the right."""
    torch.manual_seed(1)
    shape = (ROWS,) if isinstance(model, Classifier) else (ROWS, CHOICES)
    lengths = 3 + torch.arange(ROWS * CHOICES)[: torch.Size(shape).numel()].view(shape)  # (...)
    inside = torch.arange(TIME) < lengths[..., None]  # (..., time)
    ids = torch.randint(VOCAB, (*shape, TIME))
    batch = {"inputs": ids, "targets": torch.randint(2, (ROWS,))}
    if isinstance(model.body, Bert):
        return {**batch, "input_mask": inside, "token_types": (torch.arange(TIME) >= lengths[..., None] // 2).long()}
    following = ids.roll(-1, -1).masked_fill(torch.arange(TIME) >= lengths[..., None] - 1, -100)
    return {**batch, "ends": lengths - 1, "lm_targets": following}


def evaluated(batch: dict[str, Tensor]) -> dict[str, Tensor]:
    return {name: value for name, value in batch.items() if name not in ("targets", "lm_targets")}


@KINDS
def test_double_heads_of_transformers(kind: type[Head]) -> None:
    """Classes are scored there by as many outputs of one choice."""
    torch.manual_seed(0)
    model = build(kind, replace(GPT1, norm_position="pre", activation="gelu_tanh"))
    outputs = CLASSES if kind is Classifier else 1
    peer = GPT2DoubleHeadsModel(
        GPT2Config(
            vocab_size=VOCAB, n_positions=TIME, n_embd=16, n_layer=2, n_head=2, resid_pdrop=0.0, embd_pdrop=0.0,
            attn_pdrop=0.0, summary_first_dropout=0.0, num_labels=outputs, bos_token_id=0, eos_token_id=0,
        )
    )  # fmt: skip
    peer.config.num_labels = outputs
    peer.multiple_choice_head.summary = nn.Linear(16, outputs)  # whatever num_labels the class insists on
    pairs = parameter_pairs(model, peer)
    for ours, theirs, transposed in pairs:
        with torch.no_grad():
            theirs.normal_(std=0.2)
            ours.copy_(theirs.T if transposed else theirs)
    assert len(pairs) == len(list(model.parameters()))
    batch = random_batch(model)
    ids, ends = batch["inputs"].view(ROWS, -1, TIME), batch["ends"].view(ROWS, -1)  # (rows, choices, time)
    output = peer(input_ids=ids, mc_token_ids=ends)
    scores = output.mc_logits.view(ROWS, -1)  # (rows, classes) or (rows, choices)
    bias = 0.0 if kind is Classifier else peer.multiple_choice_head.summary.bias
    torch.testing.assert_close(model(**evaluated(batch)) + bias, scores, rtol=0, atol=5e-6)
    expected = F.cross_entropy(scores, batch["targets"], reduction="sum")
    for row in range(ROWS):
        labels = batch["lm_targets"][row].flatten()
        expected = expected + LM_WEIGHT * F.cross_entropy(output.logits[row].flatten(0, -2), labels)
    total, count = model.loss(**batch)
    assert count == ROWS
    torch.testing.assert_close(total, expected, rtol=0, atol=1e-5)
    total.backward()
    expected.backward()
    for ours, theirs, transposed in pairs:
        assert ours.grad is not None and theirs.grad is not None
        torch.testing.assert_close(ours.grad, theirs.grad.T if transposed else theirs.grad, rtol=0, atol=1e-5)


def parameter_pairs(model: Head, peer: GPT2DoubleHeadsModel) -> list[tuple[nn.Parameter, nn.Parameter, bool]]:
    """Our parameters, theirs, and whether theirs are transposed."""
    body, theirs = model.body, peer.transformer
    modules = [(body.token_embedding, theirs.wte), (body.position_embedding, theirs.wpe), (body.norm, theirs.ln_f)]
    modules.append((model.output, peer.multiple_choice_head.summary))
    for block, other in zip(body.blocks, theirs.h, strict=True):
        modules += [
            (block.attention_norm, other.ln_1),
            (block.attention.input, other.attn.c_attn),
            (block.attention.output, other.attn.c_proj),
            (block.feed_forward_norm, other.ln_2),
            (block.feed_forward.input, other.mlp.c_fc),
            (block.feed_forward.output, other.mlp.c_proj),
        ]
    return [
        (parameter, getattr(other, name), type(other).__name__ == "Conv1D" and name == "weight")
        for ours, other in modules
        for name, parameter in ours.named_parameters()
    ]


@pytest.mark.parametrize("config", CONFIGS)
@KINDS
@pytest.mark.parametrize("lm_weight", [0.0, LM_WEIGHT])
def test_every_parameter_takes_part(config: GPTConfig | BertConfig, kind: type[Head], lm_weight: float) -> None:
    model = build(kind, config, lm_weight)
    total, _ = model.loss(**random_batch(model))
    total.backward()
    for name, parameter in model.named_parameters():
        assert parameter.grad is not None and parameter.grad.isfinite().all() and parameter.grad.any(), name


@pytest.mark.parametrize("config", CONFIGS)
@KINDS
def test_the_loss_is_a_sum_over_rows(config: GPTConfig | BertConfig, kind: type[Head]) -> None:
    model = build(kind, config)
    batch = random_batch(model)
    total, count = model.loss(**batch)
    rows = [model.loss(**{name: value[row : row + 1] for name, value in batch.items()}) for row in range(ROWS)]
    torch.testing.assert_close(sum(loss for loss, _ in rows), total, rtol=0, atol=1e-5)
    assert sum(n for _, n in rows) == count == ROWS
    logits = model(**evaluated(batch))
    alone = {name: value[1:2] for name, value in evaluated(batch).items()}
    torch.testing.assert_close(model(**alone), logits[1:2], rtol=0, atol=1e-5)


@pytest.mark.parametrize("config", CONFIGS)
@KINDS
def test_padding_changes_nothing(config: GPTConfig | BertConfig, kind: type[Head]) -> None:
    model = build(kind, config)
    batch = evaluated(random_batch(model))
    ends = batch["ends"] if "ends" in batch else batch["input_mask"].sum(dim=-1) - 1
    other = batch["inputs"].where(torch.arange(TIME) <= ends[..., None], 7)
    torch.testing.assert_close(model(**batch | {"inputs": other}), model(**batch), rtol=0, atol=1e-6)
    last = int(ends.max()) + 1
    cut = {name: value if name == "ends" else value[..., :last] for name, value in batch.items()}
    torch.testing.assert_close(model(**cut), model(**batch), rtol=0, atol=1e-5)


@pytest.mark.parametrize("config", CONFIGS)
@KINDS
def test_rows_of_padding_count_nothing(config: GPTConfig | BertConfig, kind: type[Head]) -> None:
    model = build(kind, config)
    batch = random_batch(model)
    expected, count = model.loss(**{name: value[:2] for name, value in batch.items()})
    batch["targets"][2] = -100
    for name, nothing in (("lm_targets", -100), ("input_mask", False), ("ends", 0)):
        if name in batch:
            batch[name][2] = nothing
    total, found = model.loss(**batch)
    total.backward()
    torch.testing.assert_close(total, expected, rtol=0, atol=1e-5)
    assert count == found == 2
    assert all(p.grad is not None and p.grad.isfinite().all() for p in model.parameters())


@KINDS
def test_label_smoothing_is_that_of_the_labels(kind: type[Head]) -> None:
    model = build(kind, GPT1)
    batch = random_batch(model)
    plain, smooth = model.loss(**batch)[0], model.loss(**batch, label_smoothing=0.1)[0]
    logits, targets = model(**evaluated(batch)), batch["targets"]
    expected = F.cross_entropy(logits, targets, reduction="sum", label_smoothing=0.1) - F.cross_entropy(
        logits, targets, reduction="sum"
    )
    torch.testing.assert_close(smooth - plain, expected, rtol=0, atol=1e-5)


def test_a_gpt_is_read_at_its_last_token_unless_told() -> None:
    model = build(Classifier, GPT1)
    ids = torch.randint(VOCAB, (2, TIME))
    assert torch.equal(model(ids), model(ids, ends=torch.full((2,), TIME - 1)))
    assert not torch.allclose(model(ids), model(ids, ends=torch.zeros(2, dtype=torch.long)), atol=1e-3)


@pytest.mark.parametrize("config", CONFIGS)
def test_a_body_takes_the_weights_of_its_pre_training(config: GPTConfig | BertConfig) -> None:
    trained = GPT(config) if isinstance(config, GPTConfig) else Bert(config, next_sentence=True)
    model = build(Classifier, config)
    names = {name.removeprefix("body.") for name in model.state_dict() if name.startswith("body.")}
    weights = {name: value for name, value in trained.state_dict().items() if name in names}
    missing = model.load_state_dict({f"body.{name}": value for name, value in weights.items()}, strict=False)
    assert missing.missing_keys == ["output.weight", "output.bias"] and not missing.unexpected_keys


@pytest.mark.parametrize("config", CONFIGS)
@KINDS
def test_counts_parameters_and_flops_without_computing(config: GPTConfig | BertConfig, kind: type[Head]) -> None:
    with torch.device("meta"):
        ghost = build(kind, config)
        batch = ghost.dummy_batch(ObjectiveConfig())
        targets = batch.pop("targets")
    logits = ghost.logits(ghost.target_hidden(**batch))
    assert logits.shape == ((1, CLASSES) if kind is Classifier else (1, 2)) and targets.shape == (1,)
    assert ghost.num_parameters() == build(kind, config).num_parameters()


@pytest.mark.parametrize("config", [CONFIGS[0], CONFIGS[2]])
@pytest.mark.parametrize("how", ["compiled", "recomputed"])
def test_the_same_gradients_compiled_or_recomputed(config: GPTConfig | BertConfig, how: str) -> None:
    model = build(Chooser, replace(config, dropout=0.2))
    batch, results = random_batch(model), []
    for changed in (False, True):
        loss = model.loss
        if changed and how == "compiled":
            torch.compiler.reset()  # all networks share one `loss`, which is compiled a few times at most
            loss = torch.compile(model.loss, fullgraph=True, backend="aot_eager")
        elif changed:
            assert recompute_blocks(model) == 2
        torch.manual_seed(1)
        model.zero_grad()
        total, _ = loss(**batch)
        total.backward()
        results.append([total.detach(), *(parameter.grad for parameter in model.parameters())])
    for plain, other in zip(*results, strict=True):
        torch.testing.assert_close(other, plain, rtol=1e-4, atol=1e-5)


def test_a_body_that_does_not_fit_is_refused() -> None:
    with pytest.raises(UserError, match=r"model\.kind: got glm.*allowed: bert, gpt"):
        body_of(GLMConfig(vocab_size=VOCAB))
    for body in (Bert(BERT), Bert(BERT, pooler=True), Bert(BERT, lm_head=False)):
        with pytest.raises(ValueError, match="pooler"):
            Chooser(body)
