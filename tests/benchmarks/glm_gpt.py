"""Training tokens/s of our GLM beside our GPT of the same size; see alternating.py.

`python tests/benchmarks/glm_gpt.py` prints a table and one line of JSON, the GPT as `theirs`. Both take rows of one
length. GLM's hold 15 % of their text in blanks of 3 tokens on average and have targets in those alone, GPT's
have one at each token.
"""

import torch
from alternating import Row, Step, compare, main, training_step, with_threads
from torch import Tensor

from lit_transformer.config.models import GLMConfig, GPTConfig
from lit_transformer.models import build_model

BATCH, CONTEXT, VOCABULARY, WIDTH, LAYERS, HEADS = 16, 176, 8192, 256, 4, 4
TARGETS = CONTEXT * 4 // 22
"""Places of part B: of 20 tokens of text 3 are in a blank, which makes 18 of part A and 4 of part B."""
REQUIRED = 1 / 1.15
SHAPE = {
    "vocab_size": VOCABULARY,
    "context_length": CONTEXT,
    "d_model": WIDTH,
    "num_layers": LAYERS,
    "num_heads": HEADS,
}


def make_batch(kind: str) -> dict[str, Tensor]:
    """A batch of random ids, drawn once."""
    torch.manual_seed(0)
    ids = torch.randint(VOCABULARY, (BATCH, CONTEXT + 1))
    if kind == "gpt":
        return {"inputs": ids[:, :-1], "targets": ids[:, 1:]}
    prefix = CONTEXT - TARGETS
    places = torch.arange(CONTEXT).expand(BATCH, CONTEXT)
    return {
        "inputs": ids[:, :-1],
        "targets": ids[:, 1 + prefix :],
        "target_positions": places[:, prefix:],
        "prefix_length": torch.full((BATCH,), prefix),
        "positions": torch.where(places < prefix, places + 1, (places - prefix) // 4 + 1),
        "block_positions": torch.where(places < prefix, 0, (places - prefix) % 4 + 1),
    }


def make_step(kind: str, dropout: float) -> Step:
    """A training step."""
    batch = make_batch(kind)
    config = GPTConfig if kind == "gpt" else GLMConfig
    model = build_model(config(**SHAPE, dropout=dropout)).train()

    def loss() -> Tensor:
        total, count = model.loss(**batch)
        return total / count

    return training_step(model, loss)


def measure(*, pairs: int = 8, steps: int = 2) -> dict[str, Row]:
    """Both comparisons: name -> ours and theirs (tokens/s), ratio, required; about a minute on 2 cores."""
    return with_threads(
        lambda: {
            f"glm eager, dropout {dropout:g}": compare(
                {"ours": make_step("glm", dropout), "theirs": make_step("gpt", dropout)},
                tokens=BATCH * CONTEXT,
                required=REQUIRED,
                pairs=pairs,
                steps=steps,
            )
            for dropout in (0.0, 0.1)
        }
    )


if __name__ == "__main__":
    main(measure, __doc__)
