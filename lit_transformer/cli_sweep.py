"""The verbs of a sweep's life: `lit-transformer sweep VERB`."""

import json
import sys
from collections.abc import Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Literal, Optional, TypedDict

import typer

from lit_transformer.cli_options import SETTINGS_HELP, AllowDrift, Json, Output, Settings, end_with_folder
from lit_transformer.config.errors import UserError

if TYPE_CHECKING:
    from lit_transformer.sweep.bayes import Sampler
    from lit_transformer.sweep.begin import Stopping
    from lit_transformer.sweep.choice import Choice
    from lit_transformer.sweep.slurm_settings import PilotSettings

app = typer.Typer(help="Run, watch and continue sweeps.", no_args_is_help=True, rich_markup_mode=None)

Directory = Annotated[Path, typer.Argument(help="A sweep's folder, such as runs/sweeps/demo.")]
Workers = Annotated[Optional[int], typer.Option(help="Trials at once; default: what this machine has room for.")]
PerDevice = Annotated[
    Optional[int], typer.Option("--per-device", help="Trials at once on each GPU (or group of trainer.devices GPUs).")
]
Seeds = Annotated[Optional[int], typer.Option(help="Run every cell with the seeds 0 to SEEDS - 1.")]
Count = Annotated[
    Optional[int],
    typer.Option("--count", help="Cells at most, replicates not counted; in place of the file's run_cap."),
]
SearchSeed = Annotated[int, typer.Option("--search-seed", help="Another number draws other cells of a random sweep.")]
Retries = Annotated[
    int, typer.Option(help="How often a cell that fails is run again; a killed one is three times, in any case.")
]
Stopper = Annotated[
    Optional[Literal["hyperband", "asha", "none"]],
    typer.Option(
        help="How trials are stopped early, in place of what early_terminate says: W&B's hyperband, Optuna's "
        "asynchronous halving with the file's min_iter and eta, or not at all."
    ),
]
ProposedBy = Annotated[
    Optional[Literal["tpe", "gp"]],
    typer.Option(help="What proposes the cells of method: bayes: Optuna's TPE (default), or its Gaussian process."),
]


Where = Annotated[
    str, typer.Option("--on", help="local: this machine. slurm: pilots, which are SLURM jobs. wandb: W&B's server.")
]
SweepName = Annotated[str, typer.Argument(help="A name in sweeps/, or a path to a YAML file in W&B's sweep grammar.")]
Name = Annotated[Optional[str], typer.Option(help="The sweep's folder; default: the file's name.")]
DryRunFlag = Annotated[
    bool, typer.Option("--dry-run", help="Show the cells, what budgets solved, costs, SLURM's jobs; train nothing.")
]
Pilots = Annotated[Optional[int], typer.Option(help="slurm: jobs at once; default 1.")]
Nodes = Annotated[Optional[int], typer.Option(help="slurm: nodes of each pilot; default: the cells'.")]
Gpus = Annotated[Optional[int], typer.Option(help="slurm: GPUs of each node; default 0, CPUs alone.")]
Cpus = Annotated[Optional[int], typer.Option(help="slurm: CPUs (threads) of each rank; default 1.")]
Time = Annotated[Optional[str], typer.Option(help="slurm: how long a pilot runs, such as 4h; default 1h.")]
Partition = Annotated[Optional[str], typer.Option(help="slurm: the partition.")]
Account = Annotated[Optional[str], typer.Option(help="slurm: the account.")]
SlurmFile = Annotated[
    Optional[Path],
    typer.Option(help="slurm: a YAML file of these settings, and lead, qos, constraint, mem, sbatch: {...}."),
]
Detach = Annotated[bool, typer.Option("--detach", help="slurm: end when the pilots are submitted.")]


class Asked(TypedDict):
    """What a sweep is asked for, wherever it runs."""

    overrides: list[str]
    seeds: int | None
    output: Path
    name: str | None
    choice: "Choice"
    stopper: "Stopping | None"
    sampler: "Sampler | None"
    per_device: int | None


@app.command("run", epilog=SETTINGS_HELP)
def run(
    sweep: SweepName,
    settings: Settings = None,
    workers: Workers = None,
    per_device: PerDevice = None,
    seeds: Seeds = None,
    count: Count = None,
    search_seed: SearchSeed = 0,
    retries: Retries = 0,
    stopper: Stopper = None,
    sampler: ProposedBy = None,
    name: Name = None,
    allow_drift: AllowDrift = False,
    dry_run: DryRunFlag = False,
    output: Output = Path("runs"),
    as_json: Json = False,
    where: Where = "local",
    pilots: Pilots = None,
    nodes: Nodes = None,
    gpus: Gpus = None,
    cpus: Cpus = None,
    time: Time = None,
    partition: Partition = None,
    account: Account = None,
    slurm: SlurmFile = None,
    detach: Detach = False,
) -> None:
    """Run a sweep, or go on with it; prints the sweep's folder.

    A file with a command or program of its own runs that, offline, as W&B's agent would, and reads what it logs.
    Once a cell has reached the file's metric.target, no cell is begun any more, whatever the method.

    On SLURM pilots run the cells; they go back into the queue when their time is up, and Ctrl-C leaves them running. On
    W&B the server chooses the cells, and W&B's own agents (--workers) run the file's command here.

    Example: lit-transformer sweep run sweeps/gpt_heads_layers.yaml --seeds 3 trainer.max_steps=300

    lit-transformer sweep run sweeps/gpt_heads_layers.yaml --on slurm --partition gpu --gpus 1 --cpus 8 --pilots 4
    """
    from lit_transformer.sweep.choice import Choice

    flags = {"pilots": pilots, "nodes": nodes, "gpus": gpus, "cpus": cpus, "time": time, "partition": partition,
             "account": account}  # fmt: skip
    own = {"per-device": per_device, "name": name, "retries": retries or None, "dry-run": dry_run or None,
           "count": count, "search-seed": search_seed or None, "stopper": stopper, "sampler": sampler}  # fmt: skip
    jobs = {**flags, "slurm": slurm, "detach": detach or None}
    _check_where(where, {"slurm": jobs, "not wandb": own, "not slurm": {"workers": workers}})
    asked = Asked(overrides=settings or [], seeds=seeds, output=output, name=name, stopper=stopper, sampler=sampler,
                  choice=Choice(count=count, seed=search_seed), per_device=per_device)  # fmt: skip
    if as_json and not dry_run:
        raise UserError("--json goes with --dry-run; `sweep status DIR --json` shows a sweep that runs")
    if dry_run:
        _dry_run(sweep, asked, workers, _pilots(slurm, flags) if where == "slurm" else None, as_json=as_json)
    elif where == "slurm":
        _on_slurm(sweep, asked, _pilots(slurm, flags), retries=retries, allow_drift=allow_drift, detach=detach)
    elif where == "wandb":
        _on_wandb(sweep, asked, workers)
    else:
        from lit_transformer.sweep.run import sweep_run

        end_with_folder(*sweep_run(sweep, **asked, workers=workers, retries=retries, allow_drift=allow_drift))


def _dry_run(sweep: str, asked: Asked, workers: int | None, pilots: "PilotSettings | None", *, as_json: bool) -> None:
    from lit_transformer.sweep.dry_run import print_dry_run, sweep_dry_run

    dry = sweep_dry_run(sweep, **asked, workers=workers, pilots=pilots)
    print(json.dumps(dry.to_json(), indent=2, ensure_ascii=False)) if as_json else print_dry_run(dry)


def _pilots(file: Path | None, flags: Mapping[str, object]) -> "PilotSettings":
    from lit_transformer.sweep.slurm_settings import pilot_settings

    return pilot_settings(file, flags)


def _on_slurm(
    sweep: str, asked: Asked, pilots: "PilotSettings", *, retries: int, allow_drift: bool, detach: bool
) -> None:
    from lit_transformer.sweep.slurm import sweep_on_slurm

    end_with_folder(*sweep_on_slurm(sweep, pilots, **asked, retries=retries, allow_drift=allow_drift, detach=detach))


def _on_wandb(sweep: str, asked: Asked, workers: int | None) -> None:
    from lit_transformer.sweep.wandb import sweep_on_wandb

    ended, path = sweep_on_wandb(
        sweep, overrides=asked["overrides"], workers=workers, seeds=asked["seeds"], output=asked["output"]
    )
    print(path)
    sys.exit(ended)


def _check_where(where: str, options: Mapping[str, Mapping[str, object]]) -> None:
    """Raises UserError for an unknown place, and for options that it does not have."""
    if where not in ("local", "slurm", "wandb"):
        raise UserError(f"--on\n  got      {where}\n  allowed  local, slurm, wandb")
    for place, values in options.items():
        if where == place or (place.startswith("not ") and where != place.removeprefix("not ")):
            continue
        for name in [name for name, value in values.items() if value is not None]:
            fix = "--pilots N says how many jobs run at once" if name == "workers" else f"leave --{name} out"
            raise UserError(f"--{name}: does not go with --on {where}\n  allowed  --on {place}\n  fix      {fix}")


@app.command("status")
def status(directory: Directory, as_json: Json = False) -> None:
    """Show the state of every cell; status 0 only when each valid cell is complete or pruned.

    Example: lit-transformer sweep status runs/sweeps/demo
    """
    from lit_transformer.sweep.status import print_status, sweep_status

    found = sweep_status(directory)
    if as_json:
        print(json.dumps(found.to_json(), indent=2, ensure_ascii=False))
    else:
        print_status(found)
    sys.exit(found.exit_status)


@app.command("watch")
def watch(directory: Directory) -> None:
    """Show a running sweep, wherever it runs, until nothing is left to do; status as of `sweep status`.

    Example: lit-transformer sweep watch runs/sweeps/demo
    """
    from lit_transformer.sweep.watching import sweep_watch

    sys.exit(sweep_watch(directory))


@app.command("stop")
def stop(
    directory: Directory,
    wait: Annotated[float, typer.Option(help="Seconds to wait until nothing runs any more.")] = 120,
) -> None:
    """Ask every worker of a sweep, wherever it runs, to stop after the step in hand, with a checkpoint.

    Status 0 when nothing runs any more. `sweep run`, `sweep retry` and `sweep agent` go on with the sweep.

    Example: lit-transformer sweep stop runs/sweeps/demo
    """
    from lit_transformer.sweep.watching import sweep_stop

    sys.exit(sweep_stop(directory, wait=wait))


@app.command("retry")
def retry(
    directory: Directory,
    workers: Workers = None,
    per_device: PerDevice = None,
    retries: Retries = 0,
    allow_drift: AllowDrift = False,
) -> None:
    """Go on with the failed, diverged and unfinished cells of a sweep, from their newest checkpoints.

    Example: lit-transformer sweep retry runs/sweeps/demo
    """
    from lit_transformer.sweep.run import sweep_retry

    end_with_folder(
        *sweep_retry(directory, workers=workers, allow_drift=allow_drift, per_device=per_device, retries=retries)
    )


@app.command("agent")
def agent(
    directory: Directory, workers: Workers = None, per_device: PerDevice = None, allow_drift: AllowDrift = False
) -> None:
    """Join a sweep from any machine that sees its folder; ends when no cell is left.

    Any number of agents share a sweep, with or without `sweep run`. What an agent leaves when it is stopped, the others
    go on with; cells that failed wait for `sweep retry`.

    Example: lit-transformer sweep agent /shared/runs/sweeps/demo
    """
    from lit_transformer.sweep.joining import sweep_agent

    end_with_folder(*sweep_agent(directory, workers=workers, per_device=per_device, allow_drift=allow_drift))


@app.command("extend")
def extend(
    directory: Directory,
    sweep: Annotated[str, typer.Argument(help="The changed sweep file.")],
    seeds: Seeds = None,
    dry_run: Annotated[bool, typer.Option("--dry-run", help="Show the difference; change nothing.")] = False,
    as_json: Json = False,
) -> None:
    """Add the cells of a changed file to a sweep, also while it runs; old cells stay. Shows the difference.

    Where nobody runs the sweep, `sweep agent DIR` runs the new cells; `sweep run` may refuse the changed file.

    Example: lit-transformer sweep extend runs/sweeps/demo sweeps/demo.yaml --seeds 5
    """
    from lit_transformer.sweep.extending import sweep_extend

    found = sweep_extend(directory, sweep, seeds=seeds, dry_run=dry_run)
    print(json.dumps(found.to_json(), indent=2, ensure_ascii=False) if as_json else "\n".join(found.lines()))


@app.command("push")
def push(directory: Directory, as_json: Json = False) -> None:
    """Upload a sweep's offline W&B runs, each once; status 1 where an upload failed.

    Example: lit-transformer sweep push runs/sweeps/demo
    """
    from lit_transformer.sweep.pushing import sweep_push

    found = sweep_push(directory)
    print(json.dumps(found.to_json(), indent=2, ensure_ascii=False) if as_json else "\n".join(found.lines()))
    sys.exit(found.exit_status)
