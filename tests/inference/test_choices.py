"""`classify` and `choose` say what the network itself finds likeliest, and what evaluate counts."""

import json
from pathlib import Path

import pytest
import torch
from torch import Tensor

from lit_transformer.config.errors import UserError
from lit_transformer.data.rows.copa import read_copa
from lit_transformer.inference import lines as lines_module
from lit_transformer.inference.choices import TextClassifier, choose
from lit_transformer.inference.evaluate import evaluate
from tests.inference.conftest import Runs
from tests.inference.runs import Made, Shell, copied

TEXTS = ["a warm film", "the dull sad film", "long long", "fine fresh the warm film a"]
LABELS = ["bad", "good"]


@torch.no_grad()
def logits(made: Made, row: list[int], **how: list[int]) -> Tensor:
    return made.task(torch.tensor([row]), **{name: torch.tensor([value]) for name, value in how.items()})[0]


def bert_logits(made: Made, text: str) -> Tensor:
    return logits(made, [made.id("[CLS]"), *made.ids(text), made.id("[SEP]")])


def gpt_logits(made: Made, text: str) -> Tensor:
    return logits(made, [made.id("<start>"), *made.ids(text), made.id("<extract>")])


def pair_logits(made: Made, text: str) -> Tensor:
    first = [made.id("[CLS]"), *made.ids(text), made.id("[SEP]")]
    second = [*made.ids("they say so"), made.id("[SEP]")]
    return logits(made, first + second, token_types=[0] * len(first) + [1] * len(second))


def likelihood(made: Made, before: list[int], answer: list[int]) -> float:
    """Log-probability of the answer after what is before it."""
    values = made.log_probabilities([*before, *answer][:-1])
    return sum(values[len(before) - 1 + place, token].item() for place, token in enumerate(answer))


def text_logits(made: Made, text: str) -> Tensor:
    before, end = [made.id("<eot>"), *made.ids(f"{text} is")], made.id("<eot>")
    return torch.tensor([likelihood(made, before, [*made.ids(label), end]) for label in LABELS])


def t5_logits(made: Made, text: str) -> Tensor:
    scores = []
    for label in LABELS:
        target = [*made.ids(label), made.id("</s>")]
        source = [*made.ids(f"{text} is"), made.id("</s>")]
        values = made.log_probabilities(source, [made.id("<pad>"), *target[:-1]])
        scores.append(sum(values[place, token].item() for place, token in enumerate(target)))
    return torch.tensor(scores)


CLASSIFIERS = {
    "bert classes": bert_logits, "gpt classes": gpt_logits, "pairs": pair_logits, "gpt text": text_logits,
    "t5 text": t5_logits,
}  # fmt: skip


@pytest.mark.parametrize("name", CLASSIFIERS)
def test_a_class_is_the_argmax_of_the_networks_logits(runs: Runs, name: str) -> None:
    made = runs(name)
    classifier = TextClassifier(made.run)
    found = classifier.classify(TEXTS, pairs=["they say so"] * len(TEXTS) if name == "pairs" else None)
    for text, choice in zip(TEXTS, found, strict=True):
        expected = CLASSIFIERS[name](made, text).softmax(dim=-1)
        assert choice is not None
        assert choice.probabilities == pytest.approx(dict(zip(LABELS, expected.tolist(), strict=True)), abs=1e-5)
        assert choice.label == LABELS[int(expected.argmax())]


def rows_of(made: Made) -> list[dict[str, str]]:
    folder = Path(json.loads((made.path / "prepared.json").read_text())["folder"])
    return [json.loads(line) for line in (folder / "test.jsonl").read_text().splitlines()]


@pytest.mark.parametrize("name", CLASSIFIERS)
def test_classes_are_right_as_often_as_evaluate_counts(runs: Runs, ask: Shell, name: str) -> None:
    made = runs(name)
    rows = rows_of(made)
    lines = "".join("\t".join((row["text"], row["pair"]) if name == "pairs" else (row["text"],)) + "\n" for row in rows)
    status, out, err = ask("classify", made.path, stdin=lines)
    assert (status, err) == (0, "")
    said = [line.split("\t") for line in out.splitlines()]
    assert ["\t".join(line[2:]) for line in said] == lines.splitlines()
    right = sum(line[0] == row["label"] for line, row in zip(said, rows, strict=True))
    assert right / len(rows) == pytest.approx(evaluate(made.path, "test")["test/accuracy"])


def test_any_gpt_classifies_by_a_template(runs: Runs, ask: Shell) -> None:
    made = runs("gpt words")
    command = ("classify", made.path, "--template", "{text} learns", "--labels", "the, of a", "--json")
    (shown,) = json.loads(ask(*command, "model head")[1])
    before = made.ids("model head learns")
    scores = torch.tensor([likelihood(made, before, made.ids(words)) for words in ("the", "of a")])
    expected = dict(zip(("the", "of a"), scores.softmax(dim=-1).tolist(), strict=True))
    assert shown == {
        "text": "model head",
        "label": max(expected, key=lambda words: expected[words]),
        "probabilities": pytest.approx(expected, abs=1e-5),
    }
    paired = (*command[:3], "{text} {pair}", *command[4:], "model", "--pair", "head learns")
    assert json.loads(ask(*paired)[1])[0]["probabilities"] == shown["probabilities"]


def test_a_run_by_text_takes_another_template_and_other_words(runs: Runs, ask: Shell) -> None:
    made = runs("gpt text")
    command = (
        "classify",
        made.path,
        "a warm film",
        "--json",
        "--template",
        "the {text}",
        "--labels",
        "film, good, bad",
    )
    (shown,) = json.loads(ask(*command)[1])
    before, end = [made.id("<eot>"), *made.ids("the a warm film")], made.id("<eot>")
    scores = [likelihood(made, before, [*made.ids(word), end]) for word in ("film", "good", "bad")]
    assert [*shown["probabilities"].values()] == pytest.approx(torch.tensor(scores).softmax(dim=-1).tolist(), abs=1e-5)


def test_lines_keep_their_places(runs: Runs, ask: Shell, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    path = runs("bert classes").path
    (tmp_path / "lines.txt").write_text(f"{TEXTS[0]}\n\n{TEXTS[1]}\n   \n{TEXTS[2]}")
    status, out, _ = ask("classify", path, "--file", tmp_path / "lines.txt")
    lines = out.split("\n")[:-1]
    assert status == 0 and [bool(line) for line in lines] == [True, False, True, False, True]
    assert [line.split("\t")[2] for line in lines if line] == TEXTS[:3]
    monkeypatch.setattr(lines_module, "CHUNK", 2)
    assert ask("classify", path, "--file", tmp_path / "lines.txt")[1] == out
    shown = json.loads(ask("classify", path, "--json", stdin=(tmp_path / "lines.txt").read_bytes())[1])
    assert [row["text"] for row in shown] == [TEXTS[0], "", TEXTS[1], "   ", TEXTS[2]]
    assert shown[1] == {"text": "", "label": None, "probabilities": {}}
    assert ask("classify", path, "")[:2] == (0, "\n") and ask("classify", path)[:2] == (0, "")


def test_long_texts_are_cut_and_counted_or_refused(runs: Runs, ask: Shell, tmp_path: Path) -> None:
    made = runs("bert classes")
    long = "film " * 13 + "dull warm"
    cut = " ".join(long.split()[:14])
    status, out, err = ask("classify", made.path, long, cut, "")
    assert status == 0 and err == "texts cut to model.context_length=16, special tokens included: 1\n"
    assert len({line.split("\t")[1] for line in out.splitlines() if line}) == 1
    strict = copied(made.path, tmp_path / "strict", data__too_long="refuse")
    status, out, err = ask("classify", strict, "", cut, long)
    assert (status, out) == (2, "") and "text 3: a row longer than the context\n  got      17 tokens" in err


def gpt_choices(made: Made, context: str, choices: list[str]) -> Tensor:
    rows = [
        [made.id("<start>"), *made.ids(context), made.id("<delimiter>"), *made.ids(choice), made.id("<extract>")]
        for choice in choices
    ]
    return choice_logits(made, rows)


def bert_choices(made: Made, context: str, choices: list[str]) -> Tensor:
    sep = made.id("[SEP]")
    firsts = [made.id("[CLS]"), *made.ids(context), sep]
    seconds = [[*made.ids(choice), sep] for choice in choices]
    types = [[0] * len(firsts) + [1] * len(second) for second in seconds]
    return choice_logits(made, [firsts + second for second in seconds], token_types=types)


def choice_logits(made: Made, rows: list[list[int]], **how: list[list[int]]) -> Tensor:
    """Of each choice by itself, so that nothing is padded."""
    scores = []
    for index, row in enumerate(rows):
        options = {name: [values[index]] for name, values in how.items()}
        scores.append(logits(made, [row], **options))  # type: ignore[arg-type]
    return torch.cat(scores)


def text_choices(made: Made, context: str, choices: list[str]) -> Tensor:
    before, end = [made.id("<eot>"), *made.ids(f"{context} and")], made.id("<eot>")
    return torch.tensor([likelihood(made, before, [*made.ids(choice), end]) for choice in choices])


CHOOSERS = {"choices": gpt_choices, "bert choices": bert_choices, "choices text": text_choices}


@pytest.mark.parametrize("name", CHOOSERS)
@pytest.mark.parametrize("choices", [["the cat", "a small dog"], ["a small hen now", "cow", "see the dog"]])
def test_a_choice_is_the_argmax_of_the_networks_scores(runs: Runs, name: str, choices: list[str]) -> None:
    made = runs(name)
    found = choose(made.run, "see the dog now", choices)
    expected = CHOOSERS[name](made, "see the dog now", choices).softmax(dim=-1)
    assert found.probabilities == pytest.approx(dict(zip(choices, expected.tolist(), strict=True)), abs=1e-5)
    assert found.label == choices[int(expected.argmax())]


@pytest.mark.parametrize("name", CHOOSERS)
def test_choices_are_right_as_often_as_evaluate_counts(runs: Runs, name: str) -> None:
    made = runs(name)
    rows = rows_of(made)
    right = 0
    for row in rows:
        choices = [row["choice1"], row["choice2"]]
        right += choose(made.run, row["context"], choices).label == choices[int(row["label"])]
    assert right / len(rows) == pytest.approx(evaluate(made.path, "test")["test/accuracy"])


def test_any_gpt_chooses(runs: Runs, ask: Shell) -> None:
    made = runs("gpt words")
    choices = ["learns the", "head of a model"]
    for template, before in ((None, "the model"), ("a {context} to", "a the model to")):
        options = () if template is None else ("--template", template)
        shown = json.loads(ask("choose", made.path, "the model", *choices, *options, "--json")[1])
        scores = torch.tensor([likelihood(made, made.ids(before), made.ids(choice)) for choice in choices])
        expected = scores.softmax(dim=-1).tolist()
        assert [*shown["probabilities"].values()] == pytest.approx(expected, abs=1e-5)
        assert shown["label"] == choices[expected.index(max(expected))] and shown["context"] == "the model"
    _, out, _ = ask("choose", made.path, "the model", *choices)
    assert [line[0] for line in out.splitlines()].count("*") == 1
    assert [line.split("\t")[1] for line in out.splitlines()] == choices


def test_a_long_context_is_cut_and_told(runs: Runs, ask: Shell) -> None:
    status, out, err = ask("choose", runs("choices").path, "see the dog " * 9, "the dog", "the cat")
    assert status == 0 and len(out.splitlines()) == 2
    assert err == "the context is cut: with a choice it is longer than model.context_length=16\n"


def plain_choices(made: Made, context: str, choices: list[str]) -> Tensor:
    """By a GPT of characters, which tells every word from another."""
    return torch.tensor([likelihood(made, made.ids(context), made.ids(f" {choice}")) for choice in choices])


@pytest.mark.parametrize("name", [*CHOOSERS, "gpt"])
@pytest.mark.parametrize(("question", "word"), [("cause", "because"), ("effect", "so")])
def test_a_question_adds_the_word_of_copas_reader(
    runs: Runs, ask: Shell, tmp_path: Path, name: str, question: str, word: str
) -> None:
    made, choices = runs(name), ["head", "mask"] if name == "gpt" else ["the cat", "the hen"]  # each a likely pair
    (tmp_path / "copa.xml").write_text(
        f'<copa-corpus><item asks-for="{question}" most-plausible-alternative="1">'
        "<p> see the dog. </p><a1>a</a1><a2>b</a2></item></copa-corpus>"
    )
    (row,) = read_copa([tmp_path / "copa.xml"])
    assert row.fields["context"] == f"see the dog {word}"
    shown = json.loads(ask("choose", made.path, " see the dog. ", *choices, "--question", question, "--json")[1])
    score = CHOOSERS.get(name, plain_choices)
    expected = score(made, row.fields["context"], choices).softmax(dim=-1).tolist()
    assert [*shown["probabilities"].values()] == pytest.approx(expected, abs=1e-5)
    assert shown["context"] == " see the dog. "


@pytest.mark.parametrize(
    ("name", "arguments", "words"),
    [
        ("gpt", ["classify", "a"], "needs a template, and the words for the classes\n  got      --template None"),
        ("gpt", ["classify", "a", "--template", "{text}"], "--template {text}, --labels None"),
        ("gpt", ["classify", "a", "--template", "{text}", "--labels", "a"], "--labels\n  got      a\n  allowed  two"),
        ("gpt", ["classify", "a", "--template", "{text}", "--labels", "a, a"], "two different words or more"),
        ("gpt", ["classify", "a", "--template", "{txt}", "--labels", "a, b"], "did you mean {text}?"),
        ("gpt", ["classify", "a", "--template", " ", "--labels", "a, b"], "objective.template gives 1 rows"),
        ("bert classes", ["classify", "a", "--template", "{text}"], "--template\n  got      a run with a head"),
        ("gpt classes", ["classify", "a", "--labels", "a, b"], "--labels\n  got      a run with a head of its own"),
        ("bert classes", ["classify", "a", "--pair", "b"], "--pair\n  got      a run that was trained on single texts"),
        ("pairs", ["classify", "a"], "text 1 has no second text, and the run was trained on pairs (data.pair_key)"),
        ("pairs", ["classify", "a", "b", "--pair", "c"], "--pair\n  got      1 for 2 texts"),
        ("pairs", ["classify", "--pair", "c"], "--pair\n  got      no text"),
        ("choices", ["choose", "a", "b"], "choose\n  got      b\n  allowed  two different choices"),
        ("choices", ["choose", "a", "b", "b"], "choose\n  got      b, b\n  allowed  two different choices"),
        ("choices", ["choose", "a", "b", " "], "choose\n  got      an empty text"),
        ("choices", ["choose", "a", "b", "c", "--template", "{context}"], "--template\n  got      a run with a head"),
        (
            "choices",
            ["choose", "a", "b", "c", "--question", "couse"],
            "--question\n  got      couse\n  allowed  cause, effect\n  fix      did you mean cause?",
        ),
        (
            "choices",
            ["choose", ".", "b", "c", "--question", "why"],
            "--question\n  got      why\n  allowed  cause, effect",
        ),
        ("choices", ["choose", "a", "b", "the " * 14], "a row longer than the context"),
        ("gpt", ["choose", "a", "b", "c", "--template", "{text}"], "has no field 'text'"),
        ("gpt", ["choose", "\udcff", "b", "c"], "a text is not UTF-8 at character 1"),
    ],
)
def test_wrong_options_are_one_screen(runs: Runs, ask: Shell, name: str, arguments: list[str], words: str) -> None:
    verb, *rest = arguments
    status, out, err = ask(verb, runs(name).path, *rest)
    assert (status, out) == (2, "") and words in err and "Traceback" not in err


def test_pairs_may_not_be_missing_in_lines(runs: Runs) -> None:
    with pytest.raises(UserError, match="text 2 has no second text"):
        TextClassifier(runs("pairs").run).classify(["a film\tthey say", "the film"])
