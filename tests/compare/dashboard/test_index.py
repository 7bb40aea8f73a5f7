"""The live index: the same rows as a report reads, each change seen, nothing that is damaged hiding anything else."""

import json
import math
import os
import tempfile
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pandas as pd
import pytest

from lit_transformer.compare.curves import read_curves
from lit_transformer.compare.dashboard.index import LiveIndex
from lit_transformer.compare.dashboard.live_run import run_id
from lit_transformer.compare.dashboard.tail import Tail
from lit_transformer.compare.read import read_runs, to_frame
from lit_transformer.config.errors import UserError
from lit_transformer.records.run_folder import RunFolder
from tests.strangers import as_stranger, closed


def frame(index: LiveIndex) -> pd.DataFrame:
    return to_frame(index.refresh(force=True).rows)


def test_rows_and_curves_are_those_that_the_report_reads(mixed: Path, run_writer: Callable[..., RunFolder]) -> None:
    root = mixed.parent
    run_writer(root / "alone", status=None)
    index = LiveIndex(root)
    pd.testing.assert_frame_equal(frame(index), read_runs(root))
    long = read_curves(root, read_runs(root))
    for (run, metric), part in long.groupby(["run", "metric"]):
        live = index.run(run_id(str(run)))
        assert live is not None
        steps, values = live.series().curve(str(metric))
        assert steps.tolist() == part["step"].tolist()
        np.testing.assert_array_equal(values, part["value"].to_numpy())


def test_every_change_is_a_new_version_and_nothing_else_is(
    tmp_path: Path, run_writer: Callable[..., RunFolder]
) -> None:
    index = LiveIndex(tmp_path)
    seen = [index.view.version]

    def version() -> int:
        seen.append(index.refresh(force=True).version)
        assert index.refresh(force=True).version == seen[-1]
        return seen[-1] - seen[-2]

    assert index.view.rows == [] and version() == 0
    run = run_writer(tmp_path / "deep" / "er" / "a", status=None, steps=100)
    assert version() == 1 and index.view.rows[0].status == "stopped"
    with run.lock:
        assert version() == 1 and index.view.rows[0].status == "running"
        with run.metrics_file.open("a") as file:
            file.write('{"step": 110, "val/loss": 7.5')
        assert version() == 1 and index.view.rows[0].metrics["val/loss"] != 7.5  # half a line
        with run.metrics_file.open("a") as file:
            file.write(', "x": null}\n')
        assert version() == 1 and index.view.rows[0].metrics["val/loss"] == 7.5
    assert version() == 1 and index.view.rows[0].status == "stopped"
    run.result_file.write_text('{"version": 1, "status": "complete", "metrics": {"val/loss": 0.5}}')
    assert version() == 1 and index.view.rows[0].status == "complete"
    run_writer(tmp_path / "deep" / "b")
    assert version() == 1 and len(index.view.rows) == 2
    run.config_file.unlink()
    assert version() == 1 and [row.run for row in index.view.rows] == ["deep/b"]


def test_a_resumed_run_is_read_anew_where_its_log_was_cut(tmp_path: Path, run_writer: Callable[..., RunFolder]) -> None:
    run = run_writer(tmp_path / "a", status=None, steps=300)
    index = LiveIndex(tmp_path)
    live = index.run(run_id("a"))
    assert live is not None
    lines = run.metrics_file.read_text().splitlines(keepends=True)
    run.metrics_file.write_text(
        "".join(lines[:10]) + "".join(line.replace('"lr": 0.001', '"lr": 0.5') for line in lines[10:])
    )
    index.refresh(force=True)
    steps, values = live.series().curve("lr")
    assert len(steps) == len(lines) and values[9] == 0.001 and values[-1] == 0.5


@pytest.mark.parametrize("size", [1, 7, 64, 4096])
def test_tail_gives_each_row_once_however_it_arrives(tmp_path: Path, size: int) -> None:
    rows = [{"step": step, "x": step / 3, "text": "é" * (step % 5)} for step in range(300)]
    content = b"".join(json.dumps(row, ensure_ascii=False).encode() + b"\n" for row in rows)
    content = content[:-1] + b'\nnot json\n[1]\n{"step": 300}\n'
    file, found = tmp_path / "metrics.jsonl", []
    tail = Tail(file)
    assert tail.read() == ([], False)
    for place in range(0, len(content), size):
        with file.open("ab") as sink:
            sink.write(content[place : place + size])
        fresh, anew = tail.read()
        assert not anew
        found += fresh
    assert found == [*rows, {"step": 300}]
    file.write_bytes(b'{"step": 1}\n')
    assert tail.read() == ([{"step": 1}], True)


def broken(kind: str, run: RunFolder) -> None:
    """Damage a run in one way."""
    ways: dict[str, Callable[[], object]] = {
        "truncated": lambda: run.metrics_file.write_bytes(run.metrics_file.read_bytes()[:-17]),
        "binary": lambda: run.metrics_file.write_bytes(bytes(range(256)) * 40),
        "future": lambda: run.result_file.write_text(
            '{"version": 99, "status": "transcended", "metrics": [1], "tokens": {}}'
        ),
        "config": lambda: run.config_file.write_text("a: [1\nb: {"),
        "anchors": lambda: run.config_file.write_text("a: &a [*a]\n"),
        "result": lambda: run.result_file.write_text('{"version": 1, "sta'),
        "deep": lambda: run.result_file.write_text("[" * 100_000),
        "nan": lambda: run.metrics_file.write_text(
            '{"step": 1, "val/loss": NaN, "a": Infinity, "b": -Infinity, "c": 1e999}\n' * 3
        ),
        "types": lambda: run.metrics_file.write_text(
            '{"step": "x", "a": 1}\n{"step": 1, "a": [1], "b": {"c": 2}, "d": "e"}\n{"step": 1e300}\n'
        ),
        "folder": lambda: (run.metrics_file.unlink(), run.metrics_file.mkdir()),
        "pipe": lambda: (run.metrics_file.unlink(), os.mkfifo(run.metrics_file)),
        "link": lambda: (run.metrics_file.unlink(), run.metrics_file.symlink_to("/etc/passwd")),
        "many": lambda: run.metrics_file.write_text(
            json.dumps({"step": 1, **{f"m{n}": n for n in range(10_000)}}) + "\n"
        ),
    }
    ways[kind]()


@pytest.mark.parametrize("status", [None, "complete"])
@pytest.mark.parametrize(
    "kind",
    [
        "truncated",
        "binary",
        "future",
        "config",
        "anchors",
        "result",
        "deep",
        "nan",
        "types",
        "folder",
        "pipe",
        "link",
        "many",
    ],
)
def test_a_damaged_run_hides_no_other(
    tmp_path: Path, run_writer: Callable[..., RunFolder], kind: str, status: str | None
) -> None:
    run_writer(tmp_path / "good")
    bad = run_writer(tmp_path / "bad", status=status)
    index = LiveIndex(tmp_path)
    broken(kind, bad)
    rows = {row.run: row for row in index.refresh(force=True).rows}
    assert rows["good"].status == "complete" and set(rows) == {"bad", "good"}
    if kind in ("config", "result", "deep", "future"):
        assert rows["bad"].status == "damaged" or kind == "config"
        assert rows["bad"].error
    live = index.run(run_id("bad"))
    assert live is not None
    for name in live.series().names:
        assert len(live.series().curve(name)[0]) == len(live.series().curve(name)[1])
    assert "root" not in json.dumps([live.series().names, live.row.metrics])
    assert index.comparison().metrics


def test_links_are_not_followed(tmp_path: Path, run_writer: Callable[..., RunFolder]) -> None:
    outside = run_writer(tmp_path / "outside" / "secret")
    root = tmp_path / "runs"
    run_writer(root / "own")
    (root / "link").symlink_to(outside.path, target_is_directory=True)
    (root / "up").symlink_to(tmp_path, target_is_directory=True)
    (root / "half").mkdir()
    (root / "half" / "config.yaml").symlink_to(outside.config_file)
    assert [row.run for row in LiveIndex(root).view.rows] == ["own"]
    outside_samples = outside.path / "samples"
    outside_samples.mkdir()
    from PIL import Image

    Image.new("RGB", (2, 2)).save(outside_samples / "masks-1.png")
    (root / "own" / "samples").symlink_to(outside_samples, target_is_directory=True)
    from lit_transformer.compare.dashboard.samples import Samples, picture, samples_of

    assert samples_of(RunFolder(root / "own")) == Samples()
    (root / "own" / "samples").unlink()
    (root / "own" / "samples").mkdir()
    (root / "own" / "samples" / "masks-1.png").symlink_to(outside_samples / "masks-1.png")
    assert (
        samples_of(RunFolder(root / "own")) == Samples() and picture(root / "own" / "samples" / "masks-1.png") is None
    )
    assert picture(outside_samples / "masks-1.png") is not None


def test_a_folder_without_permission_is_named_and_hides_nothing(run_writer: Callable[..., RunFolder]) -> None:
    with tempfile.TemporaryDirectory() as folder:  # pytest's own folders are closed to others
        root = Path(folder)
        root.chmod(0o755)
        run_writer(root / "own")
        run_writer(root / "theirs" / "a")
        with as_stranger():
            closed(root / "theirs")
            view = LiveIndex(root).view
            assert [row.run for row in view.rows] == ["own"]
            assert view.notes == ("theirs cannot be read: what it holds is not shown",)
            closed(root)
            with pytest.raises(UserError, match="cannot be read"):
                LiveIndex(root)
        for path in (root, root / "theirs"):
            path.chmod(0o700)


def test_names_in_every_script_and_in_none(tmp_path: Path, run_writer: Callable[..., RunFolder]) -> None:
    names = ["一二三", "تجربة", "emoji 🎉", "spaced  out", "ünïcode"]
    for name in names:
        run_writer(tmp_path / name)
    os.rename(tmp_path / names[-1], os.path.join(os.fsencode(tmp_path), b"\xff\xfe"))
    view = LiveIndex(tmp_path).view
    shown = {row.run for row in view.rows}
    assert set(names[:-1]) <= shown and len(shown) == 5 and len(set(view.ids)) == 5
    assert all(name.encode("utf-8") for name in shown)


def test_time_left_is_told_from_the_newest_speed(tmp_path: Path, run_writer: Callable[..., RunFolder]) -> None:
    run = run_writer(tmp_path / "a", status=None, trainer={"max_steps": 200})
    run.system_file.write_text("".join(f'{{"step": {step}, "seconds": {step * 2.0}}}\n' for step in range(10, 101, 10)))
    with run.lock:
        live = LiveIndex(tmp_path).run(run_id("a"))
        assert live is not None and live.eta() == pytest.approx(200.0)
    live.look()
    assert live.eta() is None and not math.isnan(live.size)
