"""A training step costs what was recorded: FLOPs, calls of operators and bytes, which no machine changes."""

import copy

import pytest

from lit_transformer.models.flops import experiment_cost
from lit_transformer.training.registry import TASKS
from tests.training.step_costs import COMMAND, ROWS, SYSTEMS, Costs, grown, make_batch, read, settings, step_costs
from tests.training.step_costs import versions as versions_here

FUSED = "aten._scaled_dot_product_flash_attention_for_cpu_backward.default"


@pytest.fixture(scope="module")
def measured():
    """System -> its costs, each measured once."""
    known: dict[str, Costs] = {}

    def costs(system: str) -> Costs:
        if system not in known:
            known[system] = step_costs(settings(system))
        return known[system]

    return costs


@pytest.mark.parametrize("system", SYSTEMS)
def test_a_step_costs_what_was_recorded(measured, system):
    """Exactly, so that an improvement is recorded as well; on another torch than the locked one FLOPs alone."""
    versions, recorded = read()
    assert recorded.keys() == SYSTEMS.keys(), f"`{COMMAND}` records the systems that there are"
    found = grown(system, recorded[system], measured(system))
    if versions != versions_here():
        found = [line for line in found if "FLOPs" in line]
    assert not found, "\n".join([*found, f"fix      undo that, or record it by `{COMMAND}` and commit the file"])


@pytest.mark.parametrize("system", SYSTEMS)
def test_flops_are_those_that_are_told_or_fewer(measured, system):
    """`flops_per_token` counts all pairs of places and all logits; a step may save some, and never takes more.

    But for the scores, which the fused kernel of attention computes again going back: exactly those are taken off.
    """
    config = settings(system)
    task = TASKS[config.task](config)
    batch = make_batch(task)
    units = sum(batch[name].numel() for name in ("inputs", "decoder_inputs", "masks") if name in batch)
    costs = measured(system)
    again = costs.operators.get(FUSED, 0) and (
        costs.operators[FUSED] * 2 * ROWS * config.model.context_length**2 * config.model.d_model
    )
    share = (costs.flops - again) / (experiment_cost(config).flops_per_token * units)
    assert 0.85 < share <= 1.001, f"{system}: {share:.3f} of the FLOPs that are told"


def test_no_step_waits_for_a_number(measured):
    """No value is read within a step, which a GPU would be waited for; where targets are only a CPU asks."""
    for system in SYSTEMS:
        operators = measured(system).operators
        reads = {name for name in operators if "_local_scalar_dense" in name or "item" in name}
        assert not reads, f"{system}: {reads}"


def test_what_grew_is_named():
    recorded = read()[1]["gpt"]
    more = copy.deepcopy(recorded)
    more.operators["aten.mm.default"] = more.operators.get("aten.mm.default", 0) + 3
    lines = grown("gpt", recorded, Costs(recorded.flops + 10, recorded.bytes - 1, more.operators))
    assert [line.split(" from ")[0] for line in lines] == [
        "gpt: FLOPs grew", "gpt: bytes shrank", "gpt: calls of operators grew", "gpt:   aten.mm.default grew"
    ]  # fmt: skip
    assert lines[2].endswith("(+3)") and not grown("gpt", recorded, recorded)


def test_a_slower_network_is_found(measured):
    """One more product in each block, or one copy more of what leaves a block, is no equality any more."""
    import torch

    from lit_transformer.nn.blocks import EncoderBlock

    plain, compute = measured("gpt"), EncoderBlock.compute
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(EncoderBlock, "compute", lambda self, x, **how: torch.clone(compute(self, x, **how)))
        slower = step_costs(settings("gpt"))
    size = 2 * ROWS * 48 * 32 * 4  # two blocks, rows x time x width in float32
    assert slower.bytes - plain.bytes == size and slower.flops == plain.flops
    assert slower.operators["aten.clone.default"] - plain.operators.get("aten.clone.default", 0) == 2
