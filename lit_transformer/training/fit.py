"""`fit`: from an experiment's name to a trained run folder. Imports no torch: the ranks do."""

import datetime
import json
import secrets
import shutil
import signal
import sys
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from types import FrameType
from typing import TYPE_CHECKING

from lit_transformer.config.errors import UserError
from lit_transformer.config.layers import Layer, mapping_layer
from lit_transformer.config.load import Loaded, load_experiment, load_layers, with_values
from lit_transformer.config.schema import ExperimentConfig, TextModelConfig
from lit_transformer.config.show import to_plain
from lit_transformer.processes.hardware import check_devices, resolved
from lit_transformer.processes.launched import launched
from lit_transformer.processes.launched_settings import settings
from lit_transformer.processes.progress_file import progress_path, read_progress
from lit_transformer.processes.ranks import RankGroup
from lit_transformer.processes.trial import DRIFT_VARIABLE, TrialRunner
from lit_transformer.records.atomic import read_json, write_json
from lit_transformer.records.checkpoints import CheckpointFolder
from lit_transformer.records.requests import What, forget_request
from lit_transformer.records.run_folder import RESULT_VERSION, RunFolder
from lit_transformer.records.sweep_folder import sweep_of
from lit_transformer.training.identity import identity
from lit_transformer.training.resume import continue_from, frozen_layer, refuse_budgets

if TYPE_CHECKING:
    from lit_transformer.training.prepare import Prepared

EARLY = {-signal.SIGINT: 130, -signal.SIGTERM: 143, -signal.SIGUSR1: 143}
"""How a rank ends that is asked to stop before it listens, and what that counts as."""


def fit(experiment: str, layers: Sequence[Layer], *, output: Path) -> tuple[int, Path | None]:
    """Train an experiment into a new folder under `output`; the exit status and the run's folder.

    Started by torchrun or srun, this process is one of the ranks, and only rank 0 gives the folder. Raises UserError
    before anything is trained.
    """
    launch = launched()
    if launch is not None:
        from lit_transformer.training.launched import train_as_rank

        return train_as_rank(
            launch,
            load=lambda: load_experiment(experiment, layers),
            make=lambda loaded: new_run(loaded, output)[0].path,
        )
    loaded = settings(load_experiment(experiment, layers), None)
    check_devices(loaded.config)
    runner = TrialRunner()
    runner.warm()  # torch and Lightning are imported while the data are prepared
    run, config = new_run(loaded, output)
    return train(runner, run, config), run.path


def new_run(loaded: Loaded, output: Path) -> tuple[RunFolder, ExperimentConfig]:
    """Prepare an experiment's data and freeze it in a new folder under `output`."""
    from lit_transformer.training.prepare import prepare  # numpy and tokenizers: not before the settings are right
    from lit_transformer.training.prepare_progress import shown_progress
    from lit_transformer.training.solve import described

    with shown_progress() as progress:
        prepared = prepare(loaded.config, progress=progress)
    solved = described(prepared.config, prepared.solved)
    if solved:
        print(solved, file=sys.stderr)
    run, config = freeze(loaded, prepared, output / loaded.config.experiment / run_id())
    print(f"training {config.experiment} in {run.path} (torch and Lightning load first)", file=sys.stderr)
    return run, config


def train(runner: TrialRunner, run: RunFolder, config: ExperimentConfig, *, allow_drift: bool = False) -> int:
    """Train a frozen run, or go on with it, in ranks of its own; the exit status. Signals go on to the ranks."""
    with forwarded_signals() as groups:
        group = runner.start(
            run.path,
            devices=config.trainer.devices,
            environment=drift_environment(allow_drift),
            track=config.tracking.wandb != "off",
        )
        groups.append(group)
        status = tracked_status(runner, run, EARLY.get(ended := group.wait(), ended))
        runner.end(run.path)
        runner.close()
    if status in (0, 2, 130, 143):
        return status
    print(f"{group.reason}; `lit-transformer fit --resume {run.path}` goes on", file=sys.stderr)
    if not run.result_file.exists() and status != -signal.SIGKILL:  # a rank other than 0, which writes its own
        write_json(run.result_file, {"version": RESULT_VERSION, "status": "failed", "error": group.reason})
    return status if status > 0 else 128 - status


def tracked_status(runner: TrialRunner, run: RunFolder, status: int) -> int:
    """The exit status of a run, which is 2, with the reason, where W&B shows another run than the one that ended."""
    if status != 0:
        return status
    runner.await_tracking(run.path)
    if run.fail_where_shown_otherwise():
        print(run.read_result()["error"], file=sys.stderr)
        return 2
    return 0


def resume(folder: Path, layers: Sequence[Layer], *, allow_drift: bool) -> tuple[int, Path | None]:
    """Go on with the run in `folder`, under further settings; the exit status and the folder.

    A complete run is left as it is unless settings are given. Raises UserError where the folder is no run, is being
    trained, or holds a checkpoint that does not fit, and, unless `allow_drift`, where the result would not be exact.
    """
    run = RunFolder(folder)
    if not run.exists():
        raise UserError(
            f"{folder} is no run's folder: it holds no config.yaml\n"
            "  fix      give a run's folder, such as runs/gpt_tiny/<run-id> or a cell of a sweep"
        )
    refuse_budgets(layers)
    layers = [frozen_layer(run), *layers]
    launch = launched()
    if run.status() == "complete" and not any(layer.values for layer in layers[1:]):
        longer = any(entry.resumable for entry in CheckpointFolder(run.checkpoints).entries())
        more = "; settings such as trainer.max_steps=2000 would make it go on" if longer else ""
        print(f"{folder} is complete{more}", file=sys.stderr)
        return 0, folder if launch is None or launch.rank == 0 else None
    if launch is not None:
        from lit_transformer.training.launched import train_as_rank

        return train_as_rank(
            launch,
            load=lambda: load_layers(layers),
            make=lambda loaded: reopened(run, loaded, allow_drift=allow_drift)[0].path,
            environment=drift_environment(allow_drift),
        )
    loaded = settings(load_layers(layers), None)
    check_devices(loaded.config)
    run, config = reopened(run, loaded, allow_drift=allow_drift)
    return train(TrialRunner(), run, config, allow_drift=allow_drift), run.path


def reopened(run: RunFolder, loaded: Loaded, *, allow_drift: bool) -> tuple[RunFolder, ExperimentConfig]:
    """Freeze `loaded` in a run's folder over what stands there; raises UserError as `resume` says."""
    config, origins = resolved(loaded.config)
    prepared = _prepared_again(config, run)
    answered: tuple[What, ...] = ("stop", "preempt") if sweep_of(run) else ()  # that a cell is to be pruned holds on
    with _held(run):
        forget_request(run, *answered)
        run.tracking_error_file.unlink(missing_ok=True)  # of settings that may be others now
        continue_from(run, identity(config, prepared["fingerprint"]), allow_drift=allow_drift, report=lambda text: None)
        run.freeze(to_plain(config), {**loaded.origins, **origins}, prepared)
    print(f"going on with {run.path} (torch and Lightning load first)", file=sys.stderr)
    return run, config


def drift_environment(allow_drift: bool) -> dict[str, str]:
    """What tells a rank that its result may differ from the uninterrupted run's."""
    return {DRIFT_VARIABLE: "1"} if allow_drift else {}


@contextmanager
def _held(run: RunFolder) -> Iterator[None]:
    """Hold the run's lock, which its trial takes next; raises UserError where one lives."""
    lock = run.lock
    if not lock.acquire():
        raise UserError(
            f"{run.path} is being trained now\n"
            f"  got      {_trainers(run)}\n"
            "  allowed  one training at a time in a folder\n"
            "  fix      wait for it, or stop it first"
        )
    try:
        yield
    finally:
        lock.release()


def _trainers(run: RunFolder) -> str:
    progress = read_progress(progress_path(run.path, 0))
    return f"process {progress.pid}, at step {progress.step}" if progress else "a living process"


def _prepared_again(config: ExperimentConfig, run: RunFolder) -> dict[str, object]:
    """What prepared.json is to say now: the data as they are, or as they were frozen where the source is gone.

    Raises UserError where another vocabulary comes of them than the run's: its weights would mean other tokens.
    """
    from lit_transformer.data.cache import is_complete
    from lit_transformer.data.prepared import load_prepared
    from lit_transformer.training.prepare import prepare
    from lit_transformer.training.prepare_progress import shown_progress
    from lit_transformer.training.solve import without_budget

    frozen = read_json(run.prepared_file)
    config = without_budget(config)  # what was solved stands in the frozen config.yaml, and stays
    own_vocabulary = config
    if isinstance(config.model, TextModelConfig):
        own_vocabulary = with_values(config, {"model.vocab_size": None})
    try:
        with shown_progress() as progress:
            now = prepare(own_vocabulary, progress=progress).data
    except UserError:
        folder = Path(str(frozen.get("folder")))
        asked = run.read_config().get("data") == to_plain(config)["data"]
        if asked and is_complete(folder) and load_prepared(folder).fingerprint == frozen.get("fingerprint"):
            return frozen
        raise
    tokenizer = Path(str(now["folder"])) / run.tokenizer_file.name
    if run.tokenizer_file.exists() and tokenizer.read_bytes() != run.tokenizer_file.read_bytes():
        raise UserError(
            f"{run.path} was trained with another vocabulary than its data now have\n"
            f"  got      {now['vocab_size']} entries ({tokenizer})\n"
            f"  allowed  the {frozen.get('vocab_size')} entries of {run.tokenizer_file}\n"
            "  fix      restore the data and data.tokenizer, or train in a folder of its own: fit without --resume"
        )
    if isinstance(config.model, TextModelConfig) and (config.model.vocab_size or 0) < int(str(now["vocab_size"])):
        prepare(config)  # says that it is too small for them
    return now


def freeze(loaded: Loaded, prepared: "Prepared", folder: Path) -> tuple[RunFolder, ExperimentConfig]:
    """Make a run's folder with everything that its ranks read, `auto` and null decided for this machine."""
    config, here = resolved(prepared.config)
    origins = {**loaded.origins, **dict.fromkeys(prepared.derived, "prepare"), **here}
    origins |= dict.fromkeys(prepared.solved, "budget")
    run = RunFolder(folder)
    run.path.mkdir(parents=True, exist_ok=True)
    tokenizer = Path(str(prepared.data["folder"])) / run.tokenizer_file.name
    if tokenizer.exists():  # images have none
        shutil.copyfile(tokenizer, run.tokenizer_file)
    run.freeze(to_plain(config), origins, prepared.data)
    return run, config


def run_id() -> str:
    """A new run's folder name: when it started, and four letters against collisions."""
    return f"{datetime.datetime.now():%Y%m%d-%H%M%S}-{secrets.token_hex(2)}"


@contextmanager
def forwarded_signals() -> Iterator[list[RankGroup]]:
    """Pass SIGINT, SIGTERM and SIGUSR1 on to the groups in the list: ranks stop at a step boundary and save."""
    groups: list[RankGroup] = []

    def forward(number: int, frame: FrameType | None) -> None:
        for group in groups:
            group.signal(number)

    numbers = (signal.SIGINT, signal.SIGTERM, signal.SIGUSR1)
    before = {number: signal.signal(number, forward) for number in numbers}
    try:
        yield groups
    finally:
        for number, handler in before.items():
            signal.signal(number, handler)


def read_trial(file: Path) -> tuple[str, Layer]:
    """The experiment and the settings of a trial's JSON file, nested or dotted; raises UserError."""
    try:
        values = json.loads(file.read_text(encoding="utf-8"))
    except OSError as error:
        raise UserError(f"{file} cannot be read: {error.strerror}.") from None
    except ValueError as error:
        raise UserError(f"{file} is not JSON: {error}.") from None
    if not isinstance(values, dict) or not isinstance(values.get("experiment"), str):
        raise UserError(
            f"{file} names no experiment.\n"
            '  allowed  a JSON object with "experiment" and settings, such as {"experiment": "gpt_tiny", "seed": 1}'
        )
    return values.pop("experiment"), mapping_layer(values, str(file))
