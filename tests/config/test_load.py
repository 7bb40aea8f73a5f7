import dataclasses

import pytest

from lit_transformer.config.errors import ConfigError, UserError
from lit_transformer.config.fields import fields_of, sections
from lit_transformer.config.layers import Layer, file_layer, find_experiment, shell_layer
from lit_transformer.config.load import from_plain, load_experiment, load_layers, with_values
from lit_transformer.config.schema import ExperimentConfig, GPTConfig, ObjectiveConfig
from lit_transformer.config.show import rows, to_plain


def problems(*settings: str) -> dict[str, str]:
    """Key -> text of each problem that the settings cause over the defaults."""
    with pytest.raises(ConfigError) as caught:
        load_layers([shell_layer(list(settings))])
    return {problem.key: str(problem) for problem in caught.value.problems}


def test_later_layers_win_and_every_value_knows_its_origin(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    (tmp_path / "mine.yaml").write_text("model:\n  num_heads: 2\n  d_model: 64\noptimizer: {lr: 1e-4}\n")
    cell = Layer({"model.num_heads": 4}, {"model.num_heads": "sweeps/s.yaml:7"})
    loaded = load_experiment("./mine.yaml", [cell, shell_layer(["optimizer.lr=0.5"])])
    assert isinstance(loaded.config.model, GPTConfig)
    assert (loaded.config.model.num_heads, loaded.config.model.d_model, loaded.config.optimizer.lr) == (4, 64, 0.5)
    assert loaded.config.experiment == "mine"
    assert loaded.origins["model.num_heads"] == "sweeps/s.yaml:7"
    assert loaded.origins["model.d_model"] == "mine.yaml:3"
    assert loaded.origins["optimizer.lr"] == "command line"
    assert loaded.origins["model.dropout"] == "default"
    assert set(loaded.origins) == set(fields_of("gpt"))


def test_a_frozen_config_reads_back_equal():
    config = load_layers([shell_layer(["model.num_heads=2", "trainer.checkpoint_every=10min", "model.d_ff=7"])]).config
    assert from_plain(to_plain(config)) == config
    assert with_values(config, {"model.d_ff": None}) == dataclasses.replace(
        config, model=dataclasses.replace(config.model, d_ff=None)
    )


def test_every_setting_has_type_default_and_help():
    table = rows(load_layers([]))
    assert [row.key for row in table] == list(fields_of("gpt"))
    assert all(len(row.help) > 10 and row.type and row.origin == "default" for row in table)
    assert len({row.key for row in table}) == len(table) > 50
    assert sections() == {"model", "data", "data.images", "data.tokenizer", "objective", "decoding", "optimizer",
                          "schedule", "trainer", "trainer.early_stopping", "tracking", "budget"}  # fmt: skip


@pytest.mark.parametrize(
    ("typed", "meant"),
    [
        ("heads", "model.num_heads"), ("n_head", "model.num_heads"), ("lr", "optimizer.lr"),
        ("learning_rate", "optimizer.lr"), ("layers", "model.num_layers"), ("bs", "data.batch_size"),
        ("epochs", "trainer.max_epochs"), ("model.num_head", "model.num_heads"), ("trainer.lr", "optimizer.lr"),
        ("optimizer.learning_rate", "optimizer.lr"), ("model.dmodel", "model.d_model"), ("gpus", "trainer.devices"),
        ("model.block_size", "model.context_length"), ("max_step", "trainer.max_steps"),
    ],
)  # fmt: skip
def test_unknown_keys_get_a_suggestion(typed, meant):
    text = problems(f"{typed}=1")[typed]
    assert f"did you mean {meant}?" in text
    assert "at       command line" in text


def test_file_and_line_of_a_wrong_value(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    (tmp_path / "bad.yaml").write_text("task: language_model\nmodel:\n  num_heads: two\n  heads: 3\n")
    with pytest.raises(ConfigError) as caught:
        load_experiment("./bad.yaml")
    text = str(caught.value)
    assert "bad.yaml:3" in text and "'two'" in text and "integer" in text
    assert "bad.yaml:4" in text and "model.num_heads" in text


def test_all_problems_come_at_once():
    found = problems("model.num_heads=5", "trainer.max_steps=soon", "lr=3", "data.batch_size=33", "trainer.devices=2",
                     "task=langage_model")  # fmt: skip
    assert set(found) == {"model.num_heads", "trainer.max_steps", "lr", "data.batch_size", "task"}
    assert "did you mean language_model?" in found["task"]


def test_heads_that_do_not_divide_the_width_name_both_and_the_nearest():
    text = problems("model.num_heads=5", "model.d_model=64")["model.num_heads"]
    assert "num_heads 5 with d_model 64" in text
    assert "num_heads 4 or 8" in text and "d_model 60 or 65" in text


@pytest.mark.parametrize(
    ("settings", "key", "words"),
    [
        (["model.num_heads=4", "model.d_model=64", "model.num_kv_heads=3"], "model.num_kv_heads", "2 or 4"),
        (["model.positions=rope", "model.d_model=12", "model.num_heads=4"], "model.positions", "even width"),
        (["model.positions=sinusoidal", "model.d_model=15", "model.num_heads=3"], "model.positions", "even d_model"),
        (["data.batch_size=10", "trainer.devices=2", "trainer.accumulate=2"], "data.batch_size", "8 or 12"),
        (["trainer.max_steps=null"], "trainer.max_steps", "at least one"),
        (["trainer.max_time=5"], "trainer.max_time", "10min"),
        (["trainer.checkpoint_every=soon"], "trainer.checkpoint_every", "10min"),
        (["trainer.checkpoint_every=0"], "trainer.checkpoint_every", "1 or more"),
        (["data.source=text"], "data.path", "file or glob"),
        (["data.source=hub"], "data.source", "hub:NAME"),
        (["data.source=ftp"], "data.source", "builtin"),
        (["data.val_fraction=0.6", "data.test_fraction=0.5"], "data.val_fraction", "below 1"),
        (["model.dropout=1.0"], "model.dropout", "0 <= value < 1"),
        (["model.num_layers=0"], "model.num_layers", "1 or more"),
        (["trainer.limit_val_batches=1.5"], "trainer.limit_val_batches", "share"),
        (["trainer.limit_val_batches=0"], "trainer.limit_val_batches", "1 or more batches"),
        (["data.max_tokens=100"], "data.max_tokens", "null"),
        (["optimizer.lr=.nan"], "optimizer.lr", "0 or more"),
        (["schedule.min_lr_ratio=2"], "schedule.min_lr_ratio", "0 to 1"),
        (["objective.cloze=true", "task=translation", "model.kind=t5"], "objective.cloze", "with task translation"),
        (["objective.next_sentence=true"], "objective.next_sentence", "objective.name causal_lm"),
        (["objective.next_sentence=true", "model.kind=bert", "task=classification"],
         "objective.next_sentence", "true with objective.name label"),
        (["data.prefix=a", "task=classification", "model.kind=gpt"], "data.prefix", "objective.template"),
        (["data.prefix=a", "task=multiple_choice", "model.kind=bert"], "data.prefix", "fix      leave it out"),
        (["data.prefix=a"], "data.prefix", "the source of translation or text_to_text"),
        (["model.kind=gtp"], "model.kind", "did you mean gpt?"),
        (["model.activation=swish"], "model.activation", "silu"),
        (["data.tokenizer.kind=sentencepiece"], "data.tokenizer.kind", "wordpiece"),
        (["model=gpt"], "model", "model.kind"),
        (["data.tokenizer=bpe"], "data.tokenizer", "data.tokenizer.kind"),
        (["model.bias=1"], "model.bias", "true or false"),
        (["seed=true"], "seed", "integer"),
        (["data.path=${HOME}"], "data.path", "without ${"),
        (["model.num_heads=[1, 2]"], "model.num_heads", "integer"),
    ],
)  # fmt: skip
def test_each_rule_and_type_is_checked(settings, key, words):
    assert words in problems(*settings)[key]


@pytest.mark.parametrize(
    ("setting", "key", "value"),
    [
        ("trainer.precision=32", ("trainer", "precision"), "32"),
        ("trainer.max_steps=1e3", ("trainer", "max_steps"), 1000),
        ("trainer.limit_val_batches=1", ("trainer", "limit_val_batches"), 1),
        ("trainer.limit_val_batches=1.0", ("trainer", "limit_val_batches"), 1.0),
        ("tracking.wandb=off", ("tracking", "wandb"), "off"),
        ("tracking.project=010", ("tracking", "project"), "010"),
        ("tracking.project=12:30", ("tracking", "project"), "12:30"),
        ("trainer.max_time=10min", ("trainer", "max_time"), "10min"),
        ("trainer.gradient_clip=null", ("trainer", "gradient_clip"), None),
        ("trainer.gradient_clip=", ("trainer", "gradient_clip"), None),
        ("optimizer.lr=1", ("optimizer", "lr"), 1.0),
    ],
)
def test_values_mean_what_they_look_like(setting, key, value):
    section = getattr(load_layers([shell_layer([setting])]).config, key[0])
    got = getattr(section, key[1])
    assert got == value and type(got) is type(value)


@pytest.mark.parametrize(
    "settings",
    [
        ["objective.cloze=true", "model.kind=t5"],
        ["objective.next_sentence=true", "model.kind=bert"],
        ["data.prefix=a", "task=text_to_text", "model.kind=t5"],
        ["data.prefix=a", "task=translation", "model.kind=encoder_decoder"],
    ],
)
def test_settings_that_have_an_effect_are_taken(settings):
    assert load_layers([shell_layer(settings)]).origins[settings[0].partition("=")[0]] == "command line"


def test_tokens_instead_of_rows_need_no_number_of_rows_that_can_be_divided():
    settings = ["task=translation", "model.kind=encoder_decoder", "trainer.devices=3"]
    assert set(problems(*settings)) == {"data.batch_size"}
    assert load_layers([shell_layer([*settings, "data.max_tokens=4096"])]).config.trainer.devices == 3


def test_an_experiment_that_does_not_exist():
    with pytest.raises(UserError, match="did you mean gpt_tiny"):
        find_experiment("gpt_tinny")
    with pytest.raises(UserError, match="does not exist"):
        find_experiment("experiments/nothing.yaml")


@pytest.mark.parametrize(
    ("text", "words"),
    [
        ("model: [1\n", "not YAML"),
        ("a: 1\na: 2\n", ":2: a stands twice"),
        ("model.num_heads: 1\nmodel:\n  num_heads: 2\n", "model.num_heads stands twice"),
        ("- 1\n", "mapping of settings"),
        ("x: !!python/object/apply:os.system [ls]\n", "unknown key"),
    ],
)
def test_a_file_that_is_no_experiment(tmp_path, text, words):
    (tmp_path / "e.yaml").write_text(text)
    with pytest.raises(UserError, match=words):
        load_layers([file_layer(tmp_path / "e.yaml")])


def test_an_argument_without_a_value():
    with pytest.raises(UserError, match="key=value"):
        shell_layer(["model.num_heads"])


def test_a_file_that_is_not_utf8(tmp_path):
    (tmp_path / "e.yaml").write_bytes(b"seed: 1 # \xff\n")
    with pytest.raises(UserError, match="not UTF-8: byte 10 is 0xff"):
        file_layer(tmp_path / "e.yaml")


def test_defaults_are_valid():
    assert load_layers([]).config == ExperimentConfig(objective=ObjectiveConfig(name="causal_lm"))
