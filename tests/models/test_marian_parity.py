"""EncoderDecoder against transformers' MarianMTModel with the same random weights: logits, loss and gradients.

Marian's position table is [sines | cosines], ours interleaves them as the paper does: the same network with the model
dimension in another order, so that every weight that reads or writes the residual stream is permuted.
"""

from collections.abc import Callable, Iterator

import pytest
import torch
from torch import Tensor, nn
from transformers import MarianConfig, MarianMTModel
from transformers.models.marian.modeling_marian import MarianAttention

from lit_transformer.config.models import EncoderDecoderConfig
from lit_transformer.models.encoder_decoder import EncoderDecoder
from lit_transformer.nn.attention import MultiHeadAttention
from lit_transformer.nn.blocks import DecoderBlock, EncoderBlock
from lit_transformer.nn.positions import SinusoidalPositions

VOCAB, TIME, TARGETS, PAD = 37, 11, 9, 36
Shape = dict[str, int | bool | str]
SHAPES = [
    pytest.param({"num_layers": 1, "num_heads": 1, "d_model": 8}, id="smallest"),
    pytest.param({"num_layers": 2, "num_heads": 4, "d_model": 32, "d_ff": 48}, id="small"),
    pytest.param({"num_heads": 2, "d_model": 16, "num_encoder_layers": 3, "num_decoder_layers": 1}, id="uneven"),
    pytest.param({"num_layers": 2, "num_heads": 2, "d_model": 16, "activation": "silu"}, id="silu"),
    pytest.param({"num_layers": 2, "num_heads": 2, "d_model": 16, "scale_embeddings": False}, id="unscaled"),
    pytest.param({"num_layers": 2, "num_heads": 2, "d_model": 16, "share_embeddings": False}, id="separate"),
]


def make_pair(shape: Shape) -> tuple[EncoderDecoder, MarianMTModel]:
    """Both networks, with normal weights everywhere, biases and norms included."""
    torch.manual_seed(0)
    config = EncoderDecoderConfig(**shape, vocab_size=VOCAB, context_length=TIME, dropout=0.0)  # type: ignore[arg-type]
    peer = MarianMTModel(
        MarianConfig(
            vocab_size=VOCAB,
            max_position_embeddings=TIME,
            d_model=config.d_model,
            encoder_layers=config.num_encoder_layers or config.num_layers,
            decoder_layers=config.num_decoder_layers or config.num_layers,
            encoder_attention_heads=config.num_heads,
            decoder_attention_heads=config.num_heads,
            encoder_ffn_dim=config.d_ff or 4 * config.d_model,
            decoder_ffn_dim=config.d_ff or 4 * config.d_model,
            activation_function=config.activation,
            scale_embedding=config.scale_embeddings,
            share_encoder_decoder_embeddings=config.share_embeddings,
            dropout=0.0,
            attention_dropout=0.0,
            activation_dropout=0.0,
            pad_token_id=PAD,
            decoder_start_token_id=PAD,
            eos_token_id=0,
        )
    )
    model = EncoderDecoder(config)
    with torch.no_grad():
        for parameter in peer.parameters():
            if parameter.requires_grad:  # their positions are a parameter that does not train
                nn.init.normal_(parameter, std=0.2)
        for ours, theirs, arrange in parameter_pairs(model, peer):
            ours.copy_(arrange(theirs.detach().clone()))
    return model, peer


def order(width: int) -> Tensor:
    """Where each of our elements, sine and cosine in turn, stands in Marian's [sines | cosines]."""
    return torch.arange(width).view(2, width // 2).T.flatten()


def reads(weight: Tensor) -> Tensor:
    """A weight (outputs, d_model) that reads the residual stream."""
    return weight[:, order(weight.shape[1])]


def writes(weight: Tensor) -> Tensor:
    """A weight (d_model, inputs) or vector (d_model) that writes the residual stream."""
    return weight[order(weight.shape[0])]


def as_it_is(bias: Tensor) -> Tensor:
    return bias


Pair = tuple[Tensor, Tensor, Callable[[Tensor], Tensor]]


def parameter_pairs(model: EncoderDecoder, peer: MarianMTModel) -> list[Pair]:
    """Our parameters (or parts of one), theirs, and how theirs are arranged to be ours."""
    pairs: list[Pair] = [(model.token_embedding.weight, peer.model.decoder.embed_tokens.weight, reads)]
    if model.source_embedding is not None:
        pairs.append((model.source_embedding.weight, peer.model.encoder.embed_tokens.weight, reads))
    for blocks, layers in (
        (model.encoder_blocks, peer.model.encoder.layers),
        (model.decoder_blocks, peer.model.decoder.layers),
    ):
        for block, layer in zip(blocks, layers, strict=True):
            pairs += block_pairs(block, layer)
    return pairs


def block_pairs(block: EncoderBlock | DecoderBlock, layer: nn.Module) -> Iterator[Pair]:
    yield from attention_pairs(block.attention, layer.self_attn)
    yield from norm_pairs(block.attention_norm, layer.self_attn_layer_norm)
    if isinstance(block, DecoderBlock):
        yield from attention_pairs(block.cross_attention, layer.encoder_attn)
        yield from norm_pairs(block.cross_attention_norm, layer.encoder_attn_layer_norm)
    yield block.feed_forward.input.weight, layer.fc1.weight, reads
    yield block.feed_forward.input.bias, layer.fc1.bias, as_it_is
    yield block.feed_forward.output.weight, layer.fc2.weight, writes
    yield block.feed_forward.output.bias, layer.fc2.bias, writes
    yield from norm_pairs(block.feed_forward_norm, layer.final_layer_norm)


def norm_pairs(ours: nn.Module, theirs: nn.Module) -> Iterator[Pair]:
    yield ours.weight, theirs.weight, writes
    yield ours.bias, theirs.bias, writes


def attention_pairs(ours: MultiHeadAttention, theirs: MarianAttention) -> Iterator[Pair]:
    parts = ours.input.weight.chunk(3), ours.input.bias.chunk(3)
    for weight, bias, layer in zip(*parts, (theirs.q_proj, theirs.k_proj, theirs.v_proj), strict=True):
        yield weight, layer.weight, reads
        yield bias, layer.bias, as_it_is
    yield ours.output.weight, theirs.out_proj.weight, writes
    yield ours.output.bias, theirs.out_proj.bias, writes


def gradient_pairs(model: EncoderDecoder, peer: MarianMTModel) -> Iterator[tuple[Tensor, Tensor]]:
    """Our gradients beside theirs, put in the weights' places, so that the parts of one are found alike."""
    for network in (model, peer):
        for parameter in network.parameters():
            if parameter.requires_grad:
                assert parameter.grad is not None
                parameter.data = parameter.grad
    for ours, theirs, arrange in parameter_pairs(model, peer):
        yield ours.detach(), arrange(theirs.detach())


def make_batch() -> dict[str, Tensor]:
    """Rows of different lengths; PAD, whose embedding they freeze, never stands where it would have a gradient."""
    torch.manual_seed(1)
    mask = torch.arange(TIME) < torch.tensor([TIME, 4, 7])[:, None]  # (batch, time)
    targets = torch.randint(PAD, (3, TARGETS))
    targets[1, 5:] = -100
    targets[2, :2] = -100
    inputs, decoder_inputs = torch.randint(PAD, (3, TIME)), torch.randint(PAD, (3, TARGETS))
    return {"inputs": inputs, "input_mask": mask, "decoder_inputs": decoder_inputs, "targets": targets}


@pytest.mark.parametrize("shape", SHAPES)
@pytest.mark.parametrize("padded", [False, True])
def test_logits_loss_and_gradients(shape: Shape, padded: bool) -> None:
    model, peer = make_pair(shape)
    assert model.num_parameters() == sum(p.numel() for p in peer.parameters() if p.requires_grad)
    assert sum(ours.numel() for ours, *_ in parameter_pairs(model, peer)) == model.num_parameters()
    batch = make_batch()
    mask = batch["input_mask"] if padded else None
    output = peer(
        input_ids=batch["inputs"],
        attention_mask=None if mask is None else mask.long(),
        decoder_input_ids=batch["decoder_inputs"],
        labels=batch["targets"],
    )
    torch.testing.assert_close(
        model(batch["inputs"], batch["decoder_inputs"], input_mask=mask), output.logits, rtol=0, atol=2e-5
    )
    total, count = model.loss(
        batch["inputs"], batch["targets"], decoder_inputs=batch["decoder_inputs"], input_mask=mask
    )
    torch.testing.assert_close(total / count, output.loss, rtol=0, atol=1e-5)
    (total / count).backward()
    output.loss.backward()
    for ours, theirs in gradient_pairs(model, peer):
        torch.testing.assert_close(ours, theirs, rtol=0, atol=1e-5)


def test_the_permutation_is_the_one_between_the_tables() -> None:
    _, peer = make_pair({"num_layers": 1, "num_heads": 1, "d_model": 16})
    ours = SinusoidalPositions(d_model=16)(torch.arange(TIME)[None])[0]
    torch.testing.assert_close(ours, reads(peer.model.encoder.embed_positions.weight), rtol=0, atol=1e-6)


def test_greedy_decoding_agrees() -> None:
    model, peer = make_pair({"num_layers": 2, "num_heads": 4, "d_model": 32})
    batch = make_batch()
    theirs = peer.generate(
        batch["inputs"],
        attention_mask=batch["input_mask"].long(),
        max_new_tokens=TIME - 1,
        do_sample=False,
        num_beams=1,
        eos_token_id=None,
        forced_eos_token_id=None,
        bad_words_ids=None,
    )
    memory, cache = model.encode(batch["inputs"], input_mask=batch["input_mask"]), model.new_cache()
    ids = torch.full((3, 1), PAD)
    for _ in range(TIME - 1):
        hidden = model.decode(ids[:, -1:], memory, memory_mask=batch["input_mask"], cache=cache)
        ids = torch.cat((ids, model.logits(hidden).argmax(-1)), dim=1)
    assert torch.equal(ids, theirs)
