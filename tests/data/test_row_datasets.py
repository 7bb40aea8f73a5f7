"""Batches hold the rows as they were stored, padded to one shape a step, for every kind of task and network."""

from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from torch import Tensor

from lit_transformer.config.errors import UserError
from lit_transformer.config.models import MODEL_CONFIGS, BertConfig, EncoderDecoderConfig, GPTConfig, T5Config
from lit_transformer.config.registry import ROW_TASKS, TASK_OBJECTIVES
from lit_transformer.config.schema import DataConfig, ExperimentConfig, ObjectiveConfig, TokenizerConfig
from lit_transformer.data.buckets import BucketOrder, Buckets
from lit_transformer.data.prepare_rows import prepare_rows
from lit_transformer.data.prepared_rows import PreparedRows
from lit_transformer.data.row_datasets import build_row_dataset, row_lengths, row_sequences
from lit_transformer.data.sampler import PADDING, EpochSampler, Plan, Sharding
from lit_transformer.data.specials import Specials, specials_of
from lit_transformer.data.tokenizers import load_tokenizer
from lit_transformer.models.bert import Bert
from lit_transformer.models.encoder_decoder import EncoderDecoder
from lit_transformer.models.gpt import GPT
from lit_transformer.models.heads import Chooser, Classifier
from lit_transformer.models.t5 import T5
from tests.data.row_cases import (
    CASES,
    CONTEXT,
    EOT,
    IGNORED,
    PAD,
    ROWS,
    SPECIALS,
    TEXT,
    Case,
    Row,
    num_labels,
    prepare,
    stored,
)


def plans(case: Case, prepared: PreparedRows, parts: int = 1, **sizes: int) -> list[list[Plan]]:
    """The micro-batches of each step, those of every rank."""
    order = BucketOrder(
        row_lengths(case.config, prepared, "val"), seed=0, batch_size=4, parts=parts,
        sequences=row_sequences(case.config, prepared, "val", training=case.training), **sizes,
    )  # fmt: skip
    ranks = [EpochSampler(order, Sharding(accumulate=1, rank=rank, world_size=parts)) for rank in range(parts)]
    return [list(step) for step in zip(*ranks, strict=True)]


def padded(values: Any, shape: tuple[int, ...], filler: int) -> np.ndarray:
    """`values`, lists in lists, in the corner of an array of `filler`."""
    result = np.full(shape, filler)
    if not shape:
        return np.array(values)
    for index, inner in enumerate(values):
        result[index] = padded(inner, shape[1:], filler)
    return result


@pytest.mark.parametrize("name", CASES)
def test_batches_hold_the_stored_rows(name: str, tmp_path: Path) -> None:
    case = CASES[name]
    rows, labels = stored(case.columns, num_labels(case))
    prepared = prepare(tmp_path, rows, labels)
    dataset = build_row_dataset(case.config, prepared, "val", case.specials, training=case.training)
    fillers = {"inputs": case.filler, "decoder_inputs": PAD, "token_types": 0}
    seen = []
    for plan in (plan for step in plans(case, prepared, parts=2) for plan in step):
        batch = dataset[plan]
        del batch["window_count"]
        mask = batch.pop("input_mask", None)
        numbers = batch.pop("rows", None)
        assert (numbers is not None) == (case.task in ("translation", "text_to_text") and not case.training)
        assert numbers is None or numbers.tolist() == plan.rows.tolist()
        assert all(tensor.dtype == torch.int64 for tensor in batch.values())
        for index, row in enumerate(plan.rows.tolist()):
            if row == PADDING:
                continue
            seen.append(row)
            expected = case.rows(rows[row], labels[row])
            assert set(expected) == set(batch)
            for key, values in expected.items():
                found = batch[key][index].numpy()
                of_text = key == "inputs" and case.model is GPTConfig and case.objective == "text"
                held = clipped(values, found.shape[-1]) if of_text else values
                assert np.array_equal(found, padded(held, found.shape, fillers.get(key, IGNORED))), key
            if case.model is not GPTConfig:
                real = padded(ones(expected["inputs"]), batch["inputs"].shape[1:], 0).astype(bool)
                assert np.array_equal(mask[index].numpy(), real) if mask is not None else real.all()
        assert mask is None or case.model is not GPTConfig
    assert sorted(seen) == list(range(ROWS))


def clipped(values: Any, time: int) -> Any:
    """A text as long as the batch has lost its last token, which is only a target."""
    return [clipped(inner, time) for inner in values] if isinstance(values[0], list) else values[:time]


def ones(values: Any) -> Any:
    return [ones(inner) if isinstance(inner, list) else 1 for inner in values]


@pytest.mark.parametrize("name", CASES)
def test_micro_batches_of_a_step_have_one_shape_and_share_its_count(name: str, tmp_path: Path) -> None:
    case = CASES[name]
    prepared = prepare(tmp_path, *stored(case.columns, num_labels(case)))
    dataset = build_row_dataset(case.config, prepared, "val", case.specials, training=case.training)
    sequences = row_sequences(case.config, prepared, "val", training=case.training)
    padding = 0
    for step in plans(case, prepared, parts=2, max_tokens=2 * sequences * CONTEXT):
        batches = [dataset[plan] for plan in step]
        assert len({str([(key, value.shape) for key, value in batch.items()]) for batch in batches}) == 1
        whole = dataset[replace(step[0], rows=step[0].window)]  # one rank
        assert set(whole) == set(batches[0])
        for key in set(whole) - {"window_count"}:
            assert torch.equal(whole[key], torch.cat([batch[key] for batch in batches]))
        texts = whole["decoder_inputs"] if "decoder_inputs" in whole else whole["inputs"]
        rows = int((step[0].window != PADDING).sum())
        assert rows * max(texts[0].numel(), whole["inputs"][0].numel()) <= 2 * sequences * CONTEXT
        counts = {float(batch["window_count"]) for batch in [*batches, whole]}
        assert counts == {float(sum(targets_of(batch) for batch in batches))}
        assert all(batch["window_count"].dtype == torch.float32 for batch in batches)
        padding += sum((plan.rows == PADDING).sum() for plan in step)
    assert padding  # or the ragged step is not tried


def targets_of(batch: dict[str, Tensor]) -> int:
    """Targets that count: all there are, or of several answers those of the right one."""
    targets = batch["targets"]
    if "labels" in batch:
        real = batch["labels"] >= 0
        targets = targets[real, batch["labels"][real]]
    return int((targets != IGNORED).sum())


@pytest.mark.parametrize("name", CASES)
def test_rows_of_padding_hold_nothing_but_one_place_to_attend_to(name: str, tmp_path: Path) -> None:
    case = CASES[name]
    prepared = prepare(tmp_path, *stored(case.columns, num_labels(case)))
    dataset = build_row_dataset(case.config, prepared, "val", case.specials, training=case.training)
    batch = dataset[Plan(np.array([PADDING, 3]), np.array([3, PADDING]))]
    empty = {key: value[0] for key, value in batch.items() if key != "window_count"}
    assert float(batch["window_count"]) == targets_of(batch)
    for key in {"targets", "lm_targets", "labels"} & set(empty):
        assert (empty[key] == IGNORED).all()
    if "decoder_inputs" in empty:
        assert (empty["decoder_inputs"] == PAD).all()
    assert (empty["inputs"] == case.filler).all() and not empty.get("ends", torch.zeros(1)).any()
    if "input_mask" in empty:
        assert empty["input_mask"][..., 0].all() and not empty["input_mask"][..., 1:].any()
    nothing = dataset[Plan(np.array([PADDING]), np.array([PADDING]))]  # a rank's share beyond a limit
    assert not float(nothing["window_count"]) and targets_of(nothing) == 0


def network(case: Case) -> torch.nn.Module:
    torch.manual_seed(0)
    model: Any = case.config.model
    if isinstance(model, T5Config):
        return T5(model)
    if isinstance(model, EncoderDecoderConfig):
        return EncoderDecoder(model)
    if case.objective == "text":
        return GPT(model)
    body = Bert(model, lm_head=False, pooler=True) if isinstance(model, BertConfig) else GPT(model)
    return Classifier(body, 2, lm_weight=0.5) if case.task == "classification" else Chooser(body, lm_weight=0.5)


@pytest.mark.parametrize("name", [name for name, case in CASES.items() if "evaluation" not in name])
def test_padding_changes_no_loss_and_no_gradient(name: str, tmp_path: Path) -> None:
    case = replace(CASES[name], training=True)
    prepared = prepare(tmp_path, *stored(case.columns, num_labels(case)))
    dataset = build_row_dataset(case.config, prepared, "val", case.specials, training=True)
    net = network(case)

    def loss(rows: list[int], window: list[int]) -> tuple[Tensor, Tensor]:
        batch = dataset[Plan(np.array(rows), np.array(window))]
        del batch["window_count"]
        return net.loss(**batch)  # type: ignore[operator]

    def gradients(total: Tensor) -> list[Tensor]:
        return torch.autograd.grad(total, list(net.parameters()))

    window = [2, PADDING, 7, 11, PADDING, PADDING]
    total, count = loss(window, window)
    parts = [loss([row], [row]) for row in (2, 7, 11)]  # each row alone, hardly padded
    alone, alone_count = (torch.stack(values).sum() for values in zip(*parts, strict=True))
    assert count == alone_count == dataset[Plan(np.array(window), np.array(window))]["window_count"]
    assert torch.allclose(total, alone, rtol=1e-5)
    for found, expected in zip(gradients(total), gradients(alone), strict=True):
        assert found.isfinite().all() and torch.allclose(found, expected, atol=1e-5)
    nothing, none = loss([PADDING, PADDING], window)
    assert nothing == 0 and none == 0
    assert all((gradient == 0).all() for gradient in gradients(nothing))


def test_the_mask_is_left_out_where_a_whole_window_has_no_padding(tmp_path: Path) -> None:
    rows: list[Row] = [{"source": [10 + row] * 9, "target": [20] * (3 + row)} for row in range(4)]
    prepared = prepare(tmp_path, rows, [0] * 4)
    case = CASES["translation"]
    dataset = build_row_dataset(case.config, prepared, "val", SPECIALS, training=True)
    full = np.array([0, 1])
    assert "input_mask" not in dataset[Plan(full, full)]
    ragged = dataset[Plan(full, np.array([0, 1, PADDING, PADDING]))]  # the other rank needs a mask
    assert ragged["input_mask"].all()


def test_an_end_keeps_a_choice_from_winning_as_the_beginning_of_another(tmp_path: Path) -> None:
    rows: list[Row] = [{"prompt": [10], "choice1": [20], "choice2": [20, 21]}]
    case = CASES["text evaluation"]
    dataset = build_row_dataset(
        case.config, prepare(tmp_path, rows, [1]), "val", Specials(eot=EOT), training=False
    )  # fmt: skip
    targets = dataset[Plan(np.array([0]), np.array([0]))]["targets"][0].tolist()
    assert [[index for index in choice if index != IGNORED] for choice in targets] == [[20, EOT], [20, 21, EOT]]


def test_one_token_type_is_enough(tmp_path: Path) -> None:
    case = CASES["bert pairs"]
    config = replace(case.config, model=replace(case.config.model, token_types=1))  # type: ignore[call-arg]
    dataset = build_row_dataset(config, prepare(tmp_path, *stored(case.columns)), "val", SPECIALS, training=True)
    assert not dataset[Plan(np.arange(4), np.arange(4))]["token_types"].any()


@pytest.mark.parametrize("name", CASES)
def test_lengths_are_those_of_the_longest_sequence(name: str, tmp_path: Path) -> None:
    case = CASES[name]
    rows, labels = stored(case.columns, num_labels(case))
    prepared = prepare(tmp_path, rows, labels)
    lengths = row_lengths(case.config, prepared, "val")
    dataset = build_row_dataset(case.config, prepared, "val", case.specials, training=case.training)
    for row in range(ROWS):
        batch = dataset[Plan(np.array([row]), np.array([row]))]
        time = max(batch[key].shape[-1] for key in ("inputs", "decoder_inputs") if key in batch)
        assert time <= Buckets(lengths).time(np.array([row]))
    if case.training and case.objective != "text":  # else all answers count for the length, or the start is missing
        expected = [case.rows(rows[row], labels[row]) for row in range(ROWS)]
        sides = [[row[key] for key in ("inputs", "decoder_inputs") if key in row] for row in expected]
        assert lengths.tolist() == [max(deepest(side) for side in row) for row in sides]


def deepest(values: Any) -> int:
    return max(deepest(inner) for inner in values) if isinstance(values[0], list) else len(values)


def test_descriptions_name_the_rows(tmp_path: Path) -> None:
    case = CASES["bert"]
    dataset = build_row_dataset(case.config, prepare(tmp_path, *stored(case.columns)), "val", SPECIALS, training=True)
    plan = Plan(np.array([4, 2, PADDING]), np.array([4, 2, PADDING]))
    assert dataset.describe(plan) == "rows 4, 2 of the val split, counted from 0"


@pytest.mark.parametrize(
    ("name", "specials", "missing"),
    [
        ("translation", Specials(pad=0), "</s>"),
        ("translation", Specials(end=0), "<pad>"),
        ("bert", Specials(pad=0), r"\[CLS\], \[SEP\]"),
        ("gpt", Specials(pad=0, start=1), "<extract>"),
        ("gpt pairs", Specials(pad=0, start=1, extract=2), "<delimiter>"),
        ("t5 text", Specials(), "<pad>, </s>"),
    ],
)
def test_a_tokenizer_without_the_special_tokens_is_refused(
    name: str, specials: Specials, missing: str, tmp_path: Path
) -> None:
    case = CASES[name]
    prepared = prepare(tmp_path, *stored(case.columns))
    with pytest.raises(UserError, match=f"task {case.task} with model.kind .*: the tokenizer has no {missing}"):
        build_row_dataset(case.config, prepared, "val", specials, training=True)


def test_an_empty_prompt_needs_a_token_to_start_from(tmp_path: Path) -> None:
    rows, labels = stored(TEXT)
    rows[5]["prompt"] = rows[7]["prompt"] = []
    case, prepared = CASES["text"], prepare(tmp_path, rows, labels)
    build_row_dataset(case.config, prepared, "val", Specials(eot=EOT), training=True)
    with pytest.raises(UserError, match=r"2 rows of the val split an empty prompt, the first being row 5") as caught:
        build_row_dataset(case.config, prepared, "val", Specials(), training=True)
    assert "objective.template" in str(caught.value)


def test_rows_beyond_the_context_are_a_fault_of_preparation(tmp_path: Path) -> None:
    case = CASES["translation"]
    prepared = prepare(tmp_path, [{"source": [10] * CONTEXT, "target": [10]}], [0])  # the end makes it too long
    with pytest.raises(AssertionError, match=f"preparation left {CONTEXT + 1} tokens"):
        build_row_dataset(case.config, prepared, "val", SPECIALS, training=True)


KINDS = [
    (task, kind, objective)
    for task, kinds in TASK_OBJECTIVES.items() if task in ROW_TASKS
    for kind, objectives in kinds.items() for objective in objectives
]  # fmt: skip


@pytest.mark.parametrize(("task", "kind", "objective"), KINDS)
def test_real_rows_cut_to_a_short_context_fill_it(task: str, kind: str, objective: str) -> None:
    context = {"translation": 4, "text_to_text": 16, "classification": 10, "multiple_choice": 18}[task]
    template = "{context} " if task == "multiple_choice" else "{text} "
    config = ExperimentConfig(
        task=task,  # type: ignore[arg-type]
        model=MODEL_CONFIGS[kind](**{"context_length": context}),  # type: ignore[arg-type]
        objective=ObjectiveConfig(name=objective, template=template),  # type: ignore[arg-type]
        data=DataConfig(batch_size=64, tokenizer=TokenizerConfig(kind="words", vocab_size=None, min_frequency=1)),
    )
    prepared = prepare_rows(config)
    assert prepared.truncated
    specials = specials_of(load_tokenizer(prepared.tokenizer_path))
    for training in (True, False):
        dataset = build_row_dataset(config, prepared, "val", specials, training=training)
        order = BucketOrder(row_lengths(config, prepared, "val"), seed=0, batch_size=64)
        batches = [dataset[Plan(step, step)] for step in order.steps(0)]
        times = [batch[key].shape[-1] for batch in batches for key in ("inputs", "decoder_inputs") if key in batch]
        assert max(times) == context
        assert all(float(batch["window_count"]) == targets_of(batch) for batch in batches)
        assert all(
            0 <= int(batch["inputs"].min()) <= int(batch["inputs"].max()) < prepared.vocab_size for batch in batches
        )
