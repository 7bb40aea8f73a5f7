"""`objective.name` -> how blocks of a token stream become batches; a new objective is one more entry."""

from collections.abc import Callable
from functools import partial
from pathlib import Path

from tokenizers import Tokenizer

from lit_transformer.config.errors import UserError
from lit_transformer.config.models import TextModelConfig
from lit_transformer.config.schema import ExperimentConfig, ObjectiveConfig
from lit_transformer.data.makers.base import BlockMaker, Vocabulary
from lit_transformer.data.makers.blanked import FilledBlanks
from lit_transformer.data.makers.corrupted import CorruptedSpans
from lit_transformer.data.makers.masked import MaskedTokens
from lit_transformer.data.makers.next_token import NextTokens, Prefixes
from lit_transformer.data.token_flags import sentence_ends, word_starts
from lit_transformer.data.tokenizers import load_tokenizer, specials_of
from lit_transformer.objectives import LM_OBJECTIVES
from lit_transformer.objectives.causal_lm import CausalLM
from lit_transformer.objectives.ids import Ids

__all__ = ["BLOCK_MAKERS", "BlockMaker", "build_block_maker", "vocabulary_of"]

Build = Callable[[ObjectiveConfig, int, Vocabulary], BlockMaker]


def _next_tokens(objective: Callable[[Ids], CausalLM]) -> Build:
    return lambda settings, context_length, vocabulary: NextTokens(objective, context_length)


BLOCK_MAKERS: dict[str, Build] = {
    **{name: _next_tokens(objective) for name, objective in LM_OBJECTIVES.items()},
    "prefix_lm": lambda settings, context_length, vocabulary: Prefixes(context_length),
    "masked_lm": MaskedTokens,
    "span_corruption": CorruptedSpans,
    "blank_infilling": FilledBlanks,
}
"""`objective.name` -> its maker, of the objective's settings, model.context_length and the tokenizer's vocabulary."""


def build_block_maker(config: ExperimentConfig, tokenizer_path: Path) -> BlockMaker:
    """The maker of an experiment's objective.

    Raises UserError where the tokenizer lacks special tokens that it needs, has fewer sentinels than a block has spans,
    or where the context is too short for a single example.
    """
    name = config.objective.name
    if name not in BLOCK_MAKERS:
        raise UserError(f"objective.name: got {name}, which takes no plain text\n  allowed  {', '.join(BLOCK_MAKERS)}")
    assert isinstance(config.model, TextModelConfig)
    vocabulary = vocabulary_of(load_tokenizer(tokenizer_path))
    return BLOCK_MAKERS[name](config.objective, config.model.context_length, vocabulary)


def vocabulary_of(tokenizer: Tokenizer) -> Vocabulary:
    """What a maker knows of a tokenizer."""
    return Vocabulary(
        specials=specials_of(tokenizer),
        size=tokenizer.get_vocab_size(),
        word_starts=partial(word_starts, tokenizer),
        sentence_ends=partial(sentence_ends, tokenizer),
    )
