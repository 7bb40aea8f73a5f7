"""Batches: what the objective makes of the blocks, on any rank, with any number of workers, under Lightning."""

from collections.abc import Callable
from itertools import islice
from pathlib import Path

import pytest
import torch
from lightning.pytorch import Callback, LightningModule, Trainer
from torch import Tensor

from lit_transformer.config.errors import UserError
from lit_transformer.config.schema import ExperimentConfig
from lit_transformer.data.prepare import PreparedText, prepare_text
from lit_transformer.data.text import TextDataModule
from lit_transformer.data.tokenizers import decode, load_tokenizer

MakeConfig = Callable[..., ExperimentConfig]
Prepare = Callable[..., tuple[ExperimentConfig, PreparedText]]


@pytest.fixture
def prepare(config: MakeConfig, prose: str) -> Prepare:
    def make(**settings: object) -> tuple[ExperimentConfig, PreparedText]:
        Path("text.txt").write_text(prose[:6000], newline="")
        made = config(**{"batch_size": 8, "context_length": 16, **settings})
        return made, prepare_text(made)

    return make


def module(made: tuple[ExperimentConfig, PreparedText], rank: int = 0, world_size: int = 1) -> TextDataModule:
    return TextDataModule(*made, rank=rank, world_size=world_size)


def batches(data: TextDataModule, split: str, epochs: int = 1) -> list[dict[str, Tensor]]:
    """A split's batches; those of training, which have no end, for some epochs."""
    loader = getattr(data, f"{split}_dataloader")()
    accumulate = data.config.trainer.accumulate
    return list(islice(loader, epochs * data.steps_per_epoch * accumulate) if split == "train" else loader)


def test_validation_predicts_every_token_once(prepare: Prepare, prose: str) -> None:
    made = prepare()
    ids = torch.from_numpy(made[1].token_ids("val").astype("int64"))
    found = batches(module(made), "val")
    targets = torch.cat([batch["targets"] for batch in found])  # (rows, time)
    assert torch.equal(targets[targets != -100], ids[1:])
    inputs = torch.cat([batch["inputs"] for batch in found])  # (rows, time)
    assert torch.equal(inputs[targets != -100], ids[:-1])
    assert inputs.min() >= 0  # an embedding can look up the padding
    assert [int(batch["window_count"]) for batch in found] == [int((b["targets"] != -100).sum()) for b in found]
    text = decode(load_tokenizer(made[1].folder), [int(ids[0]), *targets[targets != -100].tolist()])
    assert text == prose[:6000][int(6000 * 0.8) : int(6000 * 0.9)]


def test_types_and_static_shapes(prepare: Prepare) -> None:
    made = prepare(trainer={"accumulate": 2})
    for split in ("train", "val", "test"):
        for batch in batches(module(made), split):
            assert {name: value.dtype for name, value in batch.items()} == {
                "inputs": torch.int64,
                "targets": torch.int64,
                "window_count": torch.float32,
            }
            assert batch["inputs"].shape == batch["targets"].shape == (4, 16)
            assert batch["window_count"].shape == ()


@pytest.mark.parametrize("split", ["train", "val", "test"])
def test_two_ranks_equal_one_rank_that_accumulates(split: str, prepare: Prepare) -> None:
    def rows(made: tuple[ExperimentConfig, PreparedText], rank: int, world_size: int) -> list[dict[str, Tensor]]:
        return batches(module(made, rank, world_size), split)

    ranks = [rows(prepare(), rank, 2) for rank in range(2)]
    parallel = [batch for pair in zip(*ranks, strict=True) for batch in pair]
    single = rows(prepare(trainer={"accumulate": 2}), 0, 1)
    whole = rows(prepare(), 0, 1)
    for name in ("inputs", "targets"):
        joined = torch.cat([batch[name] for batch in whole])  # (rows, time)
        for found in (torch.cat([batch[name] for batch in parts]) for parts in (parallel, single)):
            assert torch.equal(found[: len(joined)], joined[: len(found)])
            extra = torch.cat([found[len(joined) :], joined[len(found) :]])
            assert name == "inputs" or (extra == -100).all()  # only rows of padding
    assert sum(batch["window_count"] for batch in ranks[0]) == sum(batch["window_count"] for batch in whole)
    if split == "train":
        assert [batch["window_count"] for batch in parallel] == [batch["window_count"] for batch in single]


@pytest.mark.parametrize("split", ["train", "val"])
def test_workers_change_nothing(split: str, prepare: Prepare) -> None:
    one, two = (batches(module(prepare(loader_workers=count)), split, epochs=2) for count in (0, 2))
    assert len(one) == len(two) > 2
    for left, right in zip(one, two, strict=True):
        assert all(torch.equal(left[name], right[name]) for name in left)


def test_loading_draws_nothing_from_the_global_generator(prepare: Prepare) -> None:
    data = module(prepare())
    before = torch.get_rng_state()
    batches(data, "train", epochs=2)
    assert torch.equal(torch.get_rng_state(), before)


def test_steps_per_epoch(prepare: Prepare) -> None:
    plain = module(prepare())
    first, second = batches(plain, "train"), batches(plain, "train", epochs=2)[plain.steps_per_epoch :]
    assert sum(int(batch["window_count"]) for batch in first) == sum(int(batch["window_count"]) for batch in second)
    assert any(not torch.equal(one["inputs"], two["inputs"]) for one, two in zip(first, second, strict=True))
    assert module(prepare(trainer={"accumulate": 2})).steps_per_epoch == plain.steps_per_epoch
    assert module(prepare(), 1, 2).steps_per_epoch == plain.steps_per_epoch
    assert module(prepare(trainer={"accumulate": 2, "limit_train_batches": 5})).steps_per_epoch == 3
    assert module(prepare(trainer={"fast_dev_run": True})).steps_per_epoch == 1


def test_bad_batch_size_and_missing_split(prepare: Prepare) -> None:
    with pytest.raises(UserError, match=r"data.batch_size: got 8(.|\n)*set data.batch_size to 6 or 9"):
        module(prepare(trainer={"accumulate": 3}))
    with pytest.raises(UserError, match=r"limit_train_batches leaves nothing(.|\n)*got      0 of"):
        module(prepare(trainer={"limit_train_batches": 0}))
    with pytest.raises(UserError, match=r"there is no test split(.|\n)*data.test_fraction"):
        module(prepare(test_fraction=0)).test_dataloader()


class Recorder(LightningModule):
    """Notes the batches it is given."""

    def __init__(self) -> None:
        super().__init__()
        self.weight = torch.nn.Parameter(torch.zeros(1))
        self.trained: list[tuple[int, list[int]]] = []
        self.validated: list[list[int]] = []

    def training_step(self, batch: dict[str, Tensor]) -> Tensor:
        self.trained.append((int(batch["window_count"]), batch["inputs"].flatten().tolist()))
        return self.weight.sum()

    def validation_step(self, batch: dict[str, Tensor]) -> None:
        self.validated.append(batch["inputs"].flatten().tolist())

    def configure_optimizers(self) -> torch.optim.Optimizer:
        return torch.optim.SGD(self.parameters(), lr=0.1)


def fit(recorder: Recorder, data: TextDataModule, ckpt_path: str | None = None, **options: object) -> Trainer:
    trainer = Trainer(
        accelerator="cpu",
        logger=False,
        enable_checkpointing=False,
        enable_progress_bar=False,
        enable_model_summary=False,
        use_distributed_sampler=False,
        num_sanity_val_steps=0,
        **options,  # type: ignore[arg-type]
    )
    trainer.fit(recorder, datamodule=data, ckpt_path=ckpt_path, weights_only=True)
    return trainer


def test_lightning_gives_every_epoch_its_order(prepare: Prepare) -> None:
    data, recorder = module(prepare()), Recorder()
    fit(recorder, data, max_epochs=-1, max_steps=2 * data.steps_per_epoch, limit_val_batches=0)
    expected = batches(module(prepare()), "train", epochs=2)
    assert recorder.trained == [(int(b["window_count"]), b["inputs"].flatten().tolist()) for b in expected]


def test_overfitting_takes_the_same_batches_in_order_and_validates_on_them(prepare: Prepare) -> None:
    data = module(prepare(trainer={"overfit_batches": 3, "accumulate": 2}))
    assert data.steps_per_epoch == 2
    trained = batches(data, "train", epochs=2)
    assert all(torch.equal(a["inputs"], b["inputs"]) for a, b in zip(trained[:4], trained[4:], strict=True))
    assert [int(batch["window_count"]) for batch in trained[:4]] == [128, 128, 64, 64]  # the fourth is padding alone
    assert (trained[3]["targets"] == -100).all()
    validated = batches(data, "val")
    assert len(validated) == 3
    assert all(torch.equal(a["inputs"], b["inputs"]) for a, b in zip(trained, validated, strict=False))


class SaveAt(Callback):
    """Saves a checkpoint right after an optimizer step, as a killed run leaves one."""

    def __init__(self, step: int, path: Path) -> None:
        self.step, self.path = step, path

    def on_train_batch_end(self, trainer: Trainer, *arguments: object) -> None:
        if trainer.global_step == self.step and not self.path.exists():
            trainer.save_checkpoint(self.path)


@pytest.mark.parametrize(("steps", "loader_workers"), [(3, 0), (38, 0), (39, 0), (76, 0), (38, 2), (41, 2)])
def test_lightning_continues_exactly(steps: int, loader_workers: int, prepare: Prepare, tmp_path: Path) -> None:
    """Inside, at the end and at the start of an epoch of 38 steps."""
    made = prepare(loader_workers=loader_workers, trainer={"accumulate": 2})
    options = {"limit_val_batches": 0, "accumulate_grad_batches": 2, "max_epochs": -1, "max_steps": 90}
    assert module(made).steps_per_epoch == 38
    whole, resumed = Recorder(), Recorder()
    fit(whole, module(made), callbacks=[SaveAt(steps, tmp_path / "last.ckpt")], **options)
    fit(resumed, module(made), str(tmp_path / "last.ckpt"), **options)
    assert resumed.trained == whole.trained[2 * steps :]


@pytest.mark.parametrize("steps", [3, 38, 39, 76])
def test_lightning_extends_a_finished_run_exactly(steps: int, prepare: Prepare, tmp_path: Path) -> None:
    made = prepare()
    options = {"limit_val_batches": 0, "max_epochs": -1}
    whole, first, second = Recorder(), Recorder(), Recorder()
    fit(whole, module(made), max_steps=90, **options)
    fit(first, module(made), max_steps=steps, **options).save_checkpoint(tmp_path / "last.ckpt")
    fit(second, module(made), str(tmp_path / "last.ckpt"), max_steps=90, **options)
    assert first.trained + second.trained == whole.trained


def test_lightning_continues_under_a_limit(prepare: Prepare, tmp_path: Path) -> None:
    made = prepare(trainer={"limit_train_batches": 5})
    options = {"limit_val_batches": 0, "max_epochs": -1}
    whole, first, second = Recorder(), Recorder(), Recorder()
    fit(whole, module(made), max_steps=17, **options)
    fit(first, module(made), max_steps=7, **options).save_checkpoint(tmp_path / "last.ckpt")
    fit(second, module(made), str(tmp_path / "last.ckpt"), max_steps=17, **options)
    assert first.trained + second.trained == whole.trained
    assert whole.trained[:5] != whole.trained[5:10]
