"""What `export` writes against transformers: the same logits, the same bits on the way back, refusals by name."""

import json

import pytest
import torch
import transformers

from lit_transformer.config.errors import UserError
from lit_transformer.config.layers import shell_layer
from lit_transformer.config.load import load_layers, with_values
from lit_transformer.config.models import BertConfig, EncoderDecoderConfig, GLMConfig, GPTConfig, T5Config
from lit_transformer.data.tokenizers import specials_of
from lit_transformer.decoding.sources import decode_sources
from lit_transformer.interop import initialise
from lit_transformer.models.for_task import build_network
from tests.interop.networks import (
    BERTS,
    EVERY,
    SHAPE,
    TEXT,
    assert_same_logits,
    both_logits,
    export_to,
    load_peer,
    make_config,
    make_network,
    make_tokenizer,
)  # fmt: skip


def assert_comes_back(folder, network, config):
    """An experiment that says no more of its model than `init_from` gets the same network, bit for bit."""
    settings = [f"task={config.task}", f"objective.name={config.objective.name}", f"model.init_from=hf:{folder}"]
    loaded = load_layers([shell_layer([*settings, f"objective.next_sentence={config.objective.next_sentence}"])])
    known = {"model.vocab_size": config.model.vocab_size, "model.num_classes": config.model.num_classes}
    again = build_network(with_values(loaded.config, known))
    report = initialise(again, f"hf:{folder}")
    assert (report.new, report.unused) == ((), ())
    state = network.state_dict()
    assert again.state_dict().keys() == state.keys()
    assert all(torch.equal(tensor, state[name]) for name, tensor in again.state_dict().items())
    return loaded.config.model


@pytest.mark.parametrize("case", EVERY)
def test_same_logits_there_and_same_bits_back(tmp_path, case):
    model, name = EVERY[case]
    config = make_config(model)
    network = make_network(config)
    assert export_to(tmp_path / "there", network, config) == name
    assert_same_logits(network, load_peer(tmp_path / "there", name))
    again = assert_comes_back(tmp_path / "there", network, config)
    export_to(tmp_path / "twice", network, with_values(config, {"model.norm_eps": again.norm_eps}))
    for file in ("config.json", "model.safetensors", "tokenizer.json"):
        assert (tmp_path / "there" / file).read_bytes() == (tmp_path / "twice" / file).read_bytes()


def test_positions_far_from_the_start(tmp_path):
    config = make_config(EncoderDecoderConfig(**{**SHAPE, "context_length": 512}))
    network = make_network(config)
    export_to(tmp_path / "there", network, config)
    ours, theirs = both_logits(network, load_peer(tmp_path / "there", "MarianMTModel"))
    torch.testing.assert_close(ours, theirs, rtol=0, atol=1e-5)


@pytest.mark.parametrize("case", BERTS)
def test_a_classifier(tmp_path, case):
    config = make_config(BERTS[case], task="classification", name="label")
    config = with_values(config, {"model.num_classes": 3})
    network = make_network(config)
    name = export_to(tmp_path / "there", network, config, labels=["bad", "so-so", "good"])
    assert name == "BertForSequenceClassification"
    peer = load_peer(tmp_path / "there", name)
    assert peer.config.id2label == {0: "bad", 1: "so-so", 2: "good"}
    assert_same_logits(network, peer)
    assert_comes_back(tmp_path / "there", network, config)


@pytest.mark.parametrize("case", BERTS)
def test_next_sentence_head(tmp_path, case):
    config = make_config(BERTS[case], next_sentence=True)
    network = make_network(config)
    assert export_to(tmp_path / "there", network, config) == "BertForPreTraining"
    peer = load_peer(tmp_path / "there", "BertForPreTraining")
    assert_same_logits(network, peer)
    ids = torch.randint(config.model.vocab_size, (3, 8))
    with torch.no_grad():
        theirs = peer(input_ids=ids).seq_relationship_logits.flip(1)  # their label 0 is ours of 1: it follows
        torch.testing.assert_close(network.next_sentence_logits(ids), theirs, rtol=0, atol=1e-5)
    assert_comes_back(tmp_path / "there", network, config)


def test_half_precision_keeps_its_bits(tmp_path):
    config = make_config(GPTConfig(**SHAPE))
    network = make_network(config).to(torch.bfloat16)
    export_to(tmp_path / "there", network, config)
    peer = load_peer(tmp_path / "there", "GPT2LMHeadModel")
    assert peer.dtype == torch.bfloat16
    assert torch.equal(peer.transformer.wte.weight, network.token_embedding.weight)


@pytest.mark.parametrize("beam_size", [1, 3])
@pytest.mark.parametrize("model", [EncoderDecoderConfig(**SHAPE), T5Config(**SHAPE)], ids=["marian", "t5"])
def test_their_generate_finds_our_translations(tmp_path, model, beam_size):
    config = with_values(
        make_config(model), {"decoding.beam_size": beam_size, "decoding.max_length": 9, "decoding.length_penalty": 0.6}
    )
    network, tokenizer = make_network(config), make_tokenizer(model.kind)
    name = export_to(tmp_path / "there", network, config)
    theirs_tokenizer = transformers.AutoTokenizer.from_pretrained(tmp_path / "there")
    specials = specials_of(tokenizer)
    text = TEXT.strip()
    ids = torch.tensor([[*tokenizer.encode(text).ids, specials.end]])
    batch = theirs_tokenizer(text, return_tensors="pt")
    assert batch["input_ids"].tolist() == ids.tolist()
    found = decode_sources(
        network, ids, start_token=specials.pad, stop_token=specials.end, beam_size=beam_size, length_penalty=0.6,
        max_length=9, forbidden=(specials.pad,),
    )[0][0]  # fmt: skip
    made = load_peer(tmp_path / "there", name).generate(**batch)[0, 1:].tolist()
    assert made == [*found.ids, *([specials.end] if found.ended else [])] and made


REFUSED = [
    (GPTConfig(**SHAPE, positions="rope"), ["model.positions\n  got      rope\n  allowed  learned"]),
    (GPTConfig(**SHAPE, positions="sinusoidal"), ["model.positions"]),
    (GPTConfig(**SHAPE, norm="rms_norm"), ["model.norm\n"]),
    (GPTConfig(**SHAPE, norm_position="post"), ["model.norm_position\n  got      post\n  allowed  pre"]),
    (GPTConfig(**SHAPE, bias=False), ["model.bias\n  got      false\n  allowed  true"]),
    (GPTConfig(**SHAPE, num_kv_heads=1), ["model.num_kv_heads\n  got      1\n  allowed  null or 2"]),
    (GPTConfig(**SHAPE, activation="swiglu"), ["model.activation\n  got      swiglu\n  allowed  gelu_tanh, gelu"]),
    (GPTConfig(**SHAPE, positions="rope", norm="rms_norm", bias=False, activation="swiglu", num_kv_heads=1),
     ["model.positions", "model.norm\n", "model.bias", "model.activation", "model.num_kv_heads"]),
    (BertConfig(**SHAPE, norm_position="pre"), ["model.norm_position\n  got      pre\n  allowed  post"]),
    (BertConfig(**SHAPE, positions="rope", bias=False), ["model.positions", "model.bias"]),
    (T5Config(**SHAPE, norm="layer_norm", norm_position="post", bias=True),
     ["model.norm\n", "model.norm_position", "model.bias"]),
    (T5Config(**SHAPE, activation="geglu"), []),
    (EncoderDecoderConfig(**SHAPE, positions="rope"), ["model.positions\n  got      rope\n  allowed  sinusoidal"]),
    (EncoderDecoderConfig(**SHAPE, positions="learned"), ["model.positions"]),
    (EncoderDecoderConfig(**SHAPE, norm_position="pre", bias=False), ["model.norm_position", "model.bias"]),
    (EncoderDecoderConfig(**SHAPE, norm_eps=1e-6), ["model.norm_eps\n  got      1e-06\n  allowed  1e-05"]),
    (GLMConfig(**SHAPE), ["model.kind\n  got      glm\n  allowed  gpt, bert, t5, encoder_decoder"]),
]  # fmt: skip


@pytest.mark.parametrize(("model", "words"), REFUSED)
def test_what_a_format_cannot_hold_is_refused_by_name(tmp_path, model, words):
    config = make_config(model)
    if not words:  # the neighbour of a refusal
        export_to(tmp_path / "there", make_network(config), config)
        return
    with pytest.raises(UserError) as caught:
        export_to(tmp_path / "there", make_network(config), config)
    assert all(word in str(caught.value) for word in words), caught.value
    assert str(caught.value).count("  got ") == len(words)
    assert not list(tmp_path.iterdir())


@pytest.mark.parametrize(
    ("model", "task", "objective", "words"),
    [
        (GPTConfig(**SHAPE), "classification", "label", "objective.name\n  got      label"),
        (GPTConfig(**SHAPE), "multiple_choice", "label", "objective.name\n  got      label"),
        (GPTConfig(**SHAPE), "language_model", "prefix_lm", "objective.name\n  got      prefix_lm"),
        (BertConfig(**SHAPE), "multiple_choice", "label", "task\n  got      multiple_choice"),
    ],
)
def test_networks_that_no_class_holds(tmp_path, model, task, objective, words):
    config = make_config(model, task=task, name=objective)
    with pytest.raises(UserError, match="cannot hold this network") as caught:
        export_to(tmp_path / "there", make_network(config), config)
    assert words in str(caught.value)


def test_a_folder_that_holds_something_is_left_alone(tmp_path):
    config = make_config(GPTConfig(**SHAPE))
    (tmp_path / "there").mkdir()
    (tmp_path / "there" / "config.json").write_text("mine")
    with pytest.raises(UserError, match="is there already"):
        export_to(tmp_path / "there", make_network(config), config)
    assert (tmp_path / "there" / "config.json").read_text() == "mine"
    (tmp_path / "file").touch()
    with pytest.raises(UserError, match="file/x cannot be written"):
        export_to(tmp_path / "file" / "x", make_network(config), config)
    (tmp_path / "empty").mkdir()
    export_to(tmp_path / "empty", make_network(config), config)
    assert sorted(path.name for path in tmp_path.iterdir()) == ["empty", "file", "there"]


def test_tokens_in_the_configs(tmp_path):
    config = make_config(EncoderDecoderConfig(**SHAPE))
    export_to(tmp_path / "there", make_network(config), config)
    specials = specials_of(make_tokenizer("encoder_decoder"))
    for file in ("config.json", "generation_config.json"):
        written = json.loads((tmp_path / "there" / file).read_text())
        tokens = {name: written[f"{name}_token_id"] for name in ("pad", "decoder_start", "eos")}
        assert tokens == {"pad": specials.pad, "decoder_start": specials.pad, "eos": specials.end}
