"""Which tensor of ours is which of theirs, for each class of transformers that computes what a network here does."""

from collections.abc import Iterator

from lit_transformer.config.models import BertConfig, EncoderDecoderConfig, GPTConfig, ModelConfig, T5Config
from lit_transformer.interop.mapping import Pair
from lit_transformer.models.base import TextNetwork
from lit_transformer.models.bert import Bert
from lit_transformer.models.encoder_decoder import EncoderDecoder
from lit_transformer.models.gpt import GPT
from lit_transformer.models.heads import Classifier
from lit_transformer.models.t5 import T5
from lit_transformer.nn.feed_forward import GATED

BOTH = ("weight", "bias")

PREFIXES = {"gpt": "transformer.", "bert": "bert.", "t5": "", "encoder_decoder": "model."}
"""`model.kind` -> what stands before names in a class with a head, and not in one without."""

PARTS: dict[str, tuple[str, ...]] = {
    "BertForMaskedLM": ("lm_head",),
    "BertForPreTraining": ("lm_head", "pooler", "next_sentence_head"),
    "BertForSequenceClassification": ("pooler", "output"),
}
"""Class -> what of a BERT it has beside the encoder, by our names."""

EVERY_PART = tuple(dict.fromkeys(part for parts in PARTS.values() for part in parts))


def architecture(network: TextNetwork) -> str | None:
    """The class of transformers that holds exactly this network; None where there is none."""
    if isinstance(network, Classifier):
        return "BertForSequenceClassification" if isinstance(network.body, Bert) else None
    if isinstance(network, Bert):
        return "BertForMaskedLM" if network.next_sentence_head is None else "BertForPreTraining"
    classes = {GPT: "GPT2LMHeadModel", T5: "T5ForConditionalGeneration", EncoderDecoder: "MarianMTModel"}
    return classes.get(type(network))


def pairs_of(config: ModelConfig, parts: tuple[str, ...] = EVERY_PART) -> list[Pair]:
    """The pairs of a network with these settings, by `plain_name`; `parts` of a BERT are those of PARTS."""
    if isinstance(config, GPTConfig):
        return list(_gpt2(config))
    if isinstance(config, BertConfig):
        return list(_bert(config, parts))
    if isinstance(config, T5Config):
        return list(_t5(config))
    assert isinstance(config, EncoderDecoderConfig)
    return list(_marian(config))


def plain_name(name: str) -> str:
    """Name of a tensor in a task or under a head -> its name in the network alone."""
    return name.removeprefix("network.").removeprefix("body.")


def _gpt2(config: GPTConfig) -> Iterator[Pair]:
    yield Pair("token_embedding.weight", ("transformer.wte.weight",))
    yield Pair("position_embedding.weight", ("transformer.wpe.weight",))
    layers = {
        "attention_norm": "ln_1",
        "attention.input": "attn.c_attn",
        "attention.output": "attn.c_proj",
        "feed_forward_norm": "ln_2",
        "feed_forward.input": "mlp.c_fc",
        "feed_forward.output": "mlp.c_proj",
    }
    for index in range(config.num_layers):
        for ours, theirs in layers.items():
            for part in BOTH:
                is_matrix = part == "weight" and not ours.endswith("norm")  # theirs are of the class Conv1D
                yield Pair(f"blocks.{index}.{ours}.{part}", (f"transformer.h.{index}.{theirs}.{part}",), is_matrix)
    for part in BOTH:
        yield Pair(f"norm.{part}", (f"transformer.ln_f.{part}",))
    if not config.tie_embeddings:
        yield Pair("head.weight", ("lm_head.weight",))


def _bert(config: BertConfig, parts: tuple[str, ...]) -> Iterator[Pair]:
    embeddings = "bert.embeddings"
    yield Pair("token_embedding.weight", (f"{embeddings}.word_embeddings.weight",))
    yield Pair("position_embedding.weight", (f"{embeddings}.position_embeddings.weight",))
    yield Pair("token_type_embedding.weight", (f"{embeddings}.token_type_embeddings.weight",))
    layers = {
        "attention.output": "attention.output.dense",
        "attention_norm": "attention.output.LayerNorm",
        "feed_forward.input": "intermediate.dense",
        "feed_forward.output": "output.dense",
        "feed_forward_norm": "output.LayerNorm",
    }
    for part in BOTH:
        yield Pair(f"embedding_norm.{part}", (f"{embeddings}.LayerNorm.{part}",))
        for index in range(config.num_layers):
            there = f"bert.encoder.layer.{index}"
            heads = tuple(f"{there}.attention.self.{name}.{part}" for name in ("query", "key", "value"))
            yield Pair(f"blocks.{index}.attention.input.{part}", heads)
            for ours, theirs in layers.items():
                yield Pair(f"blocks.{index}.{ours}.{part}", (f"{there}.{theirs}.{part}",))
        if "pooler" in parts:
            yield Pair(f"pooler.{part}", (f"bert.pooler.dense.{part}",))
        if "output" in parts:
            yield Pair(f"output.{part}", (f"classifier.{part}",))
        if "next_sentence_head" in parts:
            # Their first output says that the second segment follows, our second one does.
            name = f"next_sentence_head.{part}"
            yield Pair(name, (f"cls.seq_relationship.{part}",), orders={0: (1, 0)})
        if "lm_head" in parts:
            yield Pair(f"lm_head.dense.{part}", (f"cls.predictions.transform.dense.{part}",))
            yield Pair(f"lm_head.norm.{part}", (f"cls.predictions.transform.LayerNorm.{part}",))
    if "lm_head" in parts:
        yield Pair("lm_head.output_bias", ("cls.predictions.bias",))
        if not config.tie_embeddings:
            yield Pair("lm_head.output_bias", ("cls.predictions.decoder.bias",))  # the one that is computed with
            yield Pair("lm_head.output.weight", ("cls.predictions.decoder.weight",))


def _t5(config: T5Config) -> Iterator[Pair]:
    yield Pair("token_embedding.weight", ("shared.weight",), or_else="encoder.embed_tokens.weight")
    if not config.tie_embeddings:
        # transformers 5 ties what it makes itself and says "not scaled" apart: then the embedding is the output too.
        yield Pair("head.weight", ("lm_head.weight",), or_else="shared.weight")
    gated = config.activation in GATED
    inner = [f"DenseReluDense.{name}.weight" for name in (("wi_0", "wi_1") if gated else ("wi",))]
    for side, layers in _sides(config).items():
        bias = f"{side}.block.0.layer.0.SelfAttention.relative_attention_bias.weight"
        yield Pair(f"{side}_bias.embedding.weight", (bias,))
        sublayers = {"attention": "SelfAttention", "cross_attention": "EncDecAttention"}
        if side == "encoder":
            del sublayers["cross_attention"]
        for index in range(layers):
            ours = f"{side}_blocks.{index}"
            for place, (attention, theirs) in enumerate(sublayers.items()):
                layer = f"{side}.block.{index}.layer.{place}"
                yield Pair(f"{ours}.{attention}_norm.weight", (f"{layer}.layer_norm.weight",))
                yield Pair(f"{ours}.{attention}.input.weight", tuple(f"{layer}.{theirs}.{x}.weight" for x in "qkv"))
                yield Pair(f"{ours}.{attention}.output.weight", (f"{layer}.{theirs}.o.weight",))
            layer = f"{side}.block.{index}.layer.{len(sublayers)}"
            yield Pair(f"{ours}.feed_forward_norm.weight", (f"{layer}.layer_norm.weight",))
            yield Pair(f"{ours}.feed_forward.input.weight", tuple(f"{layer}.{name}" for name in inner))
            yield Pair(f"{ours}.feed_forward.output.weight", (f"{layer}.DenseReluDense.wo.weight",))
        yield Pair(f"{side}_norm.weight", (f"{side}.final_layer_norm.weight",))


def _marian(config: EncoderDecoderConfig) -> Iterator[Pair]:
    """MarianMTModel's, with the model dimension in another order.

    It computes its positions when it is loaded, all sines before all cosines, where ours alternate as in the paper. So
    every weight that reads or writes the residual stream has its model dimension in the order of their table.
    """
    order = (*range(0, config.d_model, 2), *range(1, config.d_model, 2))
    reads, writes = {1: order}, {0: order}
    encoder, decoder = (f"model.{side}.embed_tokens.weight" for side in ("encoder", "decoder"))
    if config.share_embeddings:
        yield Pair("token_embedding.weight", ("model.shared.weight",), orders=reads, or_else=decoder)
        if not config.tie_embeddings:  # transformers 5 then ties the two sides neither
            yield Pair("token_embedding.weight", (encoder,), orders=reads)
            yield Pair("token_embedding.weight", (decoder,), orders=reads)
    else:
        yield Pair("token_embedding.weight", (decoder,), orders=reads)
        yield Pair("source_embedding.weight", (encoder,), orders=reads)
    if not config.tie_embeddings:
        yield Pair("head.weight", ("lm_head.weight",), orders=reads)
    for side, layers in _sides(config).items():
        attentions = {"attention": "self_attn", "cross_attention": "encoder_attn"}
        if side == "encoder":
            del attentions["cross_attention"]
        for index in range(layers):
            ours, theirs = f"{side}_blocks.{index}", f"model.{side}.layers.{index}"
            for part in BOTH:
                into = reads if part == "weight" else {}
                for name, attention in attentions.items():
                    heads = tuple(f"{theirs}.{attention}.{x}_proj.{part}" for x in "qkv")
                    yield Pair(f"{ours}.{name}.input.{part}", heads, orders=into)
                    yield Pair(
                        f"{ours}.{name}.output.{part}", (f"{theirs}.{attention}.out_proj.{part}",), orders=writes
                    )
                    norm = f"{theirs}.{attention}_layer_norm.{part}"
                    yield Pair(f"{ours}.{name}_norm.{part}", (norm,), orders=writes)
                yield Pair(f"{ours}.feed_forward.input.{part}", (f"{theirs}.fc1.{part}",), orders=into)
                yield Pair(f"{ours}.feed_forward.output.{part}", (f"{theirs}.fc2.{part}",), orders=writes)
                yield Pair(f"{ours}.feed_forward_norm.{part}", (f"{theirs}.final_layer_norm.{part}",), orders=writes)


def _sides(config: EncoderDecoderConfig | T5Config) -> dict[str, int]:
    encoder = config.num_encoder_layers or config.num_layers
    return {"encoder": encoder, "decoder": config.num_decoder_layers or config.num_layers}
