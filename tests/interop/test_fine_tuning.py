"""From the shell: a BERT is trained, a classifier starts from it with frozen layers, and both are exported."""

import json
import shutil
import subprocess
import sys
from pathlib import Path

import pytest
import torch
import transformers
import yaml

import lit_transformer
from lit_transformer.config.errors import UserError
from lit_transformer.data.tokenizers import load_tokenizer
from lit_transformer.interop.checkpoint import read_checkpoint
from lit_transformer.records.run_folder import RunFolder
from tests.interop.networks import assert_same_logits, load_peer

SHORT = [
    "trainer.max_steps=4", "trainer.val_every=4", "trainer.limit_val_batches=1", "schedule.warmup_steps=1",
    "trainer.threads=1", "trainer.accelerator=cpu", "data.batch_size=8", "tracking.wandb=off",
]  # fmt: skip


def shell(*arguments):
    return subprocess.run(
        [sys.executable, "-m", "lit_transformer.cli", *map(str, arguments)], capture_output=True, text=True, check=False
    )


@pytest.fixture(scope="module")
def folder(tmp_path_factory):
    return tmp_path_factory.mktemp("runs")


@pytest.fixture(scope="module")
def fit(folder):
    """Train an experiment with these settings and no others; its run, and what was said."""

    def train(name, settings, *more):
        experiment = folder / f"{name}.yaml"
        experiment.write_text(yaml.safe_dump(settings))
        done = shell("fit", experiment, *SHORT, *more, "--output", folder)
        assert done.returncode == 0, done.stderr
        return Path(done.stdout.strip()), done.stderr

    return train


@pytest.fixture(scope="module")
def bert(fit, tiny_text):
    model = {"kind": "bert", "num_layers": 2, "num_heads": 2, "d_model": 16, "context_length": 32}
    data = {"source": "text", "path": str(tiny_text), "tokenizer": {"kind": "words", "vocab_size": None}}
    return fit("pretraining", {"task": "language_model", "model": model, "data": data})[0]


@pytest.fixture(scope="module")
def classifier(fit, bert):
    """Its run, made from a run that is gone by now, and what was said."""
    source = bert.with_name("gone")
    shutil.copytree(bert, source)
    made = fit("classes", {"task": "classification"}, f"model.init_from={source}", "model.frozen_layers=1")
    shutil.rmtree(source)
    return made


def test_what_a_run_takes_over(bert, classifier):
    run, said = classifier
    assert "taken 29 of 33 tensors" in said
    assert "  new        pooler.weight, pooler.bias, output.weight, output.bias\n" in said
    assert "  not used   lm_head.output_bias" in said
    model, source = RunFolder(run).read_config()["model"], RunFolder(bert).read_config()["model"]
    own = {"init_from", "num_classes", "frozen_layers"}
    assert {key for key in model if model[key] != source[key]} == own
    assert RunFolder(run).read_origins()["model.d_model"] == f"init_from {model['init_from']}"
    theirs, ours = (load_tokenizer(path / "tokenizer.json").get_vocab() for path in (bert, run))
    assert theirs == ours


def test_frozen_layers_keep_their_bits_and_the_others_learn(bert, classifier):
    before, after = (read_checkpoint(RunFolder(run).best_checkpoint)["state_dict"] for run in (bert, classifier[0]))
    moved = {
        name
        for name, tensor in after.items()
        if not torch.equal(tensor, before.get(name.replace("body.", ""), tensor[:0]))
    }
    still = after.keys() - moved
    assert {name for name in still if "embedding" in name} == {name for name in after if "embedding" in name}
    assert {name for name in after if ".blocks.0." in name} <= still
    assert {name for name in after if ".blocks.1." in name} <= moved


def test_a_run_goes_on_and_is_used_when_its_source_is_gone(classifier):
    run, _ = classifier
    assert shell("evaluate", run, "--split", "val").returncode == 0
    done = shell("fit", "--resume", run, "trainer.max_steps=5", "--allow-drift")
    assert done.returncode == 0, done.stderr
    assert "weights from" not in done.stderr


def test_a_tokenizer_of_its_own_is_refused_before_anything_is_prepared(bert, folder):
    (folder / "own.yaml").write_text("task: classification\ndata: {tokenizer: {kind: bpe}}\n")
    done = shell("fit", folder / "own.yaml", f"model.init_from={bert}", "--output", folder)
    assert done.returncode == 2 and done.stdout == ""
    assert "data.tokenizer.kind\n  at" in done.stderr and "own.yaml:2" in done.stderr
    assert f"allowed  words, as in {bert}: its tokenizer is taken over" in done.stderr


def test_exports_of_trained_runs(bert, classifier, folder):
    classes = {"bert": (bert, "BertForMaskedLM"), "classes": (classifier[0], "BertForSequenceClassification")}
    for name, (run, architecture) in classes.items():
        done = shell("export", run, folder / name)
        assert (done.returncode, done.stdout) == (0, f"{folder / name}\n"), done.stderr
        assert architecture in done.stderr
        assert_same_logits(lit_transformer.load_task(run).network, load_peer(folder / name, architecture))
    assert json.loads((folder / "classes" / "config.json").read_text())["label2id"] == {"negative": 0, "positive": 1}
    judge = transformers.pipeline("text-classification", model=str(folder / "classes"), device="cpu")
    assert judge("the head learns")[0]["label"] in ("negative", "positive")
    again = shell("export", bert, folder / "bert")
    assert again.returncode == 2 and "is there already" in again.stderr and "Traceback" not in again.stderr


def test_a_classifier_starts_from_the_export_as_from_the_run(bert, folder, fit):
    shell("export", bert, folder / "again")
    task = {"task": "classification"}
    one, _ = fit("from_run", task, f"model.init_from={bert}")
    other, said = fit("from_export", task, f"model.init_from=hf:{folder / 'again'}")
    assert "taken 29 of 33 tensors" in said and f"hf:{folder / 'again'} (model.safetensors)" in said
    left, right = (read_checkpoint(RunFolder(run).best_checkpoint)["state_dict"] for run in (one, other))
    assert left.keys() == right.keys() and all(torch.equal(tensor, right[name]) for name, tensor in left.items())


def test_a_missing_tokenizer_is_named(bert, folder):
    shell("export", bert, folder / "bare")
    (folder / "bare" / "tokenizer.json").unlink()
    with pytest.raises(UserError, match=r"has no tokenizer\.json"):
        from lit_transformer.config.layers import shell_layer
        from lit_transformer.config.load import load_layers
        from lit_transformer.training.prepare import prepare

        settings = ["task=classification", "objective.name=label", f"model.init_from=hf:{folder / 'bare'}"]
        prepare(load_layers([shell_layer(settings)]).config)
