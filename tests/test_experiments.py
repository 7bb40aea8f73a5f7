"""Everything in experiments/ and sweeps/ loads, builds, and, where it is tiny, runs."""

import subprocess
import sys
from pathlib import Path

import pytest

from lit_transformer.config.load import load_experiment, with_values
from lit_transformer.models import build_model
from lit_transformer.records.run_folder import RunFolder
from lit_transformer.sweep.cells import build_cells
from lit_transformer.sweep.file import read_sweep

ROOT = Path(__file__).resolve().parents[1]
EXPERIMENTS = sorted((ROOT / "experiments").glob("*.yaml"))
SWEEPS = sorted((ROOT / "sweeps").glob("*.yaml"))
TINY = [path for path in EXPERIMENTS if path.stem.endswith("_tiny")]


def test_they_are_there():
    assert {"gpt_tiny", "gpt_shakespeare_cpu", "gpt_shakespeare"} <= {path.stem for path in EXPERIMENTS}
    assert {"demo", "gpt_heads_layers"} <= {path.stem for path in SWEEPS}


@pytest.mark.parametrize("path", EXPERIMENTS, ids=lambda path: path.stem)
def test_every_experiment_loads_and_its_network_builds(path):
    config = load_experiment(str(path)).config
    network = build_model(with_values(config, {"model.vocab_size": config.data.tokenizer.vocab_size or 100}).model)
    assert sum(parameter.numel() for parameter in network.parameters()) > 10_000


@pytest.mark.parametrize("path", SWEEPS, ids=lambda path: path.stem)
def test_every_swept_value_builds(path):
    from lit_transformer.config.load import from_plain

    cells = build_cells(read_sweep(path))
    assert len(cells) == {"demo": 9, "gpt_heads_layers": 27}.get(path.stem, len(cells)) > 1
    for cell in cells:
        assert cell.problem is None, cell.problem
        build_model(with_values(from_plain(cell.config), {"model.vocab_size": 512}).model)


@pytest.mark.parametrize("path", TINY, ids=lambda path: path.stem)
def test_the_tiny_ones_run_to_their_end(path, tmp_path):
    command = [sys.executable, "-m", "lit_transformer.cli", "fit", str(path), "--output", str(tmp_path)]
    done = subprocess.run([*command, "trainer.max_steps=30"], capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr
    assert RunFolder(Path(done.stdout.strip())).status() == "complete"
