"""The verbs: parse, call, print. Nothing here imports torch before a verb needs it."""

import json
import sys
from pathlib import Path
from typing import Annotated, NoReturn, Optional

import typer

from lit_transformer.config.errors import UserError

SETTINGS = "Settings as key=value, such as model.num_heads=4; `lit-transformer config EXPERIMENT` lists them."

app = typer.Typer(
    help=(
        "Sweep the heads and layers of Transformers, train with Lightning, compare the runs.\n\n"
        "Start with `lit-transformer sweep run sweeps/demo.yaml`, then `lit-transformer compare runs/sweeps/demo`."
    ),
    no_args_is_help=True,
    add_completion=False,
    pretty_exceptions_enable=False,
    rich_markup_mode=None,
)
sweep_app = typer.Typer(help="Run, watch and continue sweeps.", no_args_is_help=True, rich_markup_mode=None)
app.add_typer(sweep_app, name="sweep")

Experiment = Annotated[str, typer.Argument(help="A name in experiments/, or a path to a YAML file.")]
Settings = Annotated[Optional[list[str]], typer.Argument(metavar="[KEY=VALUE]...", help=SETTINGS)]
Run = Annotated[Path, typer.Argument(help="A run's folder, such as runs/gpt_tiny/<run-id> or a cell of a sweep.")]
Output = Annotated[Path, typer.Option("--output", help="The folder that runs and sweeps are written under.")]
Json = Annotated[bool, typer.Option("--json", help="Print one JSON document.")]


@app.command()
def fit(experiment: Experiment, settings: Settings = None, output: Output = Path("runs")) -> None:
    """Train one experiment; prints the run's folder.

    Example: lit-transformer fit gpt_tiny model.num_heads=4 trainer.max_steps=200
    """
    from lit_transformer.config.layers import shell_layer
    from lit_transformer.training.fit import fit as train

    _end_fit(*train(experiment, [shell_layer(settings or [])], output=output))


@app.command()
def trial(
    file: Annotated[Path, typer.Argument(help='JSON of settings, such as {"experiment": "gpt_tiny", "seed": 1}.')],
    output: Output = Path("runs"),
) -> None:
    """Train what a JSON file of settings says: the command of a sweep.

    Example: lit-transformer trial cell.json
    """
    from lit_transformer.training.fit import read_trial
    from lit_transformer.training.fit import fit as train

    experiment, layer = read_trial(file)
    _end_fit(*train(experiment, [layer], output=output))


@app.command()
def config(experiment: Experiment, settings: Settings = None, as_json: Json = False) -> None:
    """Show every setting of an experiment: value, type, origin and meaning.

    Example: lit-transformer config gpt_tiny optimizer.lr=1e-4
    """
    from lit_transformer.config.layers import shell_layer
    from lit_transformer.config.load import load_experiment
    from lit_transformer.config.show import rows, shown

    found = rows(load_experiment(experiment, [shell_layer(settings or [])]))
    if as_json:
        print(json.dumps({row.key: vars(row) for row in found}, indent=2, ensure_ascii=False))
        return
    for row in found:
        print(f"{row.key} = {shown(row.value)}\n    {row.type}; {row.origin}\n    {row.help}")


@app.command()
def generate(
    run: Run,
    prompt: Annotated[str, typer.Option("--prompt", help="The text to continue.")],
    max_new_tokens: Annotated[int, typer.Option(help="Tokens to add at most.")] = 100,
    temperature: Annotated[float, typer.Option(help="Below 1 bolder choices are rarer; 0 takes the likeliest.")] = 0.8,
    top_k: Annotated[Optional[int], typer.Option(help="Choose among the k likeliest tokens.")] = None,
    top_p: Annotated[Optional[float], typer.Option(help="Choose among the likeliest with this probability.")] = None,
    seed: Annotated[int, typer.Option(help="Seed of the choices.")] = 0,
    cache: Annotated[bool, typer.Option(help="Keep keys and values of earlier tokens.")] = True,
    as_json: Json = False,
) -> None:
    """Continue a prompt with a trained GPT.

    Example: lit-transformer generate runs/gpt_tiny/<run-id> --prompt "Return the"
    """
    from lit_transformer.inference.generate import Generation, continue_prompt

    settings = Generation(
        max_new_tokens=max_new_tokens, temperature=temperature, top_k=top_k, top_p=top_p, seed=seed, use_cache=cache
    )
    text = continue_prompt(run, prompt, settings)
    print(json.dumps({"prompt": prompt, "text": text}, ensure_ascii=False) if as_json else text)


@app.command()
def evaluate(
    run: Run,
    split: Annotated[str, typer.Option(help="test or val.")] = "test",
    as_json: Json = False,
) -> None:
    """Measure a trained run on a whole split.

    Example: lit-transformer evaluate runs/gpt_tiny/<run-id> --split val
    """
    if split not in ("test", "val"):
        raise UserError(f"--split\n  got      {split}\n  allowed  test, val")
    from lit_transformer.inference.evaluate import evaluate as measure

    metrics = measure(run, "val" if split == "val" else "test")
    if as_json:
        print(json.dumps(metrics, indent=2))
        return
    for name, value in metrics.items():
        print(f"{name} {value:.6g}")


@app.command()
def compare(
    directory: Annotated[Path, typer.Argument(help="A sweep's folder, a run's, or any folder above them.")],
    html: Annotated[Optional[Path], typer.Option(help="The report; default DIRECTORY/report.html.")] = None,
    csv: Annotated[bool, typer.Option("--csv", help="Print CSV, one row a run.")] = False,
    as_json: Json = False,
) -> None:
    """Compare runs: a table here, and a report to open in a browser.

    Example: lit-transformer compare runs/sweeps/demo
    """
    from lit_transformer.compare.verb import compare as show

    show(directory, html=html, csv=csv, json=as_json)


def _end_fit(status: int, folder: Path) -> NoReturn:
    print(folder)
    sys.exit(status)


def main() -> None:
    """Run a verb; the user's mistakes end with one screen and status 2."""
    try:
        app()
    except UserError as error:
        print(error, file=sys.stderr)
        sys.exit(2)
    except KeyboardInterrupt:
        sys.exit(130)


if __name__ == "__main__":
    main()
