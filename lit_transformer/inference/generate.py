"""`generate`: continue a prompt."""

from dataclasses import dataclass

import torch

from lit_transformer.config.errors import UserError
from lit_transformer.decoding.sampling import generate
from lit_transformer.inference.text_run import TextRun
from lit_transformer.models.gpt import GPT
from lit_transformer.training.resume import tell


@dataclass(frozen=True, kw_only=True)
class Generation:
    """How to continue a prompt."""

    max_new_tokens: int
    temperature: float
    """0 takes the most likely token each time."""
    top_k: int | None
    top_p: float | None
    seed: int
    use_cache: bool


def continue_prompt(run: TextRun, prompt: str, settings: Generation) -> str:
    """The prompt and its continuation by a run; raises UserError where that is no GPT, or one with a head.

    Says on standard error where the network sees but the end of a long prompt, and with data.too_long=refuse raises.
    """
    if not isinstance(run.network, GPT):
        raise run.refuse("generate", "a GPT without a head: task language_model, or objective.name=text")
    ids = _encode(run, prompt)
    if ids.shape[1] > run.context_length:
        if run.config.data.too_long == "refuse":
            raise UserError(
                "the prompt is longer than the context\n"
                f"  got      {ids.shape[1]} tokens: {prompt[:60]!r}\n"
                f"  allowed  {run.context_length} (model.context_length; the run has data.too_long=refuse)\n"
                "  fix      give the end of it alone"
            )
        seen = f"the network sees the last {run.context_length} (model.context_length)"
        tell(f"the prompt has {ids.shape[1]} tokens: {seen}")
    made = generate(
        run.network,
        ids,
        max_new_tokens=settings.max_new_tokens,
        temperature=settings.temperature,
        top_k=settings.top_k,
        top_p=settings.top_p,
        generator=torch.Generator(device=run.device).manual_seed(settings.seed),
        use_cache=settings.use_cache,
        stop_token=run.specials.eot,
        prefix_lm=run.prefix_lm,
    )
    return run.spaces.continued(prompt, made[0, ids.shape[1] :].tolist())


def _encode(run: TextRun, prompt: str) -> torch.Tensor:
    ids = run.encode(prompt)
    if not ids:
        if run.specials.eot is None:
            raise UserError("The prompt is empty.\n  fix      give some text with --prompt")
        ids = [run.specials.eot]  # what stands before every document
    return run.tensor([ids])  # (1, time)
