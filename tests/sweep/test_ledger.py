"""The ledger: every cell once, whoever dies, and as fast at the end as at the start."""

import json
import multiprocessing
import os
import random
import subprocess
import sys
import threading
import time
from collections import Counter
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import replace
from multiprocessing.synchronize import Barrier
from pathlib import Path

import pytest

from lit_transformer.sweep.holder import Holder
from lit_transformer.sweep.ledger import ENDS, STALE, Claim, End, Ledger, beating, read_claims
from tests.waiting import wait_for

DEAD = Holder(worker="dead", host=Holder.here("x").host, pid=2**22 + 1, started=0.0)
ELSEWHERE = Holder(worker="far", host="another machine", pid=os.getpid(), started=0.0)


def ledger(folder: Path, cells: list[str], holder: Holder | None = None) -> Ledger:
    return Ledger(folder / "claims", cells, holder or Holder.here("here"))


def claimed(found: Claim | None) -> Claim:
    assert found is not None
    return found


def test_cells_are_claimed_in_order_and_once(tmp_path: Path) -> None:
    cells = ["lr=0.1", "lr=0.01", "lr=1.2"]
    first, second = ledger(tmp_path, cells), ledger(tmp_path, cells)
    names = [claimed(each.claim()).cell for each in (first, second, first)]
    assert names == cells
    assert second.claim() is None
    assert second.unsettled()
    assert json.loads((tmp_path / "claims" / "lr=0.1.1").read_text())["pid"] == os.getpid()


@pytest.mark.parametrize("end", ENDS)
def test_ends(tmp_path: Path, end: str) -> None:
    cells = ["a.complete", "b"]
    book = ledger(tmp_path, cells)
    assert claimed(book.claim()).end(end)  # type: ignore[arg-type]
    following = claimed(book.claim())
    open_again = end in ("lost", "error", "preempted", "again")
    assert (following.cell, following.attempt) == (("a.complete", 2) if open_again else ("b", 1))


def test_names_that_look_like_claims_are_told_apart(tmp_path: Path) -> None:
    cells = ["a", "a.1", "a.1.complete"]
    book = ledger(tmp_path, cells)
    for cell in cells:
        claim = claimed(book.claim())
        assert claim.cell == cell
        claim.end("complete")
    assert {name: (item.highest, item.end) for name, item in book.read().items()} == dict.fromkeys(
        cells, (1, "complete")
    )


def test_a_claim_of_a_dead_process_is_free_at_once(tmp_path: Path) -> None:
    claimed(ledger(tmp_path, ["a"], DEAD).claim())
    again = claimed(ledger(tmp_path, ["a"]).claim())
    assert again.attempt == 2


@pytest.mark.parametrize("end", ["complete", "failed", "stopped"])
def test_a_process_that_ended_an_attempt_and_died_after_the_listing_is_not_taken_over(
    tmp_path: Path, end: End, monkeypatch: pytest.MonkeyPatch
) -> None:
    taken = claimed(ledger(tmp_path, ["a"], DEAD).claim())
    listed = ledger(tmp_path, ["a"]).read()
    assert taken.end(end)
    monkeypatch.setattr(Ledger, "read", lambda self: listed)
    assert ledger(tmp_path, ["a"]).claim() is None


def test_a_process_with_the_number_of_a_dead_one_is_another() -> None:
    here = Holder.here("here")
    assert here.is_alive()
    assert not replace(here, started=here.started - 1).is_alive()
    assert not DEAD.is_alive()
    assert ELSEWHERE.is_alive() is None
    assert Holder.from_json(json.loads(json.dumps(here.to_json()))) == here


def test_the_holder_that_was_overtaken_records_nothing(tmp_path: Path) -> None:
    old = claimed(ledger(tmp_path, ["a"], DEAD).claim())
    new = claimed(ledger(tmp_path, ["a"]).claim())
    assert not old.beat()
    assert not old.end("complete")
    assert new.beat()
    assert new.end("complete")
    assert read_claims(tmp_path / "claims")["a"].ends == {2: "complete"}


def test_a_holder_on_another_machine_is_judged_by_its_heartbeat(tmp_path: Path) -> None:
    far = claimed(ledger(tmp_path, ["a"], ELSEWHERE).claim())
    here = ledger(tmp_path, ["a"])
    assert here.claim() is None
    age(far, STALE - 5)
    assert here.claim() is None
    age(far, STALE + 5)
    far.beat()
    assert here.claim() is None
    age(far, STALE + 5)
    assert claimed(here.claim()).attempt == 2


def test_a_holder_that_is_busy_with_something_else_beats(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("lit_transformer.sweep.ledger.HEARTBEAT", 0.02)
    far = claimed(ledger(tmp_path, ["a"], ELSEWHERE).claim())
    age(far, STALE + 5)
    old = far.path.stat().st_mtime
    with beating(far):
        wait_for(lambda: far.path.stat().st_mtime > old)
    assert ledger(tmp_path, ["a"]).claim() is None
    assert "heartbeat" not in {thread.name for thread in threading.enumerate()}


def test_an_empty_claim_is_held_until_its_heartbeat_is_stale(tmp_path: Path) -> None:
    here = ledger(tmp_path, ["a"])
    empty = Claim(tmp_path / "claims", "a", 1)
    empty.path.touch()
    assert here.claim() is None
    age(empty, STALE + 5)
    assert claimed(here.claim()).attempt == 2


def age(claim: Claim, seconds: float) -> None:
    then = claim.path.parent.stat().st_mtime - seconds
    os.utime(claim.path, (then, then))


def test_reopening(tmp_path: Path) -> None:
    cells = list("abcdef")
    book = ledger(tmp_path, cells)
    for end in ("complete", "failed", "diverged", "stopped", "pruned", "complete"):
        claimed(book.claim()).end(end)  # type: ignore[arg-type]
    assert book.claim() is None
    assert sorted(book.reopen(["failed", "stopped"], {"f": True, "b": True})) == ["b", "d", "f"]
    assert [claimed(book.claim()).cell for _ in range(3)] == ["b", "d", "f"]
    assert book.reopen(["diverged"], {}) == ["c"]


def test_losses_count_in_a_row(tmp_path: Path) -> None:
    book = ledger(tmp_path, ["a"])
    counts = []
    for end in ("lost", "lost", "again", "lost", None, "lost", "lost"):
        holder = Holder.here("here") if end else DEAD
        claim = claimed(ledger(tmp_path, ["a"], holder).claim())
        counts.append(book.read()["a"].earlier(claim.attempt, "lost"))
        if end:
            claim.end(end)  # type: ignore[arg-type]
    assert counts == [0, 1, 2, 0, 1, 0, 1]


def test_errors_and_losses_are_counted_apart(tmp_path: Path) -> None:
    book = ledger(tmp_path, ["a"])
    for end in ("lost", "preempted", "error", "lost", "error"):
        claimed(book.claim()).end(end)  # type: ignore[arg-type]
    known = book.read()["a"]
    assert (known.earlier(6, "error"), known.earlier(6, "lost")) == (2, 1)
    assert (known.earlier(3, "error"), known.earlier(3, "lost")) == (0, 0)


def test_the_claims_of_one_worker(tmp_path: Path) -> None:
    cells = ["a", "b", "c"]
    for worker, holder_cells in (("one", 2), ("two", 1)):
        for _ in range(holder_cells):
            claim = claimed(ledger(tmp_path, cells, Holder.here(worker)).claim())
    claim.end("complete")
    assert sorted(item.cell for item in ledger(tmp_path, cells).held_by("one")) == ["a", "b"]
    assert ledger(tmp_path, cells).held_by("two") == []


def _take(folder: Path, rounds: int, start: Barrier, wins: Path, name: str) -> None:
    mine = []
    for index in range(rounds):
        book = ledger(folder / str(index), ["a"], Holder.here(name))
        start.wait()
        mine.append(book.claim() is not None)
    wins.write_text(json.dumps(mine))


def test_of_two_takers_of_a_stale_claim_exactly_one_wins_100_of_100(tmp_path: Path) -> None:
    for index in range(100):
        claimed(ledger(tmp_path / str(index), ["a"], DEAD).claim())
    context = multiprocessing.get_context("spawn")
    start = context.Barrier(2)
    files = [tmp_path / "one.json", tmp_path / "two.json"]
    takers = [context.Process(target=_take, args=(tmp_path, 100, start, file, file.stem)) for file in files]
    for taker in takers:
        taker.start()
    for taker in takers:
        taker.join(60)
    one, two = (json.loads(file.read_text()) for file in files)
    assert [a + b for a, b in zip(one, two, strict=True)] == [1] * 100
    assert not list(tmp_path.rglob(".clock-*"))  # who looks leaves nothing behind


def test_eight_processes_and_kills_lose_no_cell_and_run_none_twice(tmp_path: Path) -> None:
    count, generator = 200, random.Random(0)
    claims = tmp_path / "claims"
    started = 0

    def start() -> subprocess.Popen[bytes]:
        nonlocal started
        started += 1
        script = Path(__file__).with_name("claim_loop.py")
        command = [sys.executable, str(script), str(tmp_path), str(count), f"p{started}"]
        return subprocess.Popen(command, env={**os.environ, "PYTHONPATH": os.getcwd()})

    processes = [start() for _ in range(8)]
    kills, until = 0, time.monotonic() + 60
    while any(process.poll() is None for process in processes) and time.monotonic() < until:
        time.sleep(0.02)
        done = len(list(claims.glob("*.complete"))) if claims.exists() else 0
        if kills < 12 and done > kills * 12:
            victim = generator.randrange(8)
            processes[victim].kill()
            processes[victim].wait()
            processes[victim] = start()
            kills += 1
    for process in processes:
        assert process.wait(10) == 0
    known = read_claims(claims)
    assert kills == 12
    assert {cell: item.end for cell, item in known.items()} == {f"cell={index}": "complete" for index in range(count)}
    ends = Counter(end for item in known.values() for end in item.ends.values())
    assert ends == {"complete": count}
    assert not list(tmp_path.glob("overlap-*"))


_counters: list[Counter[str]] = []
"""What the audit hook, which cannot be removed, counts into."""


def _audit(event: str, arguments: object) -> None:
    for counter in _counters:
        if event in ("open", "os.listdir", "os.scandir"):
            counter[event] += 1


@contextmanager
def counting() -> Iterator[Counter[str]]:
    _counters.append(Counter())
    yield _counters[-1]
    _counters.pop()


def test_a_claim_costs_the_same_at_the_end_of_2000_cells(tmp_path: Path) -> None:
    cells = [f"cell={index}" for index in range(2000)]
    book = ledger(tmp_path, cells)
    sys.addaudithook(_audit)
    with counting() as at_start:
        claimed(book.claim()).end("complete")
    for cell in cells[1:-1]:
        claim = Claim(tmp_path / "claims", cell, 1)
        claim.path.touch()
        claim.end("complete")
    with counting() as at_end:
        last = claimed(book.claim())
    assert last.cell == "cell=1999"
    assert at_end["os.listdir"] == at_start["os.listdir"] == 1
    assert at_end["open"] <= at_start["open"] <= 3
    start = time.perf_counter()
    book.read()
    print(f"one listing of 4,000 names: {1000 * (time.perf_counter() - start):.1f} ms")


def test_a_full_disk_leaves_no_claim(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    book = ledger(tmp_path, ["a"])

    def full(descriptor: int, data: bytes) -> int:
        raise OSError(28, os.strerror(28))

    with monkeypatch.context() as patch:
        patch.setattr(os, "write", full)
        with pytest.raises(OSError, match="No space"):
            book.claim()
    assert claimed(book.claim()).attempt == 1
