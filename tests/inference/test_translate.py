"""`translate`: lines in any order of lengths become what each would alone, and nothing is lost on the way."""

import json
import os
import pty
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest
import torch

from lit_transformer.cli import main
from lit_transformer.decoding.sources import decode_sources
from lit_transformer.inference import lines as lines_module
from lit_transformer.inference.evaluate import evaluate
from lit_transformer.inference.translate import Translator
from tests.inference.conftest import Runs
from tests.inference.runs import Made, Shell, copied, pairs, translating

SOURCES = [source for source, _ in pairs(40, seed=7)]


def alone(made: Made, source: str, prefix: str = "", **how: object) -> list[tuple[str, float, float]]:
    """Texts, log-probabilities and scores of one source by itself, decoded by hand."""
    pad, end = made.id("<pad>"), made.id("</s>")
    inputs = torch.tensor([[*made.ids(prefix + source), end]])
    found = decode_sources(made.task.network, inputs, start_token=pad, stop_token=end, forbidden=(pad,), **how)[0]
    return [(made.run.tokenizer.decode(text.ids), text.log_probability, text.score) for text in found]


def test_many_lines_are_those_of_each_alone(runs: Runs) -> None:
    made = runs("translation")
    translator = Translator(made.run, translating(max_tokens=64))
    found = translator.translate(SOURCES)
    assert len({len(source.split()) for source in SOURCES}) == 7
    for source, (best,) in zip(SOURCES, found, strict=True):
        ((text, log_probability, score),) = alone(made, source)
        assert best.text == text
        assert (best.log_probability, best.score) == pytest.approx((log_probability, score), abs=1e-4)
    assert len({best.text for (best,) in found}) > 20


@pytest.mark.parametrize("name", ["translation", "answers"])
def test_it_says_what_evaluate_counts(runs: Runs, ask: Shell, name: str) -> None:
    made = runs(name)
    metrics = evaluate(made.path, "test")
    rows = [json.loads(line) for line in (prepared(made) / "test.jsonl").read_text().splitlines()]
    status, out, _ = ask("translate", made.path, stdin="".join(f"{row['source']}\n" for row in rows))
    assert status == 0
    right = sum(text == row["target"] for text, row in zip(out.splitlines(), rows, strict=True))
    assert right / len(rows) == pytest.approx(metrics["test/exact_match"])
    assert 0 < right < len(rows)


def prepared(made: Made) -> Path:
    return Path(json.loads((made.path / "prepared.json").read_text())["folder"])


def test_arguments_a_file_and_standard_input_give_the_same(runs: Runs, ask: Shell, tmp_path: Path) -> None:
    path = runs("translation").path
    (tmp_path / "lines.txt").write_bytes("\ufeffred cat\r\n\r\nblue dog and cat\n   \nhouse".encode())
    status, out, err = ask("translate", path, "--file", tmp_path / "lines.txt")
    assert (status, err) == (0, "")
    first, empty, third, blank, last = out.split("\n")[:-1]
    assert empty == blank == "" and first and third and last
    assert ask("translate", path, stdin=(tmp_path / "lines.txt").read_bytes())[1] == out
    assert ask("translate", path, "red cat", "", "blue dog and cat", " ", "house")[1] == out
    assert ask("translate", path)[:2] == (0, "")


def test_a_prefix_of_the_data_goes_before_each_line(runs: Runs, ask: Shell) -> None:
    made = runs("answers")
    out = ask("translate", made.path, "red cat", "blue")[1]
    assert out.splitlines() == [alone(made, source, "small: ")[0][0] for source in ("red cat", "blue")]


def test_json_holds_every_text_with_its_scores(runs: Runs, ask: Shell) -> None:
    made = runs("translation")
    _, out, _ = ask("translate", made.path, "red cat and", "", "--json", "--n-best", 3, "--length-penalty", 0.5)
    first, empty = json.loads(out)
    expected = alone(made, "red cat and", beam_size=3, n_best=3, length_penalty=0.5)
    assert first["source"] == "red cat and" and len(first["translations"]) == 3
    for text, (words, log_probability, score) in zip(first["translations"], expected, strict=True):
        assert text == {
            "text": words,
            "log_probability": pytest.approx(log_probability, abs=1e-4),
            "score": pytest.approx(score, abs=1e-4),
        }
    assert empty == {"source": "", "translations": [{"text": "", "log_probability": 0.0, "score": 0.0}]}


def test_n_best_texts_stand_under_one_another_with_their_scores(runs: Runs, ask: Shell) -> None:
    made = runs("translation")
    _, out, _ = ask("translate", made.path, "red cat", "blue", "--n-best", 2, "--beam-size", 4)
    blocks = out.removesuffix("\n\n").split("\n\n")
    for source, block in zip(("red cat", "blue"), blocks, strict=True):
        expected = [f"{score:.4f}\t{text}" for text, _, score in alone(made, source, beam_size=4, n_best=2)]
        assert block.split("\n") == expected


def test_drawn_texts_follow_from_the_seed(runs: Runs, ask: Shell) -> None:
    command = ("translate", runs("translation").path, "red cat and dog", "--json", "--temperature", 2, "--n-best", 4)
    found = [json.loads(ask(*command, "--seed", seed)[1])[0]["translations"] for seed in (1, 1, 2)]
    assert found[0] == found[1] != found[2]
    scores = [text["score"] for text in found[0]]
    assert len(scores) == 4 and scores == sorted(scores, reverse=True) and len(set(scores)) > 1


def test_long_lines_are_cut_and_counted_or_refused(runs: Runs, ask: Shell, tmp_path: Path) -> None:
    made = runs("translation")
    room = made.run.context_length - 1
    long, cut = "red cat " * 20, "red cat " * 20
    cut = " ".join(long.split()[:room])
    status, out, err = ask("translate", made.path, long, "blue", cut, long)
    assert status == 0 and err == "lines cut to model.context_length=12, the end token included: 2\n"
    first, _, same, last = out.splitlines()
    assert first == same == last
    strict = copied(made.path, tmp_path / "strict", data__too_long="refuse")
    status, out, err = ask("translate", strict, "blue", cut, long)
    assert (status, out) == (2, "")
    assert "line 3 is longer than the context\n  got      41 tokens, the end token included: 'red cat red" in err
    assert "allowed  12 (model.context_length; the run has data.too_long=refuse)" in err


def test_a_stream_is_translated_while_it_comes(runs: Runs, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(lines_module, "CHUNK", 3)
    translator, taken = Translator(runs("translation").run, translating()), 0

    def endless() -> Iterator[str]:
        nonlocal taken
        while True:
            taken += 1
            yield SOURCES[taken % len(SOURCES)]

    found = lines_module.answered(lines_module.Lines(texts=endless()), "translating", translator.translate)
    firsts = [next(found) for _ in range(4)]
    assert taken == 6
    whole = translator.translate(SOURCES[1:5])
    assert [(source, best.text) for source, (best,) in firsts] == [
        (source, best.text) for source, (best,) in zip(SOURCES[1:5], whole, strict=True)
    ]
    live = lines_module.Lines(texts=endless(), live=True)
    next(lines_module.answered(live, "translating", translator.translate))
    assert taken == 7


def test_an_interrupt_loses_nothing_that_was_printed(
    runs: Runs, monkeypatch: pytest.MonkeyPatch, capfd: pytest.CaptureFixture[str]
) -> None:
    class Interrupted:
        """A file that a person gives up on after four lines."""

        def __enter__(self) -> "Interrupted":
            return self

        def __exit__(self, *error: object) -> None:
            pass

        def __iter__(self) -> Iterator[bytes]:
            yield from (f"{source}\n".encode() for source in SOURCES[:4])
            raise KeyboardInterrupt

    monkeypatch.setattr(lines_module, "CHUNK", 2)
    monkeypatch.setattr(lines_module, "given_lines", lambda *given: lines_module.Lines(
        texts=lines_module._decoded(Interrupted(), "standard input")))  # type: ignore[arg-type]  # fmt: skip
    made = runs("translation")
    monkeypatch.setattr(sys, "argv", ["lit-transformer", "translate", str(made.path)])
    with pytest.raises(SystemExit) as caught:
        main()
    out, err = capfd.readouterr()
    assert caught.value.code == 130 and "Traceback" not in err
    whole = Translator(made.run, translating()).translate(SOURCES[:4])
    assert out.splitlines() == [best.text for (best,) in whole]


def test_progress_has_an_eta_on_standard_error(
    runs: Runs, ask: Shell, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    monkeypatch.setattr(lines_module, "LINE_INTERVAL", 0)
    monkeypatch.setattr(lines_module, "CHUNK", 16)
    (tmp_path / "lines.txt").write_text("\n".join(SOURCES))
    status, out, err = ask("translate", runs("translation").path, "--file", tmp_path / "lines.txt")
    assert status == 0 and len(out.splitlines()) == 40
    said = err.splitlines()
    assert said[0].startswith("translating: 16 of 40 lines, ETA ") and said[0].endswith(" s")
    assert said[-1] == "translating: 40 of 40 lines, ETA 0 s"
    err = ask("translate", runs("translation").path, stdin="\n".join(SOURCES))[2]
    assert err.splitlines()[0].startswith("translating: 16 lines, ") and err.splitlines()[0].endswith(" lines/s")


def test_on_a_terminal_a_bar_shows_the_time_left_and_goes_again(
    runs: Runs, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    (tmp_path / "lines.txt").write_text("\n".join(SOURCES * 3))
    code = (
        "import sys; from lit_transformer import cli; from lit_transformer.inference import lines; "
        "lines.CHUNK, lines.BAR_DELAY = 30, -1; cli.main()"
    )
    ours, theirs = pty.openpty()
    command = [sys.executable, "-c", code, "translate", str(runs("translation").path)]
    environment = {**os.environ, "TERM": "xterm", "COLUMNS": "100", "OMP_NUM_THREADS": "1"}
    with subprocess.Popen(
        [*command, "--file", str(tmp_path / "lines.txt")], stdout=subprocess.PIPE, stderr=theirs, env=environment
    ) as done:
        os.close(theirs)
        shown = b""
        try:
            while part := os.read(ours, 4096):
                shown += part
        except OSError:  # the terminal is gone with the last process that had it
            pass
        assert done.stdout is not None
        out = done.stdout.read().decode()
    os.close(ours)
    assert done.returncode == 0 and len(out.splitlines()) == 120
    assert "translating" not in out
    assert "120/120" in shown.decode() and "ETA" in shown.decode()


@pytest.mark.parametrize(
    ("options", "words"),
    [
        (["a", "--file", "lines.txt"], "--file\n  got      lines.txt and texts too"),
        (["--file", "nothing.txt"], "--file\n  got      nothing.txt, which cannot be read: No such file or directory"),
        (["--file", "."], "--file\n  got      ., which cannot be read: Is a directory"),
        (["a", "--n-best", "0"], "--n-best\n  got      0\n  allowed  1 or more"),
        (["a", "--top-k", "3"], "--top-k 3 says how to draw, and nothing is drawn"),
        (["a", "--top-p", "2", "--temperature", "1"], "top_p: got 2.0; allowed: above 0, at most 1"),
        (["a", "--temperature", "-1"], "temperature: got -1.0; allowed: 0 or more"),
        (["a", "--temperature", "1", "--beam-size", "3"], "temperature: got 1.0; allowed: 0 with beam_size above 1"),
        (["a", "--beam-size", "0"], "beam_size: got 0; allowed: 1 or more"),
        (["a", "--beam-size", "2", "--n-best", "3"], "n_best: got 3; allowed: 1 to beam_size 2"),
        (["a", "--max-length", "13"], "max_length: got 13; allowed: at most context_length 12"),
        (["red \udcff"], "a text is not UTF-8 at character 5\n  got      'red \\udcff'"),
    ],
)
def test_wrong_options_are_one_screen(runs: Runs, ask: Shell, options: list[str], words: str) -> None:
    status, out, err = ask("translate", runs("translation").path, *options)
    assert (status, out) == (2, "") and words in err and "Traceback" not in err


def test_a_line_that_is_not_utf8_is_named(runs: Runs, ask: Shell) -> None:
    status, _, err = ask("translate", runs("translation").path, stdin=b"red\nblue \xff\n")
    assert status == 2 and "standard input:2: not UTF-8 at byte 5 of the line (0xff)" in err
