"""The tokenizer that comes with `model.init_from`."""

from pathlib import Path

from lit_transformer.config.schema import ExperimentConfig


def tokenizer_source(config: ExperimentConfig) -> Path | None:
    """File of the tokenizer that the run starts with; None where it trains one."""
    source = config.model.init_from
    return None if source is None else Path(source.removeprefix("hf:")) / "tokenizer.json"
