"""`sweep run --on wandb`: the sweep on W&B's server, and W&B's own agents here; the only place of sweeps with wandb."""

import contextlib
import os
import signal
import subprocess
import sys
import time
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from types import FrameType

import wandb

from lit_transformer.config.errors import UserError
from lit_transformer.config.layers import shell_layer
from lit_transformer.sweep.begin import begin_growth
from lit_transformer.sweep.cells import build_cells
from lit_transformer.sweep.choice import Choice
from lit_transformer.sweep.file import SweepFile, find_sweep, read_sweep
from lit_transformer.sweep.foreign import check_foreign

COMMAND = ["${env}", "lit-transformer", "trial", "${args_json_file}"]
"""What an agent runs for each cell where the file names neither a command nor a program."""


def sweep_on_wandb(
    sweep: str,
    *,
    overrides: Sequence[str] = (),
    workers: int | None = None,
    seeds: int | None = None,
    output: Path = Path("runs"),
) -> tuple[int, str]:
    """Create the sweep on W&B's server and run `workers` agents (one by default); exit status and the sweep's path.

    The server chooses the cells; the agents run the file's command, and runs lie under `output` as `fit` makes them.
    0 when every agent ended in order, 130 or 143 when a signal ended them, else 1. Raises UserError for the file, for a
    missing login, and for what the server says.
    """
    file = read_sweep(find_sweep(sweep))
    check_cells(file, overrides, seeds)
    if workers is not None and workers < 1:
        raise UserError(f"--workers {workers}: a sweep needs at least one worker.")
    path = create(server_config(file, overrides, seeds, output), file.shown)
    print(f"sweep {path}; more agents, anywhere: wandb agent --forward-signals {path}", file=sys.stderr)
    return run_agents(path, workers or 1), path


def check_cells(file: SweepFile, overrides: Sequence[str], seeds: int | None) -> None:
    """Raises UserError for what a sweep here would refuse: the server would hand it out, and every run would fail."""
    one = Choice(count=1)  # the server may go on without an end
    if not file.ours:
        check_foreign(file, overrides, seeds)
    elif begin_growth(file, overrides, seeds, one) is None:
        build_cells(file, overrides, seeds, one)


def server_config(
    file: SweepFile, overrides: Sequence[str], seeds: int | None, output: Path = Path("runs")
) -> dict[str, object]:
    """The sweep as the server gets it: the file's content, with overrides as constants and a command."""
    config = dict(file.source)
    given, places = config.get("parameters"), {item.key: item.place for item in file.parameters}
    parameters = dict(given) if isinstance(given, Mapping) else {}
    for key, value in shell_layer(overrides).values.items():
        parameters = _with_constant(parameters, places.get(key, (key,)), value)
    if seeds is not None:
        if seeds < 1:
            raise UserError(f"--seeds {seeds}: the number of seeds is at least 1.")
        parameters["seed"] = {"values": list(range(seeds))}
    config["parameters"] = parameters
    config.setdefault("name", file.name)
    if "command" not in config and "program" not in config:
        config["command"] = [*COMMAND, *(["--output", str(output)] if output != Path("runs") else [])]
    return config


def _with_constant(parameters: Mapping[str, object], place: Sequence[str], value: object) -> dict[str, object]:
    """The parameters with a constant where the file nests the setting, so that a run gets it once."""
    first, *rest = place
    if not rest:
        return {**parameters, first: {"value": value}}
    nested = parameters[first]
    assert isinstance(nested, Mapping) and isinstance(nested["parameters"], Mapping)
    return {**parameters, first: {**nested, "parameters": _with_constant(nested["parameters"], rest, value)}}


def create(config: Mapping[str, object], shown: str) -> str:
    """Create a sweep on the server; entity/project/id. Raises UserError without a login, or what the server says."""
    with contextlib.redirect_stdout(sys.stderr):  # standard output is for the answer
        try:
            if not wandb.login(prompt=False):
                raise UserError(
                    "--on wandb: not logged in to W&B\n"
                    "  fix      `wandb login`, or set WANDB_API_KEY; without an account: --on local, and `sweep push` "
                    "uploads the runs later"
                )
            project = config.get("project") or os.environ.get("WANDB_PROJECT") or "lit-transformer"
            entity = config.get("entity")
            name = wandb.sweep(dict(config), entity=str(entity) if entity else None, project=str(project))
        except UserError:
            raise
        except Exception as error:  # whatever wandb raises of the network, the key or the server
            host = os.environ.get("WANDB_BASE_URL", "https://api.wandb.ai")
            raise UserError(
                f"--on wandb: {shown} was not created on {host}\n  got      {type(error).__name__}: {error}\n"
                "  fix      see that the server can be reached, and that its key is yours (`wandb login --relogin`)"
            ) from None
    parts = [os.environ.get("WANDB_ENTITY", ""), os.environ.get("WANDB_PROJECT", ""), name]
    return "/".join(part for part in parts if part)


def run_agents(path: str, count: int) -> int:
    """Run W&B's agents of a sweep until it has no cell left; signals go on to them, and from them to their runs."""
    programs = str(Path(sys.executable).parent)  # the file's command finds `lit-transformer` and `python` there
    environment = {**os.environ, "PATH": os.pathsep.join([programs, os.environ.get("PATH", "")])}
    command = [sys.executable, "-m", "wandb", "agent", "--forward-signals", path]
    agents = [
        subprocess.Popen(command, env=environment, stdout=sys.stderr, start_new_session=True) for _ in range(count)
    ]
    with _forwarded(agents) as received:
        while any(agent.poll() is None for agent in agents):
            time.sleep(0.2)
    if received:
        return 128 + received[0]
    return 0 if all(agent.returncode == 0 for agent in agents) else 1


@contextlib.contextmanager
def _forwarded(agents: "Sequence[subprocess.Popen[bytes]]") -> Iterator[list[int]]:
    """Pass SIGINT and SIGTERM on; the list has those that came."""
    received: list[int] = []

    def forward(number: int, frame: FrameType | None) -> None:
        received.append(number)
        for agent in agents:
            if agent.poll() is None:
                agent.send_signal(signal.SIGTERM)

    before = {number: signal.signal(number, forward) for number in (signal.SIGINT, signal.SIGTERM)}
    try:
        yield received
    finally:
        for number, handler in before.items():
            signal.signal(number, handler)
