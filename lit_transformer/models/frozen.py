"""Layers that do not train."""

from torch import nn

from lit_transformer.config.errors import UserError
from lit_transformer.models.base import TextNetwork
from lit_transformer.models.heads import Head
from lit_transformer.models.seq2seq import Seq2Seq
from lit_transformer.models.t5 import T5

EMBEDDINGS = (
    "token_embedding", "source_embedding", "position_embedding", "block_position_embedding", "token_type_embedding",
    "embedding_norm", "source_positions", "target_positions",
)  # fmt: skip
"""What a text goes through before the first block."""


def freeze(network: TextNetwork, num_layers: int) -> None:
    """Take the embeddings and the first `num_layers` blocks, an encoder's before its decoder's, out of the training.

    0 leaves everything as it is. A tied output layer is frozen with the embedding; T5's biases of positions go with
    the first block of their stack. Raises UserError where there are fewer blocks.
    """
    body = network.body if isinstance(network, Head) else network
    stacks = [body.encoder_blocks, body.decoder_blocks] if isinstance(body, Seq2Seq) else [body.blocks]
    blocks = [block for stack in stacks for block in stack]  # type: ignore[union-attr]
    if num_layers > len(blocks):
        raise UserError(
            f"model.frozen_layers\n  got      {num_layers}\n  allowed  0 to {len(blocks)}, the blocks of this network"
        )
    if num_layers < 1:
        return
    frozen: list[nn.Module | None] = [getattr(body, name, None) for name in EMBEDDINGS]
    frozen += blocks[:num_layers]
    if isinstance(body, T5):
        frozen.append(body.encoder_bias)
        if num_layers > len(body.encoder_blocks):
            frozen.append(body.decoder_bias)
    for module in frozen:
        if module is not None:
            module.requires_grad_(False)
