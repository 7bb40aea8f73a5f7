"""Hugging Face's formats, one table each: which of their options is which `model` setting, and what one side lacks.

A format is what a class of `transformers` computes: GPT2LMHeadModel, BertForMaskedLM and its sisters,
T5ForConditionalGeneration, MarianMTModel.
"""

from collections.abc import Mapping
from dataclasses import dataclass, field

PLAIN_ACTIVATIONS: Mapping[str, tuple[str, ...]] = {
    "gelu_tanh": ("gelu_new", "gelu_pytorch_tanh", "gelu_fast", "gelu_python_tanh"),
    "gelu": ("gelu", "gelu_python"),
    "relu": ("relu",),
    "silu": ("silu", "swish"),
    "tanh": ("tanh",),
    "sigmoid": ("sigmoid",),
}
"""Our activation -> their names for it; the first is written."""

T5_ACTIVATIONS: Mapping[str, tuple[str, ...]] = {
    **PLAIN_ACTIVATIONS,
    "geglu_tanh": ("gated-gelu", "gated-gelu_new"),  # gated-gelu alone means the tanh form
    "geglu": ("gated-gelu_python",),
    "swiglu": ("gated-silu", "gated-swish"),
    "reglu": ("gated-relu",),
}


@dataclass(frozen=True)
class Option:
    """A setting that both sides have."""

    ours: str
    theirs: tuple[str, ...]
    """Their keys for it: all are written, the first one there is read."""
    default: object
    """What their class takes where a file has none of the keys."""


@dataclass(frozen=True, kw_only=True)
class Format:
    """One format, and the kind of network here that computes the same."""

    kind: str
    model_type: str
    classes: str
    """The classes that read it, for messages."""
    options: tuple[Option, ...]
    activation: Option
    activations: Mapping[str, tuple[str, ...]]
    ours: Mapping[str, object]
    """Settings of ours that the format cannot express, each with the value that its classes compute."""
    theirs: Mapping[str, object] = field(default_factory=dict)
    """Options of theirs that no setting here expresses, each with the value that our network computes."""


def _options(*rows: tuple[str, str, object]) -> tuple[Option, ...]:
    return tuple(Option(ours, tuple(theirs.split()), default) for ours, theirs, default in rows)


GPT2 = Format(
    kind="gpt",
    model_type="gpt2",
    classes="GPT2LMHeadModel",
    options=_options(
        ("vocab_size", "vocab_size", 50257),
        ("context_length", "n_positions", 1024),
        ("num_layers", "n_layer", 12),
        ("num_heads", "n_head", 12),
        ("d_model", "n_embd", 768),
        ("d_ff", "n_inner", None),
        ("dropout", "resid_pdrop embd_pdrop attn_pdrop", 0.1),
        ("norm_eps", "layer_norm_epsilon", 1e-5),
        ("init_std", "initializer_range", 0.02),
        ("tie_embeddings", "tie_word_embeddings", True),
    ),
    activation=Option("activation", ("activation_function",), "gelu_new"),
    activations=PLAIN_ACTIVATIONS,
    ours={"positions": "learned", "norm": "layer_norm", "norm_position": "pre", "bias": True},
    theirs={"scale_attn_weights": True, "scale_attn_by_inverse_layer_idx": False, "add_cross_attention": False},
)

BERT = Format(
    kind="bert",
    model_type="bert",
    classes="BertForMaskedLM, BertForPreTraining and BertForSequenceClassification",
    options=_options(
        ("vocab_size", "vocab_size", 30522),
        ("context_length", "max_position_embeddings", 512),
        ("num_layers", "num_hidden_layers", 12),
        ("num_heads", "num_attention_heads", 12),
        ("d_model", "hidden_size", 768),
        ("d_ff", "intermediate_size", 3072),
        ("dropout", "hidden_dropout_prob attention_probs_dropout_prob", 0.1),
        ("token_types", "type_vocab_size", 2),
        ("norm_eps", "layer_norm_eps", 1e-12),
        ("init_std", "initializer_range", 0.02),
        ("tie_embeddings", "tie_word_embeddings", True),
    ),
    activation=Option("activation", ("hidden_act",), "gelu"),
    activations=PLAIN_ACTIVATIONS,
    ours={"positions": "learned", "norm": "layer_norm", "norm_position": "post", "bias": True},
    theirs={"position_embedding_type": "absolute", "is_decoder": False, "add_cross_attention": False},
)

T5 = Format(
    kind="t5",
    model_type="t5",
    classes="T5ForConditionalGeneration",
    options=_options(
        ("vocab_size", "vocab_size", 32128),
        ("context_length", "n_positions", None),  # no class reads it: relative positions have no end
        ("num_layers", "num_layers", 6),
        ("num_decoder_layers", "num_decoder_layers", None),
        ("num_heads", "num_heads", 8),
        ("head_dim", "d_kv", 64),
        ("d_model", "d_model", 512),
        ("d_ff", "d_ff", 2048),
        ("dropout", "dropout_rate", 0.1),
        ("relative_buckets", "relative_attention_num_buckets", 32),
        ("relative_max_distance", "relative_attention_max_distance", 128),
        ("norm_eps", "layer_norm_epsilon", 1e-6),
        # Tied or not also says whether hidden states are scaled before the output layer. transformers 5 writes
        # tie_word_embeddings true for both and keeps the difference under another name.
        ("tie_embeddings", "scale_decoder_outputs tie_word_embeddings", True),
    ),
    activation=Option("activation", ("feed_forward_proj",), "relu"),
    activations=T5_ACTIVATIONS,
    ours={"norm": "rms_norm", "norm_position": "pre", "bias": False},
)

MARIAN = Format(
    kind="encoder_decoder",
    model_type="marian",
    classes="MarianMTModel",
    options=_options(
        ("vocab_size", "vocab_size", 58101),
        ("vocab_size", "decoder_vocab_size", None),
        ("context_length", "max_position_embeddings", 1024),
        ("num_layers", "encoder_layers", 12),
        ("num_decoder_layers", "decoder_layers", 12),
        ("num_heads", "encoder_attention_heads", 16),
        ("num_heads", "decoder_attention_heads", 16),
        ("d_model", "d_model", 1024),
        ("d_ff", "encoder_ffn_dim", 4096),
        ("d_ff", "decoder_ffn_dim", 4096),
        ("dropout", "dropout attention_dropout", 0.1),
        ("init_std", "init_std", 0.02),
        ("share_embeddings", "share_encoder_decoder_embeddings", True),
        ("scale_embeddings", "scale_embedding", False),
        ("tie_embeddings", "tie_word_embeddings", True),
    ),
    activation=Option("activation", ("activation_function",), "gelu"),
    activations=PLAIN_ACTIVATIONS,
    ours={
        "positions": "sinusoidal",
        "norm": "layer_norm",
        "norm_position": "post",
        "norm_eps": 1e-5,
        "bias": True,
    },
)

FORMATS = (GPT2, BERT, T5, MARIAN)
