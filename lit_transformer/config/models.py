"""Settings of every network: `model.kind` chooses one of these classes, which brings its own defaults.

As in schema.py, the text under a field is its help and a default is written once.
"""

from dataclasses import dataclass
from typing import Literal

Activation = Literal[
    "relu", "gelu", "gelu_tanh", "tanh", "sigmoid", "silu", "reglu", "geglu", "geglu_tanh", "swiglu"
]  # fmt: skip
Norm = Literal["layer_norm", "rms_norm"]
NormPosition = Literal["pre", "post"]
Positions = Literal["learned", "sinusoidal", "rope"]


@dataclass(frozen=True, kw_only=True)
class ModelConfig:
    """What every network has."""

    kind: str = "gpt"
    """The network: a name in the registry of models."""
    init_from: str | None = None
    """Start from the weights of this run's folder, or of a Hugging Face one as hf:FOLDER; null = fresh weights."""


@dataclass(frozen=True, kw_only=True)
class TextModelConfig(ModelConfig):
    """What every network over token ids has."""

    context_length: int = 256
    """Tokens that the model sees at most (on each side of an encoder-decoder), and the length of a training block."""
    vocab_size: int | None = None
    """Rows of the embedding; null = the tokenizer's vocabulary, found by `prepare`."""
    num_classes: int | None = None
    """Classes of a classifier's head; null = those of the data, found by `prepare`."""
    frozen_layers: int = 0
    """Blocks that do not train, counted from the input (an encoder's before its decoder's), embeddings included."""


@dataclass(frozen=True, kw_only=True)
class TransformerConfig(TextModelConfig):
    """What every Transformer has."""

    num_layers: int = 6
    """Blocks; of an encoder-decoder on each side."""
    num_heads: int = 6
    """Attention heads in each block; divides d_model."""
    d_model: int = 384
    """Width of the residual stream."""
    d_ff: int | None = None
    """Width inside the feed-forward layer; null = 4 x d_model."""
    dropout: float = 0.0
    """Share of activations dropped: after the embedding, in attention, and after each sublayer."""
    activation: Activation = "gelu_tanh"
    """Activation of the feed-forward layer; reglu, geglu, geglu_tanh and swiglu are the gated ones."""
    norm: Norm = "layer_norm"
    """Normalisation layer."""
    norm_position: NormPosition = "pre"
    """Normalise the input of each sublayer (pre) or the sum after it (post)."""
    norm_eps: float = 1e-5
    """Term of the normalisation layers against division by zero."""
    bias: bool = True
    """Biases in linear and normalisation layers."""
    tie_embeddings: bool = True
    """The output layer shares the token embedding's weights."""
    init_std: float = 0.02
    """Standard deviation of initial weights; projections into the residual stream divide it by sqrt(2 x num_layers)."""


@dataclass(frozen=True, kw_only=True)
class GPTConfig(TransformerConfig):
    """A decoder-only Transformer that predicts the next token."""

    kind: Literal["gpt"] = "gpt"
    num_kv_heads: int | None = None
    """Heads of keys and values, dividing num_heads: null = num_heads, fewer = grouped-query, 1 = multi-query."""
    positions: Positions = "learned"
    """How the network knows where a token stands."""


@dataclass(frozen=True, kw_only=True)
class BertConfig(TransformerConfig):
    """An encoder that predicts masked tokens (Devlin et al. 2019)."""

    kind: Literal["bert"] = "bert"
    activation: Activation = "gelu"
    norm_position: NormPosition = "post"
    norm_eps: float = 1e-12
    positions: Positions = "learned"
    """How the network knows where a token stands."""
    token_types: int = 2
    """Kinds of segments, such as first and second sentence."""


@dataclass(frozen=True, kw_only=True)
class GLMConfig(TransformerConfig):
    """A decoder with a bidirectional prefix that fills blanks (Du et al. 2022)."""

    kind: Literal["glm"] = "glm"


@dataclass(frozen=True, kw_only=True)
class EncoderDecoderConfig(TransformerConfig):
    """The Transformer of "Attention Is All You Need" (Vaswani et al. 2017)."""

    kind: Literal["encoder_decoder"] = "encoder_decoder"
    num_encoder_layers: int | None = None
    """Blocks of the encoder; null = num_layers."""
    num_decoder_layers: int | None = None
    """Blocks of the decoder; null = num_layers."""
    dropout: float = 0.1
    activation: Activation = "relu"
    norm_position: NormPosition = "post"
    positions: Positions = "sinusoidal"
    """How the network knows where a token stands."""
    share_embeddings: bool = True
    """Encoder and decoder share one token embedding."""
    scale_embeddings: bool = True
    """Multiply embeddings by sqrt(d_model)."""


@dataclass(frozen=True, kw_only=True)
class T5Config(TransformerConfig):
    """An encoder-decoder with relative positions that turns text into text (Raffel et al. 2020)."""

    kind: Literal["t5"] = "t5"
    num_encoder_layers: int | None = None
    """Blocks of the encoder; null = num_layers."""
    num_decoder_layers: int | None = None
    """Blocks of the decoder; null = num_layers."""
    head_dim: int | None = None
    """Width of a head; null = d_model / num_heads."""
    activation: Activation = "relu"
    norm: Norm = "rms_norm"
    norm_eps: float = 1e-6
    bias: bool = False
    relative_buckets: int = 32
    """Distances that the relative position bias tells apart."""
    relative_max_distance: int = 128
    """Distances from here on share a bucket."""


@dataclass(frozen=True, kw_only=True)
class SegmenterConfig(ModelConfig):
    """A convolutional encoder-decoder that gives each pixel of an image a class (Ronneberger et al. 2015)."""

    kind: Literal["segmenter"] = "segmenter"
    preset: Literal["plain", "unet"] | None = None
    """A known network's settings: plain (two stages, no skips) or unet (31 million weights); those beside it win."""
    in_channels: int = 3
    """Channels of an image: 3 for colour, 1 for grey."""
    num_classes: int | None = None
    """Logits of a pixel: 1 = one class and background, by a sigmoid; null = the classes of the data."""
    num_stages: int = 4
    """Stages of the encoder, and as many of the decoder; each halves height and width."""
    base_channels: int = 32
    """Channels of the first stage; each stage has twice those of the one before."""
    convs_per_stage: int = 2
    """Convolutions of 3 x 3 in each stage."""
    bottleneck: bool = True
    """Convolutions below the last stage, twice as wide; without them the decoder convolves first, then upsamples."""
    norm: Literal["none", "batch", "group"] = "batch"
    """Normalisation after each convolution; group has groups of 16 channels."""
    activation: Literal["relu", "gelu", "silu"] = "relu"
    """Activation after each convolution."""
    upsampling: Literal["bilinear", "nearest", "transposed", "pixel_shuffle"] = "bilinear"
    """How the decoder doubles height and width."""
    downsampling: Literal["max_pool", "stride"] = "max_pool"
    """How the encoder halves them: the largest of 2 x 2, or a convolution with stride 2."""
    skip: Literal["none", "concat", "add"] = "concat"
    """How the decoder takes in the encoder's output of the same height and width."""
    dropout: float = 0.0
    """Share of channels dropped after each stage."""
    head_kernel: Literal[1, 3] = 1
    """Side of the last convolution, from the first stage's channels to the classes."""


PRESETS: dict[str, dict[str, object]] = {
    "plain": {
        "num_classes": 1, "num_stages": 2, "base_channels": 64, "convs_per_stage": 1, "bottleneck": False,
        "norm": "none", "activation": "relu", "upsampling": "bilinear", "downsampling": "max_pool", "skip": "none",
        "head_kernel": 3,
    },
    "unet": {
        "num_classes": None, "num_stages": 4, "base_channels": 64, "convs_per_stage": 2, "bottleneck": True,
        "norm": "none", "activation": "relu", "upsampling": "transposed", "downsampling": "max_pool", "skip": "concat",
        "head_kernel": 1,
    },
}  # fmt: skip
"""`model.preset` -> the settings of `model` that it stands for."""

MODEL_CONFIGS: dict[str, type[ModelConfig]] = {
    "gpt": GPTConfig,
    "bert": BertConfig,
    "glm": GLMConfig,
    "t5": T5Config,
    "encoder_decoder": EncoderDecoderConfig,
    "segmenter": SegmenterConfig,
}
"""`model.kind` -> the dataclass with that kind's defaults."""
