"""Loaders whose workers are killed, exit, raise and hang: the message names the batch they were at."""

import multiprocessing
import os
import re
import signal
import threading
import time
from collections.abc import Callable, Iterator
from itertools import islice
from pathlib import Path

import numpy as np
import pytest
import torch
from lightning.pytorch import LightningModule, Trainer
from torch import Tensor
from torch.utils.data import Sampler

from lit_transformer.config.errors import UserError
from lit_transformer.data.loader import LoaderDied, PlanLoader, first_few
from lit_transformer.data.sampler import Plan
from tests.waiting import alive, wait_for

pytestmark = pytest.mark.timeout(300)
FORK = multiprocessing.get_context("fork")
STEPS, ROWS = 12, 6


class Plans(Sampler[Plan]):
    """Steps of one epoch; each iteration is the next epoch."""

    def __init__(self) -> None:
        self._epoch = -1

    def __iter__(self) -> Iterator[Plan]:
        self._epoch += 1
        for step in range(STEPS):
            yield Plan(rows := np.arange(ROWS) + 100 * step, rows, self._epoch, step)


class Blocks:
    """Calls `at[step]` before it makes the batch of that step."""

    def __init__(self, at: dict[int, Callable[[], object]] | None = None, epoch: int = 0) -> None:
        self._at, self._epoch = at or {}, epoch

    def __getitem__(self, plan: Plan) -> dict[str, Tensor]:
        if plan.step in self._at and plan.epoch == self._epoch:
            self._at[plan.step]()
        return {"inputs": torch.from_numpy(plan.rows)}  # (rows,)

    def describe(self, plan: Plan) -> str:
        return f"blocks that start at tokens {first_few(plan.rows)} of the train split"


class Sleep:
    """Sleeps after it has left its process's number in a file."""

    def __init__(self, note: Path) -> None:
        self.note = note

    def __call__(self) -> None:
        self.note.with_suffix(".part").write_text(str(os.getpid()))
        os.replace(self.note.with_suffix(".part"), self.note)
        time.sleep(600)

    def pid(self) -> int:
        wait_for(self.note.exists)
        return int(self.note.read_text())

    def kill_soon(self) -> None:
        """Kill the sleeper from another thread, while this one waits for its batch."""
        threading.Thread(target=lambda: os.kill(self.pid(), signal.SIGKILL), daemon=True).start()


@pytest.fixture
def sleep(tmp_path: Path) -> Sleep:
    return Sleep(tmp_path / "pid")


def workers() -> list[int]:
    return [child.pid for child in multiprocessing.active_children() if child.pid is not None]


def steps(batches: Iterator[dict[str, Tensor]]) -> list[int]:
    return [int(batch["inputs"][0]) // 100 for batch in batches]


def take_until(error: type[Exception], batches: Iterator[dict[str, Tensor]]) -> tuple[list[int], str]:
    """The steps that came before the error, and its message."""
    found: list[int] = []
    with pytest.raises(error) as caught:
        found.extend(int(batch["inputs"][0]) // 100 for batch in batches)
    return found, str(caught.value)


@pytest.mark.parametrize("persistent", [False, True])
@pytest.mark.parametrize("num_workers", [0, 1, 2])
def test_batches_come_in_the_samplers_order(num_workers: int, persistent: bool) -> None:
    loader = PlanLoader(Blocks(), Plans(), num_workers=num_workers, persistent_workers=persistent)
    for _ in range(3):
        batches = iter(loader)
        assert steps(batches) == list(range(STEPS))
        assert next(batches, None) is None
    assert loader.state_dict() == {}
    loader.load_state_dict({})


@pytest.mark.parametrize("persistent", [False, True])
def test_a_killed_worker_is_named_with_its_own_batch(persistent: bool, sleep: Sleep) -> None:
    loader = PlanLoader(Blocks({5: sleep}, epoch=1), Plans(), num_workers=2, persistent_workers=persistent)
    assert steps(iter(loader)) == list(range(STEPS))
    batches = iter(loader)
    assert steps(islice(batches, 5)) == [0, 1, 2, 3, 4]
    sleep.kill_soon()
    found, message = take_until(LoaderDied, batches)
    assert found == []  # the worker's next ones, 7 and 9, were asked for already
    assert message == (
        f"loader worker {sleep.pid()} was killed by SIGKILL while it made the batch of step 5 (epoch 1): "
        "blocks that start at tokens 500, 501, 502, 503, ... of the train split\n"
        "  fix      out of memory? fewer data.loader_workers or a smaller data.batch_size take less"
    )


def test_other_code_is_left_alone_when_a_worker_dies(sleep: Sleep) -> None:
    batches = iter(PlanLoader(Blocks({2: sleep}), Plans(), num_workers=2))
    assert steps(islice(batches, 2)) == [0, 1]
    os.kill(sleep.pid(), signal.SIGKILL)
    wait_for(lambda: not alive(sleep.pid()))
    for _ in range(100_000):  # where torch's own error would come
        pass
    found, message = take_until(LoaderDied, batches)
    assert found == []
    assert "while it made the batch of step 2 (epoch 0)" in message


def test_another_loaders_worker_is_not_taken_for_ones_own(tmp_path: Path) -> None:
    ours, theirs = Sleep(tmp_path / "ours"), Sleep(tmp_path / "theirs")
    val = iter(PlanLoader(Blocks({3: theirs}), Plans(), num_workers=1))
    assert steps(islice(val, 3)) == [0, 1, 2]
    train = iter(PlanLoader(Blocks({1: lambda: time.sleep(1)}), Plans(), num_workers=1))
    theirs.kill_soon()
    assert steps(train) == list(range(STEPS))  # it died while this loader was waited for
    assert not alive(theirs.pid())
    found, message = take_until(LoaderDied, val)
    assert found == []
    assert "step 3" in message
    assert not ours.note.exists()


def test_an_idle_worker_is_named_with_the_batch_it_had_made() -> None:
    loader = PlanLoader(Blocks(), Plans(), num_workers=1, persistent_workers=True)
    before = set(workers())
    assert steps(iter(loader)) == list(range(STEPS))
    (worker,) = set(workers()) - before
    os.kill(worker, signal.SIGKILL)
    wait_for(lambda: not alive(worker))
    with pytest.raises(LoaderDied, match=rf"{worker} was killed by SIGKILL after it had made the batch of step 11 "):
        iter(loader)


@pytest.mark.parametrize("status", [0, 3])
def test_a_worker_that_exits_is_named(status: int) -> None:
    loader = PlanLoader(Blocks({4: lambda: os._exit(status)}), Plans(), num_workers=2)
    found, message = take_until(LoaderDied, iter(loader))
    assert set(found) <= {0, 1, 2, 3}
    assert f"ended with exit status {status} while it made the batch of step 4 (epoch 0): blocks" in message
    assert "data.loader_workers=0 shows where it happens" in message


def test_a_crash_names_its_signal() -> None:
    loader = PlanLoader(Blocks({1: lambda: os.kill(os.getpid(), signal.SIGBUS)}), Plans(), num_workers=1)
    _, message = take_until(LoaderDied, iter(loader))
    assert "was killed by SIGBUS while it made the batch of step 1" in message
    assert "is shared memory (/dev/shm) full?" in message


def raise_it() -> None:
    raise ValueError("a damaged block")


@pytest.mark.parametrize("num_workers", [0, 2])
def test_an_exception_names_its_batch(num_workers: int) -> None:
    loader = PlanLoader(Blocks({4: raise_it}), Plans(), num_workers=num_workers)
    with pytest.raises(LoaderDied) as caught:
        steps(iter(loader))
    message = str(caught.value)
    who = r"loader worker \d+" if num_workers else "the dataset"
    batch = (
        r"the batch of step 4 \(epoch 0\): blocks that start at tokens 400, 401, 402, 403, \.\.\. of the train split"
    )
    assert re.match(rf"{who} failed while it made {batch}\n  cause    ValueError: a damaged block\n", message)
    assert "in raise_it" in message
    assert num_workers or isinstance(caught.value.__cause__, ValueError)


@pytest.mark.parametrize("num_workers", [0, 1])
def test_the_users_mistake_stays_one(num_workers: int) -> None:
    def missing() -> None:
        raise UserError("cat.png cannot be read")

    loader = PlanLoader(Blocks({0: missing}), Plans(), num_workers=num_workers)
    with pytest.raises(UserError, match=r"^cat.png cannot be read\n  in       the batch of step 0 \(epoch 0\): blocks"):
        next(iter(loader))


def test_after_a_death_no_worker_is_left(sleep: Sleep) -> None:
    before = set(workers())
    batches = iter(PlanLoader(Blocks({0: lambda: time.sleep(600), 1: sleep}), Plans(), num_workers=2))
    made = set(workers()) - before
    assert len(made) == 2
    sleep.kill_soon()
    take_until(LoaderDied, batches)
    wait_for(lambda: not any(alive(pid) for pid in made))


def test_a_jobs_first_sigterm_leaves_the_workers_at_work() -> None:
    before = set(workers())
    batches = iter(PlanLoader(Blocks(), Plans(), num_workers=2))
    assert steps(islice(batches, 2)) == [0, 1]  # of each worker one
    for number in (signal.SIGTERM, signal.SIGINT, signal.SIGUSR1):
        for pid in set(workers()) - before:
            os.kill(pid, number)
    assert steps(batches) == list(range(2, STEPS))


def test_a_second_sigterm_ends_a_worker(sleep: Sleep) -> None:
    def twice() -> None:
        for _ in range(2):
            os.kill(sleep.pid(), signal.SIGTERM)
            time.sleep(0.5)

    batches = iter(PlanLoader(Blocks({0: sleep}), Plans(), num_workers=1))
    threading.Thread(target=twice, daemon=True).start()
    _, message = take_until(LoaderDied, batches)
    assert "was killed by SIGTERM while it made the batch of step 0" in message


def test_workers_end_with_a_killed_rank_at_once(sleep: Sleep) -> None:
    def rank() -> None:
        steps(iter(PlanLoader(Blocks({1: sleep}), Plans(), num_workers=2)))

    process = FORK.Process(target=rank)
    process.start()
    worker = sleep.pid()  # it sleeps in its dataset, and would never look for its parent
    assert alive(worker)
    process.kill()
    process.join()
    wait_for(lambda: not alive(worker))


class Fits(LightningModule):
    """The least that Lightning trains."""

    def __init__(self) -> None:
        super().__init__()
        self.weight = torch.nn.Parameter(torch.zeros(()))

    def training_step(self, batch: dict[str, Tensor], batch_idx: int) -> Tensor:
        return (self.weight - batch["inputs"].float()).square().mean()

    def configure_optimizers(self) -> torch.optim.Optimizer:
        return torch.optim.SGD(self.parameters(), lr=0.1)


def test_lightning_passes_the_message_on(sleep: Sleep, tmp_path: Path) -> None:
    sleep.kill_soon()
    trainer = Trainer(
        accelerator="cpu", max_epochs=2, logger=False, enable_checkpointing=False, enable_progress_bar=False,
        enable_model_summary=False, default_root_dir=tmp_path, use_distributed_sampler=False,
    )  # fmt: skip
    loader = PlanLoader(Blocks({7: sleep}), Plans(), num_workers=2, persistent_workers=True)
    with pytest.raises(LoaderDied, match=r"SIGKILL while it made the batch of step 7 \(epoch 0\)"):
        trainer.fit(Fits(), loader)


@pytest.mark.skipif(not torch.cuda.is_available(), reason="needs a GPU to pin memory for")
def test_with_pinned_memory(sleep: Sleep) -> None:
    batches = iter(PlanLoader(Blocks({5: sleep}), Plans(), num_workers=2, persistent_workers=True, pin_memory=True))
    assert all(batch["inputs"].is_pinned() for batch in islice(batches, 5))
    sleep.kill_soon()
    found, message = take_until(LoaderDied, batches)
    assert found == []
    assert "was killed by SIGKILL while it made the batch of step 5 (epoch 0)" in message
    failing = PlanLoader(Blocks({5: raise_it}), Plans(), num_workers=2, pin_memory=True)
    found, message = take_until(LoaderDied, iter(failing))
    assert found == [0, 1, 2, 3, 4]
    assert "ValueError: a damaged block" in message


def test_first_few() -> None:
    assert first_few([]) == ""
    assert first_few(range(4)) == "0, 1, 2, 3"
    assert first_few(np.arange(5)) == "0, 1, 2, 3, ..."
