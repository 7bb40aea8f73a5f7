"""Data that cannot be trained on, given to `fit`: one screen before anything is trained, and no run is left behind."""

import re
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path

import pytest

from lit_transformer.config.errors import ConfigError
from lit_transformer.config.layers import shell_layer
from lit_transformer.config.load import load_layers
from lit_transformer.processes.trial import TrialRunner
from lit_transformer.records.run_folder import RunFolder, find_runs
from tests.inference.runs import SHAPE, WHOLE_WORDS, Shell, ask, films, make_run, opened, pairs, table

__all__ = ["ask"]

PAIRS = ["task=translation", "model.kind=encoder_decoder", "model.context_length=8", *SHAPE, *WHOLE_WORDS]
CLASSES = ["task=classification", "data.source=tsv", "data.text_key='1'", "data.label_key='3'", *WHOLE_WORDS]


def write(folder: Path, name: str, lines: list[str]) -> None:
    (folder / name).write_text("".join(f"{line}\n" for line in lines), encoding="utf-8")


def parallel(folder: Path, change: dict[int, str] | None = None, targets: int = 90) -> list[str]:
    """Two files, with other sources in some lines."""
    rows = pairs(90)
    write(folder, "train.en", [(change or {}).get(number, source) for number, (source, _) in enumerate(rows, start=1)])
    write(folder, "train.de", [target for _, target in rows][:targets])
    return [*PAIRS, "data.source=text", "data.path=train.en", "data.target_path=train.de"]


def uneven(folder: Path) -> list[str]:
    return parallel(folder, targets=80)


def empty_line(folder: Path) -> list[str]:
    return [*parallel(folder, {3: " "}), "data.empty=refuse"]


def too_long(folder: Path) -> list[str]:
    return [*parallel(folder, {3: "red " * 8}), "data.too_long=refuse"]


def unknown_label(folder: Path) -> list[str]:
    table(folder / "films.tsv", films(60))
    table(folder / "test.tsv", [*films(5, seed=1), ("a film", "so", "goood")])
    return [*CLASSES, *SHAPE, "model.kind=gpt", "data.path=films.tsv", "data.test_path=test.tsv"]


@pytest.mark.parametrize(
    ("make", "words"),
    [
        (uneven, ["train.de:81: this line is missing", "got      90 lines in ", "80 lines in ", "train.en:81: '"]),
        (empty_line, ["train.en:3: the source is empty", "data.empty=drop"]),
        (too_long, ["train.en:3: a row longer than the context", "got      9 tokens of source, 1 of them special"]),
        (unknown_label, ["test.tsv:6: a label of the test split that no training row has", "did you mean good?"]),
    ],
)
def test_rows_that_cannot_be_trained_on(
    tmp_path: Path, ask: Shell, monkeypatch: pytest.MonkeyPatch, make: Callable[[Path], list[str]], words: list[str]
) -> None:
    monkeypatch.setattr(
        TrialRunner, "warm", lambda runner: None
    )  # importing torch in a child takes longer than all else
    monkeypatch.chdir(tmp_path)
    (tmp_path / "custom.yaml").write_text("seed: 0\n")
    status, out, err = ask("fit", "custom.yaml", *make(tmp_path))
    assert (status, out) == (2, "") and "Traceback" not in err
    assert all(word in err for word in words), err
    assert not (tmp_path / "runs").exists()


def test_what_is_dropped_cut_and_warned_of_is_said_and_the_run_goes_on(tmp_path: Path) -> None:
    """Empty lines, long ones, and Chinese sentences as words."""
    settings = parallel(tmp_path, {**dict.fromkeys(range(1, 5), ""), **dict.fromkeys(range(5, 90, 3), "red " * 9)})
    write(tmp_path, "train.de", [chr(0x4E00 + number) * 9 for number in range(90)])
    (tmp_path / "custom.yaml").write_text("trainer: {max_steps: 1}\n")
    command = [sys.executable, "-m", "lit_transformer.cli", "fit", "custom.yaml", *settings, "decoding.val_rows=0"]
    done = subprocess.run(command, cwd=tmp_path, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr
    assert "data.tokenizer.kind=words takes a whole Chinese or Japanese sentence for a word" in done.stderr
    assert "rows dropped for an empty text: train 4" in done.stderr
    assert re.search(r"texts cut to model.context_length: train/source \d\d[,\n]", done.stderr)
    assert [run.status() for run in find_runs(tmp_path / "runs")] == ["complete"]


def test_a_tokenizer_that_comes_with_a_run_gets_what_it_lacks(tmp_path: Path) -> None:
    """A GPT over plain text has no <start> and <extract>, which GPT-1's heads need."""
    write(tmp_path, "text.txt", ["the warm film", "a dull sad film"] * 40)
    table(tmp_path / "films.tsv", films())
    text = ["data.source=text", f"data.path={tmp_path / 'text.txt'}", *WHOLE_WORDS]
    source = make_run(tmp_path / "gpt", [*text, "model.kind=gpt", "model.context_length=16"], steps=1)
    took = [setting for setting in CLASSES if setting not in WHOLE_WORDS]
    own = [*took, f"data.path={tmp_path / 'films.tsv'}", f"model.init_from={source}"]
    made = opened(make_run(tmp_path / "classes", own, steps=1))
    before = opened(source).run.tokenizer.get_vocab()
    after = made.run.tokenizer.get_vocab()
    added = ("<pad>", "<start>", "<delimiter>", "<extract>")
    assert after == {**before, **{name: len(before) + number for number, name in enumerate(added)}}
    assert RunFolder(made.path).read_config()["model"]["vocab_size"] == len(after)  # type: ignore[index]
    row = [made.id("<start>"), *made.ids("the warm film"), made.id("<extract>")]
    assert made.log_probabilities(row).shape == (2,)
    with pytest.raises(ConfigError) as caught:
        load_layers([shell_layer([f"model.init_from={source}", "model.kind=bert"])])
    (problem,) = caught.value.problems
    assert problem.key == "model.kind" and problem.allowed == f"gpt, as {source} is"
