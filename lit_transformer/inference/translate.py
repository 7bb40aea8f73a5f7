"""`translate`: lines in, lines out, by an encoder-decoder."""

from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass
from itertools import islice
from pathlib import Path

import torch

from lit_transformer.config.errors import UserError
from lit_transformer.decoding.batches import length_batches, pad
from lit_transformer.decoding.search import Hypothesis
from lit_transformer.decoding.sources import decode_sources
from lit_transformer.inference.text_run import open_text_run, shown_progress, tell
from lit_transformer.models.seq2seq import Seq2Seq

CHUNK = 2000
"""Lines that are sorted by length and translated before any of them is written."""


@dataclass(frozen=True, kw_only=True)
class Translating:
    """How to translate; what is None is the run's `decoding` setting."""

    beam_size: int | None = None
    length_penalty: float | None = None
    max_length: int | None = None
    n_best: int = 1
    temperature: float = 0.0
    """Above 0 draws instead of searching."""
    top_k: int | None = None
    top_p: float | None = None
    seed: int = 0
    max_tokens: int = 4096
    """Padded source tokens that are translated at once."""


@dataclass(frozen=True)
class Translation:
    """One text that a source became."""

    text: str
    log_probability: float
    """In nats; the sum over its tokens."""
    score: float
    """log_probability / length ** length_penalty."""


class Translator:
    """An encoder-decoder's run; raises UserError for another one."""

    def __init__(self, path: Path, settings: Translating) -> None:
        self.run = open_text_run(path)
        if self.run.config.task not in ("translation", "text_to_text"):
            raise self.run.refuse(
                "translate", "a run of the task translation or text_to_text", "generate and fill use the other ones"
            )
        self.settings = settings
        self.truncated = 0
        """Lines that were longer than the context."""
        self._pad, self._end = self.run.specials.required("pad", "end", by="translate")
        self._generator = torch.Generator().manual_seed(settings.seed) if settings.temperature else None

    def lines(self, lines: Iterable[str]) -> Iterator[list[Translation]]:
        """The best texts of each line, in the lines' order; an empty line stays empty."""
        source = iter(lines)
        while chunk := list(islice(source, CHUNK)):
            yield from self.translate(chunk)
        if self.truncated:
            tell(f"{self.truncated} lines were longer than {self.run.context_length} tokens and were cut")

    def translate(self, lines: Sequence[str]) -> list[list[Translation]]:
        """The same for lines that are translated together."""
        sources = [self._ids(line) for line in lines]
        found: list[list[Translation]] = [[Translation("", 0.0, 0.0)] for _ in lines]
        full = [index for index, ids in enumerate(sources) if ids]
        batches = length_batches([len(sources[index]) for index in full], self.settings.max_tokens)
        for batch in shown_progress(batches, "translating"):
            rows = [full[place] for place in batch]
            for row, hypotheses in zip(rows, self._decode([sources[row] for row in rows]), strict=True):
                found[row] = [
                    Translation(self.run.decode(text.ids).strip(), text.log_probability, text.score)
                    for text in hypotheses
                ]
        return found

    def _ids(self, line: str) -> list[int]:
        """Ids of a line with the data's prefix and the end token; none for an empty line."""
        if not line.strip():
            return []
        data, room = self.run.config.data, self.run.context_length - 1
        ids = self.run.encode(data.prefix + line)
        if len(ids) > room:
            if data.too_long == "refuse":
                raise UserError(
                    f"a line is longer than the context\n  got      {len(ids) + 1} tokens: {line[:60]}...\n"
                    f"  allowed  {room + 1}, the end token among them\n"
                    "  fix      split it; a run with data.too_long=truncate cuts it"
                )
            self.truncated += 1
        return [*ids[:room], self._end]

    def _decode(self, sources: Sequence[Sequence[int]]) -> list[list[Hypothesis]]:
        network = self.run.network
        assert isinstance(network, Seq2Seq)
        given, usual = self.settings, self.run.config.decoding
        inputs, mask = pad(sources, self._pad)  # (rows, time), (rows, time)
        beam_size = usual.beam_size if given.beam_size is None else given.beam_size
        return decode_sources(
            network,
            inputs,
            mask,
            start_token=self._pad,
            stop_token=self._end,
            max_length=usual.max_length if given.max_length is None else given.max_length,
            generator=self._generator,
            beam_size=max(beam_size, given.n_best) if not given.temperature else 1,
            length_penalty=usual.length_penalty if given.length_penalty is None else given.length_penalty,
            n_best=given.n_best,
            forbidden=(self._pad,),
            temperature=given.temperature,
            top_k=given.top_k,
            top_p=given.top_p,
        )
