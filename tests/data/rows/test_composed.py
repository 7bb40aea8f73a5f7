"""`data.source_template`: the fields of the user's own rows become the source, and nothing gives the answer away."""

from collections.abc import Callable

import datasets
import pytest

from lit_transformer.config.errors import ConfigError, UserError
from lit_transformer.config.layers import shell_layer
from lit_transformer.config.load import load_layers
from lit_transformer.config.schema import ExperimentConfig
from lit_transformer.data.prepare_rows import prepare_rows
from lit_transformer.data.prepared_rows import PreparedRows
from lit_transformer.data.tokenizers import decode, load_tokenizer
from tests.data.rows.written import write_jsonl, write_lines

MakeRows = Callable[..., ExperimentConfig]
TEMPLATE = "question: {question} context: {context}"
ROWS = [{"question": f"who {n} ?", "context": f"{n} is Tom {n}", "answer": f"Tom {n}", "title": "t"} for n in range(40)]


@pytest.fixture
def answers(config: MakeRows) -> Callable[..., ExperimentConfig]:
    write_jsonl("qa.jsonl", ROWS)

    def make(**data: object) -> ExperimentConfig:
        usual = {"source": "jsonl", "path": "qa.jsonl", "target_key": "answer", "source_template": TEMPLATE}
        return config("text_to_text", model="t5", **{**usual, **data})

    return make


def sources(prepared: PreparedRows, split: str) -> list[str]:
    tokenizer, ragged = load_tokenizer(prepared.folder), prepared.ids(split, "source")
    return [decode(tokenizer, ragged[row].tolist()) for row in range(len(ragged))]


@pytest.mark.parametrize("prefix", ["", "read: "])
def test_a_source_is_made_of_fields_behind_the_prefix(answers: MakeRows, prefix: str) -> None:
    prepared = prepare_rows(answers(prefix=prefix, tokenizer={"kind": "characters"}))
    assert prepared.columns == ("source", "target") and sum(prepared.rows.values()) == len(ROWS)
    composed = {row["answer"]: f"question: {row['question']} context: {row['context']}" for row in ROWS}
    for split in prepared.rows:
        given = prepared.texts(split)
        assert [row["source"] for row in given] == [composed[row["target"]] for row in given]  # as `translate` takes it
        assert sources(prepared, split) == [prefix + row["source"] for row in given]


def test_every_source_with_names_has_templates(answers: MakeRows) -> None:
    tables = ["question\tcontext\tanswer", *("\t".join([*row.values()][:3]) for row in ROWS)]
    numbers = {"source_template": "question: {1} context: {2}", "target_key": "3"}
    write_lines("named.tsv", tables)
    write_lines("plain.tsv", tables[1:])
    datasets.Dataset.from_list(ROWS).save_to_disk("saved")
    expected = prepare_rows(answers()).texts("test")
    assert prepare_rows(answers(source="tsv", path="named.tsv", header=True)).texts("test") == expected
    assert prepare_rows(answers(source="tsv", path="plain.tsv", **numbers)).texts("test") == expected
    assert prepare_rows(answers(source="hub:saved", path=None)).texts("test") == expected


def test_the_target_may_be_called_source(answers: MakeRows) -> None:
    write_jsonl("odd.jsonl", [{"q": row["question"], "source": row["answer"]} for row in ROWS])
    prepared = prepare_rows(answers(path="odd.jsonl", source_template="ask {q}", target_key="source"))
    assert all(row["source"].startswith("ask who") and row["target"][:3] == "Tom" for row in prepared.texts("test"))


def test_the_template_decides_the_folder(answers: MakeRows) -> None:
    first = prepare_rows(answers())
    assert prepare_rows(answers(source_key="question")).folder == first.folder  # which a template stands for
    others = [answers(source_template="{question} {context}"), answers(source_template=None, source_key="question")]
    assert len({first.fingerprint, *(prepare_rows(other).fingerprint for other in others)}) == 3


@pytest.mark.parametrize(
    ("template", "message"),
    [
        ("{questoin}", r"data.source_template: .*qa.jsonl:1 has no field 'questoin'\n  got      '\{questoin\}'\n"
         r"  allowed  \{question\}, \{context\}, \{title\}\n  fix      did you mean \{question\}\?"),
        ("{question} {answer}", r"qa.jsonl:1 has no field 'answer'(.|\n)*\{question\}, \{context\}, \{title\}"),
        ("{question", r"data.source_template: expected '\}'"),
        ("{question!r}", r"data.source_template: got '\{question!r\}'\n  allowed  names of fields in braces"),
        ("the same", r"data.source_template: got 'the same', which is the same for every row\n  allowed  \{names\}"),
        ("", r"data.source_template: got '', which is the same for every row"),
    ],
)  # fmt: skip
def test_a_wrong_template_is_refused(answers: MakeRows, template: str, message: str) -> None:
    with pytest.raises(UserError, match=message):
        prepare_rows(answers(source_template=template))


def test_a_row_is_empty_where_all_that_is_named_is(answers: MakeRows) -> None:
    empty = {"question": " ", "context": "", "answer": "Tom", "title": "t"}
    write_jsonl(
        "qa.jsonl", [*ROWS, empty, {**empty, "context": None}, {**ROWS[0], "context": ""}, {**ROWS[0], "answer": ""}]
    )
    prepared = prepare_rows(answers())
    assert prepared.dropped == {"train": 3} and sum(prepared.rows.values()) == len(ROWS) + 1
    with pytest.raises(UserError, match=r"qa.jsonl:41: the source is empty(.|\n)*data.empty=drop"):
        prepare_rows(answers(empty="refuse"))


def test_blank_lines_of_a_table_stay_empty_lines(answers: MakeRows) -> None:
    write_lines("plain.tsv", [*(f"{row['question']}\t{row['answer']}" for row in ROWS), ""])
    made = answers(source="tsv", path="plain.tsv", source_template="q: {1}", target_key="2")
    assert prepare_rows(made).dropped == {"train": 1}


@pytest.mark.parametrize(
    ("settings", "got"),
    [
        (["task=classification", "data.source=jsonl"], "task classification and data.source jsonl"),
        (["task=language_model", "data.source=text"], "task language_model and data.source text"),
        (["task=text_to_text", "model.kind=t5"], "task text_to_text and data.source builtin"),
        (["task=translation", "model.kind=t5", "data.source=text"], "task translation and data.source text"),
    ],
)
def test_other_tasks_and_sources_have_no_template(settings: list[str], got: str) -> None:
    given = [*settings, "data.path=a", f"data.source_template={TEMPLATE}"]
    with pytest.raises(ConfigError) as caught:
        load_layers([shell_layer(given)])
    (problem,) = (problem for problem in caught.value.problems if problem.key == "data.source_template")
    assert problem.got == f"'{TEMPLATE}' with {got}" and "command line" in problem.origin
    assert problem.allowed == "null, or translation or text_to_text with rows whose fields have names: tsv, jsonl, hub"
    fine = ["task=text_to_text", "model.kind=t5", "data.source=jsonl", *given[-2:]]
    assert load_layers([shell_layer(fine)]).config.data.source_template == TEMPLATE
