"""Folders that transformers itself saved, as `model.init_from: hf:FOLDER` reads them, and back to the same bits."""

import json

import pytest
import torch
import transformers
from safetensors.torch import save_file
from torch import nn

from lit_transformer.config.errors import ConfigError, UserError
from lit_transformer.config.layers import shell_layer
from lit_transformer.config.load import load_layers, with_values
from lit_transformer.interop import initialise
from lit_transformer.interop.export import tensors_of
from lit_transformer.models.for_task import build_network
from tests.interop.networks import OBJECTIVES, both_logits, file_tensors

TOKENS = {"pad_token_id": 0, "eos_token_id": 1, "bos_token_id": None}
GPT2 = {"vocab_size": 30, "n_positions": 16, "n_embd": 16, "n_layer": 2, "n_head": 4, **TOKENS}
BERT = {
    "vocab_size": 30, "hidden_size": 16, "num_hidden_layers": 2, "num_attention_heads": 4, "intermediate_size": 24,
    "max_position_embeddings": 16, "pad_token_id": 0,
}  # fmt: skip
T5 = {"vocab_size": 30, "d_model": 16, "d_kv": 5, "d_ff": 24, "num_layers": 2, "num_heads": 3, **TOKENS}
MARIAN = {
    "vocab_size": 30, "d_model": 16, "encoder_layers": 1, "decoder_layers": 2, "encoder_attention_heads": 2,
    "decoder_attention_heads": 2, "encoder_ffn_dim": 24, "decoder_ffn_dim": 24, "max_position_embeddings": 16,
    "decoder_start_token_id": 0, "forced_eos_token_id": None, **TOKENS,
}  # fmt: skip
KINDS = {"gpt2": "gpt", "bert": "bert", "t5": "t5", "marian": "encoder_decoder"}


def save_peer(folder, name, settings):
    """A network of transformers with normal weights everywhere, saved by itself."""
    torch.manual_seed(0)
    kind = getattr(transformers, name)
    peer = kind(kind.config_class(**settings)).eval()
    for parameter in peer.parameters():
        if parameter.requires_grad:  # Marian's table of positions is none to learn
            nn.init.normal_(parameter, std=0.3)
    peer.save_pretrained(folder)
    return peer


def load(folder, *settings, vocab_size=30):
    """The network that an experiment with this source trains, and what was taken over."""
    kind = KINDS[json.loads((folder / "config.json").read_text())["model_type"]]
    task, objective = OBJECTIVES[kind]
    usual = [f"task={task}", f"objective.name={objective}", "model.context_length=16"]
    loaded = load_layers([shell_layer([*usual, f"model.init_from=hf:{folder}", *settings])])
    network = build_network(with_values(loaded.config, {"model.vocab_size": vocab_size})).eval()
    return network, initialise(network, f"hf:{folder}")


@pytest.mark.parametrize(
    ("name", "settings"),
    [
        ("GPT2LMHeadModel", GPT2),
        ("GPT2LMHeadModel", {**GPT2, "tie_word_embeddings": False, "n_inner": 24, "activation_function": "relu"}),
        ("BertForMaskedLM", BERT),
        ("BertForMaskedLM", {**BERT, "tie_word_embeddings": False, "hidden_act": "gelu_new"}),
        ("T5ForConditionalGeneration", T5),
        ("T5ForConditionalGeneration", {**T5, "num_decoder_layers": 1, "feed_forward_proj": "gated-silu"}),
        ("MarianMTModel", MARIAN),
        ("MarianMTModel", {**MARIAN, "scale_embedding": True, "activation_function": "swish"}),
        ("MarianMTModel", {**MARIAN, "share_encoder_decoder_embeddings": False}),
        ("MarianMTModel", {**MARIAN, "share_encoder_decoder_embeddings": False, "tie_word_embeddings": False}),
    ],
)
def test_same_logits_and_back_to_the_same_file(tmp_path, name, settings):
    peer = save_peer(tmp_path, name, settings)
    network, report = load(tmp_path)
    assert (report.new, report.unused) == ((), ())
    ours, theirs = both_logits(network, peer)
    torch.testing.assert_close(ours, theirs, rtol=0, atol=1e-5)
    tensors, saved = tensors_of(network), file_tensors(tmp_path)
    idle = "" if settings.get("tie_word_embeddings", True) else "cls.predictions.bias"  # untied, no class reads it
    assert all(torch.equal(tensors[key], tensor) for key, tensor in saved.items() if key != idle)
    assert tensors.keys() - saved.keys() <= {"cls.predictions.decoder.bias"}  # which transformers 4 ties by itself


def test_version_1_1_of_t5(tmp_path):
    """transformers 5 ties the embeddings of those that it makes; published ones have two, and so have ours."""
    settings = {**T5, "tie_word_embeddings": False, "feed_forward_proj": "gated-gelu"}
    peer = save_peer(tmp_path / "tied", "T5ForConditionalGeneration", settings)
    network, report = load(tmp_path / "tied")
    assert not network.config.tie_embeddings and (report.new, report.unused) == ((), ())
    ours, theirs = both_logits(network, peer)
    torch.testing.assert_close(ours, theirs, rtol=0, atol=1e-5)
    published = tmp_path / "published"
    published.mkdir()
    config = json.loads((tmp_path / "tied" / "config.json").read_text())
    config.pop("scale_decoder_outputs", None)
    (published / "config.json").write_text(json.dumps({**config, "tie_word_embeddings": False}))
    head = {"lm_head.weight": torch.randn(30, 16)}
    save_file({**file_tensors(tmp_path / "tied"), **head}, published / "model.safetensors", metadata={"format": "pt"})
    network, report = load(published)
    assert torch.equal(network.head.weight, head["lm_head.weight"]) and not report.new
    peer = transformers.T5ForConditionalGeneration.from_pretrained(published).eval()
    ours, theirs = both_logits(network, peer)
    torch.testing.assert_close(ours, theirs, rtol=0, atol=1e-5)


@pytest.mark.parametrize(("name", "settings"), [("GPT2Model", GPT2), ("BertModel", BERT), ("MarianModel", MARIAN)])
def test_a_class_without_a_head_has_shorter_names(tmp_path, name, settings):
    peer = save_peer(tmp_path, name, settings)
    network, report = load(tmp_path)
    assert all(key.startswith("lm_head.") for key in report.new)
    assert all(key.startswith("pooler.") for key in report.unused)
    embedding = (peer.shared if name == "MarianModel" else peer.get_input_embeddings()).weight
    order = [*range(0, 16, 2), *range(1, 16, 2)] if name == "MarianModel" else list(range(16))
    assert torch.equal(network.token_embedding.weight[:, order], embedding)


def test_a_classifier_from_a_masked_lm_and_back(tmp_path):
    peer = save_peer(tmp_path / "lm", "BertForPreTraining", BERT)
    settings = ("task=classification", "objective.name=label", "model.num_classes=3")
    network, report = load(tmp_path / "lm", *settings)
    assert report.new == ("output.weight", "output.bias")
    assert {key.partition(".")[0] for key in report.unused} == {"lm_head", "next_sentence_head"}
    assert torch.equal(network.body.pooler.weight, peer.bert.pooler.dense.weight)
    peer = save_peer(tmp_path / "classes", "BertForSequenceClassification", {**BERT, "num_labels": 3})
    network, report = load(tmp_path / "classes", *settings)
    assert (report.new, report.unused) == ((), ())
    ours, theirs = both_logits(network, peer)
    torch.testing.assert_close(ours, theirs, rtol=0, atol=1e-5)
    two = ("task=classification", "objective.name=label", "model.num_classes=2")
    _, report = load(tmp_path / "classes", *two)
    assert report.new == ("output.weight", "output.bias") == report.unused


def test_other_files_of_weights(tmp_path):
    """One pickle, parts of a file, and the names of 2018."""
    save_peer(tmp_path, "BertForMaskedLM", BERT)
    whole = load(tmp_path)[0].state_dict()
    tensors = file_tensors(tmp_path)
    (tmp_path / "model.safetensors").unlink()

    def assert_same():
        again, report = load(tmp_path)
        assert all(torch.equal(tensor, whole[name]) for name, tensor in again.state_dict().items())
        assert (report.new, report.unused) == ((), ())

    old = {key.replace("Norm.weight", "Norm.gamma").replace("Norm.bias", "Norm.beta"): tensors[key] for key in tensors}
    embedding = tensors["bert.embeddings.word_embeddings.weight"]
    torch.save({**old, "cls.predictions.decoder.weight": embedding}, tmp_path / "pytorch_model.bin")
    assert_same()
    names = sorted(tensors)
    parts = {"model-1.safetensors": names[:9], "model-2.safetensors": names[9:]}
    for file, held in parts.items():
        save_file({name: tensors[name] for name in held}, tmp_path / file)
    index = {"weight_map": {name: file for file, held in parts.items() for name in held}}
    (tmp_path / "model.safetensors.index.json").write_text(json.dumps(index))
    assert_same()
    (tmp_path / "model-2.safetensors").unlink()
    with pytest.raises(UserError, match=r"model-2\.safetensors cannot be read"):
        load(tmp_path)
    (tmp_path / "model.safetensors.index.json").write_text("{}")
    with pytest.raises(UserError, match=r"model\.safetensors\.index\.json cannot be read"):
        load(tmp_path)


@pytest.mark.parametrize(
    ("name", "settings", "words"),
    [
        ("GPT2LMHeadModel", {**GPT2, "scale_attn_by_inverse_layer_idx": True}, "scale_attn_by_inverse_layer_idx"),
        ("GPT2LMHeadModel", {**GPT2, "activation_function": "quick_gelu"}, "activation_function\n  got      quick"),
        ("BertForMaskedLM", {**BERT, "hidden_act": "mish"}, "hidden_act"),
        ("T5ForConditionalGeneration", {**T5, "feed_forward_proj": "gated-mish"}, "feed_forward_proj"),
        ("MarianMTModel", {**MARIAN, "decoder_ffn_dim": 20}, "decoder_ffn_dim\n  got      20\n  allowed  24"),
        ("MarianMTModel", {**MARIAN, "decoder_attention_heads": 4}, "decoder_attention_heads"),
        ("DistilBertForMaskedLM", {"dim": 8, "n_heads": 2, "hidden_dim": 8, "n_layers": 1, "vocab_size": 9},
         "model_type\n  got      distilbert\n  allowed  gpt2, bert, t5, marian"),
    ],
)  # fmt: skip
def test_what_no_network_here_computes_is_refused_by_name(tmp_path, name, settings, words):
    save_peer(tmp_path, name, settings)
    with pytest.raises(ConfigError) as caught:
        load_layers([shell_layer([f"model.init_from=hf:{tmp_path}"])])
    (problem,) = caught.value.problems
    assert problem.key == "model.init_from"
    assert " ".join(words.split()) in " ".join(problem.fix.split())


def test_weights_that_contradict_their_config(tmp_path):
    save_peer(tmp_path / "bias", "MarianMTModel", MARIAN)
    save_peer(tmp_path / "tied", "GPT2LMHeadModel", GPT2)
    for folder, extra, words in (
        ("bias", {"final_logits_bias": torch.ones(1, 30)}, "final_logits_bias"),
        ("bias", {"model.encoder.embed_tokens.weight": torch.ones(30, 16)}, "model.encoder.embed_tokens.weight"),
        ("tied", {"lm_head.weight": torch.ones(30, 16)}, "lm_head.weight"),
    ):
        tensors = file_tensors(tmp_path / folder)
        save_file({**tensors, **extra}, tmp_path / folder / "model.safetensors")
        with pytest.raises(UserError, match=words):
            load(tmp_path / folder)
        save_file(tensors, tmp_path / folder / "model.safetensors")
        load(tmp_path / folder)


def test_files_that_are_missing_or_damaged(tmp_path):
    save_peer(tmp_path, "GPT2LMHeadModel", GPT2)
    network, _ = load(tmp_path)
    file = tmp_path / "model.safetensors"
    whole = file_tensors(tmp_path)
    file.write_bytes(file.read_bytes()[:500])
    with pytest.raises(UserError, match=r"model.safetensors cannot be read"):
        initialise(network, f"hf:{tmp_path}")
    file.unlink()
    with pytest.raises(UserError, match=r"holds no weights\n.*model.safetensors or pytorch_model.bin"):
        initialise(network, f"hf:{tmp_path}")

    class Harmful:
        def __reduce__(self):
            return (print, ("executed",))

    torch.save({"x": Harmful()}, tmp_path / "pytorch_model.bin")
    with pytest.raises(UserError, match=r"pytorch_model.bin cannot be read \(UnpicklingError"):
        initialise(network, f"hf:{tmp_path}")
    (tmp_path / "pytorch_model.bin").unlink()
    save_file({f"other.{name}": tensor for name, tensor in whole.items()}, file)
    with pytest.raises(UserError, match=r"nothing in .* fits this network"):
        initialise(network, f"hf:{tmp_path}")
    (tmp_path / "config.json").write_text("{")
    with pytest.raises(UserError, match=r"config.json cannot be read as JSON"):
        initialise(network, f"hf:{tmp_path}")
