"""The shell itself: help, imports, status."""

import inspect
import json
import re
import subprocess
import sys
from pathlib import Path

import pytest

from lit_transformer import cli, cli_text

ROOT = Path(__file__).resolve().parents[1]
VERBS = ["fit", "trial", "config", "translate", "fill", "classify", "choose", "generate", "evaluate", "attend",
         "analyze", "export", "compare", "doctor", "sweep run", "sweep status", "sweep watch", "sweep stop",
         "sweep retry", "sweep agent", "sweep extend", "sweep push"]  # fmt: skip


def shell(*arguments, **options):
    return subprocess.run(
        [sys.executable, "-m", "lit_transformer.cli", *arguments],
        capture_output=True,
        text=True,
        check=False,
        **options,
    )


def test_help_and_readme_list_the_same_exit_statuses():
    listed = {"0", "1", "2", "129", "130", "137", "138", "143", "255"}
    said = shell("--help").stdout.partition("Exit status:")[2]
    page = (ROOT / "README.md").read_text().partition("**Exit status.**")[2].partition("\n\n")[0]
    assert set(re.findall(r"\d+", said)) == listed
    assert set(re.findall(r"\d+", page)) == listed | {"128"}


@pytest.mark.parametrize("verb", VERBS)
def test_every_verb_has_help_with_an_example(verb):
    done = shell(*verb.split(), "--help")
    assert done.returncode == 0
    assert f"lit-transformer {verb}" in " ".join(done.stdout.split())


def test_config_shows_value_type_origin_and_meaning():
    done = shell("config", "gpt_tiny", "optimizer.lr=1e-4")
    assert "optimizer.lr = 0.0001\n    number; command line\n    Peak learning rate." in done.stdout
    assert "experiments/gpt_tiny.yaml:" in done.stdout
    table = json.loads(shell("config", "gpt_tiny", "--json").stdout)
    assert table["model.num_heads"]["type"] == "integer"


@pytest.mark.parametrize(
    "code",
    [
        "import lit_transformer, lit_transformer.cli",
        "import lit_transformer.training.fit, lit_transformer.training.prepare",
        "import lit_transformer.sweep.driver, lit_transformer.sweep.worker",
        "import lit_transformer.compare.verb",
    ],
)
def test_torch_is_imported_only_when_a_verb_needs_it(code):
    check = "import sys; print([name for name in ('torch', 'lightning', 'wandb') if name in sys.modules])"
    done = subprocess.run([sys.executable, "-c", f"{code}; {check}"], capture_output=True, text=True, check=True)
    assert done.stdout == "[]\n"


def test_a_trial_is_what_a_json_file_says(tmp_path, tiny_experiment):
    cell = {"experiment": str(tiny_experiment), "model": {"num_heads": 4}, "seed": 7, "tracking.wandb": "off"}
    (tmp_path / "cell.json").write_text(json.dumps(cell))
    done = shell("trial", str(tmp_path / "cell.json"), "--output", str(tmp_path / "runs"))
    assert done.returncode == 0, done.stderr
    from lit_transformer.records.run_folder import RunFolder

    run = RunFolder(Path(done.stdout.strip()))
    assert run.read_config()["model"]["num_heads"] == 4 and run.read_config()["seed"] == 7
    assert run.read_origins()["model.num_heads"].endswith("cell.json")


def test_the_default_of_a_verbs_option_stands_there_alone():
    from lit_transformer.inference.fill import fill
    from lit_transformer.inference.generate import Generation
    from lit_transformer.inference.translate import Translating

    for verb, inside in ((cli.generate, Generation), (cli_text.translate, Translating), (cli_text.fill, fill)):
        options = {"use_cache" if name == "cache" else name for name in inspect.signature(verb).parameters}
        shared = {name: option for name, option in inspect.signature(inside).parameters.items() if name in options}
        settings = shared.keys() - {"run", "text"}
        assert settings and all(shared[name].default is inspect.Parameter.empty for name in settings)


@pytest.mark.parametrize("text", ["[1]", "{", '{"seed": 1}'])
def test_a_file_that_is_no_trial(tmp_path, text):
    (tmp_path / "cell.json").write_text(text)
    done = shell("trial", str(tmp_path / "cell.json"))
    assert done.returncode == 2 and "cell.json" in done.stderr


@pytest.mark.parametrize(
    ("arguments", "words"),
    [
        (["fit"], "got      neither"),
        (["fit", "--allow-drift"], "got      --allow-drift without --resume"),
        (["fit", "gpt_tiny", "--allow-drift"], "got      --allow-drift without --resume"),
        (["fit", "--resume", "nowhere"], "nowhere is no run's folder"),
        (["fit", "gpt_tiny", "--resume", "nowhere"], "'gpt_tiny' is not a setting"),
        (["sweep", "run", "demmo", "--allow-drift"], "demmo"),
        (["sweep", "retry", "nowhere", "--allow-drift"], "nowhere"),
        (["sweep", "run", "demo", "--on", "moon"], "allowed  local, slurm, wandb"),
        (["sweep", "run", "demo", "--pilots", "2"], "--pilots: does not go with --on local"),
        (["sweep", "run", "demo", "--on", "slurm", "--workers", "2"], "--pilots N says how many jobs run at once"),
        (["sweep", "run", "demo", "--on", "wandb", "--retries", "2"], "--retries: does not go with --on wandb"),
        (["sweep", "run", "demo", "--retries", "-1"], "--retries -1"),
        (["doctor", "extra"], "extra"),
    ],
)
def test_a_wrong_thing_per_option_is_one_screen_with_status_2(arguments, words):
    done = shell(*arguments)
    assert done.returncode == 2 and done.stdout == ""
    assert words in done.stderr and "Traceback" not in done.stderr


@pytest.mark.parametrize(
    ("setting", "words"),
    [
        ("trainer.activation_checkpointing=3", "true or false"),
        ("trainer.deterministic=maybe", "true or false"),
        ("trainer.non_finite=ignore", "stop, skip, rollback"),
        ("trainer.ema_decay=1.5", "0 <= value < 1"),
        ("trainer.hang_timeout=soon", "a duration such as 30s, 10min or 2h"),
        ("trainer.keep_checkpoints=0", "1 or more"),
        ("data.persistent_workers=2", "true or false"),
        ("trainer.keep=some", "auto, best, last, all"),
        ("trainer.checkpoint_every=0", "1 or more"),
    ],
)
def test_a_wrong_value_per_setting_of_long_runs(setting, words):
    done = shell("fit", "gpt_tiny", setting)
    assert done.returncode == 2 and done.stdout == "" and "Traceback" not in done.stderr
    key, value = setting.split("=")
    assert done.stderr.splitlines()[1] == key and "at       command line" in done.stderr
    assert f"got      {value}" in done.stderr.replace("'", "") and words in done.stderr
