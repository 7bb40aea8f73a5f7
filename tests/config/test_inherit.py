"""What `model.init_from` brings into a configuration: below the experiment's values, above the defaults."""

import json
import shutil

import pytest
import yaml

from lit_transformer.config.errors import ConfigError, UserError
from lit_transformer.config.fields import fields_of
from lit_transformer.config.hugging_face import filled, from_hugging_face, to_hugging_face
from lit_transformer.config.hugging_face_formats import FORMATS
from lit_transformer.config.layers import Layer, shell_layer
from lit_transformer.config.load import from_plain, load_layers
from lit_transformer.config.schema import MODEL_CONFIGS
from lit_transformer.config.show import to_plain
from lit_transformer.data.inherited import tokenizer_source

BERT = [
    "model.kind=bert", "model.num_layers=3", "model.num_heads=4", "model.d_model=32", "model.d_ff=48",
    "model.context_length=20", "model.dropout=0.4", "model.norm_eps=1e-6", "model.frozen_layers=0",
    "data.tokenizer.kind=wordpiece", "data.tokenizer.vocab_size=500", "data.tokenizer.lowercase=true",
]  # fmt: skip
CLASSIFIER = ["task=classification", "objective.name=label"]


@pytest.fixture
def run(tmp_path, monkeypatch):
    """The folder runs/bert of a BERT with a vocabulary of 500."""
    monkeypatch.chdir(tmp_path)
    folder = tmp_path / "runs" / "bert"
    folder.mkdir(parents=True)
    plain = to_plain(load_layers([shell_layer([*BERT, "model.vocab_size=500", "optimizer.lr=0.5"])]).config)
    (folder / "config.yaml").write_text(yaml.safe_dump(plain))
    (folder / "tokenizer.json").write_text("{}")
    return folder


def hugging_face(tmp_path, monkeypatch, kind, **config):
    monkeypatch.chdir(tmp_path)
    (tmp_path / "there").mkdir()
    (tmp_path / "there" / "config.json").write_text(json.dumps({"model_type": kind, **config}))


def problems(*settings):
    with pytest.raises(ConfigError) as caught:
        load_layers([shell_layer(list(settings))])
    return {problem.key: problem for problem in caught.value.problems}


def test_a_run_lies_between_the_defaults_and_the_experiment(run):
    experiment = Layer({"model.num_layers": 2, "task": "classification", "model.init_from": "runs/bert"},
                       {"model.num_layers": "sst2.yaml:3"})  # fmt: skip
    loaded = load_layers([experiment, shell_layer(["model.context_length=10", "objective.name=label"])])
    model, tokenizer = loaded.config.model, loaded.config.data.tokenizer
    assert (model.kind, model.num_heads, model.d_model, model.d_ff, model.norm_eps) == ("bert", 4, 32, 48, 1e-6)
    assert (model.num_layers, model.context_length) == (2, 10)
    assert (tokenizer.kind, tokenizer.vocab_size, tokenizer.lowercase) == ("wordpiece", 500, True)
    origins = loaded.origins
    assert origins["model.d_ff"] == origins["model.kind"] == origins["data.tokenizer.kind"] == "init_from runs/bert"
    assert (origins["model.num_layers"], origins["model.context_length"]) == ("sst2.yaml:3", "command line")
    # What belongs to the run's own data and training is not taken over.
    assert (model.dropout, model.vocab_size, loaded.config.optimizer.lr) == (0.0, None, 1e-3)
    assert origins["model.dropout"] == origins["model.vocab_size"] == origins["optimizer.lr"] == "default"
    assert set(origins) == set(fields_of("bert"))


def test_a_frozen_config_needs_its_source_no_more(run):
    config = load_layers([shell_layer([*CLASSIFIER, "model.init_from=runs/bert"])]).config
    plain = to_plain(config)
    shutil.rmtree(run)
    assert from_plain(plain) == config
    assert list(problems(*CLASSIFIER, "model.init_from=runs/bert")) == ["model.init_from"]


def test_a_source_that_started_from_another_names_its_own(run):
    first = load_layers([shell_layer([*CLASSIFIER, "model.init_from=runs/bert", "model.num_layers=1"])]).config
    second = run.with_name("second")
    second.mkdir()
    (second / "config.yaml").write_text(yaml.safe_dump(to_plain(first)))
    shutil.rmtree(run)
    loaded = load_layers([shell_layer([*CLASSIFIER, "model.init_from=runs/second"])])
    assert loaded.config.model.num_layers == 1 and loaded.config.model.init_from == "runs/second"


def test_what_contradicts_the_weights_is_refused_at_once_with_its_origin(run):
    found = problems(
        *CLASSIFIER, "model.init_from=runs/bert", "model.num_heads=2", "model.norm_position=pre", "model.d_ff=48",
        "data.tokenizer.kind=bpe", "data.tokenizer.vocab_size=500", "data.batch_size=0",
    )  # fmt: skip
    assert set(found) == {"model.num_heads", "model.norm_position", "data.tokenizer.kind", "data.batch_size"}
    assert found["model.num_heads"].allowed == "4, as in runs/bert: its weights fit nothing else"
    assert found["data.tokenizer.kind"].allowed == "wordpiece, as in runs/bert: its tokenizer is taken over"
    assert found["data.tokenizer.kind"].fix == "leave it out, or set data.tokenizer.kind=wordpiece"
    assert {problem.origin for problem in found.values()} == {"command line"}


def test_another_kind_is_refused(run):
    found = problems("model.init_from=runs/bert", "model.kind=gpt")
    assert list(found) == ["model.kind"] and found["model.kind"].allowed == "bert, as runs/bert is"
    assert load_layers([shell_layer([*CLASSIFIER, "model.init_from=runs/bert", "model.kind=bert"])])


@pytest.mark.parametrize(
    ("source", "fix"),
    [
        ("runs/brt", "did you mean runs/bert?"),
        ("run/bert", "correct model.init_from"),
        ("runs", "did you mean runs/bert?"),
        ("hf:runs/bert", "did you mean runs/bert?"),
        ("hf:runs/brt", "did you mean hf:runs/bert?"),
        ("runs/bert/config.yaml", "correct model.init_from"),
    ],
)
def test_a_source_that_is_not_there_gets_a_suggestion(run, source, fix):
    problem = problems(f"model.init_from={source}")["model.init_from"]
    assert source in problem.got and fix in problem.fix and problem.origin == "command line"


@pytest.mark.parametrize("text", ["", "model: {kind: gtp}\n", "- 1\n", "model: [\n"])
def test_a_source_whose_config_is_damaged(run, text):
    (run / "config.yaml").write_text(text)
    assert list(problems("model.init_from=runs/bert")) == ["model.init_from"]


def test_a_value_of_another_type_in_the_source_is_said_to_stand_there(run):
    (run / "config.yaml").write_text((run / "config.yaml").read_text().replace("num_layers: 3", "num_layers: three"))
    problem = problems(*CLASSIFIER, "model.init_from=runs/bert")["model.num_layers"]
    assert problem.origin == "init_from runs/bert" and "three" in problem.got


def test_a_hugging_face_folder(tmp_path, monkeypatch):
    hugging_face(tmp_path, monkeypatch, "marian", d_model=32, encoder_layers=2, decoder_layers=1, vocab_size=70,
                 encoder_attention_heads=4, decoder_attention_heads=4, scale_embedding=True)  # fmt: skip
    task = ["task=translation", "model.init_from=hf:there"]
    loaded = load_layers([shell_layer(task)])
    model = loaded.config.model
    assert (model.kind, model.d_model, model.num_layers, model.num_decoder_layers) == ("encoder_decoder", 32, 2, 1)
    assert (model.scale_embeddings, model.activation, model.d_ff, model.vocab_size) == (True, "gelu", 4096, None)
    assert loaded.origins["model.d_model"] == "init_from hf:there" and model.dropout == 0.1
    assert loaded.config.data.tokenizer.kind == "bpe"  # without a tokenizer.json nothing is known of it
    with pytest.raises(UserError, match=r"hf:there, which has no tokenizer\.json"):
        tokenizer_source(loaded.config)
    (tmp_path / "there" / "tokenizer.json").write_text('{"model": {"type": "WordLevel"}}')
    config = load_layers([shell_layer(task)]).config
    assert (config.data.tokenizer.kind, config.data.tokenizer.vocab_size) == ("words", None)
    assert tokenizer_source(config).samefile("there/tokenizer.json")
    found = problems(*task, "data.tokenizer.kind=words", "data.tokenizer.lowercase=false")
    assert set(found) == {"data.tokenizer.kind", "data.tokenizer.lowercase"}
    assert "is taken as it is" in found["data.tokenizer.kind"].allowed
    assert from_plain(to_plain(config)) == config


def test_tokenizer_of_a_run(run):
    config = load_layers([shell_layer([*CLASSIFIER, "model.init_from=runs/bert"])]).config
    assert tokenizer_source(config).samefile(run / "tokenizer.json")
    assert tokenizer_source(load_layers([]).config) is None
    shutil.rmtree(run)
    with pytest.raises(UserError, match="no such folder"):
        tokenizer_source(config)


@pytest.mark.parametrize("form", FORMATS, ids=lambda form: form.model_type)
def test_every_format_gives_back_what_it_was_given(form):
    model = MODEL_CONFIGS[form.kind](vocab_size=50, dropout=0.25, d_ff=70, context_length=9, num_layers=3)
    kind, settings = from_hugging_face(to_hugging_face(model), "there")
    again = MODEL_CONFIGS[kind](**settings)
    ours, theirs = filled(vars(model)), filled(vars(again))
    lost = {"init_std"} if form.kind == "t5" else set()
    assert {name: value for name, value in ours.items() if name not in lost} == {
        name: value for name, value in theirs.items() if name not in lost
    }
    assert set(settings) <= {key.removeprefix("model.") for key in fields_of(kind)}


def test_a_later_init_from_replaces_what_the_experiment_says_of_shape_and_tokenizer(run):
    said = {"task": "classification", "model.kind": "bert", "model.d_model": 64, "model.num_layers": 7,
            "model.dropout": 0.3, "data.tokenizer.kind": "words", "data.tokenizer.vocab_size": None}  # fmt: skip
    experiment = Layer(said, dict.fromkeys(said, "mine.yaml:1"))
    loaded = load_layers([experiment, shell_layer(["model.init_from=runs/bert"])])
    model, tokenizer = loaded.config.model, loaded.config.data.tokenizer
    assert (model.d_model, model.num_layers, tokenizer.kind, tokenizer.vocab_size) == (32, 3, "wordpiece", 500)
    assert loaded.origins["model.d_model"] == "init_from runs/bert"
    assert (model.dropout, loaded.origins["model.dropout"]) == (0.3, "mine.yaml:1")
    with pytest.raises(ConfigError, match=r"model.d_model"):
        load_layers([experiment, shell_layer(["model.init_from=runs/bert", "model.d_model=64"])])
