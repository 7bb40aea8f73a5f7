"""Initial weights."""

import math

from torch import nn

from lit_transformer.nn.attention import MultiHeadAttention
from lit_transformer.nn.feed_forward import FeedForward


def initialise(network: nn.Module, *, std: float, num_layers: int) -> None:
    """Draw every weight of a network from torch's global generator (GPT-2, Radford et al. 2019, section 2.3).

    Linear layers and embeddings: normal with `std`; those that write into the residual stream: with
    std / sqrt(2 num_layers); biases 0; norms 1 and 0.
    """
    for module in network.modules():
        if isinstance(module, nn.Linear | nn.Embedding):
            nn.init.normal_(module.weight, std=std)
            if isinstance(module, nn.Linear) and module.bias is not None:
                nn.init.zeros_(module.bias)
        elif isinstance(module, nn.LayerNorm | nn.RMSNorm):
            module.reset_parameters()
    for module in network.modules():
        if isinstance(module, MultiHeadAttention | FeedForward):
            nn.init.normal_(module.output.weight, std=std / math.sqrt(2 * num_layers))
