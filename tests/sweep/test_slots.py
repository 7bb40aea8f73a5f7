"""How a machine is divided among workers."""

from types import SimpleNamespace

import pytest

from lit_transformer.config.errors import UserError
from lit_transformer.sweep import slots
from lit_transformer.sweep.cells import Cell
from lit_transformer.sweep.slots import divide


def cells(count: int = 20, devices: int = 1, accelerator: str = "auto") -> list[Cell]:
    config = {"trainer": {"devices": devices, "accelerator": accelerator}}
    return [Cell(name=str(index), values={}, config=config) for index in range(count)]


@pytest.fixture
def machine(monkeypatch: pytest.MonkeyPatch):  # type: ignore[no-untyped-def]
    def make(cores: int, gpus: int = 0, gib: float = 1000) -> None:
        monkeypatch.setattr(slots, "cores", lambda: cores)
        monkeypatch.setattr(slots, "cuda_devices", lambda: tuple(str(index) for index in range(gpus)))
        monkeypatch.setattr(slots, "accelerator", lambda: "cuda" if gpus else "cpu")
        monkeypatch.setattr(slots.psutil, "virtual_memory", lambda: SimpleNamespace(available=gib * 2**30))

    return make


@pytest.mark.parametrize(
    ("cores", "devices", "asked", "workers", "threads"),
    [(2, 1, None, 2, 1), (2, 2, None, 1, 1), (8, 1, None, 8, 1), (8, 1, 2, 2, 4), (8, 2, 2, 2, 2), (1, 4, None, 1, 1)],
)
def test_cores(machine, cores: int, devices: int, asked: int | None, workers: int, threads: int) -> None:  # type: ignore[no-untyped-def]
    machine(cores)
    made = divide(cells(devices=devices), asked)
    assert (made.workers, made.threads, made.accelerator, list(made.gpus)) == (workers, threads, "cpu", [])


def test_gpus_are_sliced(machine) -> None:  # type: ignore[no-untyped-def]
    machine(32, gpus=5)
    made = divide(cells(devices=2))
    assert (made.workers, made.accelerator, made.threads) == (2, "cuda", 8)
    assert [list(gpus) for gpus in made.gpus] == [["0", "1"], ["2", "3"]]
    assert divide(cells(accelerator="cpu")).gpus == []
    with pytest.raises(UserError, match="needs 6 GPUs and this machine has 5"):
        divide(cells(devices=2), workers=3)


def test_no_more_workers_than_cells_or_memory(machine) -> None:  # type: ignore[no-untyped-def]
    machine(64)
    assert divide(cells(3)).workers == 3
    machine(64, gib=7)
    assert divide(cells()).workers == 4


def test_frozen_threads_stay(machine) -> None:  # type: ignore[no-untyped-def]
    machine(8)
    assert divide(cells(), workers=1, threads=3).threads == 3
    with pytest.raises(UserError, match="--workers 0"):
        divide(cells(), workers=0)


def test_frozen_threads_decide_how_many_workers_another_machine_has_room_for(machine) -> None:  # type: ignore[no-untyped-def]
    machine(8)
    assert divide(cells(), threads=3).workers == 2
    assert divide(cells(devices=2), threads=2).workers == 2


def test_several_trials_share_a_gpu(machine) -> None:  # type: ignore[no-untyped-def]
    machine(32, gpus=3)
    made = divide(cells(), per_device=2)
    assert (made.workers, [list(gpus) for gpus in made.gpus]) == (6, [["0"], ["1"], ["2"]] * 2)
    made = divide(cells(), workers=4, per_device=2)
    assert [list(gpus) for gpus in made.gpus] == [["0"], ["1"], ["2"], ["0"]]
    assert divide(cells(4), per_device=2).workers == 4
    with pytest.raises(UserError, match="needs 4 GPUs and this machine has 3"):
        divide(cells(), workers=7, per_device=2)
    with pytest.raises(UserError, match="--per-device 0"):
        divide(cells(), per_device=0)
    machine(8)
    with pytest.raises(UserError, match=r"--per-device 2: got a sweep on a CPU(.|\n)*fix      --workers N"):
        divide(cells(), per_device=2)
