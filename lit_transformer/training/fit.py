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
from lit_transformer.config.load import Loaded, load_experiment
from lit_transformer.config.schema import ExperimentConfig
from lit_transformer.config.show import to_plain
from lit_transformer.processes.hardware import resolved
from lit_transformer.processes.ranks import RankGroup
from lit_transformer.processes.trial import TrialRunner
from lit_transformer.records.run_folder import RunFolder

if TYPE_CHECKING:
    from lit_transformer.training.prepare import Prepared


def fit(experiment: str, layers: Sequence[Layer], *, output: Path) -> tuple[int, Path]:
    """Train an experiment into a new folder under `output`; the exit status and the run's folder.

    Raises UserError before anything is trained.
    """
    loaded = load_experiment(experiment, layers)
    from lit_transformer.training.prepare import prepare  # numpy and tokenizers: not before the settings are right
    from lit_transformer.training.prepare_progress import shown_progress

    runner = TrialRunner()
    runner.warm()  # torch and Lightning are imported while the data are prepared
    with shown_progress() as progress:
        prepared = prepare(loaded.config, progress=progress)
    run, config = freeze(loaded, prepared, output / loaded.config.experiment / run_id())
    print(f"training {config.experiment} in {run.path} (torch and Lightning load first)", file=sys.stderr)
    with forwarded_signals() as groups:
        group = runner.start(run.path, devices=config.trainer.devices, track=config.tracking.wandb != "off")
        groups.append(group)
        status = group.wait()
        runner.end(run.path)
        runner.close()
    return status, run.path


def freeze(loaded: Loaded, prepared: "Prepared", folder: Path) -> tuple[RunFolder, ExperimentConfig]:
    """Make a run's folder with everything that its ranks read, `auto` and null decided for this machine."""
    config, here = resolved(prepared.config)
    origins = {**loaded.origins, **dict.fromkeys(prepared.derived, "prepare"), **here}
    run = RunFolder(folder)
    run.path.mkdir(parents=True)
    shutil.copyfile(Path(str(prepared.data["folder"])) / "tokenizer.json", run.tokenizer_file)
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
