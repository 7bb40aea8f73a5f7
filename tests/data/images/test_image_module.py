"""Batches of images: the same for any number of ranks, workers and restarts, changed at random in training alone."""

from collections.abc import Iterator
from itertools import islice

import numpy as np
import pytest
import torch
from torch import Tensor

from lit_transformer.config.errors import UserError
from lit_transformer.data.images.module import ImageDataModule
from lit_transformer.data.images.prepare import prepare_images
from lit_transformer.data.sampler import PADDING, Plan
from tests.data.images.pictures import experiment, write_pairs

ALL = {"scale": 1.5, "flip": True, "brightness": 0.3, "contrast": 0.3, "saturation": 0.3, "hue": 0.1}
SEVERAL = [(12, 16), (16, 12), (12, 16), (20, 24)]
Batch = dict[str, Tensor]


@pytest.fixture(autouse=True)
def _pairs() -> None:
    write_pairs(20, sizes=SEVERAL)


def module(*, rank: int = 0, world_size: int = 1, **settings: object) -> ImageDataModule:
    config = experiment(**{"val_fraction": 0.2, "test_fraction": 0, **settings})  # type: ignore[arg-type]
    return ImageDataModule(config, prepare_images(config), rank=rank, world_size=world_size)


def train_batches(count: int, **settings: object) -> list[Batch]:
    return list(islice(module(**settings).train_dataloader(), count))


def rows_of(batch: Batch) -> Iterator[tuple[int, bytes]]:
    """Number and pixels, mask and all, of each real image."""
    for row, image, mask in zip(batch["rows"].tolist(), batch["images"], batch["masks"], strict=True):
        if row != PADDING:
            yield row, image.numpy().tobytes() + mask.numpy().tobytes()


CASES = {"crop": {**ALL, "crop": 16}, "own sizes": ALL, "resized": {**ALL, "height": 12, "width": 12}}


@pytest.mark.parametrize("case", CASES)
def test_batches_are_of_one_shape_and_epochs_of_every_image(case: str) -> None:
    made = module(images=CASES[case])
    steps = made.steps_per_epoch
    for epoch in range(2):
        batches = list(islice(made.train_dataloader(), epoch * steps, (epoch + 1) * steps))
        assert sorted(row for batch in batches for row, _ in rows_of(batch)) == list(range(16))
        for batch in batches:
            assert batch["images"].dtype == torch.uint8 and batch["masks"].dtype == batch["rows"].dtype == torch.int64
            count, channels, height, width = batch["images"].shape
            assert channels == 3 and batch["masks"].shape == (count, height, width) and len(batch["rows"]) == count
            assert (height, width) == (16, 16) or case != "crop"
            assert (height, width) in SEVERAL or case != "own sizes"
            assert batch["window_count"].dtype == torch.float32 and batch["window_count"].shape == ()
            assert float(batch["window_count"]) == sum(1 for _ in rows_of(batch)) <= 4
            assert set(batch["masks"].unique().tolist()) <= {-100, 0, 1, 2}


@pytest.mark.parametrize("case", CASES)
def test_two_ranks_and_micro_batches_take_the_images_of_one(case: str) -> None:
    settings = {"images": CASES[case]}
    steps = module(**settings).steps_per_epoch
    whole = [dict(rows_of(batch)) for batch in train_batches(2 * steps, **settings)]
    ranks = [train_batches(2 * steps, rank=rank, world_size=2, **settings) for rank in range(2)]
    accumulated = train_batches(4 * steps, trainer={"accumulate": 2}, **settings)
    micro = [accumulated[2 * step : 2 * step + 2] for step in range(2 * steps)]
    for step, expected in enumerate(whole):
        for parts in ([rank[step] for rank in ranks], micro[step]):
            assert [row for part in parts for row, _ in rows_of(part)] == list(expected)  # in the same order
            assert dict(pair for part in parts for pair in rows_of(part)) == expected
            assert len({part["images"].shape for part in parts}) == 1
            assert {float(part["window_count"]) for part in parts} == {float(len(expected))}
    assert any(PADDING in batch["rows"].tolist() for rank in ranks for batch in rank) == (case == "own sizes")


def test_rows_of_padding_hold_nothing() -> None:
    batches = [batch for rank in range(2) for batch in train_batches(10, rank=rank, world_size=2, images=ALL)]
    padded = [(batch, batch["rows"] == PADDING) for batch in batches if (batch["rows"] == PADDING).any()]
    assert padded
    for batch, which in padded:
        assert (batch["images"][which] == 0).all() and (batch["masks"][which] == -100).all()


def same(one: list[Batch], other: list[Batch]) -> bool:
    pairs = zip(one, other, strict=True)
    return all(a.keys() == b.keys() and all(torch.equal(a[key], b[key]) for key in a) for a, b in pairs)


def test_a_resumed_run_goes_on_where_the_other_stopped(monkeypatch: pytest.MonkeyPatch) -> None:
    settings = {"images": CASES["crop"], "seed": 3}
    whole = train_batches(11, **settings)
    for done in (1, 4, 5, 9):
        resumed = module(**settings)
        monkeypatch.setattr(resumed, "_steps_done", lambda done=done: done)
        resumed._train_sampler._steps_done = resumed._steps_done
        assert same(list(islice(resumed.train_dataloader(), 11 - done)), whole[done:])
    assert not same(train_batches(4, **settings), train_batches(4, **{**settings, "seed": 4}))
    assert not same(whole[:4], whole[4:8])  # another epoch


@pytest.mark.parametrize("case", ["crop", "own sizes"])
def test_loader_workers_make_the_same_batches(case: str) -> None:
    settings = {"images": CASES[case]}
    alone = train_batches(8, **settings)
    loader = module(loader_workers=2, persistent_workers=False, **settings).train_dataloader()
    assert same(list(islice(loader, 8)), alone)


def test_an_image_is_the_same_in_any_batch() -> None:
    made = module(images=CASES["crop"])
    dataset = made.dataset("train", training=True)

    def pixels(rows: list[int], epoch: int) -> dict[int, bytes]:
        plan = np.array(rows, dtype=np.int64)
        return dict(rows_of(dataset[Plan(plan, plan, epoch)]))

    together = pixels([5, 2, 9, PADDING, 1], 4)
    for row in (5, 2, 9, 1):
        assert pixels([row], 4)[row] == pixels([PADDING, row, 3], 4)[row] == together[row]
        assert pixels([row], 5)[row] != together[row]


def test_evaluation_takes_images_as_they_are_once_and_in_order() -> None:
    made = module(images={**ALL, "crop": 8}, batch_size=2, test_fraction=0.2)
    for split, loader in (("val", made.val_dataloader), ("test", made.test_dataloader)):
        store = made._prepared.store(split)
        batches = list(loader())
        assert same(batches, list(loader()))
        found = [row for batch in batches for row, _ in rows_of(batch)]
        assert sorted(found) == list(range(4)) and len(batches) >= 2
        for batch in batches:
            for place, row in enumerate(batch["rows"].tolist()):
                image, mask = store.load(row)
                assert torch.equal(batch["images"][place], image) and torch.equal(batch["masks"][place], mask)


def test_two_ranks_evaluate_every_image_once() -> None:
    alone = dict(pair for batch in module().val_dataloader() for pair in rows_of(batch))
    ranks = [list(module(rank=rank, world_size=2).val_dataloader()) for rank in range(2)]
    assert len(ranks[0]) == len(ranks[1])
    shared = [pair for rank in ranks for batch in rank for pair in rows_of(batch)]
    assert len(shared) == len(alone) and dict(shared) == alone
    assert all(one["images"].shape[1:] == other["images"].shape[1:] for one, other in zip(*ranks, strict=True))


def test_overfitting_validates_on_the_images_trained_on() -> None:
    made = module(images={"crop": 8}, trainer={"overfit_batches": 2})
    trained = list(islice(made.train_dataloader(), 4))
    assert same(trained[:0], []) and trained[0]["rows"].tolist() == trained[2]["rows"].tolist()
    validated = list(made.val_dataloader())
    assert [batch["rows"].tolist() for batch in validated] == [batch["rows"].tolist() for batch in trained[:2]]
    assert trained[0]["images"].shape[2:] == (8, 8)
    assert tuple(validated[0]["images"].shape[2:]) == SEVERAL[int(made._prepared.names("train")[0][:2]) % 4]


def test_pixels_of_a_step() -> None:
    assert module(images={"crop": 16}).tokens_per_step == 4 * 16 * 16
    made = module(images={"height": 12, "width": 16}, batch_size=5)  # 16 images in 4 steps
    assert made.steps_per_epoch == 4 and made.tokens_per_step == 4 * 12 * 16


def test_describing_a_plan() -> None:
    rows = np.array([3, PADDING, 1])
    text = module().dataset("train", training=True).describe(Plan(rows, rows))
    assert text == "images 3, 1 of the train split, counted from 0"


def test_what_cannot_be_divided_or_is_empty_is_said() -> None:
    with pytest.raises(UserError, match=r"data\.batch_size: got 4\n  allowed  a multiple of 3"):
        module(world_size=3)
    with pytest.raises(UserError, match=r"there is no test split to evaluate on: it has no images"):
        module().test_dataloader()
