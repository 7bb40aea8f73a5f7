"""What budgets decide, once the data are prepared: the network's widths and the run's length.

Imports torch where there is a budget alone. Solved once, before a run is frozen; a resumed run keeps what is frozen.
"""

import json
from collections.abc import Mapping

from lit_transformer.config.errors import UserError
from lit_transformer.config.load import with_values
from lit_transformer.config.models import TransformerConfig
from lit_transformer.config.schema import ExperimentConfig
from lit_transformer.config.show import to_plain
from lit_transformer.data.prepared import Prepared

STEPS = "trainer.max_steps"
_LIMITS = ("accumulate", "fast_dev_run", "limit_train_batches", "overfit_batches")
_known: dict[str, int] = {}


def solve(config: ExperimentConfig, data: Prepared) -> dict[str, object]:
    """Dotted key -> what the budgets of a prepared experiment make of it; raises UserError with the nearest sizes.

    Empty where there is no budget. The values that data decide must be filled in already.
    """
    solved = _widths(config)
    total = config.budget.total_flops
    if total is None:
        return solved
    config = with_values(config, solved)
    from lit_transformer.models.flops import flops_per_token  # torch

    per_step = flops_per_token(config) * _tokens_per_step(config, data)
    return solved | {STEPS: solve_steps(total, per_step)}


def solve_steps(total_flops: int, flops_per_step: int) -> int:
    """The steps that cost `total_flops`, within 2 %; raises UserError with the nearest totals."""
    from lit_transformer.models.budget import TOLERANCE

    steps = max(1, round(total_flops / flops_per_step))
    if abs(steps * flops_per_step - total_flops) <= TOLERANCE * total_flops:
        return steps
    below = total_flops // flops_per_step
    nearest = [count for count in (below, below + 1) if count > 0]
    shown = " or ".join(f"{count * flops_per_step:,} ({count} step{'s' if count > 1 else ''})" for count in nearest)
    raise UserError(
        f"budget.total_flops cannot be met within {TOLERANCE:.0%}\n"
        f"  got      {total_flops:,}, where a step costs {flops_per_step:,}\n"
        f"  allowed  the nearest totals, {shown}\n"
        "  fix      a larger budget.total_flops, or a smaller data.batch_size"
    )


def described(config: ExperimentConfig, solved: Mapping[str, object]) -> str:
    """What was solved for which budget, in one line for a person; empty where nothing was."""
    budgets = [f"{name} {value:,}" for name, value in vars(config.budget).items() if value is not None]
    found = ", ".join(f"{key.rpartition('.')[2]} {value}" for key, value in solved.items())
    return f"solved for {' and '.join(budgets)}: {found}" if solved else ""


def without_budget(config: ExperimentConfig) -> ExperimentConfig:
    """The same with nothing left to be solved."""
    return with_values(config, {f"budget.{name}": None for name in vars(config.budget)})


def _widths(config: ExperimentConfig) -> dict[str, object]:
    budget, model = config.budget, config.model
    if budget.parameters is None and budget.flops_per_token is None:
        return {}
    from lit_transformer.models.budget import solve_width  # torch

    found = (
        solve_width(model, config.task, config.objective, "parameters", budget.parameters)
        if budget.parameters is not None
        else solve_width(model, config.task, config.objective, "flops_per_token", budget.flops_per_token or 0)
    )
    names = ("d_model", "d_ff") if isinstance(model, TransformerConfig) else ("base_channels",)
    return {f"model.{name}": getattr(found, name) for name in names}


def _tokens_per_step(config: ExperimentConfig, data: Prepared) -> int:
    """Tokens or pixels of an optimizer step, as the run counts them; what cells of a sweep share is counted once."""
    plain = to_plain(config)
    shape = {name: getattr(config.model, name, None) for name in ("kind", "context_length", "token_types")}
    limits = [getattr(config.trainer, name) for name in _LIMITS]
    key = json.dumps([shape, *(plain[name] for name in ("task", "data", "objective")), limits, data.fingerprint])
    if key not in _known:
        from lit_transformer.training.registry import build_data  # torch and Lightning

        _known[key] = build_data(config, data).tokens_per_step
    return _known[key]
