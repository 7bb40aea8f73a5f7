"""Segmentation trains as other tasks do: exact resume, ranks that agree; panels, and four images learned by heart."""

import json

import numpy as np
import pytest
import torch
from PIL import Image

from lit_transformer.config.errors import UserError
from lit_transformer.config.layers import shell_layer
from lit_transformer.config.load import load_layers
from lit_transformer.data.images.drawing import painted
from lit_transformer.inference.load import run_config
from lit_transformer.records.atomic import read_json
from lit_transformer.training.fit import freeze
from lit_transformer.training.prepare import prepare
from lit_transformer.training.registry import build_parts, open_prepared
from tests.training.proofs import assert_ranks_agree, assert_resumes_exactly, complete
from tests.training.test_wandb import flat, records
from tests.waiting import wait_for

pytestmark = pytest.mark.timeout(300)

COLORS = ((0, 0, 0), (200, 40, 40), (40, 200, 40))
SETTINGS = (
    "task=segmentation", "model.kind=segmenter", "model.num_stages=2", "model.base_channels=4", "data.source=images",
    "data.classes=background, block, bar", "data.ignore_index=255", "data.batch_size=10", "data.images.flip=true",
    "data.images.crop=24", "data.images.scale=1.2", "data.images.brightness=0.2", "data.test_fraction=0",
    "trainer.threads=1", "trainer.accelerator=cpu", "schedule.warmup_steps=3", "objective.losses=cross_entropy, dice",
    "objective.class_weights=median_frequency", "tracking.wandb=off",
)  # fmt: skip
RESUMED = ("trainer.max_steps=12", "trainer.val_every=4", "tracking.log_every=3", "model.dropout=0.1",
           "trainer.checkpoint_every=1", "trainer.keep_checkpoints=50")  # fmt: skip


def picture(random):
    """A grey block and a bar on noise, their mask, and a rim that counts nowhere."""
    mask = np.zeros((28, 30), dtype=np.uint8)
    y, x = random.integers(2, 14, size=2)
    mask[y : y + 8, x : x + 8] = 1
    mask[:, random.integers(20, 26)] = 2
    image = np.array([[30, 40, 50], [200, 60, 60], [60, 200, 60]], dtype=np.float64)[mask]
    mask[:1] = 255
    return (image + random.normal(0, 12, image.shape)).clip(0, 255).astype(np.uint8), mask


@pytest.fixture(scope="module")
def files(tmp_path_factory):
    """41 images to train on and 13 to validate with: 5 steps an epoch, the last of them ragged."""
    folder, random = tmp_path_factory.mktemp("pictures"), np.random.default_rng(0)
    for split, count in (("train", 41), ("val", 13)):
        for index in range(count):
            image, mask = picture(random)
            for kind, array in (("images", image), ("masks", mask)):
                (folder / split / kind).mkdir(parents=True, exist_ok=True)
                Image.fromarray(array).save(folder / split / kind / f"{index:03}.png")
    return tuple(
        f"data.{prefix}={folder / split / kind}"
        for split, kind, prefix in (
            ("train", "images", "path"), ("train", "masks", "mask_path"),
            ("val", "images", "val_path"), ("val", "masks", "val_mask_path"),
        )
    )  # fmt: skip


@pytest.fixture
def new_run(tmp_path, files):
    """Freeze a run under further settings."""

    def make(*settings, name="run"):
        loaded = load_layers([shell_layer([*SETTINGS, *files, *settings])])
        return freeze(loaded, prepare(loaded.config), tmp_path / name)[0]

    return make


@pytest.mark.parametrize("further", [(), ("model.norm=group", "trainer.ema_decay=0.9", "trainer.accumulate=2")])
def test_a_resumed_run_is_the_uninterrupted_one(runner, new_run, tmp_path, further):
    whole = complete(runner, new_run(*RESUMED, *further, name="whole"))
    rows = [row for row in whole.read_metrics() if "val/loss" in row]
    assert [row["step"] for row in rows] == [4, 8, 12]
    names = {"loss", "mean_iou", "pixel_accuracy", "dice", "iou/background", "iou/block", "iou/bar"}
    assert {f"val/{name}" for name in names} <= rows[-1].keys()
    assert_resumes_exactly(runner, whole, [5, 8], tmp_path)


def test_one_rank_equals_two_ranks_equals_accumulation(runner, new_run):
    settings = ("trainer.max_steps=11", "trainer.val_every=6", "model.norm=group", "data.batch_size=12")
    assert_ranks_agree(runner, new_run, "run", settings=settings, tolerance=5e-6)  # of biases that are near 0


def test_the_best_checkpoint_is_that_of_the_best_mean_iou(runner, new_run):
    run = complete(runner, new_run("trainer.max_steps=30", "trainer.val_every=3", "optimizer.lr=0.02"))
    best = max((row for row in run.read_metrics() if "val/mean_iou" in row), key=lambda row: row["val/mean_iou"])
    result = run.read_result()
    assert result["best_step"] == best["step"] and result["metrics"]["val/mean_iou"] == best["val/mean_iou"]
    assert result["metrics"]["val/loss"] == best["val/loss"]


def test_panels_show_images_spread_over_the_split(runner, new_run):
    run = complete(runner, new_run("trainer.max_steps=4", "trainer.val_every=2"))
    files = sorted((run.path / "samples").iterdir())
    assert [file.name for file in files] == ["masks-2.npz", "masks-2.png", "masks-4.npz", "masks-4.png"]
    with np.load(files[0]) as arrays:
        images, truths, predictions = (arrays[name] for name in ("images", "truths", "predictions"))
    assert images.shape == (4, 28, 30, 3) and truths.shape == predictions.shape == (4, 28, 30)
    assert (truths[:, :1] == -100).all() and set(np.unique(predictions)) <= {0, 1, 2}
    config = run_config(run)
    whole = build_parts(config, open_prepared(config, read_json(run.prepared_file))).data.val_dataloader()
    val = torch.cat([batch["images"][batch["rows"] >= 0] for batch in whole]).movedim(1, -1).numpy()
    assert len(val) == 13 and np.array_equal(images, val[[0, 1, 10, 11]])  # of two batches, of 10 and 3
    page = np.array(Image.open(files[1]))
    assert page.shape == (4 * 32 - 4, 4 * 34 - 4, 3)
    assert np.array_equal(page[:28, :30], images[0])
    colors = json.loads(run.prepared_file.read_text())["colors"]
    assert np.array_equal(page[:28, 34:64], painted(truths[0], [tuple(color) for color in colors]))


@pytest.mark.parametrize("skip", ["none", "concat"])
def test_four_images_are_learned_by_heart(runner, new_run, skip):
    run = complete(
        runner,
        new_run(
            "trainer.overfit_batches=1", "data.batch_size=4", "trainer.max_steps=250", "trainer.val_every=250",
            "model.base_channels=16", "optimizer.lr=0.01", "data.images.flip=false", "data.images.scale=1",
            "data.images.brightness=0", "model.upsampling=transposed", f"model.skip={skip}",
        ),
    )  # fmt: skip
    assert run.read_result()["last_metrics"]["val/mean_iou"] >= 0.99


def test_bf16_and_recomputation(runner, new_run):
    run = complete(
        runner,
        new_run(
            "trainer.max_steps=3", "tracking.log_every=1", "trainer.precision=bf16-mixed",
            "trainer.activation_checkpointing=true", "objective.losses=focal, 0.5 dice, bce",
        ),
    )  # fmt: skip
    assert all(torch.isfinite(torch.tensor(row["train/loss"])) for row in run.read_metrics())


def test_masks_reach_wandb_with_the_row_of_their_step(runner, new_run):
    run = new_run("trainer.max_steps=4", "trainer.val_every=2", "tracking.wandb=offline")
    group = runner.start(run.path, devices=1, log=run.log_file, track=True)
    assert group.wait() == 0, run.log_file.read_text()
    runner.end(run.path)
    wait_for(lambda: len([row for row in histories(run) if "val/masks.count" in row]) == 2, 60)
    for row in histories(run):
        assert ("val/masks.count" in row) == ("val/mean_iou" in row)
        if "val/masks.count" in row:
            masks = row["val/masks.all_masks"]
            assert row["val/masks.count"] == len(masks) == 4 and set(masks[0]) == {"truth", "prediction"}
    (media,) = run.path.glob("wandb/offline-run-*/files")
    assert all((media / mask["path"]).is_file() for mask in masks[0].values())


def histories(run):
    return [flat(record["history"]) for record in records(run.path) if record["type"] == "history"]


def test_a_segmenter_starts_from_another_ones_weights(runner, new_run, capsys):
    first = complete(runner, new_run("trainer.max_steps=3", name="first"))
    second = complete(runner, new_run("trainer.max_steps=1", f"model.init_from={first.path}", name="second"))
    said = second.log_file.read_text()
    assert "weights" in said and str(first.path) in said
    with pytest.raises(UserError, match="num_stages"):
        new_run(f"model.init_from={first.path}", "model.num_stages=1", name="third")
