"""`translate`: lines in, lines out, by an encoder-decoder."""

from collections.abc import Sequence
from dataclasses import dataclass

import torch

from lit_transformer.config.errors import UserError
from lit_transformer.decoding.batches import in_batches, pad
from lit_transformer.decoding.search import Hypothesis
from lit_transformer.decoding.sources import decode_sources
from lit_transformer.inference.lines import Report
from lit_transformer.inference.text_run import TextRun
from lit_transformer.models.seq2seq import Seq2Seq
from lit_transformer.training.resume import tell


@dataclass(frozen=True, kw_only=True)
class Translating:
    """How to translate; what is None is the run's `decoding` setting."""

    beam_size: int | None
    length_penalty: float | None
    max_length: int | None
    n_best: int
    """Texts for each line: the best of a beam, which is as wide then at least, or as many that are drawn."""
    temperature: float
    """Above 0 draws instead of searching."""
    top_k: int | None
    top_p: float | None
    seed: int
    max_tokens: int = 4096
    """Padded source tokens that are translated at once."""

    def __post_init__(self) -> None:
        if self.n_best < 1:
            raise UserError(f"--n-best\n  got      {self.n_best}\n  allowed  1 or more")
        drawing = {"--top-k": self.top_k, "--top-p": self.top_p}
        given = [f"{name} {value}" for name, value in drawing.items() if value is not None]
        if given and not self.temperature:
            raise UserError(
                f"{given[0]} says how to draw, and nothing is drawn\n  got      --temperature {self.temperature:g}\n"
                "  allowed  a temperature above 0\n  fix      add --temperature 1"
            )


@dataclass(frozen=True)
class Translation:
    """One text that a source became."""

    text: str
    log_probability: float
    """In nats; the sum over its tokens."""
    score: float
    """log_probability / length ** length_penalty."""


EMPTY = Translation("", 0.0, 0.0)
"""Of an empty line."""


class Translator:
    """An encoder-decoder's run; raises UserError for another one."""

    def __init__(self, run: TextRun, settings: Translating) -> None:
        self.run = run
        if not isinstance(self.run.network, Seq2Seq) or self.run.config.task not in ("translation", "text_to_text"):
            raise self.run.refuse("translate", "a run of the task translation or text_to_text")
        self.network, self.settings = self.run.network, settings
        self._pad, self._end = self.run.specials.required("pad", "end", by="translate")
        drawing = settings.temperature > 0
        self._generator = torch.Generator(device=run.device).manual_seed(settings.seed) if drawing else None
        self._lines = self._truncated = 0

    def translate(self, lines: Sequence[str], progress: Report | None = None) -> list[list[Translation]]:
        """The texts of each line, the best first; an empty line stays empty. Raises UserError for one too long."""
        sources = [self._ids(line) for line in lines]
        full = [ids for ids in sources if ids]
        lengths = [len(ids) for ids in full]
        found = iter(
            in_batches(full, self._decode, lengths=lengths, max_tokens=self.settings.max_tokens, progress=progress)
        )
        return [[self._translation(text) for text in next(found)] if ids else [EMPTY] for ids in sources]

    def tell_truncated(self) -> None:
        """Say on standard error how many lines were cut, if any."""
        if self._truncated:
            room = self.run.context_length
            tell(f"lines cut to model.context_length={room}, the end token included: {self._truncated:,}")

    def _ids(self, line: str) -> list[int]:
        """Ids of a line with the data's prefix and the end token; none for an empty line."""
        self._lines += 1
        if not line.strip():
            return []
        data, room = self.run.config.data, self.run.context_length - 1
        ids = self.run.encode(data.prefix + line)
        if len(ids) > room:
            if data.too_long == "refuse":
                raise UserError(
                    f"line {self._lines} is longer than the context\n"
                    f"  got      {len(ids) + 1} tokens, the end token included: {line[:60]!r}\n"
                    f"  allowed  {room + 1} (model.context_length; the run has data.too_long=refuse)\n"
                    "  fix      split the line"
                )
            self._truncated += 1
        return [*ids[:room], self._end]

    def _translation(self, text: Hypothesis) -> Translation:
        return Translation(self.run.decode(text.ids).strip(), text.log_probability, text.score)

    def _decode(self, sources: Sequence[Sequence[int]]) -> list[list[Hypothesis]]:
        given, usual = self.settings, self.run.config.decoding
        drawn = given.n_best if given.temperature else 1
        beam_size = given.beam_size
        if beam_size is None:
            beam_size = 1 if given.temperature else max(usual.beam_size, given.n_best)
        padded = pad([ids for ids in sources for _ in range(drawn)], self._pad)
        inputs, mask = (part.to(self.run.device) for part in padded)  # (rows * drawn, time) each
        found = decode_sources(
            self.network,
            inputs,
            mask,
            start_token=self._pad,
            stop_token=self._end,
            max_length=usual.max_length if given.max_length is None else given.max_length,
            generator=self._generator,
            beam_size=beam_size,
            length_penalty=usual.length_penalty if given.length_penalty is None else given.length_penalty,
            n_best=1 if given.temperature else given.n_best,
            forbidden=(self._pad,),
            temperature=given.temperature,
            top_k=given.top_k,
            top_p=given.top_p,
        )
        if drawn == 1:
            return found
        texts = [hypotheses[0] for hypotheses in found]  # (rows * drawn,)
        draws = (texts[start : start + drawn] for start in range(0, len(texts), drawn))
        return [sorted(row, key=lambda text: -text.score) for row in draws]
