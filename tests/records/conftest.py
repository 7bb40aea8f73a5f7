"""Fixtures of the tests of checkpoints on disk."""

from pathlib import Path

import pytest

from lit_transformer.records.checkpoints import BEST, CheckpointFolder
from tests.records.saved import save


@pytest.fixture
def folder(tmp_path: Path) -> CheckpointFolder:
    """Steps 10, 20 and 30 were saved, two are kept, 20 was the best."""
    folder = CheckpointFolder(tmp_path / "checkpoints")
    for step in (10, 20, 30):
        save(folder, step)
        if step == 20:
            save(folder, step, BEST)
    return folder
