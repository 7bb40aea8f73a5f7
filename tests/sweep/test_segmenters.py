"""A sweep of segmenters from the shell to the report: sizes solved for one budget, the best by the largest metric."""

import json
from pathlib import Path

import numpy as np
import pytest
from PIL import Image
from typer.testing import CliRunner

from lit_transformer.cli import app
from lit_transformer.compare.read import read_runs

SWEEP = """
method: grid
metric: {{name: val/mean_iou, goal: maximize}}
parameters:
  experiment: {{value: segmenter_tiny}}
  data.source: {{value: images}}
  data.path: {{value: {folder}/images}}
  data.mask_path: {{value: {folder}/masks}}
  data.classes: {{value: "ground, block"}}
  data.batch_size: {{value: 8}}
  model.num_stages: {{value: 2}}
  budget.flops_per_token: {{value: 45030}}
  model.upsampling: {{values: [bilinear, nearest]}}
  model.skip: {{values: [none, concat]}}
  trainer.max_steps: {{value: 20}}
  trainer.val_every: {{value: 10}}
  schedule.warmup_steps: {{value: 2}}
command: ["${{env}}", "lit-transformer", "trial", "${{args_json_file}}"]
"""


@pytest.fixture
def sweep(tmp_path: Path) -> Path:
    """A sweep over pictures of a bright block on dark ground."""
    random = np.random.default_rng(0)
    for kind in ("images", "masks"):
        (tmp_path / kind).mkdir()
    for index in range(40):
        mask = np.zeros((24, 24), dtype=np.uint8)
        top, left = random.integers(2, 14, 2)
        mask[top : top + 8, left : left + 8] = 1
        image = (60 + 120 * mask[..., None] + random.normal(0, 10, (24, 24, 3))).clip(0, 255).astype(np.uint8)
        Image.fromarray(image).save(tmp_path / "images" / f"{index:02}.png")
        Image.fromarray(mask).save(tmp_path / "masks" / f"{index:02}.png")
    path = tmp_path / "decoders.yaml"
    path.write_text(SWEEP.format(folder=tmp_path), encoding="utf-8")
    return path


@pytest.mark.slow
def test_from_the_shell_to_the_report(sweep: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("LIT_TRANSFORMER_CACHE", str(tmp_path / "cache"))
    for name in ("WANDB_MODE", "CUDA_VISIBLE_DEVICES"):
        monkeypatch.delenv(name, raising=False)
    shell, output = CliRunner(), tmp_path / "runs"
    done = shell.invoke(app, ["sweep", "run", str(sweep), "--output", str(output), "--workers", "1"])
    assert done.exit_code == 0, done.output
    folder = output / "sweeps" / "decoders"
    runs = read_runs(folder)
    assert list(runs["status"]) == ["complete"] * 4
    cells = {(row["model.upsampling"], row["model.skip"]) for _, row in runs.iterrows()}
    assert len(cells) == 4
    assert runs["model.base_channels"].nunique() > 1, "no width was solved"
    # one channel of some ten is a fifth of the FLOPs: this budget is one that both widths of the grid meet
    assert runs["flops_per_token"].between(0.98 * 45_030, 1.02 * 45_030).all()
    assert runs["val/mean_iou"].between(0.3, 1).all() and runs["val/mean_iou"].nunique() == 4
    for run in runs["run"]:
        assert list((folder / run / "samples").glob("masks-*.png")), run
    done = shell.invoke(app, ["sweep", "status", str(folder)])
    assert done.exit_code == 0 and "4" in done.output
    done = shell.invoke(app, ["compare", str(folder)])
    assert done.exit_code == 0, done.output
    assert "val/mean_iou" in (folder / "report.html").read_text(encoding="utf-8")
    best = runs.loc[runs["val/mean_iou"].idxmax(), "run"]
    done = shell.invoke(app, ["evaluate", str(folder / best), "--split", "val", "--json"])
    assert json.loads(done.stdout)["val/mean_iou"] == pytest.approx(runs["val/mean_iou"].max(), abs=1e-6)
