"""`fit`: from an experiment's name to a trained run folder. Imports no torch: the ranks do."""

import datetime
import secrets
import shutil
import signal
import sys
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from types import FrameType

from lit_transformer.config.layers import Layer
from lit_transformer.config.load import load_experiment
from lit_transformer.config.show import to_plain
from lit_transformer.processes.hardware import resolved
from lit_transformer.processes.ranks import RankGroup
from lit_transformer.processes.trial import TrialRunner
from lit_transformer.records.run_folder import RunFolder
from lit_transformer.training.prepare import prepare
from lit_transformer.training.prepare_progress import shown_progress


def fit(experiment: str, layers: Sequence[Layer], *, output: Path) -> tuple[int, Path]:
    """Train an experiment into a new folder under `output`; the exit status and the run's folder.

    Raises UserError before anything is trained.
    """
    loaded = load_experiment(experiment, layers)
    runner = TrialRunner()
    runner.warm()  # torch and Lightning are imported while the data are prepared
    with shown_progress() as progress:
        prepared = prepare(loaded.config, progress=progress)
    config, here = resolved(prepared.config)
    origins = {**loaded.origins, **dict.fromkeys(prepared.derived, "prepare"), **here}
    run = RunFolder(output / config.experiment / run_id())
    run.path.mkdir(parents=True)
    shutil.copyfile(Path(str(prepared.data["folder"])) / "tokenizer.json", run.tokenizer_file)
    run.freeze(to_plain(config), origins, prepared.data)
    print(f"training {config.experiment} in {run.path}", file=sys.stderr)
    with forwarded_signals() as groups:
        group = runner.start(run.path, devices=config.trainer.devices, track=config.tracking.wandb != "off")
        groups.append(group)
        status = group.wait()
        runner.end(run.path)
        runner.close()
    return status, run.path


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
