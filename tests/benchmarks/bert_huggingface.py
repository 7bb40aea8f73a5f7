"""Training tokens/s of our BERT beside transformers' BertForMaskedLM of the same size; see alternating.py.

`python tests/benchmarks/bert_huggingface.py` prints a table and one line of JSON. Both networks are float32, with equal
dropout in the same places, and take the same step on the same whole rows with the same 15 % of targets; ours is given
the places of the targets, theirs labels of -100 everywhere else.
"""

import torch
from alternating import Row, Step, compare, main, training_step, with_threads
from torch import Tensor
from transformers import BertConfig as PeerConfig
from transformers import BertForMaskedLM

from lit_transformer.config.models import BertConfig
from lit_transformer.models.bert import Bert

BATCH, CONTEXT, VOCABULARY, WIDTH, LAYERS, HEADS = 16, 128, 8192, 256, 4, 4
TARGETS = round(0.15 * CONTEXT)
REQUIRED = {0.0: 1.6, 0.1: 1.4}
"""Dropout on both -> our tokens/s over theirs, at least."""


def make_batch() -> dict[str, Tensor]:
    """Ids (batch, time) drawn once, with targets (batch, n) and their places."""
    torch.manual_seed(0)
    places = torch.stack([torch.randperm(CONTEXT)[:TARGETS].sort().values for _ in range(BATCH)])
    return {
        "inputs": torch.randint(VOCABULARY, (BATCH, CONTEXT)),
        "targets": torch.randint(VOCABULARY, (BATCH, TARGETS)),
        "target_positions": places,
    }


def our_step(dropout: float, compiled: bool) -> Step:
    """A training step of our network."""
    torch.manual_seed(0)
    config = BertConfig(
        vocab_size=VOCABULARY,
        context_length=CONTEXT,
        d_model=WIDTH,
        num_layers=LAYERS,
        num_heads=HEADS,
        dropout=dropout,
    )
    model, batch = Bert(config).train(), make_batch()

    def loss() -> Tensor:
        total, count = model.loss(**batch)
        return total / count

    return training_step(model, torch.compile(loss) if compiled else loss)


def their_step(dropout: float, compiled: bool) -> Step:
    """A training step of theirs."""
    torch.manual_seed(0)
    config = PeerConfig(
        vocab_size=VOCABULARY,
        max_position_embeddings=CONTEXT,
        hidden_size=WIDTH,
        num_hidden_layers=LAYERS,
        num_attention_heads=HEADS,
        intermediate_size=4 * WIDTH,
        hidden_dropout_prob=dropout,
        attention_probs_dropout_prob=dropout,
    )
    model, batch = BertForMaskedLM(config).train(), make_batch()
    labels = torch.full((BATCH, CONTEXT), -100).scatter(1, batch["target_positions"], batch["targets"])

    def loss() -> Tensor:
        result = model(input_ids=batch["inputs"], labels=labels)
        assert isinstance(result.loss, Tensor)
        return result.loss

    return training_step(model, torch.compile(loss) if compiled else loss)


def measure(*, pairs: int = 8, steps: int = 2) -> dict[str, Row]:
    """All four comparisons: name -> ours and theirs (tokens/s), ratio, required; about 2 minutes on 2 cores."""
    return with_threads(
        lambda: {
            f"bert {'compiled' if compiled else 'eager'}, dropout {dropout:g}": compare(
                {"ours": our_step(dropout, compiled), "theirs": their_step(dropout, compiled)},
                tokens=BATCH * CONTEXT,
                required=required,
                pairs=pairs,
                steps=steps,
            )
            for compiled in (False, True)
            for dropout, required in REQUIRED.items()
        }
    )


if __name__ == "__main__":
    main(measure, __doc__)
