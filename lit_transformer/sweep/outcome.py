"""How an attempt at a cell ended, and what is written about it."""

import os
import shutil
import signal
import stat
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from lit_transformer.config.errors import UserError
from lit_transformer.processes.ranks import SERVER_DIED
from lit_transformer.records.atomic import FULL, write_json
from lit_transformer.records.locks import is_locked
from lit_transformer.records.requests import forget_request
from lit_transformer.records.run_folder import RESULT_VERSION, RunFolder
from lit_transformer.sweep.ledger import KEPT, Attempts, Claim, End

LOSSES = 3
"""How often a cell whose process was killed is run again before it counts as failed."""
ASKED_TO_END = (
    128 + signal.SIGINT, 128 + signal.SIGTERM, -signal.SIGINT, -signal.SIGTERM, -signal.SIGUSR1,
)  # fmt: skip
"""Exit statuses of a trial that was asked to end by a signal; negative ones before it could listen."""
_LOG_LINES = 15


class DiskFull(Exception):
    """The disk has no room for what a trial or a worker writes."""


def kept_end(run: RunFolder) -> End | None:
    """The end of a run that is done and stays as it is; None for every other run."""
    status = run.read_result().get("status")
    return next((end for end in KEPT if end == status), None)


def clear(run: RunFolder, patience: float = 10.0) -> bool:
    """Empty the folder of an attempt at another cell; False where its trial still lives after `patience` seconds.

    Only what lies in this folder goes, links are removed and not followed, and the run's lock is held meanwhile. Raises
    UserError where the folder is itself a link, since the files behind it are somebody else's.
    """
    if run.path.is_symlink():
        raise UserError(f"{run.path} is a link, and a cell's folder is emptied before it is run; remove the link.")
    run.path.mkdir(parents=True, exist_ok=True)
    with _held(run, patience) as held:
        if held:
            for path in run.path.iterdir():
                if path == run.lock.path:
                    continue
                if stat.S_ISDIR(path.lstat().st_mode):
                    shutil.rmtree(path)
                else:
                    path.unlink()
    return held


def forget_end(run: RunFolder, patience: float = 10.0) -> bool:
    """Remove the result of an attempt that is to go on; False where its trial still lives after `patience` seconds."""
    with _held(run, patience) as held:
        if held:
            run.result_file.unlink(missing_ok=True)
            run.tracking_error_file.unlink(missing_ok=True)
            forget_request(run, "stop", "preempt")  # that it is to be pruned holds for the next attempt too
    return held


@contextmanager
def _held(run: RunFolder, patience: float) -> Iterator[bool]:
    """Hold the run's lock; False where its trial does not let go within `patience` seconds."""
    lock = run.lock
    until = time.monotonic() + patience
    while not (held := lock.acquire()) and time.monotonic() < until:
        time.sleep(0.05)
    try:
        yield held
    finally:
        lock.release()


def settle(
    claim: Claim,
    run: RunFolder,
    status: int,
    *,
    losses: int,
    stopping: bool,
    stopped: End = "preempted",
    errors_left: int = 0,
    ours: bool = True,
) -> End | None:
    """Record how the attempt of an ended trial with this exit status ended; None where another holder has the cell now.

    `losses` counts the earlier attempts in a row that were lost; a failure is an `error` while there are `errors_left`.
    `stopped` is the end of an attempt that was asked to stop, by its worker or, a trial of `ours`, from outside: a
    program of the user's may always exit with 143, so that one whose worker was not asked counts as killed. Raises
    DiskFull, with nothing recorded, where the trial found no room, and OSError.
    """
    if not claim.is_highest():
        return None
    end, error = _reported(run)
    if end == "failed":
        _check_space(claim, error)  # the next cells would fail in the same way
    if end is None and (stopping or (ours and status in ASKED_TO_END)):
        end = stopped
    killed = end is None and status in (-signal.SIGKILL, SERVER_DIED, *ASKED_TO_END)
    if killed:
        end = "lost" if losses < LOSSES else "failed"
        if end == "failed":
            how = f"{losses + 1} times in a row ({_exit(status) if status in ASKED_TO_END else 'out of memory?'})"
            write_failure(run, f"its process was killed {how}\n{last_lines(run.log_file)}")
    elif end is None:
        log = last_lines(run.log_file)
        _check_space(claim, log)
        end = "failed"
        write_failure(run, f"{_exit(status)} without a result\n{log}")
    if end == "failed" and errors_left > 0 and not killed:
        end = "error"
    return end if claim.end(end) else None


def settle_orphan(claim: Claim, run: RunFolder, known: Attempts, retries: int) -> End | None:
    """Record the attempt of a worker that died: its trial dies with it, and may still have written a result.

    One that is to be kept is left to the cell's next worker, which records it and tells W&B, as this one would have.
    """
    losses, errors = (known.earlier(claim.attempt, end) for end in ("lost", "error"))
    until = time.monotonic() + 5
    while is_locked(run.lock.path) and time.monotonic() < until:
        time.sleep(0.02)
    if kept_end(run) is not None:
        return "lost" if claim.end("lost") else None
    return settle(claim, run, -signal.SIGKILL, losses=losses, stopping=False, errors_left=retries - errors)


def write_failure(run: RunFolder, error: str) -> None:
    """Write the result of a run that could not write its own."""
    result = {"version": RESULT_VERSION, "status": "failed", "metrics": {}, "last_metrics": {}, "error": error.strip()}
    write_json(run.result_file, result)


def _reported(run: RunFolder) -> tuple[End | None, str]:
    """The end that the trial itself wrote into result.json, and its error."""
    result = run.read_result()
    known: tuple[End, ...] = (*KEPT, "failed", "stopped")  # a status is never an end that opens the cell
    end = next((end for end in known if end == result.get("status")), None)
    return end, str(result.get("error") or "")


def _check_space(claim: Claim, text: str) -> None:
    full = [line for line in text.splitlines() if any(os.strerror(number) in line for number in FULL)]
    if full:
        raise DiskFull(f"{claim.cell}: {full[-1].strip()}")


def _exit(status: int) -> str:
    if status >= 0:
        return f"its process ended with exit status {status}"
    try:
        return f"its process was ended by {signal.Signals(-status).name}"
    except ValueError:
        return f"its process was ended by signal {-status}"


def last_lines(path: Path, count: int = _LOG_LINES) -> str:
    """The last lines of a log, or nothing where there is none; reads no more than its end."""
    try:
        with path.open("rb") as file:
            file.seek(max(0, path.stat().st_size - 20_000))
            text = file.read().decode(errors="replace")
    except OSError:
        return ""
    return "\n".join([line for line in text.splitlines() if line.strip()][-count:])
