"""Questions about the user's own texts: a jsonl is trained on by a template, and `translate` takes what it composes."""

import json
import random
from pathlib import Path

import pytest

from lit_transformer.inference.evaluate import evaluate
from lit_transformer.records.run_folder import RunFolder
from tests.inference.runs import WHOLE_WORDS, Made, Shell, make_run, opened
from tests.inference.test_translate import alone

COLOURS, ANIMALS = ("red", "blue", "green"), ("cat", "dog", "cow", "hen")
TEMPLATE = "question: {question} context: {context}"


@pytest.fixture(scope="module")
def made(tmp_path_factory: pytest.TempPathFactory) -> Made:
    folder, pick, rows = tmp_path_factory.mktemp("questions"), random.Random(0), []
    for number in range(240):
        (first, second), (one, other) = pick.sample(ANIMALS, 2), pick.sample(COLOURS, 2)
        context = f"the {first} is {one} and the {second} is {other}"
        rows.append({"id": number, "question": f"which colour has the {first}", "context": context, "answer": one})
    (folder / "questions.jsonl").write_text("".join(json.dumps(row) + "\n" for row in rows))
    settings = [
        "task=text_to_text", "model.kind=t5", "data.source=jsonl", f"data.path={folder / 'questions.jsonl'}",
        f"data.source_template={TEMPLATE}", "data.target_key=answer", "data.prefix='read: '", "model.context_length=24",
    ]  # fmt: skip
    return opened(make_run(folder / "run", [*settings, *WHOLE_WORDS], steps=100))


def test_translate_takes_what_the_template_makes_and_puts_the_prefix_before_it(made: Made, ask: Shell) -> None:
    folder = Path(json.loads((made.path / "prepared.json").read_text())["folder"])
    rows = [json.loads(line) for line in (folder / "test.jsonl").read_text().splitlines()]
    sources = [row["source"] for row in rows]
    assert all(
        source.startswith("question: which colour has the ") and " context: the " in source for source in sources
    )
    status, out, _ = ask("translate", made.path, "--json", stdin="".join(f"{source}\n" for source in sources))
    assert status == 0
    found = [shown["translations"][0] for shown in json.loads(out)]
    for source, text in zip(sources[:5], found, strict=False):
        assert (text["text"], text["log_probability"]) == pytest.approx(alone(made, source, "read: ")[0][:2], abs=1e-4)
    right = sum(text["text"] == row["target"] for text, row in zip(found, rows, strict=True))
    assert right / len(rows) == pytest.approx(evaluate(made.path, "test")["test/exact_match"])
    assert right > 0
    column = (folder / "test.source.bin").read_bytes()
    ids = [index for source in sources for index in made.ids(f"read: {source}")]
    assert [int.from_bytes(column[at : at + 2], "little") for at in range(0, len(column), 2)] == ids


def test_the_template_is_frozen_with_the_run(made: Made) -> None:
    assert RunFolder(made.path).read_config()["data"]["source_template"] == TEMPLATE  # type: ignore[index]
