"""`segment`, `evaluate` and `export` of a segmenter, from the shell."""

import json

import numpy as np
import pytest
import torch
from PIL import Image

from lit_transformer.compare.bootstrap import mean_iou
from lit_transformer.inference import segment as verb
from lit_transformer.inference.evaluate import evaluate
from lit_transformer.inference.load import load_task
from lit_transformer.records.predictions import read_predictions
from tests.inference.elsewhere import DEVICE, SecondDevice
from tests.inference.runs import HERE, make_run

BLUE, RED = (40, 60, 200), (200, 60, 40)
COLORS = [(0, 0, 0), (255, 200, 0)]


def picture(random, height=24, width=32):
    """A red block on blue, and its mask."""
    mask = np.zeros((height, width), dtype=np.uint8)
    y, x = random.integers(2, height - 10), random.integers(2, width - 10)
    mask[y : y + 8, x : x + 8] = 1
    image = np.array([BLUE, RED])[mask] + random.normal(0, 10, (height, width, 3))
    return image.clip(0, 255).astype(np.uint8), mask


@pytest.fixture(scope="module")
def folder(tmp_path_factory):
    folder, random = tmp_path_factory.mktemp("blocks"), np.random.default_rng(0)
    for index in range(60):
        for kind, array in zip(("images", "masks"), picture(random), strict=True):
            (folder / kind).mkdir(exist_ok=True)
            Image.fromarray(array).save(folder / kind / f"{index:02}.png")
    (folder / "classes.txt").write_text("0 ground 0 0 0\n1 block 255 200 0\n")
    return folder


@pytest.fixture(scope="module")
def run(folder, tmp_path_factory):
    settings = [
        "task=segmentation", "model.kind=segmenter", "model.num_stages=2", "model.base_channels=8",
        "data.source=images", f"data.path={folder / 'images'}", f"data.mask_path={folder / 'masks'}",
        f"data.classes={folder / 'classes.txt'}",
    ]  # fmt: skip
    return make_run(tmp_path_factory.mktemp("segmenter") / "run", settings, shape=HERE, steps=60)


@pytest.fixture
def unseen(tmp_path):
    """An image of another, odd size, and its mask."""
    image, mask = picture(np.random.default_rng(9), 37, 51)
    Image.fromarray(image).save(tmp_path / "unseen.png")
    return tmp_path / "unseen.png", mask


def iou(found, mask):
    return np.logical_and(found == 1, mask == 1).sum() / np.logical_or(found == 1, mask == 1).sum()


def test_masks_overlays_probabilities_and_areas(ask, run, unseen, tmp_path):
    path, mask = unseen
    status, out, err = ask("segment", run, path, "--output", tmp_path / "out", "--probabilities", "--json")
    assert status == 0 and "wrote 1 masks" in err
    (found,) = json.loads(out)
    assert found["image"] == str(path) and found["mask"] == str(tmp_path / "out" / "unseen.png")
    image = Image.open(found["mask"])
    assert image.mode == "P" and image.getpalette()[:6] == [*COLORS[0], *COLORS[1]]
    indices = np.array(image)
    assert indices.shape == mask.shape and iou(indices, mask) > 0.9
    assert found["areas"] == pytest.approx({"ground": (indices == 0).mean(), "block": (indices == 1).mean()})
    probabilities = np.load(tmp_path / "out" / "unseen.npy")
    assert probabilities.shape == (2, *mask.shape) and np.allclose(probabilities.sum(axis=0), 1, atol=1e-5)
    assert np.array_equal(probabilities.argmax(axis=0), indices)
    with torch.no_grad():
        pixels = torch.from_numpy(np.array(Image.open(path))).permute(2, 0, 1)[None]
        expected = load_task(run)(pixels)[0].softmax(dim=0)
    assert np.allclose(probabilities, expected.numpy(), atol=1e-5)
    overlay = np.array(Image.open(tmp_path / "out" / "unseen-overlay.png")).astype(int)
    given = np.array(Image.open(path)).astype(int)
    assert np.array_equal(overlay[indices == 0], given[indices == 0])
    mixed = (given[indices == 1] + np.array(COLORS[1])) / 2
    assert np.abs(overlay[indices == 1] - mixed).max() <= 1


def test_folders_and_globs_one_line_each(ask, run, folder, tmp_path):
    status, out, _ = ask("segment", run, folder / "images" / "0[0-4].png", "--output", tmp_path / "out")
    assert status == 0
    assert out.splitlines() == [str(tmp_path / "out" / f"{index:02}.png") for index in range(5)]
    status, out, _ = ask("segment", run, folder / "images", "--output", tmp_path / "all")
    assert status == 0 and len(out.splitlines()) == 60


def test_a_large_image_in_windows_is_the_image_seen_whole(ask, run, tmp_path):
    random = np.random.default_rng(1)
    image = np.concatenate([picture(random, 200, 40)[0] for _ in range(5)], axis=1)
    Image.fromarray(image).save(tmp_path / "large.png")
    for name, window in (("whole", 2048), ("parts", 128)):
        given = ("--output", tmp_path / name, "--window", window, "--probabilities")
        assert ask("segment", run, tmp_path / "large.png", *given)[0] == 0
    whole, parts = (np.load(tmp_path / name / "large.npy") for name in ("whole", "parts"))
    assert np.allclose(whole, parts, atol=1e-5)


def test_nothing_is_left_on_another_device(ask, run, unseen, tmp_path, monkeypatch):
    given = ("segment", run, unseen[0], "--probabilities")
    assert ask(*given, "--output", tmp_path / "cpu", "--device", "cpu")[0] == 0
    monkeypatch.setattr(verb, "find_device", {"second": DEVICE}.__getitem__)
    with SecondDevice():
        status, _, err = ask(*given, "--output", tmp_path / "second", "--device", "second")
    assert status == 0, err
    found, expected = (np.load(tmp_path / name / "unseen.npy") for name in ("second", "cpu"))
    assert np.allclose(found, expected, atol=1e-5)


@pytest.mark.skipif(not torch.cuda.is_available(), reason="needs a GPU")
def test_a_gpu_answers_as_the_cpu(ask, run, unseen, tmp_path):
    for device in ("cpu", "cuda"):
        given = ("--probabilities", "--output", tmp_path / device, "--device", device)
        assert ask("segment", run, unseen[0], *given)[0] == 0
    found, expected = (np.load(tmp_path / name / "unseen.npy") for name in ("cuda", "cpu"))
    assert np.allclose(found, expected, atol=1e-3)


@pytest.mark.parametrize(
    ("arguments", "words"),
    [
        (("nowhere.png",), ["nowhere.png", "finds one", "allowed"]),
        (("{empty}",), ["a folder without images", ".png"]),
        (("{image}", "{copy}"), ["one mask", "unseen.png", "two folders"]),
        (("{image}", "--device", "cuda:9"), ["--device", "got      cuda:9", "--device cpu"]),
        (("{image}", "--window", "8"), ["--window", "got      8", "or more"]),
        (("{text}",), ["notes.png"]),
    ],
)
def test_mistakes(ask, run, unseen, tmp_path, arguments, words):
    (tmp_path / "empty").mkdir()
    (tmp_path / "copy").mkdir()
    Image.open(unseen[0]).save(tmp_path / "copy" / "unseen.jpg")
    (tmp_path / "notes.png").write_text("no image")
    names = {"empty": tmp_path / "empty", "image": unseen[0], "copy": tmp_path / "copy", "text": tmp_path / "notes.png"}
    given = [argument.format(**names) for argument in arguments]
    status, out, err = ask("segment", run, *given, "--output", tmp_path / "out")
    assert status == 2 and not out
    for word in words:
        assert word in err


def test_another_kind_of_run_is_refused(ask, runs, unseen):
    status, _, err = ask("segment", runs("gpt words").path, unseen[0])
    assert status == 2 and "task language_model" in err and "a run of task segmentation" in err


def test_evaluate_and_export(ask, run, tmp_path):
    status, out, _ = ask("evaluate", run, "--split", "val", "--json")
    found = json.loads(out)
    assert status == 0 and found["val/mean_iou"] > 0.9
    assert found["val/mean_iou"] == pytest.approx((found["val/iou/ground"] + found["val/iou/block"]) / 2)
    status, out, err = ask("export", run, tmp_path / "exported")
    assert (status, out) == (0, f"{tmp_path / 'exported'}\n") and "torch.export.load" in err


def test_a_text_verb_refuses_it(ask, run):
    status, _, err = ask("generate", run, "--prompt", "a")
    assert status == 2 and "segment" in err


def test_evaluate_saves_the_confusion_matrix_of_each_image(run):
    metrics = evaluate(run, "val")
    found = read_predictions(run, "val")
    matrices = found.statistics["mean_iou"]
    assert [row["row"] for row in found.rows] == list(range(len(matrices))) and len(matrices) > 1
    assert (matrices.sum(axis=1) == 24 * 32).all()
    assert mean_iou(matrices.sum(axis=0, keepdims=True))[0] == pytest.approx(metrics["val/mean_iou"])
