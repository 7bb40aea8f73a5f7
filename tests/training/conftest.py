"""Real runs: frozen folders trained by children of a fork server."""

from collections.abc import Callable
from pathlib import Path

import pytest

from lit_transformer.config.layers import shell_layer
from lit_transformer.config.load import load_layers
from lit_transformer.processes.trial import TrialRunner
from lit_transformer.records.run_folder import RunFolder
from lit_transformer.training.fit import freeze
from lit_transformer.training.prepare import prepare
from tests.training.proofs import complete

Train = Callable[..., tuple[int, RunFolder]]


@pytest.fixture(scope="session")
def runner():
    """One warm fork server for all tests of this process."""
    trials = TrialRunner()
    yield trials
    trials.close()


@pytest.fixture
def new_run(tmp_path: Path, tiny_settings: list[str]) -> Callable[..., RunFolder]:
    """Freeze a run of the tiny experiment under further settings."""

    def make(*settings: str, name: str = "run") -> RunFolder:
        loaded = load_layers([shell_layer([*tiny_settings, *settings])])
        return freeze(loaded, prepare(loaded.config), tmp_path / name)[0]

    return make


@pytest.fixture(scope="module")
def trained(
    tmp_path_factory: pytest.TempPathFactory, tiny_settings: list[str], runner: TrialRunner
) -> Callable[..., RunFolder]:
    """A complete run of the tiny experiment under further settings, for all tests of a file."""

    def make(name: str, *settings: str, devices: int = 1) -> RunFolder:
        loaded = load_layers([shell_layer([*tiny_settings, *settings, f"trainer.devices={devices}"])])
        run = freeze(loaded, prepare(loaded.config), tmp_path_factory.mktemp(name) / "run")[0]
        return complete(runner, run, devices=devices)

    return make


@pytest.fixture
def train(runner: TrialRunner, new_run: Callable[..., RunFolder]) -> Train:
    """Train such a run to its end: its exit status and folder."""

    def make(*settings: str, name: str = "run", devices: int = 1) -> tuple[int, RunFolder]:
        run = new_run(*settings, f"trainer.devices={devices}", name=name)
        group = runner.start(run.path, devices=devices, log=run.log_file, track=False)
        return group.wait(), run

    return make
