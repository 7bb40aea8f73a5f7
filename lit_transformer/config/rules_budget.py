"""Rules of budgets."""

from collections.abc import Iterator

from lit_transformer.config.models import SegmenterConfig, TransformerConfig
from lit_transformer.config.rules_base import Broken
from lit_transformer.config.schema import ExperimentConfig


def budget_rules(config: ExperimentConfig) -> Iterator[Broken]:
    """Every rule about budgets that `config` breaks."""
    budget, trainer = config.budget, config.trainer
    if budget.parameters is not None and budget.flops_per_token is not None:
        keys = ("budget.parameters", "budget.flops_per_token")
        yield Broken(keys, f"{budget.parameters} and {budget.flops_per_token}", "one of them: each decides the width")
    for name in ("parameters", "flops_per_token"):
        value = getattr(budget, name)
        if value is None:
            continue
        if not isinstance(config.model, TransformerConfig | SegmenterConfig):
            allowed = "null: this network has no width that is solved"
            yield Broken((f"budget.{name}", "model.kind"), f"{value} with {config.model.kind}", allowed)
        if config.model.init_from is not None:
            allowed = f"null with model.init_from {config.model.init_from}, whose weights have a width"
            yield Broken((f"budget.{name}", "model.init_from"), str(value), allowed, "leave one of them out")
    if budget.total_flops is None:
        return
    if trainer.max_time is not None:
        keys = ("trainer.max_time", "budget.total_flops")
        yield Broken(keys, f"{trainer.max_time} with total_flops", "null: it might end before the budget is spent")
    if trainer.early_stopping.patience is not None:
        keys = ("trainer.early_stopping.patience", "budget.total_flops")
        got = f"{trainer.early_stopping.patience} with total_flops"
        yield Broken(keys, got, "null: it might end before the budget is spent")
