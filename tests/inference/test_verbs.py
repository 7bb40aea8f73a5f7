"""A run trained once, then used by every verb, from Python and from the shell."""

import json
import subprocess
import sys
from pathlib import Path

import pytest
import torch

import lit_transformer
from lit_transformer.config.errors import UserError
from lit_transformer.data.tokenizers import encode, load_tokenizer
from lit_transformer.inference.evaluate import evaluate
from lit_transformer.inference.generate import continue_prompt
from lit_transformer.inference.text_run import open_text_run
from lit_transformer.records.run_folder import RunFolder
from tests.inference.runs import generation


def shell(*arguments):
    return subprocess.run(
        [sys.executable, "-m", "lit_transformer.cli", *map(str, arguments)], capture_output=True, text=True, check=False
    )


@pytest.fixture(scope="module")
def run(tmp_path_factory, tiny_experiment):
    output = tmp_path_factory.mktemp("runs")
    done = shell(
        "fit", tiny_experiment, "trainer.max_steps=60", "optimizer.lr=1e-2", "tracking.wandb=off", "--output", output
    )
    assert done.returncode == 0, done.stderr
    return Path(done.stdout.strip())


def test_load_task_gives_logits(run):
    task = lit_transformer.load_task(run)
    ids = torch.tensor([encode(load_tokenizer(run / "tokenizer.json"), "the head")])
    logits = task(ids)
    assert logits.shape == (1, 8, RunFolder(run).read_config()["model"]["vocab_size"])
    assert not task.training
    torch.testing.assert_close(task(ids[:, :4]), logits[:, :4])


def test_evaluate_agrees_with_the_validation_of_training(run):
    measured = evaluate(run, "val")
    trained = RunFolder(run).read_result()["metrics"]
    assert measured == pytest.approx(trained, rel=1e-6)
    assert set(evaluate(run, "test")) == {name.replace("val/", "test/") for name in measured}
    shown = json.loads(shell("evaluate", run, "--split", "val", "--device", "cpu", "--json").stdout)
    assert shown == pytest.approx(trained, rel=1e-6)


def test_generate_is_the_same_with_and_without_cache_and_for_a_seed(run):
    opened = open_text_run(run)
    text = continue_prompt(opened, "the head", generation(seed=3))
    assert text.startswith("the head") and len(text) == len("the head") + 40
    assert continue_prompt(opened, "the head", generation(seed=3, use_cache=False)) == text
    assert continue_prompt(opened, "the head", generation(seed=4)) != text
    drawn = ("--max-new-tokens", 40, "--temperature", 0.8, "--seed", 3, "--device", "cpu")
    done = shell("generate", run, "--prompt", "the head", *drawn)
    assert done.stdout == text + "\n"
    greedy = json.loads(shell("generate", run, "--prompt", "the", "--temperature", 0, "--json").stdout)
    assert greedy["text"].startswith("the")


def test_compare_and_read_runs_see_it(run):
    table = lit_transformer.read_runs(run.parent)
    assert list(table["status"]) == ["complete"]
    done = shell("compare", run.parent, "--json")
    assert done.returncode == 0 and json.loads(done.stdout)
    assert (run.parent / "report.html").exists()


@pytest.mark.parametrize(
    ("arguments", "words"),
    [
        (["generate", "RUN", "--prompt", ""], "prompt is empty"),
        (["generate", "RUN", "--prompt", "a", "--temperature", "-1"], "temperature"),
        (["generate", "RUN", "--prompt", "a", "--top-p", "2"], "top_p"),
        (["generate", "RUN/nothing", "--prompt", "a"], "There is no folder"),
        (["generate", "RUN/checkpoints", "--prompt", "a"], "no run's folder"),
        (["evaluate", "RUN", "--split", "train"], "test, val"),
        (["evaluate", "nowhere"], "There is no folder"),
        (["compare", "nowhere"], "nowhere"),
        (["fit", "gpt_tinny"], "did you mean gpt_tiny?"),
        (["fit", "gpt_tiny", "model.heads=2"], "did you mean model.num_heads?"),
        (["config", "gpt_tiny", "lr=1"], "did you mean optimizer.lr?"),
        (["trial", "nothing.json"], "cannot be read"),
        (["sweep", "run", "demmo"], "demmo"),
        (["sweep", "run", "demo", "model.num_heads=2"], "model.num_heads"),
        (["sweep", "run", "demo", "model.heads=2"], "model.num_heads"),
        (["sweep", "run", "demo", "--json"], "--dry-run"),
        (["sweep", "status", "nowhere"], "nowhere"),
        (["sweep", "retry", "nowhere"], "nowhere"),
        (["fit", "gpt_tiny", "data.source=text", "data.path=missing.txt"], "missing.txt"),
    ],
)
def test_a_wrong_thing_per_verb_is_one_screen_with_status_2(run, tmp_path, arguments, words):
    done = shell(*[argument.replace("RUN", str(run)) for argument in arguments])
    assert done.returncode == 2, done.stderr
    assert words in done.stderr
    assert "Traceback" not in done.stderr and done.stdout == ""


def test_damaged_and_missing_checkpoints_are_named(run, tmp_path, capsys):
    import shutil

    copy = tmp_path / "copy"
    shutil.copytree(run, copy)
    best = copy / "checkpoints" / "best.ckpt"
    best.write_bytes(best.read_bytes()[:1000])
    lit_transformer.load_task(copy)  # the last one serves
    assert "best.ckpt" in (said := capsys.readouterr().err) and "1000 bytes instead of" in said and "last.ckpt" in said
    best.unlink()
    lit_transformer.load_task(copy)
    for path in copy.joinpath("checkpoints").glob("*.ckpt"):
        path.unlink()
    with pytest.raises(UserError, match=r"has no good checkpoint(.|\n)*fit --resume"):
        lit_transformer.load_task(copy)


def test_a_checkpoint_that_does_not_fit_its_config(run, tmp_path):
    import shutil

    copy = tmp_path / "copy"
    shutil.copytree(run, copy)
    config = (copy / "config.yaml").read_text()
    (copy / "config.yaml").write_text(config.replace("d_model: 16", "d_model: 32"))
    with pytest.raises(UserError, match="does not fit"):
        lit_transformer.load_task(copy)
