"""Initial weights, drawn from torch's global generator. In all of them biases are 0, norms 1 and 0."""

import math

import torch
from torch import nn

from lit_transformer.nn.attention import MultiHeadAttention
from lit_transformer.nn.convolution import Upsample
from lit_transformer.nn.feed_forward import FeedForward
from lit_transformer.nn.relative_positions import RelativePositionBias


def initialise(network: nn.Module, *, std: float, num_layers: int) -> None:
    """Draw every weight of a network as GPT-2's (Radford et al. 2019, section 2.3).

    Linear layers and embeddings: normal with `std`; those that write into the residual stream: with
    std / sqrt(2 num_layers).
    """
    _reset(network)
    for module in network.modules():
        if isinstance(module, nn.Linear | nn.Embedding):
            nn.init.normal_(module.weight, std=std)
    for module in network.modules():
        if isinstance(module, MultiHeadAttention | FeedForward):
            nn.init.normal_(module.output.weight, std=std / math.sqrt(2 * num_layers))


def initialise_xavier(network: nn.Module) -> None:
    """Draw every weight as the first Transformer's: linear layers uniform by Glorot and Bengio (2010, equation 16).

    Queries, keys and values count as one layer, which makes them smaller than each by itself would be: post-norm
    training starts more calmly (as in fairseq and torch.nn.MultiheadAttention). Embeddings: normal with
    1 / sqrt(d_model), so that multiplied by sqrt(d_model) they are as large as sinusoidal positions, and as an output
    layer, tied to them, they give logits of about unit variance.
    """
    _reset(network)
    for module in network.modules():
        if isinstance(module, nn.Linear):
            nn.init.xavier_uniform_(module.weight)
        elif isinstance(module, nn.Embedding):
            nn.init.normal_(module.weight, std=module.embedding_dim**-0.5)


def initialise_mesh(network: nn.Module, *, d_model: int) -> None:
    """Draw every weight as T5's (Mesh TensorFlow): linear layers normal with 1 / sqrt(inputs).

    Queries are smaller by sqrt(head_dim), which stands for the scale that T5's attention leaves out. Embeddings: normal
    with 1, position biases with 1 / sqrt(d_model). A head of the network's own is a linear layer like the others:
    with 1, as transformers has it, the first loss would be many times that of guessing.
    """
    _reset(network)
    for module in network.modules():
        if isinstance(module, nn.Linear):
            nn.init.normal_(module.weight, std=module.in_features**-0.5)
        elif isinstance(module, nn.Embedding):
            nn.init.normal_(module.weight)
    for module in network.modules():
        if isinstance(module, MultiHeadAttention):
            with torch.no_grad():
                module.input.weight[: module.query_width] /= math.sqrt(module.head_dim)
        elif isinstance(module, RelativePositionBias):
            nn.init.normal_(module.embedding.weight, std=d_model**-0.5)


def initialise_convolutions(network: nn.Module) -> None:
    """Draw every convolution's weight by He et al. (2015, equation 10): normal with sqrt(2 / inputs of an output).

    So the size of activations is kept going forward (fan in), with no norm as well. In a transposed convolution with
    stride 2 and 2 x 2 weights an output has one input a channel. What is shuffled into the same 2 x 2 pixels starts
    with the same weights, without checkerboards (Aitken et al. 2017).
    """
    _reset(network)
    for module in network.modules():
        if isinstance(module, nn.Conv2d):
            nn.init.normal_(module.weight, std=math.sqrt(2 / module.weight[0].numel()))
        elif isinstance(module, nn.ConvTranspose2d):
            nn.init.normal_(module.weight, std=math.sqrt(2 / module.in_channels))
    for module in network.modules():
        if isinstance(module, Upsample) and module.kind == "pixel_shuffle":
            weight = module.layer.weight  # (4 out_channels, in_channels, 1, 1)
            assert isinstance(weight, nn.Parameter)
            with torch.no_grad():
                weight.copy_(weight[::4].repeat_interleave(4, dim=0))


def _reset(network: nn.Module) -> None:
    for module in network.modules():
        if isinstance(module, nn.Linear | nn.Conv2d | nn.ConvTranspose2d) and module.bias is not None:
            nn.init.zeros_(module.bias)
        elif isinstance(module, nn.LayerNorm | nn.RMSNorm | nn.BatchNorm2d | nn.GroupNorm):
            module.reset_parameters()
