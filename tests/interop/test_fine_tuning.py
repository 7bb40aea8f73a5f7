"""A BERT is trained, a classifier starts from it with frozen layers, and both are exported."""

import json
import shutil
import sys

import pytest
import torch
import transformers

import lit_transformer
from lit_transformer.cli import main
from lit_transformer.config.errors import ConfigError, UserError
from lit_transformer.config.layers import shell_layer
from lit_transformer.config.load import load_layers
from lit_transformer.data.tokenizers import load_tokenizer
from lit_transformer.inference.evaluate import evaluate
from lit_transformer.inference.export import export_run
from lit_transformer.interop.checkpoint import read_checkpoint
from lit_transformer.processes.trial import TrialRunner
from lit_transformer.training.fit import freeze, reopened
from lit_transformer.training.prepare import prepare
from lit_transformer.training.resume import frozen_layer
from tests.interop.networks import assert_same_logits, load_peer

SHORT = [
    "trainer.max_steps=4", "trainer.val_every=4", "trainer.limit_val_batches=1", "schedule.warmup_steps=1",
    "trainer.threads=1", "trainer.accelerator=cpu", "data.batch_size=8", "tracking.wandb=off",
]  # fmt: skip
CLASSES = ["task=classification", "objective.name=label"]


@pytest.fixture(scope="module")
def folder(tmp_path_factory):
    return tmp_path_factory.mktemp("runs")


@pytest.fixture(scope="module")
def runner():
    trials = TrialRunner()
    yield trials
    trials.close()


@pytest.fixture(scope="module")
def fit(folder, runner):
    """Train a run with these settings over the defaults."""

    def train(name, *settings):
        loaded = load_layers([shell_layer([*SHORT, *settings])])
        run, _ = freeze(loaded, prepare(loaded.config), folder / name)
        assert runner.start(run.path, log=run.log_file, track=False).wait() == 0, run.log_file.read_text()
        return run

    return train


@pytest.fixture(scope="module")
def bert(fit, tiny_text):
    model = [
        "model.kind=bert",
        "model.num_layers=2",
        "model.num_heads=2",
        "model.d_model=16",
        "model.context_length=32",
    ]
    tokenizer = ["data.tokenizer.kind=words", "data.tokenizer.vocab_size=null"]
    return fit("bert", *model, *tokenizer, "data.source=text", f"data.path={tiny_text}")


@pytest.fixture(scope="module")
def classifier(fit, bert):
    """Its run, made from a run that is gone by now."""
    source = bert.path.with_name("gone")
    shutil.copytree(bert.path, source)
    made = fit("classifier", *CLASSES, f"model.init_from={source}", "model.frozen_layers=1")
    shutil.rmtree(source)
    return made


def weights(run):
    return read_checkpoint(run.best_checkpoint)["state_dict"]


def test_what_a_run_takes_over(bert, classifier):
    said = classifier.log_file.read_text()
    assert "taken 29 of 33 tensors" in said
    assert "  new        pooler.weight, pooler.bias, output.weight, output.bias\n" in said
    assert "  not used   lm_head.output_bias" in said
    model, source = classifier.read_config()["model"], bert.read_config()["model"]
    assert {key for key in model if model[key] != source[key]} == {"init_from", "num_classes", "frozen_layers"}
    assert classifier.read_origins()["model.d_model"] == f"init_from {model['init_from']}"
    theirs, ours = (load_tokenizer(run.tokenizer_file).get_vocab() for run in (bert, classifier))
    assert theirs == ours


def test_frozen_layers_keep_their_bits_and_the_others_learn(bert, classifier):
    before, after = weights(bert), weights(classifier)
    for name, tensor in after.items():
        old = before.get(name.replace("body.", ""))
        if old is not None:
            still = "embedding" in name or ".blocks.0." in name
            assert torch.equal(tensor, old) is still, name


def test_a_run_goes_on_and_is_used_when_its_source_is_gone(classifier, runner):
    assert evaluate(classifier.path, "val").keys() == {"val/loss", "val/accuracy", "val/f1", "val/matthews"}
    loaded = load_layers([frozen_layer(classifier), shell_layer(["trainer.max_steps=5"])])
    run, _ = reopened(classifier, loaded, allow_drift=True)
    classifier.log_file.unlink()
    drift = {"LIT_TRANSFORMER_ALLOW_DRIFT": "1"}
    assert runner.start(run.path, log=run.log_file, track=False, environment=drift).wait() == 0
    assert "going on from last.ckpt, step 4" in (said := run.log_file.read_text()) and "weights from" not in said


def test_a_tokenizer_of_its_own_is_refused_before_anything_is_prepared(bert):
    with pytest.raises(ConfigError) as caught:
        load_layers([shell_layer([*CLASSES, f"model.init_from={bert.path}", "data.tokenizer.kind=bpe"])])
    (problem,) = caught.value.problems
    assert (problem.key, problem.got) == ("data.tokenizer.kind", "bpe")


def test_exports_of_trained_runs(bert, classifier, folder):
    for run, architecture in ((bert, "BertForMaskedLM"), (classifier, "BertForSequenceClassification")):
        assert export_run(run.path, folder / architecture).startswith(f"{architecture}.from_pretrained(")
        network = lit_transformer.load_task(run.path).network
        assert_same_logits(network, load_peer(folder / architecture, architecture))
    there = folder / "BertForSequenceClassification"
    assert json.loads((there / "config.json").read_text())["label2id"] == {"negative": 0, "positive": 1}
    judge = transformers.pipeline("text-classification", model=str(there), device="cpu")
    assert judge("the head learns")[0]["label"] in ("negative", "positive")


def test_a_classifier_starts_from_the_export_as_from_the_run(bert, folder, fit):
    there = folder / "again"
    export_run(bert.path, there)
    one = fit("from_run", *CLASSES, f"model.init_from={bert.path}")
    other = fit("from_export", *CLASSES, f"model.init_from=hf:{there}")
    assert f"weights from hf:{there} (model.safetensors): taken 29 of 33 tensors" in other.log_file.read_text()
    left, right = weights(one), weights(other)
    assert left.keys() == right.keys() and all(torch.equal(tensor, right[name]) for name, tensor in left.items())


def test_a_missing_tokenizer_is_named(bert, folder):
    there = folder / "bare"
    export_run(bert.path, there)
    (there / "tokenizer.json").unlink()
    config = load_layers([shell_layer([*CLASSES, f"model.init_from=hf:{there}"])]).config
    with pytest.raises(UserError, match=r"has no tokenizer\.json"):
        prepare(config)


def test_the_verb(bert, folder, monkeypatch, capsys):
    def shell(*arguments):
        monkeypatch.setattr(sys, "argv", ["lit-transformer", *map(str, arguments)])
        with pytest.raises(SystemExit) as caught:
            main()
        return caught.value.code, *capsys.readouterr()

    there = folder / "from_shell"
    status, output, said = shell("export", bert.path, there)
    assert (status, output) == (0, f"{there}\n") and "BertForMaskedLM.from_pretrained" in said
    status, output, said = shell("export", bert.path, there)
    assert (status, output) == (2, "") and "is there already" in said
    assert shell("export", bert.path.with_name("nothing"), folder / "new")[0] == 2
    assert not (folder / "new").exists()
