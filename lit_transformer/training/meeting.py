"""Where ranks that a launcher started agree on one run before they train: a key-value store that all of them reach."""

import datetime
import hashlib
import json
import os
import sys
import time
import traceback
from collections.abc import Callable
from contextlib import suppress
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import NoReturn, TypeVar

import torch
from torch.distributed.distributed_c10d import PrefixStore, Store
from torch.distributed.rendezvous import rendezvous

from lit_transformer.config.errors import UserError
from lit_transformer.config.fields import fields_of
from lit_transformer.config.load import Loaded, get_value
from lit_transformer.config.schema import ExperimentConfig
from lit_transformer.config.show import shown
from lit_transformer.processes.hardware import check_devices
from lit_transformer.processes.launched import Launch
from lit_transformer.records.run_folder import RunFolder

JOIN_SECONDS = 600.0
"""How long ranks wait for one that has not started, or not answered: imports from a busy file system take minutes."""
SEEN_SECONDS = 60.0
"""How long a rank looks for the run's folder: a network file system shows new files late."""
LEAVE_SECONDS = 10.0
"""How long rank 0, where the others read why the run ends, waits for them to have read it."""
UNLIMITED = datetime.timedelta(days=30)
"""For the wait on rank 0 while it prepares data; it ends at once when rank 0 does."""

T = TypeVar("T")


@dataclass(frozen=True, kw_only=True)
class Trouble:
    """Why a rank cannot go on."""

    text: str = ""
    status: int = 0
    """The exit status: 0 no trouble, 2 the user's mistake, 1 anything else."""


class Meeting:
    """The ranks of a launch, until torch.distributed takes over.

    Trouble on any rank is printed by rank 0 and ends every rank with SystemExit: nobody waits for the one who left.
    """

    def __init__(self, launch: Launch) -> None:
        self.launch = launch
        os.environ.update(launch.environment())
        self._store = _join(launch)

    def same_settings(self, load: Callable[[], Loaded]) -> Loaded:
        """What `load` gives, once it has given the same on every rank."""

        def checked() -> Loaded:
            loaded = load()
            check_devices(loaded.config)  # each node has its own
            return loaded

        loaded, trouble = _tried(checked)
        values = {key: get_value(loaded.config, key) for key in fields_of(loaded.config.model.kind)} if loaded else {}
        answers = self._gather("settings", {**asdict(trouble), "values": values})
        self._go_on("settings", _troubles(answers) if answers else Trouble())
        self._go_on("same", _differences(answers) if answers else Trouble())
        assert loaded is not None  # without one all ranks have ended
        return loaded

    def make_folder(self, make: Callable[[], Path]) -> Path:
        """Let rank 0 make the run's folder, and wait until every rank sees the same config in it."""
        if self.launch.rank == 0:
            folder, trouble = _tried(make)
            self._go_on("made", trouble)
            assert folder is not None
            seen = {"folder": str(folder.absolute()), "config": _sha256(RunFolder(folder).config_file)}
            self._store.set("folder", json.dumps(seen))
            trouble = Trouble()
        else:
            self._go_on("made", Trouble())
            seen = json.loads(self._get("folder"))
            folder = Path(seen["folder"])
            trouble = _unseen(RunFolder(folder), seen["config"])
        answers = self._gather("seen", asdict(trouble))
        self._go_on("seen", _troubles(answers) if answers else Trouble())
        return folder

    def start_training(self, config: ExperimentConfig) -> None:
        """Start torch.distributed; Lightning finds it started."""
        backend = "gloo"
        if config.trainer.accelerator == "cuda":
            torch.cuda.set_device(self.launch.local_rank)  # else NCCL guesses the device from the global rank
            backend = "cpu:gloo,cuda:nccl"
        torch.distributed.init_process_group(
            backend,
            store=PrefixStore("training", self._store),
            rank=self.launch.rank,
            world_size=self.launch.world_size,
        )

    def _gather(self, name: str, answer: dict[str, object]) -> list[dict[str, object]]:
        """The answers of all ranks, on rank 0; elsewhere an empty list."""
        self._store.set(f"{name}/{self.launch.rank}", json.dumps(answer))
        if self.launch.rank:
            return []
        keys = [f"{name}/{rank}" for rank in range(self.launch.world_size)]
        try:
            self._store.wait(keys, datetime.timedelta(seconds=JOIN_SECONDS))
        except torch.distributed.DistError:
            silent = [str(rank) for rank, key in enumerate(keys) if not self._store.check([key])]
            self._go_on(name, Trouble(text=f"rank {', '.join(silent)} ended or hangs before the training", status=1))
        return [json.loads(self._store.get(key)) for key in keys]

    def _go_on(self, name: str, trouble: Trouble) -> None:
        """End every rank unless rank 0's `trouble` is none; that of other ranks is not looked at."""
        rank = self.launch.rank
        if rank == 0:
            if trouble.status:
                print(trouble.text, file=sys.stderr, flush=True)  # before any rank ends: torchrun kills the others
            self._store.set(f"{name}/status", str(trouble.status))
        status = trouble.status if rank == 0 else int(self._get(f"{name}/status"))
        if status == 0:
            return
        if rank == 0:  # the store ends with this process: not before all have read it
            with suppress(torch.distributed.DistError):
                left = [f"left/{other}" for other in range(1, self.launch.world_size)]
                self._store.wait(left, datetime.timedelta(seconds=LEAVE_SECONDS))
        else:
            self._store.set(f"left/{rank}", "")
        sys.exit(status)

    def _get(self, key: str) -> str:
        try:
            return self._store.get(key).decode()
        except torch.distributed.DistError:  # the store lives in rank 0 under srun
            _ended_early()


def _join(launch: Launch) -> Store:
    """The store of all ranks, once all have come; torchrun's own where it keeps one."""
    try:
        store, _, _ = next(rendezvous("env://", timeout=datetime.timedelta(seconds=JOIN_SECONDS)))
    except torch.distributed.DistError as error:
        said = (str(error).splitlines() or [""])[0]
        raise UserError(
            f"rank {launch.rank} of {launch.world_size}: got no connection with the others at {launch.address} port "
            f"{launch.port}: {said}\n"
            f"  allowed  {launch.world_size} ranks that start within {JOIN_SECONDS:g} s and reach that address\n"
            "  fix      see whether another rank ended early, or a firewall or another program holds the port"
        ) from None
    assert isinstance(store, Store)
    store.set_timeout(UNLIMITED)
    return store


def _tried(act: Callable[[], T]) -> tuple[T | None, Trouble]:
    try:
        return act(), Trouble()
    except UserError as error:
        return None, Trouble(text=str(error), status=2)
    except Exception:
        return None, Trouble(text=traceback.format_exc(), status=1)


def _troubles(answers: list[dict[str, object]]) -> Trouble:
    """Each trouble once, with the ranks that have it where not all do."""
    parts = []
    for text in dict.fromkeys(str(answer["text"]) for answer in answers if answer["status"]):
        ranks = [str(rank) for rank, answer in enumerate(answers) if answer["text"] == text]
        where = "" if len(ranks) == len(answers) else f"on rank {', '.join(ranks)} of {len(answers)}:\n"
        parts.append(where + text)
    statuses = {answer["status"] for answer in answers} - {0}
    return Trouble(text="\n".join(parts), status=1 if 1 in statuses else 2 if statuses else 0)


def _differences(answers: list[dict[str, object]]) -> Trouble:
    """What ranks were told differently from rank 0, side by side."""
    values = [answer["values"] for answer in answers]
    first = values[0]
    assert isinstance(first, dict)
    found: dict[tuple[str, str, str], list[str]] = {}
    for rank, theirs in enumerate(values):
        assert isinstance(theirs, dict)
        for key in sorted(first.keys() | theirs.keys()):
            if first.get(key) != theirs.get(key):
                found.setdefault((key, shown(theirs.get(key)), shown(first.get(key))), []).append(str(rank))
    if not found:
        return Trouble()
    lines = [
        f"{key}: got {other} on rank {', '.join(ranks)}\n  allowed  {ours}, as on rank 0"
        for (key, other, ours), ranks in found.items()
    ]
    fix = "  fix      start every rank with the same experiment, settings and code"
    return Trouble(text="\n".join(["The ranks were started with different settings:", *lines, fix]), status=2)


def _unseen(run: RunFolder, config: str) -> Trouble:
    """Why this rank cannot train the run that rank 0 has made."""
    deadline = time.monotonic() + SEEN_SECONDS
    while _sha256(run.config_file) != config:
        if time.monotonic() > deadline:
            text = (
                f"{run.path}: got another config.yaml than rank 0's, or none\n"
                "  allowed  one folder, the same on every node\n"
                "  fix      give an --output on a file system that all nodes share"
            )
            return Trouble(text=text, status=2)
        time.sleep(0.2)
    return Trouble()


def _sha256(file: Path) -> str:
    try:
        return hashlib.sha256(file.read_bytes()).hexdigest()
    except OSError:
        return ""


def _ended_early() -> NoReturn:
    print("Rank 0 ended before the training began.", file=sys.stderr)
    sys.exit(1)
