"""How attempts are settled, and that emptying a cell's folder touches nothing else."""

import errno
import os
import signal
from pathlib import Path

import pytest

from lit_transformer.config.errors import UserError
from lit_transformer.records.atomic import write_json
from lit_transformer.records.run_folder import RunFolder
from lit_transformer.sweep.holder import Holder
from lit_transformer.sweep.ledger import Claim, Ledger
from lit_transformer.sweep.outcome import LOSSES, DiskFull, clear, settle


@pytest.fixture
def run(tmp_path: Path) -> RunFolder:
    made = RunFolder(tmp_path / "cells" / "a")
    made.path.mkdir(parents=True)
    return made


def claim(run: RunFolder) -> Claim:
    found = Ledger(run.path.parent.parent / "claims", ["a"], Holder.here("here")).claim()
    assert found is not None
    return found


@pytest.mark.parametrize("status", ["complete", "pruned", "diverged", "failed", "stopped"])
def test_what_the_trial_wrote_counts(run: RunFolder, status: str) -> None:
    write_json(run.result_file, {"status": status})
    assert settle(claim(run), run, -signal.SIGKILL, losses=0, stopping=False) == status


@pytest.mark.parametrize("exit_status", [130, 143, -signal.SIGTERM, -signal.SIGINT, -signal.SIGUSR1])
def test_a_trial_that_was_signalled_goes_on_and_stops_with_its_sweep(run: RunFolder, exit_status: int) -> None:
    assert settle(claim(run), run, exit_status, losses=3, stopping=False) == "preempted"
    assert settle(claim(run), run, exit_status, losses=3, stopping=True, ours=False) == "preempted"
    assert settle(claim(run), run, exit_status, losses=0, stopping=True, stopped="stopped") == "stopped"
    assert run.read_result() == {}


def test_a_killed_trial_is_lost_three_times_and_failed_the_fourth(run: RunFolder) -> None:
    ends = [settle(claim(run), run, -signal.SIGKILL, losses=losses, stopping=False) for losses in range(LOSSES + 1)]
    assert ends == ["lost", "lost", "lost", "failed"]
    assert "killed 4 times in a row" in str(run.read_result()["error"])


def test_a_failure_is_an_error_to_be_retried_while_there_are_retries(run: RunFolder) -> None:
    ends = [settle(claim(run), run, 1, losses=0, stopping=False, errors_left=left) for left in (2, 1, 0)]
    assert ends == ["error", "error", "failed"]
    for status in ("diverged", "complete"):
        write_json(run.result_file, {"status": status})
        mine = Ledger(run.path.parent.parent / status, ["a"], Holder.here("here")).claim()
        assert mine is not None
        assert settle(mine, run, 1, losses=0, stopping=False, errors_left=2) == status


def test_a_worker_that_leaves_a_cell_to_others_calls_it_preempted(run: RunFolder) -> None:
    ends = [settle(claim(run), run, status, losses=0, stopping=True, stopped="preempted") for status in (143, -9)]
    assert ends == ["preempted", "preempted"]
    assert run.read_result() == {}


@pytest.mark.parametrize(("exit_status", "words"), [(1, "exit status 1"), (-11, "SIGSEGV"), (0, "without a result")])
def test_a_crash_is_a_failure_with_the_last_lines_of_its_log(run: RunFolder, exit_status: int, words: str) -> None:
    run.log_file.write_text("".join(f"line {index}\n" for index in range(10_000)))
    assert settle(claim(run), run, exit_status, losses=0, stopping=False) == "failed"
    error = str(run.read_result()["error"])
    assert words in error
    assert error.endswith("line 9998\nline 9999")
    assert "line 9000" not in error


@pytest.mark.parametrize("where", ["log", "result"])
def test_a_full_disk_is_no_failure_of_the_cell(run: RunFolder, where: str) -> None:
    text = f"OSError: [Errno 28] {os.strerror(errno.ENOSPC)}: 'last.ckpt'"
    if where == "log":
        run.log_file.write_text(text)
    else:
        write_json(run.result_file, {"status": "failed", "error": text})
    mine = claim(run)
    with pytest.raises(DiskFull, match=r"last\.ckpt"):
        settle(mine, run, 1, losses=0, stopping=False)
    assert [path.name for path in mine.folder.iterdir()] == ["a.1"]


def test_who_was_overtaken_writes_nothing(run: RunFolder) -> None:
    mine = claim(run)
    Claim(mine.folder, "a", 2).path.touch()
    assert settle(mine, run, 1, losses=0, stopping=False) is None
    assert run.read_result() == {}


def test_clearing_leaves_the_lock_and_follows_no_link(run: RunFolder, tmp_path: Path) -> None:
    outside = tmp_path / "outside"
    outside.mkdir()
    (outside / "precious").touch()
    (run.path / "link").symlink_to(outside)
    (run.path / "checkpoints").mkdir()
    (run.path / "checkpoints" / "last.ckpt").touch()
    (run.path / "checkpoints" / "link").symlink_to(outside)
    (run.path.parent / "b").mkdir()
    (run.path.parent / "b" / "metrics.jsonl").touch()
    assert clear(run)
    assert [path.name for path in run.path.iterdir()] == [".lock"]
    assert (outside / "precious").exists()
    assert (run.path.parent / "b" / "metrics.jsonl").exists()


def test_clearing_waits_for_a_trial_that_lives(run: RunFolder) -> None:
    (run.path / "metrics.jsonl").touch()
    lock = run.lock
    assert lock.acquire()
    assert not clear(run, patience=0.1)
    assert (run.path / "metrics.jsonl").exists()
    lock.release()
    assert clear(run, patience=0.1)


def test_a_cell_that_is_a_link_is_refused(run: RunFolder, tmp_path: Path) -> None:
    link = RunFolder(tmp_path / "cells" / "b")
    link.path.symlink_to(run.path)
    (run.path / "metrics.jsonl").touch()
    with pytest.raises(UserError, match="is a link"):
        clear(link)
    assert (run.path / "metrics.jsonl").exists()
