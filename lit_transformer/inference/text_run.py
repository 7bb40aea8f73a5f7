"""A trained run that reads text: its network, its tokenizer, and what it can be asked."""

from collections.abc import Sequence
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path

import torch
from tokenizers import Tokenizer
from torch import Tensor

from lit_transformer.config.errors import UserError
from lit_transformer.config.models import TextModelConfig
from lit_transformer.config.schema import ExperimentConfig
from lit_transformer.data.specials import Specials, specials_of
from lit_transformer.data.tokenizers import load_tokenizer
from lit_transformer.inference.load import find_device, load_task, open_run
from lit_transformer.inference.spaces import Spaces
from lit_transformer.models.base import TextNetwork
from lit_transformer.models.gpt import GPT

VERBS = {
    "language_model": "fill",
    "translation": "translate",
    "text_to_text": "translate",
    "classification": "classify",
    "multiple_choice": "choose",
}
"""`task` -> the verb that asks a run of it, unless it is a GPT that writes text."""


@dataclass(frozen=True, kw_only=True)
class TextRun:
    """What the verbs over text need of a run."""

    path: Path
    config: ExperimentConfig
    network: TextNetwork
    tokenizer: Tokenizer
    specials: Specials

    @property
    def context_length(self) -> int:
        """Tokens that the network sees at most."""
        assert isinstance(self.config.model, TextModelConfig)
        return self.config.model.context_length

    @property
    def writes(self) -> bool:
        """Whether it is a GPT without a head, which goes on with a text, and tells how likely one is."""
        return isinstance(self.network, GPT)

    @property
    def prefix_lm(self) -> bool:
        """Whether its network was trained to see a prompt whole, in both directions."""
        return self.config.objective.name == "prefix_lm"

    @cached_property
    def spaces(self) -> Spaces:
        """Its tokenizer's way with spaces."""
        return Spaces(self.tokenizer)

    @property
    def device(self) -> torch.device:
        """Where its network computes."""
        return self.network.output_weight.device

    def tensor(self, rows: Sequence[Sequence[int]]) -> Tensor:
        """Numbers for its network, on its device: (rows, time)."""
        return torch.tensor(rows, device=self.device)

    def encode(self, text: str) -> list[int]:
        """Ids of a text, without special tokens; raises UserError as `check_text`."""
        ids: list[int] = self.tokenizer.encode(check_text(text), add_special_tokens=False).ids
        return ids

    def decode(self, ids: Sequence[int]) -> str:
        """Text of ids, special tokens left out."""
        text: str = self.tokenizer.decode(list(ids), skip_special_tokens=True)
        return text

    def refuse(self, verb: str, allowed: str) -> UserError:
        """The error of a verb that this kind of run does not answer, with the verbs that it does."""
        config = self.config
        answered = "generate, classify and choose" if self.writes else VERBS[config.task]
        return UserError(
            f"{verb} cannot use {self.path}\n"
            f"  got      task {config.task}, model.kind {config.model.kind}, objective {config.objective.name}\n"
            f"  allowed  {allowed}\n"
            f"  fix      ask it with {answered}, or give another run to {verb}"
        )


def open_text_run(path: Path, *, device: str = "cpu") -> TextRun:
    """The run in a folder, its network in evaluation mode on a device that `find_device` knows; raises UserError."""
    run = open_run(path)
    task = load_task(path, device=find_device(device))
    tokenizer = load_tokenizer(run.tokenizer_file)
    assert isinstance(task.network, TextNetwork)
    return TextRun(
        path=path, config=task.config, network=task.network, tokenizer=tokenizer, specials=specials_of(tokenizer)
    )


def check_text(text: str) -> str:
    """The text; raises UserError where it has no UTF-8, since the shell was given other bytes."""
    try:
        text.encode()
    except UnicodeEncodeError as error:
        raise UserError(
            f"a text is not UTF-8 at character {error.start + 1}\n  got      {text[:60]!r}\n"
            "  fix      give it in UTF-8, or in a file with --file"
        ) from None
    return text
