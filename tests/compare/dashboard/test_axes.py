"""What curves are drawn against: the epochs, tokens, FLOPs and seconds that the run noted, as they stand on disk."""

import json
import math
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest

from lit_transformer.compare.dashboard.axes import AXES, along
from lit_transformer.compare.dashboard.index import LiveIndex
from lit_transformer.compare.dashboard.live_run import LiveRun, run_id
from lit_transformer.records.run_folder import RunFolder
from tests.compare.dashboard.site import Seen

EVERY = 40
"""Steps between two rows of system.jsonl; the loss is logged every 10."""


def noted(run: RunFolder) -> list[dict[str, float]]:
    """Rows as a trial writes them, of a machine that slows down and batches that grow."""
    rows = []
    for step in range(EVERY, 401, EVERY):
        rows.append({"step": step, "seconds": 0.02 * step + 1e-4 * step**2, "epoch": step / 160, "tokens": 64.0 * step})
    for row in rows[5:]:
        row["tokens"] += 1_000.0
    run.system_file.write_text("".join(json.dumps(row) + "\n" for row in rows))
    return rows


@pytest.fixture
def made(tmp_path: Path, run_writer: Callable[..., RunFolder]) -> RunFolder:
    """A run that trains: what its result would say of tokens is not known yet."""
    run = run_writer(tmp_path / "runs" / "a", status=None)
    noted(run)
    return run


def live(run: RunFolder) -> LiveRun:
    found = LiveIndex(run.path.parent).run(run_id(run.path.name))
    assert found is not None
    return found


def test_every_axis_holds_what_is_on_disk_where_it_was_noted(made: RunFolder) -> None:
    rows, run = noted(made), live(made)
    steps = np.array([row["step"] for row in rows], dtype=np.int64)
    assert along(run, "step", steps).tolist() == steps.tolist()
    for axis in ("epoch", "tokens", "seconds"):
        np.testing.assert_allclose(along(run, axis, steps), [row[axis] for row in rows], rtol=1e-12)
        between = along(run, axis, np.array([EVERY + 10], dtype=np.int64))[0]
        assert between == pytest.approx(rows[0][axis] + (rows[1][axis] - rows[0][axis]) / 4), axis
        before = along(run, axis, np.array([EVERY // 4], dtype=np.int64))[0]
        assert before == pytest.approx(rows[0][axis] / 4), axis
    assert np.isnan(along(run, "FLOPs", steps)).all()  # nobody noted them


def test_a_result_says_tokens_and_flops_of_every_step(made: RunFolder) -> None:
    result = {"version": 1, "status": "complete", "metrics": {}, "tokens": 8_000, "steps": 400, "flops_per_token": 600}
    made.result_file.write_text(json.dumps(result))
    run, steps = live(made), np.array([10, 400], dtype=np.int64)
    assert along(run, "tokens", steps).tolist() == [200.0, 8_000.0]
    assert along(run, "FLOPs", steps).tolist() == [120_000.0, 4_800_000.0]


@pytest.mark.parametrize("content", ["", "x\n", '{"step": 10, "epoch": "a", "seconds": NaN}\n', '{"epoch": 1}\n'])
def test_what_was_not_noted_is_not_a_number(made: RunFolder, content: str) -> None:
    made.system_file.write_text(content)
    for axis in AXES[1:]:
        assert all(map(math.isnan, along(live(made), axis, np.array([10, 20], dtype=np.int64)))), axis


def test_curves_against_epochs_tokens_and_time_show_the_numbers_on_disk(
    made: RunFolder, look: Callable[..., Seen]
) -> None:
    rows = noted(made)
    places = {row["step"]: row for row in rows}
    logged = [(row["step"], row["train/loss"]) for row in made.read_metrics() if "train/loss" in row]
    seen = look(made.path.parent)
    seen.open("/curves?metric=train/loss&axis=epoch", "#curves-figure .scatterlayer .trace")
    for axis in ("epoch", "tokens", "seconds"):
        if axis != "epoch":
            seen.pick("curves-axis", axis)
        seen.until(
            "axis => document.querySelector('#curves-figure .js-plotly-plot').layout.xaxis.title.text === axis", axis
        )
        (trace,) = seen.traces("curves-figure")
        x, y = np.array(trace["x"], dtype=float), np.array(trace["y"], dtype=float)
        assert len(x) == len(logged)
        np.testing.assert_allclose(y, [loss for _, loss in logged], rtol=1e-6)
        known = [(at, places[step][axis]) for at, (step, _) in zip(x, logged, strict=True) if step in places]
        assert len(known) == len(rows)
        np.testing.assert_allclose(*zip(*known, strict=True), rtol=1e-5)
    assert f"axis={axis}" in seen.page.url
    seen.quiet()
