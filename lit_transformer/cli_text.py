"""The verbs that ask a trained run about text; cli.py adds them to the others."""

import json
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Annotated, Optional, TextIO

import typer

from lit_transformer.config.errors import UserError

Run = Annotated[
    Path, typer.Argument(help="A run's folder, such as runs/translation_tiny/<run-id> or a cell of a sweep.")
]
Texts = Annotated[Optional[list[str]], typer.Argument(metavar="[TEXT]...", help="Texts; none = those of --file.")]
File = Annotated[
    Optional[Path], typer.Option("--file", help="A file with one text a line; without it and texts, standard input.")
]
Json = Annotated[bool, typer.Option("--json", help="Print one JSON document.")]


def translate(
    run: Run,
    texts: Texts = None,
    file: File = None,
    beam_size: Annotated[Optional[int], typer.Option(help="Hypotheses kept; default: the run's decoding.")] = None,
    length_penalty: Annotated[
        Optional[float], typer.Option(help="Exponent of the length; default: the run's decoding.")
    ] = None,
    max_length: Annotated[Optional[int], typer.Option(help="Tokens at most; default: the run's decoding.")] = None,
    n_best: Annotated[int, typer.Option(help="Show this many texts for each line.")] = 1,
    temperature: Annotated[float, typer.Option(help="Above 0 draws instead of searching.")] = 0.0,
    top_k: Annotated[Optional[int], typer.Option(help="Draw among the k likeliest tokens.")] = None,
    top_p: Annotated[Optional[float], typer.Option(help="Draw among the likeliest with this probability.")] = None,
    seed: Annotated[int, typer.Option(help="Seed of what is drawn.")] = 0,
    as_json: Json = False,
) -> None:
    """Translate texts, a file or standard input, line by line in their order; also answers text_to_text runs.

    Examples: lit-transformer translate runs/translation_tiny/<run-id> "forty-two"

    lit-transformer translate runs/translation_multi30k/<run-id> --file test.en > test.de
    """
    from lit_transformer.inference.translate import Translating, Translator

    settings = Translating(
        beam_size=beam_size, length_penalty=length_penalty, max_length=max_length, n_best=n_best,
        temperature=temperature, top_k=top_k, top_p=top_p, seed=seed,
    )  # fmt: skip
    with _lines(texts, file) as lines:
        translator = Translator(run, settings)
        if as_json:
            sources = list(lines)
            rows = zip(sources, translator.lines(sources), strict=True)
            _print([{"source": source, "translations": [vars(text) for text in found]} for source, found in rows])
            return
        for found in translator.lines(lines):
            if n_best == 1:
                print(found[0].text, flush=True)
            else:
                print("".join(f"{text.score:.4f}\t{text.text}\n" for text in found), flush=True)


def fill(
    run: Run,
    text: Annotated[str, typer.Argument(help="A text with [MASK] wherever something is missing.")],
    top: Annotated[int, typer.Option(help="Show this many ways to fill the blanks.")] = 5,
    as_json: Json = False,
) -> None:
    """Fill the blanks of a text with a BERT, a T5 or a GLM: the best few ways and their probabilities.

    Example: lit-transformer fill runs/bert_tiny/<run-id> "The animal [MASK] the street"
    """
    from lit_transformer.inference.fill import fill as find
    from lit_transformer.inference.text_run import open_text_run

    found = find(open_text_run(run), text, top=top)
    if as_json:
        _print({"text": text, "fillings": [vars(filling) for filling in found]})
        return
    for filling in found:
        print(f"{filling.probability:.4f}\t{' | '.join(filling.fills)}\t{filling.text}")


def classify(
    run: Run,
    texts: Texts = None,
    file: File = None,
    pair: Annotated[Optional[list[str]], typer.Option(help="The second text of each text, once for each.")] = None,
    template: Annotated[
        Optional[str], typer.Option(help='Ask a language model: the prompt, such as "{text} It was".')
    ] = None,
    labels: Annotated[Optional[str], typer.Option(help='The words for the classes, such as "bad, good".')] = None,
    as_json: Json = False,
) -> None:
    """Tell which class each text has, and how sure that is.

    Examples: lit-transformer classify runs/sst2_bert/<run-id> "a stirring film"

    lit-transformer classify runs/gpt_gutenberg/<run-id> "a stirring film" --template "{text} It was" --labels "bad, good"
    """
    from lit_transformer.inference.choices import classify as find
    from lit_transformer.inference.text_run import open_text_run

    opened = open_text_run(run)
    with _lines(texts, file) as lines:
        given = [line for line in lines if line.strip()]
    if not given:
        raise UserError("classify\n  got      no text\n  fix      give texts, --file, or lines on standard input")
    found = find(opened, given, pairs=pair, template=template, label_words=labels)
    if as_json:
        _print([{"text": text, **vars(choice)} for text, choice in zip(given, found, strict=True)])
        return
    for text, choice in zip(given, found, strict=True):
        print(f"{choice.label}\t{choice.probabilities[choice.label]:.4f}\t{text}")


def choose(
    run: Run,
    context: Annotated[str, typer.Argument(help="What the choices go with.")],
    choices: Annotated[list[str], typer.Argument(metavar="CHOICE...", help="Two choices or more.")],
    template: Annotated[
        Optional[str], typer.Option(help='Ask a language model: the prompt, such as "{context} because".')
    ] = None,
    as_json: Json = False,
) -> None:
    """Tell which choice goes best with a context.

    Example: lit-transformer choose runs/copa_gpt/<run-id> "My body cast a shadow." "The sun rose." "The grass was cut."
    """
    from lit_transformer.inference.choices import choose as find
    from lit_transformer.inference.text_run import open_text_run

    found = find(open_text_run(run), context, choices, template=template)
    if as_json:
        _print({"context": context, **vars(found)})
        return
    for text, probability in found.probabilities.items():
        print(f"{'*' if text == found.label else ' '} {probability:.4f}\t{text}")


@contextmanager
def _lines(texts: list[str] | None, file: Path | None) -> Iterator[Iterator[str]]:
    """Texts from the arguments, a file or standard input, without their line ends."""
    if texts and file is not None:
        raise UserError(f"--file\n  got      {file} and texts too\n  fix      give one of them")
    if texts:
        yield iter(texts)
    elif file is None:
        yield _stripped(sys.stdin)
    else:
        try:
            with file.open(encoding="utf-8", newline="\n") as opened:
                yield _stripped(opened)
        except OSError as error:
            raise UserError(f"--file {file} cannot be read: {error.strerror}") from None
        except UnicodeDecodeError as error:
            raise UserError(f"--file {file} is not UTF-8 at byte {error.start}") from None


def _stripped(opened: TextIO) -> Iterator[str]:
    return (line.rstrip("\r\n") for line in opened)


def _print(document: object) -> None:
    print(json.dumps(document, indent=2, ensure_ascii=False))
