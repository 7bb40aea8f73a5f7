"""Everything in experiments/ and sweeps/ loads, builds, and, where it is tiny, runs."""

import subprocess
import sys
from pathlib import Path

import pytest
import torch

from lit_transformer.config.load import from_plain, load_experiment, with_values
from lit_transformer.data.block_makers import build_block_maker
from lit_transformer.models.flops import experiment_cost
from lit_transformer.models.for_task import build_network
from lit_transformer.records.run_folder import RunFolder
from lit_transformer.sweep.begin import begin_growth, startup_cells
from lit_transformer.sweep.cells import build_cells
from lit_transformer.sweep.file import read_sweep
from lit_transformer.training.prepare import prepare
from tests.interop.networks import assert_same_logits, export_to, load_peer, make_tokenizer

ROOT = Path(__file__).resolve().parents[1]
EXPERIMENTS = sorted((ROOT / "experiments").glob("*.yaml"))
SWEEPS = sorted((ROOT / "sweeps").glob("*.yaml"))
TINY = [path for path in EXPERIMENTS if path.stem.endswith("_tiny")]


def test_they_are_there():
    names = {path.stem for path in EXPERIMENTS}
    assert {"gpt_shakespeare_cpu", "gpt_shakespeare", "translation_multi30k", "copa_gpt"} <= names
    for system in ("gpt", "bert", "t5", "glm"):
        assert {f"{system}_tiny", f"{system}_gutenberg", f"{system}_base"} <= names
    assert {f"sst2_{system}" for system in ("bert", "gpt", "t5")} | {"translation_tiny", "translation_base"} <= names
    assert {"segmenter_tiny", "segment_camvid", "segment_pets"} <= names
    assert {path.stem for path in SWEEPS} == {
        "demo", "gpt_heads_layers", "translation_heads_layers", "objectives",
        "segmenter_depth_width", "segmenter_decoder",
    }  # fmt: skip


@pytest.mark.parametrize("path", EXPERIMENTS, ids=lambda path: path.stem)
def test_every_experiment_loads_and_its_network_builds(path):
    config = load_experiment(str(path)).config
    if config.task != "segmentation":
        config = with_values(config, {"model.vocab_size": config.data.tokenizer.vocab_size or 100})
    with torch.device("meta"):
        network = build_network(config)
    parameters = sum(parameter.numel() for parameter in network.parameters())
    assert parameters > 10_000
    published = {"bert_base": 110e6, "t5_base": 220e6, "glm_base": 110e6, "segment_pets": 31.03e6}
    assert parameters == pytest.approx(published.get(path.stem, parameters), rel=0.05)
    if path.stem == "gpt_base":
        assert parameters == 124_439_808, "to the last number those of GPT2LMHeadModel(GPT2Config())"


@pytest.mark.parametrize(
    ("name", "peer"),
    [
        ("gpt_tiny", "GPT2LMHeadModel"),
        ("bert_tiny", "BertForMaskedLM"),
        ("t5_tiny", "T5ForConditionalGeneration"),
        ("translation_tiny", "MarianMTModel"),
    ],
)
def test_what_the_tiny_ones_train_can_be_exported(name, peer, tmp_path):
    config = load_experiment(name).config
    tokenizer = make_tokenizer(config.model.kind)
    config = with_values(config, {"model.vocab_size": tokenizer.get_vocab_size()})
    network = build_network(config).eval()
    assert export_to(tmp_path / "there", network, config, tokenizer=tokenizer) == peer
    assert_same_logits(network, load_peer(tmp_path / "there", peer))


def test_the_objectives_are_compared_at_equal_parameters_and_equal_tokens():
    sizes, tokens = [], []
    for system in ("bert", "gpt", "t5", "glm"):
        config = load_experiment(f"objectives_{system}").config
        ready = prepare(config)
        maker = build_block_maker(config, Path(str(ready.data["folder"])) / "tokenizer.json")
        sizes.append(experiment_cost(ready.config).parameters)
        tokens.append((config.trainer.max_steps or 0) * config.data.batch_size * maker.stride)
    assert max(sizes) / min(sizes) < 1.01 and max(tokens) / min(tokens) < 1.01


@pytest.mark.parametrize("path", SWEEPS, ids=lambda path: path.stem)
def test_every_swept_value_builds(path):
    file = read_sweep(path)
    growth = begin_growth(file)
    cells = build_cells(file) if growth is None else startup_cells(growth)
    numbers = {"demo": 9, "gpt_heads_layers": 27, "translation_heads_layers": 27, "objectives": 12,
               "segmenter_depth_width": 27, "segmenter_decoder": 36, "gpt_lr_bayes": 10}  # fmt: skip
    assert len(cells) == numbers[path.stem]
    for cell in cells:
        assert cell.problem is None, cell.problem
        config = from_plain(cell.config)
        build_network(config if config.task == "segmentation" else with_values(config, {"model.vocab_size": 512}))


def test_the_decoders_are_compared_at_equal_flops():
    costs, widths = {}, set()
    for cell in build_cells(read_sweep(ROOT / "sweeps" / "segmenter_decoder.yaml")):
        if cell.values["seed"] == 0:
            config = prepare(from_plain(cell.config)).config
            costs[cell.name] = experiment_cost(config).flops_per_token
            widths.add(config.model.base_channels)
    assert len(costs) == 12 and len(widths) > 1
    assert max(costs.values()) / min(costs.values()) < 1.05, costs


@pytest.mark.slow
@pytest.mark.parametrize("path", TINY, ids=lambda path: path.stem)
def test_the_tiny_ones_run_to_their_end(path, tmp_path):
    command = [sys.executable, "-m", "lit_transformer.cli", "fit", str(path), "--output", str(tmp_path)]
    done = subprocess.run(
        [*command, "trainer.max_steps=10", "trainer.limit_val_batches=2", "tracking.wandb=off"],
        capture_output=True,
        text=True,
        check=False,
    )
    assert done.returncode == 0, done.stderr
    assert RunFolder(Path(done.stdout.strip())).status() == "complete"
