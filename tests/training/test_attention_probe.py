"""Attention of a fixed row at every validation."""

import numpy as np
import pytest
import torch

from lit_transformer.data.tokenizers import load_tokenizer
from lit_transformer.inference.load import load_task
from lit_transformer.nn.attention_recording import record
from tests.training.systems import SYSTEMS, write_rows


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


SIDES = ("inputs", "decoder_inputs", "input_mask")


def test_an_encoder_decoder_saves_the_tokens_of_both_sides(train, tmp_path):
    settings = (*SYSTEMS["translation"], *write_rows(tmp_path), "trainer.max_steps=2", "tracking.attention=true")
    status, run = train(*settings)
    assert status == 0, run.log_file.read_text()
    saved = np.load(run.path / "samples" / "attention-2.npz")
    given = {name: torch.from_numpy(saved[name])[None] for name in SIDES}  # (1, time) each
    expected = record(load_task(run.path).network, {**given, "targets": given["decoder_inputs"]})
    assert set(saved.files) == {*expected, *SIDES} and len(expected) == 3
    for name, weights in expected.items():
        np.testing.assert_allclose(saved[name], weights[0].numpy(), atol=1e-6)
    time, target_time = saved["inputs"].size, saved["decoder_inputs"].size
    cross, seen = saved["decoder_blocks.0.cross_attention"], saved["input_mask"]
    assert cross.shape == (2, target_time, time)
    assert 0 < seen.sum() < time and cross[..., seen].all() and not cross[..., ~seen].any()
    tokenizer = load_tokenizer(run.tokenizer_file)
    source, target = (tokenizer.decode(saved[name].tolist()).split() for name in SIDES[:2])
    assert source and target == source[::-1]


@pytest.mark.parametrize("system", ["gpt_choice", "t5_as_text"])
def test_of_choices_the_first_one_is_saved_with_its_tokens(train, tmp_path, system):
    status, run = train(*SYSTEMS[system], *write_rows(tmp_path), "trainer.max_steps=1", "tracking.attention=true")
    assert status == 0, run.log_file.read_text()
    saved = np.load(run.path / "samples" / "attention-1.npz")
    sizes = {name: saved[name].shape for name in SIDES if name in saved}
    assert all(len(shape) == 1 for shape in sizes.values())
    for name in set(saved.files) - set(SIDES):
        sides = ["decoder_inputs" if "decoder" in name else "inputs"] * 2
        if "cross" in name:
            sides[1] = "inputs"
        assert saved[name].shape[1:] == tuple(saved[side].size for side in sides), name
