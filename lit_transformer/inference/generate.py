"""`generate`: continue a prompt."""

from dataclasses import dataclass
from pathlib import Path

import torch
from tokenizers import Tokenizer

from lit_transformer.config.errors import UserError
from lit_transformer.data.tokenizers import end_token, load_tokenizer
from lit_transformer.decoding.sampling import generate
from lit_transformer.inference.load import load_task, open_run
from lit_transformer.models.gpt import GPT


@dataclass(frozen=True, kw_only=True)
class Generation:
    """How to continue a prompt."""

    max_new_tokens: int = 100
    temperature: float = 0.8
    """0 takes the most likely token each time."""
    top_k: int | None = None
    top_p: float | None = None
    seed: int = 0
    use_cache: bool = True


def continue_prompt(path: Path, prompt: str, settings: Generation) -> str:
    """The prompt and its continuation by the run in a folder; raises UserError."""
    tokenizer = load_tokenizer(open_run(path).tokenizer_file)
    task = load_task(path)
    if not isinstance(task.network, GPT):
        raise UserError(f"generate needs a GPT; {path} holds a {task.config.model.kind}.")
    ids = _encode(tokenizer, prompt)
    made = generate(
        task.network,
        ids,
        max_new_tokens=settings.max_new_tokens,
        temperature=settings.temperature,
        top_k=settings.top_k,
        top_p=settings.top_p,
        generator=torch.Generator().manual_seed(settings.seed),
        use_cache=settings.use_cache,
        stop_token=end_token(tokenizer),
    )
    return prompt + tokenizer.decode(made[0, ids.shape[1] :].tolist())


def _encode(tokenizer: Tokenizer, prompt: str) -> torch.Tensor:
    ids = tokenizer.encode(prompt, add_special_tokens=False).ids
    if not ids:
        end = end_token(tokenizer)
        if end is None:
            raise UserError("The prompt is empty.\n  fix      give some text with --prompt")
        ids = [end]  # what stands before every document
    return torch.tensor([ids])  # (1, time)
