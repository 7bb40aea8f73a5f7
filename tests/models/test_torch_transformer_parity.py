"""EncoderDecoder against torch.nn.Transformer at the size of the usual tutorial: logits, loss and gradients.

The tutorial's code is here in its corrected form: batch first, a causal mask over the target, and positions added along
time and not along the batch.
"""

import pytest
import torch
from torch import Tensor, nn
from torch.nn import functional as F

from lit_transformer.config.models import EncoderDecoderConfig
from lit_transformer.models.encoder_decoder import EncoderDecoder
from lit_transformer.nn.blocks import DecoderBlock
from lit_transformer.nn.positions import SinusoidalPositions

VOCAB, WIDTH, HEADS, LAYERS, INNER, TIME, TARGETS = 10_000, 512, 8, 6, 2048, 9, 7


class Tutorial(nn.Module):
    """Embeddings, positions, torch's Transformer and an output layer."""

    def __init__(self, *, pre_norm: bool) -> None:
        super().__init__()
        options = {"dropout": 0.0, "batch_first": True, "norm_first": pre_norm}
        self.source, self.target = nn.Embedding(VOCAB, WIDTH), nn.Embedding(VOCAB, WIDTH)
        encoder_layer = nn.TransformerEncoderLayer(WIDTH, HEADS, INNER, **options)
        decoder_layer = nn.TransformerDecoderLayer(WIDTH, HEADS, INNER, **options)
        # By itself torch puts a norm behind the last one of a post-norm stack too; the paper does not.
        norms = (nn.LayerNorm(WIDTH), nn.LayerNorm(WIDTH)) if pre_norm else (None, None)
        self.body = nn.Transformer(
            WIDTH,
            HEADS,
            batch_first=True,
            custom_encoder=nn.TransformerEncoder(encoder_layer, LAYERS, norms[0], enable_nested_tensor=False),
            custom_decoder=nn.TransformerDecoder(decoder_layer, LAYERS, norms[1]),
        )
        self.output = nn.Linear(WIDTH, VOCAB, bias=False)
        positions = SinusoidalPositions(d_model=WIDTH)(torch.arange(TIME)[None])  # (1, time, d_model)
        self.register_buffer("positions", positions)

    def forward(self, inputs: Tensor, decoder_inputs: Tensor, input_mask: Tensor) -> Tensor:
        time = decoder_inputs.shape[1]
        return self.output(
            self.body(
                self.source(inputs) * WIDTH**0.5 + self.positions,
                self.target(decoder_inputs) * WIDTH**0.5 + self.positions[:, :time],
                tgt_mask=torch.ones(time, time, dtype=torch.bool).triu(1),
                src_key_padding_mask=~input_mask,
                memory_key_padding_mask=~input_mask,
            )
        )


def parameter_pairs(model: EncoderDecoder, peer: Tutorial) -> list[tuple[nn.Parameter, nn.Parameter]]:
    modules: list[tuple[nn.Module | None, nn.Module | None]] = [
        (model.source_embedding, peer.source),
        (model.token_embedding, peer.target),
        (model.head, peer.output),
        (model.encoder_norm, peer.body.encoder.norm),
        (model.decoder_norm, peer.body.decoder.norm),
    ]
    pairs = []
    for block, layer in zip(
        (*model.encoder_blocks, *model.decoder_blocks),
        (*peer.body.encoder.layers, *peer.body.decoder.layers),
        strict=True,
    ):
        attentions, norms = [(block.attention, layer.self_attn)], [block.attention_norm]
        if isinstance(block, DecoderBlock):
            attentions.append((block.cross_attention, layer.multihead_attn))
            norms.append(block.cross_attention_norm)
        for ours, theirs in attentions:
            pairs += [(ours.input.weight, theirs.in_proj_weight), (ours.input.bias, theirs.in_proj_bias)]
            modules.append((ours.output, theirs.out_proj))
        for number, norm in enumerate((*norms, block.feed_forward_norm), start=1):
            modules.append((norm, getattr(layer, f"norm{number}")))
        modules += [(block.feed_forward.input, layer.linear1), (block.feed_forward.output, layer.linear2)]
    for left, right in modules:
        if left is not None and right is not None:
            pairs += list(zip(left.parameters(), right.parameters(), strict=True))
    return pairs


@pytest.mark.parametrize("pre_norm", [False, True])
def test_logits_loss_and_gradients(pre_norm: bool) -> None:
    torch.manual_seed(0)
    model = EncoderDecoder(
        EncoderDecoderConfig(
            num_layers=LAYERS,
            num_heads=HEADS,
            d_model=WIDTH,
            d_ff=INNER,
            vocab_size=VOCAB,
            context_length=TIME,
            dropout=0.0,
            norm_position="pre" if pre_norm else "post",
            share_embeddings=False,
            tie_embeddings=False,
        )
    )
    peer = Tutorial(pre_norm=pre_norm)
    pairs = parameter_pairs(model, peer)
    assert len(pairs) == len(list(model.parameters())) == len(list(peer.parameters()))
    with torch.no_grad():
        for ours, theirs in pairs:
            if theirs.ndim == 1:
                ours.uniform_(-0.5, 0.5).add_(theirs)  # biases are not 0, norms not 1
            theirs.copy_(ours)
    inputs, decoder_inputs = torch.randint(VOCAB, (2, TIME)), torch.randint(VOCAB, (2, TARGETS))
    targets = torch.randint(VOCAB, (2, TARGETS))
    targets[1, 4:] = -100
    mask = torch.arange(TIME) < torch.tensor([TIME, 5])[:, None]  # (batch, time)
    expected = peer(inputs, decoder_inputs, mask)
    torch.testing.assert_close(model(inputs, decoder_inputs, input_mask=mask), expected, rtol=0, atol=1e-4)
    loss = F.cross_entropy(expected.flatten(0, 1), targets.flatten())
    total, count = model.loss(inputs, targets, decoder_inputs=decoder_inputs, input_mask=mask)
    torch.testing.assert_close(total / count, loss, rtol=0, atol=1e-5)
    (total / count).backward()
    loss.backward()
    for ours, theirs in pairs:
        assert ours.grad is not None and theirs.grad is not None
        torch.testing.assert_close(ours.grad, theirs.grad, rtol=0, atol=1e-5)
