"""Labels of examples: their order, their names, their numbers, and what guessing the commonest one gets right."""

from collections import Counter
from collections.abc import Hashable, Iterable, Sequence

import numpy as np
from numpy.typing import NDArray

from lit_transformer.config.errors import UserError
from lit_transformer.config.suggest import did_you_mean
from lit_transformer.data.rows.examples import Example


def label_order(examples: Iterable[Example]) -> list[str]:
    """The labels of a training split, sorted: as numbers where all are numbers, else as names.

    Raises UserError where there is one alone.
    """
    found = sorted({example.label for example in examples})
    if len(found) < 2:
        raise UserError(
            f"the training rows have one label alone: {', '.join(found)}\n"
            "  allowed  two labels or more\n  fix      check data.label_key"
        )
    try:
        return sorted(found, key=float)
    except ValueError:
        return found


def label_names(order: Sequence[str], words: str | None) -> tuple[str, ...]:
    """What stands for each label: `objective.label_words` in the order of the labels, else the labels themselves.

    Raises UserError where there are not as many words as labels, or two are the same.
    """
    if words is None:
        return tuple(order)
    names = tuple(word.strip() for word in words.split(","))
    if len(names) != len(order) or len(set(names)) != len(names) or not all(names):
        raise UserError(
            f"objective.label_words: got {words!r}, {len(names)} words for {len(order)} labels\n"
            f"  allowed  a different word for each label, in the order {', '.join(order[:20])}"
        )
    return names


def label_ids(examples: Sequence[Example], order: Sequence[str], split: str) -> NDArray[np.int64]:
    """The number of each example's label, (rows,); raises UserError with file and line for one not in the order."""
    numbers = {label: number for number, label in enumerate(order)}
    for example in examples:
        if example.label not in numbers:
            near = did_you_mean(example.label, order)
            raise UserError(
                f"{example.row.place}: a label of the {split} split that no training row has\n"
                f"  got      {example.label!r}\n  allowed  {', '.join(order[:20])}"
                + (f"\n  fix      did you mean {near}?" if near else "")
            )
    return np.array([numbers[example.label] for example in examples], dtype=np.int64)


def choice_ids(examples: Sequence[Example], num_choices: int) -> NDArray[np.int64]:
    """The number of each example's right choice from 0, (rows,); raises UserError with file and line for another."""
    allowed = [str(number) for number in range(num_choices)]
    for example in examples:
        if example.label not in allowed:
            raise UserError(
                f"{example.row.place}: there is no such choice\n  got      {example.label!r}\n"
                f"  allowed  {', '.join(allowed)}: the number of the right choice, from 0"
            )
    return np.array([int(example.label) for example in examples], dtype=np.int64)


def majority(answers: Iterable[Hashable]) -> float:
    """Share of the commonest answer, a label's number or a text; 0 without rows."""
    counts = Counter(answers)
    return max(counts.values()) / counts.total() if counts else 0.0
