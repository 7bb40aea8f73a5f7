"""Greedy decoding and sampling from a network that predicts the next token."""

from typing import Protocol

import torch
from torch import Tensor

from lit_transformer.config.models import TextModelConfig
from lit_transformer.decoding.guards import evaluating, require, sampling_rules
from lit_transformer.nn.cache import KVCache


class NextTokenModel(Protocol):
    """What `generate` needs of a network."""

    @property
    def config(self) -> TextModelConfig:
        """The network's settings."""

    def hidden_states(
        self, inputs: Tensor, *, cache: KVCache | None = None, prefix_length: Tensor | None = None
    ) -> Tensor:
        """Ids (batch, time) -> (batch, time, d_model); with prefix_length (batch), those so many see one another."""

    def logits(self, hidden: Tensor) -> Tensor:
        """Hidden states (..., d_model) -> logits (..., vocab_size)."""

    def new_cache(self) -> KVCache:
        """An empty cache."""


def filter_logits(logits: Tensor, *, top_k: int | None = None, top_p: float | None = None) -> Tensor:
    """Logits (batch, vocab_size) with every token outside the choice at -inf.

    top_k keeps the k most likely (all that tie with the last of them); top_p then the smallest set of them whose
    probabilities sum to at least p (nucleus sampling, Holtzman et al. 2020), never fewer than one.
    """
    if top_k is not None and top_k < logits.shape[-1]:
        smallest = logits.topk(top_k, dim=-1).values[..., -1:]  # (batch, 1)
        logits = logits.masked_fill(logits < smallest, -torch.inf)
    if top_p is not None and top_p < 1:
        ordered, order = logits.sort(dim=-1, descending=True, stable=True)
        probabilities = ordered.softmax(dim=-1)
        before = probabilities.cumsum(dim=-1) - probabilities  # probability of everything more likely
        dropped = torch.zeros_like(logits, dtype=torch.bool).scatter(-1, order, before >= top_p)
        logits = logits.masked_fill(dropped, -torch.inf)
    return logits


def choose_tokens(
    logits: Tensor,
    *,
    temperature: float = 1.0,
    top_k: int | None = None,
    top_p: float | None = None,
    generator: torch.Generator | None = None,
) -> Tensor:
    """One token for each row of logits (batch, vocab_size): (batch, 1). Temperature 0 takes the most likely."""
    logits = logits.float()
    if temperature == 0:
        return logits.argmax(dim=-1, keepdim=True)
    probabilities = filter_logits(logits / temperature, top_k=top_k, top_p=top_p).softmax(dim=-1)
    return torch.multinomial(probabilities, 1, generator=generator)


def generate(
    model: NextTokenModel,
    ids: Tensor,
    *,
    max_new_tokens: int,
    temperature: float = 1.0,
    top_k: int | None = None,
    top_p: float | None = None,
    generator: torch.Generator | None = None,
    use_cache: bool = True,
    stop_token: int | None = None,
    prefix_lm: bool = False,
) -> Tensor:
    """Continue ids (batch, time): (batch, time + new), new <= max_new_tokens.

    The network sees the last context_length tokens; past that the window slides, and every position in it changes, so
    the cache is rebuilt at each token. A row that has produced stop_token goes on with it; all rows stopped is the end.
    With prefix_lm, as networks of that objective are trained, what the window holds of ids is a prefix, seen whole.
    The generator lives on the device of ids. Raises UserError for a setting out of range and an empty prompt.
    """
    require(
        [
            (ids.shape[1] > 0, "prompt", "an empty text", "at least one token", "give a prompt"),
            (max_new_tokens >= 0, "max_new_tokens", max_new_tokens, "0 or more", "0 gives the prompt back"),
            *sampling_rules(temperature, top_k, top_p),
        ]
    )
    cache = model.new_cache() if use_cache else None
    prefix = ids.shape[1] if prefix_lm else None
    stopped = torch.zeros(ids.shape[0], 1, dtype=torch.bool, device=ids.device)
    with evaluating(model), torch.inference_mode():  # a tenth less overhead than without gradients alone
        for _ in range(max_new_tokens):
            logits = model.logits(_last_hidden(model, ids, prefix, cache))  # (batch, vocab_size)
            token = choose_tokens(logits, temperature=temperature, top_k=top_k, top_p=top_p, generator=generator)
            if stop_token is not None:
                token = token.masked_fill(stopped, stop_token)
                stopped = stopped | (token == stop_token)  # (batch, 1)
            ids = torch.cat((ids, token), dim=1)  # (batch, time + 1)
            if stop_token is not None and stopped.all():  # without one a GPU is not waited for
                break
    return ids.clone()  # one that was made in inference mode cannot be changed in place


def _last_hidden(model: NextTokenModel, ids: Tensor, prefix: int | None, cache: KVCache | None) -> Tensor:
    beyond = ids.shape[1] - model.config.context_length
    if beyond > 0:
        ids = ids[:, beyond:]  # (batch, context_length)
        prefix = None if prefix is None else max(prefix - beyond, 0)
        if cache is not None:
            cache.reset()
    prefix_length = None if prefix is None else ids.new_full((len(ids),), prefix)  # (batch,)
    new = ids if cache is None else ids[:, cache.length :]  # (batch, tokens that the cache lacks)
    return model.hidden_states(new, cache=cache, prefix_length=prefix_length)[:, -1]  # (batch, d_model)
