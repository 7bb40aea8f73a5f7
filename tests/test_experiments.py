"""Everything in experiments/ and sweeps/ loads, builds, and, where it is tiny, runs."""

import subprocess
import sys
from pathlib import Path

import pytest
import torch

from lit_transformer.config.errors import UserError
from lit_transformer.config.load import from_plain, load_experiment, with_values
from lit_transformer.data.block_makers import build_block_maker
from lit_transformer.models.flops import experiment_cost
from lit_transformer.models.for_task import build_network
from lit_transformer.records.run_folder import RunFolder
from lit_transformer.sweep.begin import begin_growth, startup_cells
from lit_transformer.sweep.cells import build_cells
from lit_transformer.sweep.file import read_sweep
from lit_transformer.sweep.replicates import points
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


NUMBERS = {
    "demo": 9, "gpt_heads_layers": 27, "bert_heads_layers": 27, "t5_heads_layers": 27, "glm_heads_layers": 27,
    "translation_heads_layers": 27, "gpt_iso_parameters": 36, "objectives": 12, "objectives_iso_flops": 12,
    "study_heads_layers": 36, "segmenter_depth_width": 27, "segmenter_decoder": 36, "gpt_lr_bayes": 10,
}  # fmt: skip
"""Sweep -> its cells; of a bayes sweep those that are drawn before there are results."""
HEADS = [path.stem for path in SWEEPS if path.stem.endswith(("_heads_layers", "_iso_parameters"))]


def planned(path):
    """Cells of a sweep, one for each point; how often each stands in it; and the configurations that are trained."""
    file = read_sweep(path)
    growth = begin_growth(file)
    cells = build_cells(file) if growth is None else startup_cells(growth)
    counts = {}
    for replicates in points(cells):
        config = None if replicates[0].problem else from_plain(replicates[0].config)
        if config is not None and config.data.path:  # a text that a clone of the project lacks
            config = with_values(config, {"data.source": "builtin", "data.path": None, "data.max_bytes": 1_000_000})
        if config is not None and any(vars(config.budget).values()):
            try:
                config = prepare(config).config
            except UserError:
                config = None
        elif config is not None and config.task != "segmentation":
            config = with_values(config, {"model.vocab_size": 512})
        counts[replicates[0].name] = (len(replicates), config)
    return counts


@pytest.fixture(scope="module")
def plans():
    return {path.stem: planned(path) for path in SWEEPS}


def test_every_swept_value_builds_but_for_five_per_cent(plans):
    assert set(plans) == set(NUMBERS)
    possible = 0
    for name, plan in plans.items():
        assert sum(count for count, _ in plan.values()) == NUMBERS[name]
        for count, config in plan.values():
            if config is not None:
                possible += count
                with torch.device("meta"):
                    build_network(config)
    assert possible >= 0.95 * sum(NUMBERS.values())


def test_every_cell_under_a_budget_meets_it_within_two_per_cent(plans):
    budgets = 0
    for plan in plans.values():
        for _, config in plan.values():
            if config is None:
                continue
            cost, budget = experiment_cost(config), config.budget
            for name in ("parameters", "flops_per_token"):
                if getattr(budget, name) is not None:
                    budgets += 1
                    assert getattr(cost, name) == pytest.approx(getattr(budget, name), rel=0.02)
            if budget.total_flops is not None:
                budgets += 1
                maker = build_block_maker(config, Path(str(prepare(config).data["folder"])) / "tokenizer.json")
                tokens = config.trainer.max_steps * config.data.batch_size * maker.stride
                assert cost.flops_per_token * tokens == pytest.approx(budget.total_flops, rel=0.02)
    assert budgets >= 12 + 12 + 4


def test_where_heads_are_compared_there_are_three_seeds(plans):
    assert len(HEADS) == 7
    for name in HEADS:
        assert {count for count, _ in plans[name].values()} == {3}


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
