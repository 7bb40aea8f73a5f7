"""Carries metrics.jsonl of runs to W&B: one process for all the runs of a worker, so that wandb starts once."""

import json
import math
import os
import shutil
import sys
import uuid
from collections.abc import Callable, Mapping
from contextlib import suppress
from functools import cache, partial
from multiprocessing.connection import Connection
from pathlib import Path

import numpy as np
import wandb
from numpy.typing import NDArray

from lit_transformer.config.layers import flatten
from lit_transformer.records.atomic import read_json, write_text
from lit_transformer.records.run_folder import STATUSES, RunFolder
from lit_transformer.records.sweep_folder import sweep_of

TICK_SECONDS = 0.5
"""Between looks at metrics.jsonl."""


def serve(connection: Connection) -> int:
    """Obey ("open", folder), ("close", folder) and ("end", "") until the pipe closes; an opened folder is sent back.

    A folder that is closed and was not opened here is one that another writer left unfinished. W&B's trouble (no
    network, a full disk) is reported and never stops a training: metrics.jsonl has everything.
    """
    _guarded(list_packages_once)
    open_runs: dict[str, Followed] = {}
    begun: set[str] = set()
    """Folders that were opened here, also those of which W&B wanted to know nothing."""
    while True:
        try:
            verb, folder = connection.recv() if connection.poll(TICK_SECONDS) else ("tick", "")
        except (EOFError, OSError):
            verb, folder = "end", ""
        if verb == "open" or (verb == "close" and folder not in begun):
            begun.add(folder)
            _guarded(partial(_open, open_runs, folder))
            with suppress(OSError):  # nobody is there any more
                connection.send(folder)
        if verb == "close":
            begun.discard(folder)
            if folder in open_runs:
                _guarded(open_runs.pop(folder).finish)
        elif verb == "end":
            for followed in open_runs.values():
                _guarded(followed.finish)
            return 0
        for followed in open_runs.values():
            _guarded(followed.carry)


def list_packages_once() -> None:
    """Keep wandb's list of the installed packages: it makes it anew for each run otherwise."""
    list_packages = wandb.util.working_set
    wandb.util.working_set = cache(lambda: tuple(list_packages()))


def _open(open_runs: dict[str, "Followed"], folder: str) -> None:
    open_runs[folder] = Followed(RunFolder(Path(folder)))


class Followed:
    """A run that is being carried to W&B."""

    def __init__(self, run: RunFolder) -> None:
        self._folder = run
        self._offset = 0
        run.tracking_error_file.unlink(missing_ok=True)  # an earlier attempt's
        config = run.read_config()
        tracking = config.get("tracking")
        assert isinstance(tracking, dict)
        mode = wandb_mode(str(tracking["wandb"]))
        self._run: wandb.Run | None = None
        if mode == "off":
            return
        sweep = sweep_of(run)
        _remove_offline_runs(run)
        self._run = wandb.init(
            mode="online" if mode == "online" else "offline",
            project=str(tracking["project"]),
            dir=run.path,
            id=_run_id(run),
            resume="allow" if mode == "online" else None,
            name=run.path.name,
            group=sweep.path.name if sweep else str(config.get("experiment")),
            config=config,
            reinit="create_new",
            settings=wandb.Settings(console="off", silent=True, x_disable_stats=True, save_code=False),
        )
        self._check_config(config)

    def _check_config(self, config: Mapping[str, object]) -> None:
        """See that W&B shows what is trained; else tell the trial, which fails with what stands in the file."""
        assert self._run is not None
        shown = {key: value for key, value in self._run.config.as_dict().items() if key != "_wandb"}
        if isinstance(shown.get("experiment"), str):
            shown["experiment"] = Path(shown["experiment"]).stem  # a sweep may name it by its file
        different = config_differences(config, shown)
        if different:
            lines = "\n".join(f"  got      {line}" for line in different[:10])
            write_text(
                self._folder.tracking_error_file,
                f"W&B shows another configuration than the one that is trained (trained -> shown)\n{lines}\n"
                "  allowed  one and the same, so that the dashboard says what was trained\n"
                "  fix      see to what W&B adds: config-defaults.yaml in this folder, WANDB_CONFIG_PATHS, or a sweep "
                "agent's WANDB_SWEEP_PARAM_PATH beside settings of your own; or tracking.wandb=off\n",
            )

    def carry(self) -> None:
        """Log the rows that came since the last look; a row still being written waits."""
        if self._run is None or not self._folder.metrics_file.exists():
            return
        with self._folder.metrics_file.open("rb") as file:
            file.seek(self._offset)
            for line in file:
                if not line.endswith(b"\n"):
                    break
                self._offset += len(line)
                row = json.loads(line)
                step = row.pop("step")
                values = {name: math.nan if value is None else value for name, value in row.items()}
                self._run.log({**values, **self._masks(step)}, step=step)

    def _masks(self, step: int) -> dict[str, object]:
        """The images of a validation at this step, each with its true and its predicted mask to choose from."""
        file = self._folder.path / "samples" / f"masks-{step}.npz"
        if not file.exists():
            return {}
        prepared = read_json(self._folder.prepared_file)
        classes = prepared["classes"]
        assert isinstance(classes, list)
        labels = {index: str(name) for index, name in enumerate(classes)}
        with np.load(file) as arrays:
            rows = zip(arrays["images"], arrays["truths"], arrays["predictions"], strict=True)
            return {"val/masks": [_image(labels, *row) for row in rows]}

    def finish(self) -> None:
        """Take the last rows and the result, and end the W&B run, tagged by the state in which the run ended."""
        self.carry()
        if self._run is None:
            return
        result = self._folder.read_result()
        state = str(result.get("status", "stopped"))
        self._run.tags = (*(tag for tag in self._run.tags or () if tag not in STATUSES), state)
        for name in ("status", "parameters", "flops_per_token", "flops", "tokens", "seconds", "tokens_per_second"):
            if name in result:
                self._run.summary[name] = result[name]
        metrics = result.get("metrics")
        if isinstance(metrics, dict):
            self._run.summary.update({f"best/{name}": value for name, value in metrics.items()})
        self._run.finish(exit_code=0 if state in ("complete", "pruned") else 1)


def config_differences(trained: Mapping[str, object], shown: Mapping[str, object]) -> list[str]:
    """What W&B shows otherwise than the frozen configuration says, one line each: `key: trained -> shown`."""
    ours, theirs = flatten(json.loads(json.dumps(trained))), flatten(json.loads(json.dumps(shown, default=str)))
    missing = "nothing"
    return [
        f"{key}: {ours.get(key, missing)} -> {theirs.get(key, missing)}"
        for key in dict.fromkeys([*ours, *theirs])
        if key not in ours or key not in theirs or ours[key] != theirs[key]
    ]


def _image(
    labels: Mapping[int, str], image: NDArray[np.uint8], truth: NDArray[np.int16], predicted: NDArray[np.int16]
) -> wandb.Image:
    """An image (height, width, channels) with two masks (height, width); what is ignored is W&B's 255."""
    masks = {
        name: {"mask_data": np.where(mask < 0, 255, mask).astype(np.uint8), "class_labels": {**labels, 255: "ignored"}}
        for name, mask in (("truth", truth), ("prediction", predicted))
    }
    return wandb.Image(image, masks=masks)


def wandb_mode(setting: str) -> str:
    """online, offline or off: `auto` is `auto_mode`, and offline where that fails, with a line that says so."""
    if setting != "auto":
        return setting
    try:
        return auto_mode()
    except Exception as error:  # a key, but no network, or a server that does not know it
        print(f"W&B: offline, since asking who is logged in failed: {error}", file=sys.stderr, flush=True)
        return "offline"


def auto_mode() -> str:
    """WANDB_MODE, else online when logged in, else offline; raises what wandb raises of a bad WANDB_MODE or login."""
    mode = os.environ.get("WANDB_MODE", "")
    if mode in ("online", "offline"):
        return mode
    if mode in ("disabled", "dryrun"):
        return "off" if mode == "disabled" else "offline"
    return "online" if wandb.login(prompt=False) else "offline"


def _run_id(run: RunFolder) -> str:
    """The run's id on W&B: W&B's agent's, or made once, so that a later upload or rebuild is the same run."""
    path = run.path / "wandb-id.txt"
    if not path.exists():
        given = os.environ.get("WANDB_RUN_ID") if os.environ.get("WANDB_SWEEP_ID") else None
        write_text(path, given or uuid.uuid4().hex[:12])
    return path.read_text(encoding="utf-8").strip()


def _remove_offline_runs(run: RunFolder) -> None:
    """Remove what an earlier attempt logged offline: it is logged again, each step once, from metrics.jsonl."""
    tracked = run.path / "wandb"
    if tracked.is_symlink():  # a folder elsewhere, which may be other runs' too
        return
    for folder in tracked.glob(f"offline-run-*-{_run_id(run)}"):
        if folder.is_dir() and not folder.is_symlink():
            shutil.rmtree(folder)
    latest = tracked / "latest-run"
    if latest.is_symlink():
        latest.unlink()


def _guarded(act: Callable[[], None]) -> None:
    try:
        act()
    except Exception as error:  # whatever wandb raises; see serve
        print(f"W&B: {type(error).__name__}: {error}; metrics.jsonl has everything.", file=sys.stderr, flush=True)
