"""T5 against transformers' T5ForConditionalGeneration with the same random weights: logits, loss and gradients."""

from collections.abc import Iterator

import pytest
import torch
from torch import Tensor, nn
from transformers import T5Config as PeerConfig
from transformers import T5ForConditionalGeneration

from lit_transformer.config.models import T5Config
from lit_transformer.models.t5 import T5
from lit_transformer.nn.blocks import DecoderBlock, EncoderBlock

VOCAB, TIME, TARGETS = 37, 23, 19
Shape = dict[str, int | bool | str]
GATED: Shape = {"activation": "geglu_tanh", "tie_embeddings": False}
SHAPES = [
    pytest.param({"num_layers": 1, "num_heads": 1, "d_model": 8}, id="smallest"),
    pytest.param({"num_layers": 2, "num_heads": 4, "d_model": 32, "d_ff": 48, "head_dim": 6}, id="v1.0"),
    pytest.param({"num_layers": 2, "num_heads": 4, "d_model": 32, "d_ff": 48, "head_dim": 6, **GATED}, id="v1.1"),
    pytest.param({"num_heads": 2, "d_model": 16, "num_encoder_layers": 3, "num_decoder_layers": 1}, id="uneven"),
    pytest.param(
        {"num_layers": 2, "num_heads": 2, "d_model": 16, "relative_buckets": 8, "relative_max_distance": 12},
        id="buckets",
    ),
]


def make_pair(shape: Shape, dropout: float = 0.0) -> tuple[T5, T5ForConditionalGeneration]:
    """Both networks, with normal weights everywhere, norms included."""
    torch.manual_seed(0)
    config = T5Config(**shape, vocab_size=VOCAB, context_length=TIME, dropout=dropout)  # type: ignore[arg-type]
    gated = config.activation == "geglu_tanh"
    peer = T5ForConditionalGeneration(
        PeerConfig(
            vocab_size=VOCAB,
            d_model=config.d_model,
            d_kv=config.head_dim or config.d_model // config.num_heads,
            d_ff=config.d_ff or 4 * config.d_model,
            num_layers=config.num_encoder_layers or config.num_layers,
            num_decoder_layers=config.num_decoder_layers or config.num_layers,
            num_heads=config.num_heads,
            relative_attention_num_buckets=config.relative_buckets,
            relative_attention_max_distance=config.relative_max_distance,
            dropout_rate=dropout,
            feed_forward_proj="gated-gelu" if gated else "relu",
            tie_word_embeddings=config.tie_embeddings,
            decoder_start_token_id=0,
            attn_implementation="eager",
        )
    )
    if not config.tie_embeddings:  # theirs reads this option as "do not scale" and ties all the same
        peer.lm_head.weight = nn.Parameter(torch.empty_like(peer.lm_head.weight))
    for parameter in peer.parameters():
        nn.init.normal_(parameter, std=0.2)
    model = T5(config)
    with torch.no_grad():
        for ours, theirs in parameter_pairs(model, peer):
            ours.copy_(theirs)
    return model, peer


def parameter_pairs(model: T5, peer: T5ForConditionalGeneration) -> list[tuple[Tensor, Tensor]]:
    """Our parameters, or parts of one, beside theirs."""
    pairs = [(model.token_embedding.weight, peer.shared.weight)]
    if model.head is not None:
        pairs.append((model.head.weight, peer.lm_head.weight))
    sides = (
        (model.encoder_blocks, model.encoder_bias, model.encoder_norm, peer.encoder),
        (model.decoder_blocks, model.decoder_bias, model.decoder_norm, peer.decoder),
    )
    for blocks, bias, norm, stack in sides:
        pairs.append((bias.embedding.weight, stack.block[0].layer[0].SelfAttention.relative_attention_bias.weight))
        pairs.append((norm.weight, stack.final_layer_norm.weight))
        for block, theirs in zip(blocks, stack.block, strict=True):
            pairs += block_pairs(block, theirs)
    return pairs


def block_pairs(block: EncoderBlock | DecoderBlock, theirs: nn.Module) -> Iterator[tuple[Tensor, Tensor]]:
    attentions = [(block.attention, block.attention_norm, theirs.layer[0].SelfAttention, theirs.layer[0])]
    if isinstance(block, DecoderBlock):
        cross = theirs.layer[1]
        attentions.append((block.cross_attention, block.cross_attention_norm, cross.EncDecAttention, cross))
    for attention, norm, peer, layer in attentions:
        yield from zip(attention.input.weight.chunk(3), (peer.q.weight, peer.k.weight, peer.v.weight), strict=True)
        yield attention.output.weight, peer.o.weight
        yield norm.weight, layer.layer_norm.weight
    dense = theirs.layer[-1].DenseReluDense
    if block.feed_forward.gated:
        yield from zip(block.feed_forward.input.weight.chunk(2), (dense.wi_0.weight, dense.wi_1.weight), strict=True)
    else:
        yield block.feed_forward.input.weight, dense.wi.weight
    yield block.feed_forward.output.weight, dense.wo.weight
    yield block.feed_forward_norm.weight, theirs.layer[-1].layer_norm.weight


def make_batch() -> dict[str, Tensor]:
    """Rows of different lengths."""
    torch.manual_seed(1)
    targets = torch.randint(VOCAB, (3, TARGETS))
    targets[1, 5:] = -100
    targets[2, :2] = -100
    return {
        "inputs": torch.randint(VOCAB, (3, TIME)),
        "input_mask": torch.arange(TIME) < torch.tensor([TIME, 4, 17])[:, None],
        "decoder_inputs": torch.randint(VOCAB, (3, TARGETS)),
        "targets": targets,
    }


def compare(model: T5, peer: T5ForConditionalGeneration, padded: bool = True) -> None:
    """Logits, loss and the gradient of every parameter."""
    batch = make_batch()
    mask = batch["input_mask"] if padded else None
    output = peer(
        input_ids=batch["inputs"],
        attention_mask=None if mask is None else mask.long(),
        decoder_input_ids=batch["decoder_inputs"],
        labels=batch["targets"],
    )
    torch.testing.assert_close(
        model(batch["inputs"], batch["decoder_inputs"], input_mask=mask), output.logits, rtol=0, atol=1e-5
    )
    total, count = model.loss(
        batch["inputs"], batch["targets"], decoder_inputs=batch["decoder_inputs"], input_mask=mask
    )
    torch.testing.assert_close(total / count, output.loss, rtol=0, atol=1e-5)
    (total / count).backward()
    output.loss.backward()
    for network in (model, peer):
        for parameter in network.parameters():
            assert parameter.grad is not None
            parameter.data = parameter.grad  # in the weight's place, so that the parts of one are found alike
    for ours, theirs in parameter_pairs(model, peer):
        torch.testing.assert_close(ours.detach(), theirs.detach(), rtol=0, atol=1e-5)


@pytest.mark.parametrize("shape", SHAPES)
@pytest.mark.parametrize("padded", [False, True])
def test_logits_loss_and_gradients(shape: Shape, padded: bool) -> None:
    model, peer = make_pair(shape)
    assert model.num_parameters() == peer.num_parameters()
    assert sum(ours.numel() for ours, _ in parameter_pairs(model, peer)) == model.num_parameters()
    compare(model, peer, padded)


@pytest.mark.parametrize("gated", [False, True])
def test_dropout_acts_in_the_same_places(gated: bool, monkeypatch: pytest.MonkeyPatch) -> None:
    """With dropout that makes everything smaller instead of dropping a part of it."""
    for module in ("dropout", "dropout_attention"):
        monkeypatch.setattr(
            f"lit_transformer.nn.{module}.draw_mask", lambda like, p: torch.full_like(like, 1 - p if p else 1)
        )
    monkeypatch.setattr(nn.functional, "dropout", lambda x, p, training, inplace=False: x * (1 - p) if training else x)
    shape: Shape = {"num_layers": 2, "num_heads": 4, "d_model": 32}
    model, peer = make_pair(shape | (GATED if gated else {}), dropout=0.3)
    compare(model, peer)


def test_greedy_decoding_agrees() -> None:
    model, peer = make_pair({"num_layers": 2, "num_heads": 4, "d_model": 32})
    batch = make_batch()
    theirs = peer.generate(
        batch["inputs"], attention_mask=batch["input_mask"].long(), max_new_tokens=TIME - 1, do_sample=False,
        num_beams=1, eos_token_id=None,
    )  # fmt: skip
    memory, cache = model.encode(batch["inputs"], input_mask=batch["input_mask"]), model.new_cache()
    ids = torch.zeros(3, 1, dtype=torch.long)
    for _ in range(TIME - 1):
        hidden = model.decode(ids[:, -1:], memory, memory_mask=batch["input_mask"], cache=cache)
        ids = torch.cat((ids, model.logits(hidden).argmax(-1)), dim=1)
    assert torch.equal(ids, theirs)
