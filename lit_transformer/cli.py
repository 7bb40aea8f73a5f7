"""The verbs: parse, call, print. Nothing here imports torch before a verb needs it."""

import json
import sys
from pathlib import Path
from typing import Annotated, Optional

import typer

from lit_transformer import cli_images, cli_sweep, cli_text
from lit_transformer.cli_options import SETTINGS_HELP, AllowDrift, Device, Json, Output, Settings, end_with_folder
from lit_transformer.config.errors import UserError

app = typer.Typer(
    help=(
        "Sweep the heads and layers of Transformers, train with Lightning, compare the runs.\n\n"
        "Start with `lit-transformer sweep run sweeps/demo.yaml`, then `lit-transformer compare runs/sweeps/demo`."
    ),
    epilog=(
        "Exit status: 0 done (a sweep: every valid cell is complete or pruned); 2 a mistake of yours; 1 anything else; "
        "stopped by a signal, to be continued: 130 SIGINT, 143 SIGTERM, for sweeps also 129 SIGHUP and 138 SIGUSR1; "
        "fit: 137 or the like where a training process was killed, 255 where the one that started it was."
    ),
    no_args_is_help=True,
    add_completion=False,
    pretty_exceptions_enable=False,
    rich_markup_mode=None,
)
app.add_typer(cli_sweep.app, name="sweep")

Experiment = Annotated[str, typer.Argument(help="A name in experiments/, or a path to a YAML file.")]
Run = Annotated[Path, typer.Argument(help="A run's folder, such as runs/gpt_tiny/<run-id> or a cell of a sweep.")]


@app.command(epilog=SETTINGS_HELP)
def fit(
    experiment: Annotated[
        Optional[str], typer.Argument(help="A name in experiments/, or a path to a YAML file; not with --resume.")
    ] = None,
    settings: Settings = None,
    resume: Annotated[
        Optional[Path], typer.Option("--resume", metavar="RUN", help="Go on with the run in this folder, bit for bit.")
    ] = None,
    allow_drift: AllowDrift = False,
    output: Output = Path("runs"),
) -> None:
    """Train one experiment, or go on with a run; prints the run's folder.

    Examples: lit-transformer fit gpt_tiny model.num_heads=4 trainer.max_steps=200

    lit-transformer fit --resume runs/gpt_tiny/<run-id>
    """
    from lit_transformer.config.layers import shell_layer
    from lit_transformer.training.fit import fit as train
    from lit_transformer.training.fit import resume as go_on

    if resume is not None and output != Path("runs"):
        raise UserError("--output goes with a new run\n  got      --resume too\n  fix      a run goes on in its folder")
    if resume is not None:  # what stands where an experiment would is then a setting
        given = [*([experiment] if experiment else []), *(settings or [])]
        end_with_folder(*go_on(resume, [shell_layer(given)], allow_drift=allow_drift))
    if experiment is None or allow_drift:
        raise UserError(
            "fit needs an experiment, or --resume RUN\n"
            f"  got      {'--allow-drift without --resume' if allow_drift else 'neither'}\n"
            "  fix      lit-transformer fit gpt_tiny, or lit-transformer fit --resume runs/gpt_tiny/<run-id>"
        )
    end_with_folder(*train(experiment, [shell_layer(settings or [])], output=output))


@app.command()
def trial(
    file: Annotated[Path, typer.Argument(help='JSON of settings, such as {"experiment": "gpt_tiny", "seed": 1}.')],
    output: Output = Path("runs"),
) -> None:
    """Train what a JSON file of settings says: the command of a sweep.

    Example: lit-transformer trial cell.json
    """
    from lit_transformer.training.fit import fit as train
    from lit_transformer.training.fit import read_trial

    experiment, layer = read_trial(file)
    end_with_folder(*train(experiment, [layer], output=output))


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
    device: Device = "auto",
    as_json: Json = False,
) -> None:
    """Continue a prompt with a trained GPT; of one longer than its context it sees the end (data.too_long=truncate).

    Example: lit-transformer generate runs/gpt_tiny/<run-id> --prompt "Return the"
    """
    from lit_transformer.inference.generate import Generation, continue_prompt
    from lit_transformer.inference.text_run import open_text_run

    settings = Generation(
        max_new_tokens=max_new_tokens, temperature=temperature, top_k=top_k, top_p=top_p, seed=seed, use_cache=cache
    )
    text = continue_prompt(open_text_run(run, device=device), prompt, settings)
    print(json.dumps({"prompt": prompt, "text": text}, ensure_ascii=False) if as_json else text)


@app.command()
def evaluate(
    run: Run,
    split: Annotated[str, typer.Option(help="test or val.")] = "test",
    device: Device = "auto",
    as_json: Json = False,
) -> None:
    """Measure a trained run on a whole split; for BLEU and chrF also tells sacrebleu's signatures.

    Example: lit-transformer evaluate runs/gpt_tiny/<run-id> --split val
    """
    if split not in ("test", "val"):
        raise UserError(f"--split\n  got      {split}\n  allowed  test, val")
    from lit_transformer.inference.evaluate import evaluate as measure
    from lit_transformer.inference.evaluate import signatures_of

    metrics = measure(run, "val" if split == "val" else "test", device=device)
    signatures = signatures_of(metrics)
    if as_json:
        print(json.dumps({**metrics, **({"signatures": signatures} if signatures else {})}, indent=2))
        return
    for name, value in metrics.items():
        print(f"{name} {value:.6g}")
    for name, signature in signatures.items():
        print(f"{name} is sacrebleu's {signature}", file=sys.stderr)


@app.command()
def attend(
    run: Run,
    text: Annotated[str, typer.Argument(help="The text to read; the source of an encoder-decoder.")],
    target: Annotated[
        Optional[str], typer.Option(help="What an encoder-decoder writes; default: what it finds itself, greedily.")
    ] = None,
    output: Annotated[Path, typer.Option("--output", help="The page; the arrays go beside it, as .npz.")] = Path(
        "attention.html"
    ),
    as_json: Json = False,
) -> None:
    """Show which token attends to which, in every layer and head: a page to open in a browser, and arrays.

    Example: lit-transformer attend runs/gpt_tiny/<run-id> "The animal didn't cross the street" --output attention.html
    """
    from lit_transformer.inference.attend import attend as look
    from lit_transformer.inference.attend import summary
    from lit_transformer.inference.attention_page import check_page, write_attention

    check_page(output)
    found = look(run, text, target=target)
    arrays = write_attention(found, output)
    print(f"wrote {arrays}", file=sys.stderr)
    print(summary(found, output, arrays) if as_json else output)


@app.command()
def analyze(
    directory: Annotated[Path, typer.Argument(metavar="RUN|SWEEP", help="A run's folder, or a sweep's.")],
    batches: Annotated[int, typer.Option(help="Validation batches that are looked at, the first ones.")] = 16,
    device: Device = "auto",
    as_json: Json = False,
) -> None:
    """Tell what each attention head of a run is worth and where it looks, and what is left without some of them.

    Of a sweep: whether few heads do as well as many that are pruned, and how the loss falls with size. Everything is
    also written to analysis/ in the folder, from where `compare` draws it.

    Examples: lit-transformer analyze runs/gpt_tiny/<run-id>

    lit-transformer analyze runs/sweeps/gpt_heads_layers --batches 8
    """
    from lit_transformer.analysis.verb import analyze as look

    look(directory, batches=batches, device=device, as_json=as_json)


@app.command()
def export(
    run: Run,
    directory: Annotated[Path, typer.Argument(help="A new folder.")],
) -> None:
    """Write a run in Hugging Face's format: config, safetensors, tokenizer; prints the class that loads it.

    A segmenter becomes config, safetensors and a graph that torch alone loads; README has the lines.

    Example: lit-transformer export runs/bert_tiny/<run-id> bert_tiny
    """
    from lit_transformer.inference.export import export_run

    print(f"{export_run(run, directory)} loads it", file=sys.stderr)
    print(directory)


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


@app.command()
def dashboard(
    directory: Annotated[Path, typer.Argument(help="A sweep's folder, a run's, or any folder above them.")],
    port: Annotated[int, typer.Option(help="Where it is served; the next free port where this one is taken.")] = 8050,
    host: Annotated[str, typer.Option(help="The address to listen on; one that others can reach needs --token.")] = (
        "127.0.0.1"
    ),
    token: Annotated[
        Optional[str], typer.Option(help="What the address must hold: auto makes one, or 16 characters of your own.")
    ] = None,
    allow_host: Annotated[
        Optional[list[str]], typer.Option(help="One more name by which browsers reach this machine; may be repeated.")
    ] = None,
) -> None:
    """Show the runs and sweeps under a folder in a browser, live while they train; Ctrl-C ends it.

    It is served from this machine alone, asks nothing of any other, opens no browser and changes no run.

    Example: lit-transformer dashboard runs
    """
    from lit_transformer.compare.dashboard.verb import dashboard as serve

    serve(directory, port=port, host=host, token=token, allow_hosts=tuple(allow_host or ()))


@app.command()
def doctor(
    output: Annotated[Path, typer.Option("--output", help="The folder that runs would be written under.")] = Path(
        "runs"
    ),
    as_json: Json = False,
) -> None:
    """Check that runs will work here, and how fast this machine is; status 1 where something would break a run.

    Example: lit-transformer doctor --output /scratch/runs
    """
    from lit_transformer.doctor.report import doctor as check

    sys.exit(check(output, as_json=as_json))


for _verb in (cli_text.translate, cli_text.fill, cli_text.classify, cli_text.choose, cli_images.segment):
    app.command()(_verb)


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
