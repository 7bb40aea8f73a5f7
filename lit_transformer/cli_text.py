"""The verbs that ask a trained run about text; cli.py adds them to the others."""

import json
from pathlib import Path
from typing import Annotated, Optional

import typer

from lit_transformer.cli_options import Device, Json
from lit_transformer.config.errors import UserError

Run = Annotated[
    Path, typer.Argument(help="A run's folder, such as runs/translation_tiny/<run-id> or a cell of a sweep.")
]
Texts = Annotated[
    Optional[list[str]],
    typer.Argument(metavar="[TEXT]...", help="Texts; without any, the lines of --file or standard input."),
]
File = Annotated[
    Optional[Path], typer.Option("--file", help="A file with one text a line; without it and texts, standard input.")
]


def translate(
    run: Run,
    texts: Texts = None,
    file: File = None,
    beam_size: Annotated[Optional[int], typer.Option(help="Hypotheses kept; default: the run's decoding.")] = None,
    length_penalty: Annotated[
        Optional[float], typer.Option(help="Exponent of the length; default: the run's decoding.")
    ] = None,
    max_length: Annotated[Optional[int], typer.Option(help="Tokens at most; default: the run's decoding.")] = None,
    n_best: Annotated[int, typer.Option(help="Show this many texts for each line, with their scores.")] = 1,
    temperature: Annotated[float, typer.Option(help="Above 0 draws instead of searching.")] = 0.0,
    top_k: Annotated[Optional[int], typer.Option(help="Draw among the k likeliest tokens.")] = None,
    top_p: Annotated[Optional[float], typer.Option(help="Draw among the likeliest with this probability.")] = None,
    seed: Annotated[int, typer.Option(help="Seed of what is drawn.")] = 0,
    device: Device = "auto",
    as_json: Json = False,
) -> None:
    """Translate texts, a file or standard input, line by line in their order; also answers text_to_text runs.

    A text is a whole source: write it as the run's data.source_template would; data.prefix is put before it here.

    Examples: lit-transformer translate runs/translation_tiny/<run-id> "forty-two"

    lit-transformer translate runs/translation_multi30k/<run-id> --file test.en > test.de
    """
    from lit_transformer.inference.lines import answered, given_lines
    from lit_transformer.inference.text_run import open_text_run
    from lit_transformer.inference.translate import Translating, Translator

    lines = given_lines(texts, file)
    settings = Translating(
        beam_size=beam_size, length_penalty=length_penalty, max_length=max_length, n_best=n_best,
        temperature=temperature, top_k=top_k, top_p=top_p, seed=seed,
    )  # fmt: skip
    translator = Translator(open_text_run(run, device=device), settings)
    found = answered(lines, "translating", translator.translate)
    if as_json:
        _print([{"source": source, "translations": [vars(text) for text in best]} for source, best in found])
    else:
        for _, best in found:
            shown = [" ".join(text.text.split("\n")) for text in best]  # a line each, whatever is in it
            if n_best > 1:
                shown = [f"{text.score:.4f}\t{line}" for text, line in zip(best, shown, strict=True)] + [""]
            print("\n".join(shown), flush=True)
    translator.tell_truncated()


def fill(
    run: Run,
    text: Annotated[str, typer.Argument(help="A text with [MASK] wherever something is missing.")],
    top: Annotated[int, typer.Option(help="Show this many ways to fill the blanks.")] = 5,
    device: Device = "auto",
    as_json: Json = False,
) -> None:
    """Fill the blanks of a text with a BERT, a T5 or a GLM: the best few ways and their probabilities.

    Example: lit-transformer fill runs/bert_tiny/<run-id> "The animal [MASK] the street"
    """
    from lit_transformer.inference.fill import fill as find
    from lit_transformer.inference.text_run import open_text_run

    found = find(open_text_run(run, device=device), text, top=top)
    if as_json:
        _print({"text": text, "fillings": [vars(filling) for filling in found]})
        return
    for filling in found:
        shown = "\t".join((" | ".join(filling.fills), filling.text)).replace("\n", "\\n")  # one line each
        print(f"{filling.probability:.4f}\t{shown}")


def classify(
    run: Run,
    texts: Texts = None,
    file: File = None,
    pair: Annotated[
        Optional[list[str]], typer.Option(help="The second text of each text; of a line, what follows a tab.")
    ] = None,
    template: Annotated[
        Optional[str], typer.Option(help='Ask a language model: the prompt, such as "{text} It was".')
    ] = None,
    labels: Annotated[Optional[str], typer.Option(help='The words for the classes, such as "bad, good".')] = None,
    device: Device = "auto",
    as_json: Json = False,
) -> None:
    """Tell which class each text has, and how sure that is; an empty line stays empty.

    Examples: lit-transformer classify runs/sst2_bert/<run-id> "a stirring film"

    lit-transformer classify runs/gpt_tiny/<run-id> "a stirring film" --template "{text} It was" --labels "bad, good"
    """
    from lit_transformer.inference.choices import TextClassifier
    from lit_transformer.inference.lines import answered, given_lines
    from lit_transformer.inference.text_run import open_text_run

    if pair is not None and not texts:
        raise UserError(
            "--pair\n  got      no text on the command line\n  fix      in lines, put a tab before the pair"
        )
    lines = given_lines(texts, file)
    classifier = TextClassifier(open_text_run(run, device=device), template=template, labels=labels)
    found = answered(lines, "classifying", classifier.classify)
    if texts and pair is not None:
        found = zip(texts, classifier.classify(texts, pairs=pair), strict=True)
    if as_json:
        nothing: dict[str, object] = {"label": None, "probabilities": {}}
        _print([{"text": text, **(vars(choice) if choice else nothing)} for text, choice in found])
    else:
        for text, choice in found:
            line = f"{choice.label}\t{choice.probabilities[choice.label]:.4f}\t{text}" if choice else ""
            print(line, flush=True)
    classifier.tell_truncated()


def choose(
    run: Run,
    context: Annotated[str, typer.Argument(help="What the choices go with.")],
    choices: Annotated[list[str], typer.Argument(metavar="CHOICE...", help="Two choices or more.")],
    template: Annotated[
        Optional[str], typer.Option(help='Ask a language model: the prompt, such as "{context} because".')
    ] = None,
    question: Annotated[
        Optional[str],
        typer.Option(help="Of a premise as in COPA: cause or effect, for which its full stop becomes because or so."),
    ] = None,
    device: Device = "auto",
    as_json: Json = False,
) -> None:
    """Tell which choice goes best with a context.

    Examples: lit-transformer choose runs/copa_gpt/<run-id> --question cause "My body cast a shadow." "The sun rose."
    "The grass was cut."

    lit-transformer choose runs/gpt_choice_tiny/<run-id> "Ben went from the hall to the barn without the key."
    "The key is in the hall." "The key is in the barn."
    """
    from lit_transformer.inference.choices import choose as find
    from lit_transformer.inference.text_run import open_text_run

    found = find(open_text_run(run, device=device), context, choices, template=template, question=question)
    if as_json:
        _print({"context": context, **vars(found)})
        return
    for text, probability in found.probabilities.items():
        print(f"{'*' if text == found.label else ' '} {probability:.4f}\t{text}")


def _print(document: object) -> None:
    print(json.dumps(document, indent=2, ensure_ascii=False))
