"""Greedy decoding and sampling over anything that gives the next token's logits: one hypothesis for each source."""

import torch
from torch import Tensor

from lit_transformer.decoding.beam import beam_search
from lit_transformer.decoding.sampling import choose_tokens
from lit_transformer.decoding.search import Hypothesis, Search
from lit_transformer.decoding.steps import DROPPED, Steps


@torch.inference_mode()  # a tenth less overhead than without gradients alone, and no tensor leaves
def find_texts(
    steps: Steps, prompt: Tensor, search: Search, generator: torch.Generator | None = None
) -> list[list[Hypothesis]]:
    """The best texts of each row of prompt (sources, time): a beam's, or one that is greedy or drawn."""
    if not len(prompt):
        return []
    if search.beam_size > 1:
        return beam_search(steps, prompt, search)
    return [[text] for text in draw(steps, prompt, search, generator)]


def draw(steps: Steps, prompt: Tensor, search: Search, generator: torch.Generator | None = None) -> list[Hypothesis]:
    """One text for each row of prompt (sources, time), each token chosen by `choose_tokens`.

    Temperature 0 is greedy, and gives what `beam_search` does with one hypothesis. Log-probabilities are those of the
    network, before temperature, top_k and top_p. The generator lives on the device of prompt.
    """
    device = prompt.device
    sources = torch.arange(len(prompt), device=device)  # (rows,) which source each row belongs to
    stopped = torch.zeros(len(prompt), dtype=torch.bool, device=device)  # (rows,)
    totals = torch.zeros(len(prompt), device=device)  # (sources,)
    found: list[list[int]] = [[] for _ in prompt]
    tokens = prompt
    for length in range(1, search.max_length + 1):
        tokens, values = _next(steps.step(tokens), length, search, generator)  # (rows, 1), (rows,)
        totals.index_add_(0, sources, values.masked_fill(stopped, 0.0))
        for source, token in torch.stack((sources, tokens[:, 0]), dim=1)[~stopped].tolist():
            found[source].append(token)
        if search.stop_token is not None:
            stopped = stopped | (tokens[:, 0] == search.stop_token)
        going = (~stopped).nonzero().flatten()
        if not len(going):
            break
        if (len(stopped) - len(going)) * DROPPED >= len(stopped):
            sources, tokens, stopped = sources[going], tokens[going], stopped[going]
            steps.reorder(going, going)
    texts = zip(found, totals.tolist(), strict=True)
    return [search.hypothesis(ids, total, total / len(ids) ** search.length_penalty) for ids, total in texts]


def _next(logits: Tensor, length: int, search: Search, generator: torch.Generator | None) -> tuple[Tensor, Tensor]:
    """One token for each row of logits (rows, vocab_size), (rows, 1), and its log-probability (rows,)."""
    logits = logits.float()
    normaliser = logits.logsumexp(dim=-1)  # (rows,), over the suppressed tokens too
    logits = search.suppress(logits, length)
    tokens = choose_tokens(
        logits, temperature=search.temperature, top_k=search.top_k, top_p=search.top_p, generator=generator
    )
    return tokens, logits.gather(1, tokens)[:, 0] - normaliser
