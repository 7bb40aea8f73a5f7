"""What a row keeps where it is longer than the context, against a plain loop over the row."""

import numpy as np
import pytest

from lit_transformer.config.errors import UserError
from lit_transformer.data.prepared_rows import Ragged
from lit_transformer.data.rows.lengths import Room, cut, find_rooms, fit

RANDOM = np.random.default_rng(0)


def column(*rows: list[int]) -> Ragged:
    values = np.array([value for row in rows for value in row], dtype=np.uint16)
    return Ragged(values=values, offsets=np.cumsum([0, *map(len, rows)]))


def lists(ragged: Ragged) -> list[list[int]]:
    return [ragged[row].tolist() for row in range(len(ragged))]


def drawn(rows: int, longest: int, least: int = 1) -> Ragged:
    return column(*(RANDOM.integers(0, 99, RANDOM.integers(least, longest + 1)).tolist() for _ in range(rows)))


def places(count: int) -> list[str]:
    return [f"file:{number}" for number in range(1, count + 1)]


@pytest.mark.parametrize("from_start", [True, False])
def test_cut_keeps_the_first_or_the_last_ids(from_start: bool) -> None:
    rows = drawn(50, 9, least=0)
    keep = np.minimum(rows.lengths, RANDOM.integers(0, 6, 50))
    kept = cut(rows, keep, from_start=from_start)
    expected = [
        row[len(row) - count :] if from_start else row[:count] for row, count in zip(lists(rows), keep, strict=True)
    ]
    assert lists(kept) == expected
    assert lists(cut(rows, rows.lengths, from_start=from_start)) == lists(rows)
    assert lists(cut(column(), np.zeros(0, dtype=np.int64), from_start=from_start)) == []


def test_two_columns_lose_tokens_from_the_longer_one_first() -> None:
    first, second = drawn(200, 12), drawn(200, 12)
    (room,) = find_rooms("classification", "bert", "label", ["text", "pair"])
    fitted = fit({"text": first, "pair": second}, [room], 13, places=places(200), refuse=False)
    for row in range(200):
        a, b = first[row].tolist(), second[row].tolist()
        while len(a) + len(b) + 3 > 13:
            (a if len(a) > len(b) else b).pop()
        assert (fitted["text"][row].tolist(), fitted["pair"][row].tolist()) == (a, b)


@pytest.mark.parametrize(
    ("task", "model", "objective", "columns", "special"),
    [
        ("translation", "encoder_decoder", "translation", ["source", "target"], {"source": 1, "target": 1}),
        ("text_to_text", "t5", "translation", ["source", "target"], {"source": 1, "target": 1}),
        ("classification", "bert", "label", ["text"], {"text": 2}),
        ("classification", "gpt", "label", ["text"], {"text": 2}),
        ("classification", "gpt", "label", ["text", "pair"], {"text": 3, "pair": 3}),
        ("multiple_choice", "gpt", "label", ["context", "choice1", "choice2"], {"context": 3}),
        ("multiple_choice", "bert", "label", ["context", "choice1", "choice2"], {"context": 3}),
        ("classification", "gpt", "text", ["prompt", "choice1", "choice2"], {"prompt": 1}),
        ("classification", "t5", "text", ["prompt", "choice1", "choice2"], {"prompt": 1}),
    ],
)
def test_rows_fill_the_context_and_no_more(
    task: str, model: str, objective: str, columns: list[str], special: dict[str, int]
) -> None:
    given = {name: drawn(60, 5 if name.startswith("choice") else 30) for name in columns}
    fitted = fit(given, find_rooms(task, model, objective, columns), 16, places=places(60), refuse=False)
    for row in range(60):
        lengths = {name: len(fitted[name][row]) for name in columns}
        choice = max((length for name, length in lengths.items() if name.startswith("choice")), default=0)
        alone = task in ("translation", "text_to_text") or model == "t5"
        for name, count in special.items():
            other = 0 if alone else sum(lengths[more] for more in special if more != name)
            room = 16 - count - other - (0 if alone else choice)
            assert lengths[name] == min(len(given[name][row]), room) or other > lengths[name]
            assert lengths[name] <= room
            expected = given[name][row].tolist()
            kept = expected[-lengths[name] :] if name == "prompt" else expected[: lengths[name]]
            assert fitted[name][row].tolist() == kept
        assert all(fitted[name][row].tolist() == given[name][row].tolist() for name in columns if name not in special)


def test_refused_rows_are_named() -> None:
    rooms = find_rooms("translation", "encoder_decoder", "translation", ["source", "target"])
    given = {"source": column([1] * 9, [1] * 3), "target": column([1] * 2, [1] * 10)}
    fit(given, rooms, 11, places=places(2), refuse=True)
    with pytest.raises(
        UserError, match=r"file:2: a row longer(.|\n)*got      11 tokens of target, 1 of them special"
    ) as caught:
        fit(given, rooms, 10, places=places(2), refuse=True)
    assert "allowed  10 (model.context_length)" in str(caught.value)
    assert "model.context_length=11 or more, or data.too_long=truncate" in str(caught.value)


@pytest.mark.parametrize("refuse", [True, False])
def test_choices_are_never_cut(refuse: bool) -> None:
    for model, objective, columns in (
        ("gpt", "label", ["context"]),
        ("gpt", "text", ["prompt"]),
        ("t5", "text", ["prompt"]),
    ):
        given = {columns[0]: column([1], [2]), "choice1": column([1], [3] * 9), "choice2": column([1], [4])}
        rooms = find_rooms("multiple_choice", model, objective, list(given))
        with pytest.raises(UserError, match=r"file:2: a row longer than the context(.|\n)*choice"):
            fit(given, rooms, 9, places=places(2), refuse=refuse)
        fit(given, rooms, 14, places=places(2), refuse=refuse)


def test_no_rows_fit() -> None:
    room = Room(cut=("prompt",), whole=("choice1", "choice2"), special=1)
    empty = {name: column() for name in ("prompt", "choice1", "choice2")}
    assert all(len(kept) == 0 for kept in fit(empty, [room], 4, places=[], refuse=True).values())
