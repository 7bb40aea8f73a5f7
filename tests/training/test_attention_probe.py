"""Attention of a fixed row at every validation."""

import numpy as np
import torch

from lit_transformer.inference.load import load_task
from lit_transformer.nn.attention_recording import record


def test_the_first_validation_row_is_saved_and_changes_no_number(train):
    plain, probed = (train(f"tracking.attention={on}", name=f"attention-{on}")[1] for on in ("false", "true"))
    assert plain.metrics_file.read_bytes() == probed.metrics_file.read_bytes()
    assert not (plain.path / "samples").exists()
    files = sorted((probed.path / "samples").glob("attention-*.npz"))
    assert [file.name for file in files] == ["attention-10.npz", "attention-12.npz", "attention-5.npz"]
    last = np.load(probed.path / "samples" / f"attention-{probed.read_result()['best_step']}.npz")
    ids = torch.from_numpy(last["inputs"])[None]  # (1, time)
    expected = record(load_task(probed.path).network, {"inputs": ids, "targets": ids})
    assert set(last.files) == {*expected, "inputs"}
    for name, weights in expected.items():
        np.testing.assert_allclose(last[name], weights[0].numpy(), atol=1e-6)
        assert last[name].shape == (2, 16, 16)
