"""Schedules against values worked by hand."""

import io
import math

import pytest
import torch

from lit_transformer.config.schema import ScheduleConfig
from lit_transformer.optim import build_schedule, lr_factor

HAND = {
    # 4 steps of warm-up in a run of 12: the peak is step 3 (the 4th), the last is step 11.
    "constant": {0: 0.25, 1: 0.5, 3: 1.0, 4: 1.0, 11: 1.0, 20: 1.0},
    "linear": {0: 0.25, 3: 1.0, 5: 1 - 0.8 * 2 / 8, 7: 0.6, 11: 0.2, 20: 0.2},
    "cosine": {0: 0.25, 3: 1.0, 5: 0.2 + 0.4 * (1 + math.cos(math.pi / 4)), 7: 0.6, 11: 0.2, 20: 0.2},
    "inverse_sqrt": {0: 0.25, 3: 1.0, 8: 2 / 3, 15: 0.5, 35: 1 / 3},
}


@pytest.mark.parametrize("name", HAND)
def test_values(name: str) -> None:
    config = ScheduleConfig(name=name, warmup_steps=4, min_lr_ratio=0.2)  # type: ignore[arg-type]
    for step, expected in HAND[name].items():
        assert lr_factor(step, 12, config) == pytest.approx(expected), step


def test_inverse_sqrt_is_noams_formula() -> None:
    config = ScheduleConfig(name="inverse_sqrt", warmup_steps=400)
    d_model = 512
    peak = d_model**-0.5 * 400**-0.5
    for number in (1, 2, 399, 400, 401, 10_000):
        noam = d_model**-0.5 * min(number**-0.5, number * 400**-1.5)
        assert lr_factor(number - 1, 10_000, config) * peak == pytest.approx(noam)


@pytest.mark.parametrize("name", HAND)
@pytest.mark.parametrize(("warmup", "total"), [(0, 10), (1, 10), (10, 10), (100, 10), (0, 1)])
def test_every_run_length_is_valid(name: str, warmup: int, total: int) -> None:
    config = ScheduleConfig(name=name, warmup_steps=warmup)  # type: ignore[arg-type]
    factors = [lr_factor(step, total, config) for step in range(total)]
    assert all(0 < factor <= 1 for factor in factors)
    if warmup <= 1:
        assert factors[0] == 1
    if warmup > total:
        assert factors == sorted(factors) and factors[-1] == total / warmup


def test_scheduler_drives_the_optimizer_and_is_restored() -> None:
    config = ScheduleConfig(name="cosine", warmup_steps=3, min_lr_ratio=0.0)

    def make() -> tuple[torch.optim.Optimizer, torch.optim.lr_scheduler.LRScheduler]:
        optimizer = torch.optim.SGD([torch.nn.Parameter(torch.zeros(2))], lr=0.5)
        return optimizer, build_schedule(optimizer, config, total_steps=8)

    optimizer, schedule = make()
    seen = []
    for _ in range(8):
        seen.append(optimizer.param_groups[0]["lr"])
        optimizer.step()
        schedule.step()
        if len(seen) == 4:
            file = io.BytesIO()
            torch.save([optimizer.state_dict(), schedule.state_dict()], file)
    assert seen == pytest.approx([0.5 * lr_factor(step, 8, config) for step in range(8)])
    again, restored = make()
    file.seek(0)
    states = torch.load(file, weights_only=True)
    again.load_state_dict(states[0])
    restored.load_state_dict(states[1])
    assert again.param_groups[0]["lr"] == seen[4]
    again.step()
    restored.step()
    assert again.param_groups[0]["lr"] == seen[5]
