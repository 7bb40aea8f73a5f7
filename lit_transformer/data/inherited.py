"""The tokenizer that comes with `model.init_from`."""

from pathlib import Path

from lit_transformer.config.errors import UserError
from lit_transformer.config.init_sources import KEY, find_source
from lit_transformer.config.schema import ExperimentConfig


def tokenizer_source(config: ExperimentConfig) -> Path | None:
    """File of the tokenizer that the run starts with; None where it trains one.

    Raises UserError where the run or the Hugging Face folder is gone, or has no tokenizer.json.
    """
    if config.model.init_from is None:
        return None
    source = find_source(config.model.init_from)
    if not source.tokenizer_file.is_file():
        raise UserError(
            f"{KEY}\n  got      {source.text}, which has no tokenizer.json\n"
            "  allowed  a run, or a Hugging Face folder with its tokenizer as one file\n"
            "  fix      with transformers: AutoTokenizer.from_pretrained(FOLDER).save_pretrained(FOLDER)"
        )
    return source.tokenizer_file
