"""A trained run that reads text: its network, its tokenizer, and how it cuts what is too long."""

import sys
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TypeVar

from rich.console import Console
from rich.progress import track
from tokenizers import Tokenizer

from lit_transformer.config.errors import UserError
from lit_transformer.config.models import TextModelConfig
from lit_transformer.config.schema import ExperimentConfig
from lit_transformer.data.specials import Specials, specials_of
from lit_transformer.data.tokenizers import load_tokenizer
from lit_transformer.inference.load import load_task, open_run
from lit_transformer.models.base import TextNetwork

Item = TypeVar("Item")


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

    def encode(self, text: str) -> list[int]:
        """Ids of a text, without special tokens."""
        ids: list[int] = self.tokenizer.encode(text, add_special_tokens=False).ids
        return ids

    def decode(self, ids: Sequence[int]) -> str:
        """Text of ids, special tokens left out."""
        text: str = self.tokenizer.decode(list(ids), skip_special_tokens=True)
        return text

    def refuse(self, verb: str, allowed: str, fix: str) -> UserError:
        """The error of a verb that this kind of run does not answer."""
        config = self.config
        return UserError(
            f"{verb} cannot use {self.path}\n"
            f"  got      task {config.task}, model.kind {config.model.kind}, objective {config.objective.name}\n"
            f"  allowed  {allowed}\n"
            f"  fix      {fix}"
        )


def open_text_run(path: Path) -> TextRun:
    """The run in a folder, its network in evaluation mode; raises UserError."""
    run = open_run(path)
    task = load_task(path)
    tokenizer = load_tokenizer(run.tokenizer_file)
    return TextRun(
        path=path, config=task.config, network=task.network, tokenizer=tokenizer, specials=specials_of(tokenizer)
    )


def shown_progress(items: Sequence[Item], what: str) -> Iterable[Item]:
    """The items one after another, with a bar and the time left on a terminal's standard error."""
    console = Console(stderr=True)
    return track(items, what, console=console, transient=True, disable=not console.is_terminal)


def tell(message: str) -> None:
    """A line for people, on standard error."""
    print(message, file=sys.stderr)
