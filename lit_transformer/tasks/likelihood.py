"""Classes and choices as text: the answer with the largest probability after the prompt (Radford et al. 2019, 3)."""

import torch
from torch import Tensor

from lit_transformer.models.base import TextNetwork
from lit_transformer.nn.losses import IGNORED
from lit_transformer.tasks.base import Batch


def choice_scores(network: TextNetwork, batch: Batch, *, prefix_lm: bool = False) -> Tensor:
    """Log-probability of each answer's tokens: (rows, choices).

    targets (rows, choices, time) are -100 outside the answers. A GPT reads inputs (rows, choices, time); an
    encoder-decoder the prompt as inputs (rows, time) and decoder_inputs (rows, choices, time). With prefix_lm a GPT
    sees what stands before an answer whole, as networks of that objective are trained.
    """
    targets = batch["targets"]
    choices = targets.shape[1]
    flat: Batch = {}
    for name in ("inputs", "input_mask", "decoder_inputs"):
        if name in batch:
            whole = batch[name]
            per_choice = whole.flatten(0, 1) if whole.ndim == 3 else whole.repeat_interleave(choices, dim=0)
            flat[name] = per_choice  # (rows * choices, time)
    if prefix_lm:  # the last token of the prompt predicts the answer's first one
        flat["prefix_length"] = (targets != IGNORED).int().argmax(dim=-1).flatten() + 1  # (rows * choices,)
    logits = network.logits(network.target_hidden(**flat)).float()  # (rows * choices, time, vocab_size)
    wanted = targets.flatten(0, 1)  # (rows * choices, time)
    chosen = logits.log_softmax(dim=-1).gather(-1, wanted.clamp(min=0)[..., None])[..., 0]
    return chosen.masked_fill(wanted == IGNORED, 0.0).sum(dim=-1).unflatten(0, (-1, choices))  # (rows, choices)


def right_answer_sums(scores: Tensor, batch: Batch) -> dict[str, Tensor]:
    """Summed loss in nats and the number of tokens of the right answers; rows of padding have the label -100."""
    labels = batch["labels"]
    kept, right = labels >= 0, labels.clamp(min=0)[:, None]  # (rows,), (rows, 1)
    lengths = (batch["targets"] != IGNORED).sum(dim=-1)  # (rows, choices)
    loss = -scores.gather(1, right)[:, 0]  # (rows,)
    zero = torch.zeros_like(loss)
    return {"loss": torch.where(kept, loss, zero).sum(), "count": (lengths.gather(1, right)[:, 0] * kept).sum()}
