"""Options that several verbs have, and how verbs that train end."""

import sys
from pathlib import Path
from typing import Annotated, NoReturn, Optional

import typer

SETTINGS = "Settings as key=value, such as model.num_heads=4; `lit-transformer config EXPERIMENT` lists them."

Json = Annotated[bool, typer.Option("--json", help="Print one JSON document.")]
Device = Annotated[
    str, typer.Option(help="auto, cpu, cuda, cuda:N or mps; auto is what trainer.accelerator=auto would train on.")
]
Settings = Annotated[Optional[list[str]], typer.Argument(metavar="[KEY=VALUE]...", help=SETTINGS)]
Output = Annotated[Path, typer.Option("--output", help="The folder that runs and sweeps are written under.")]
AllowDrift = Annotated[
    bool, typer.Option("--allow-drift", help="Go on even where the result will not be bit for bit the same.")
]


def _settings_help() -> str | None:
    """Every setting below the help of the verbs that take them; made only when it is asked for."""
    if "--help" not in sys.argv:
        return None
    from lit_transformer.config.load import load_layers
    from lit_transformer.config.show import rows, shown

    # \b keeps typer from rewrapping a paragraph
    lines = [f"\b\n{row.key} = {shown(row.value)}  ({row.type})\n    {row.help}" for row in rows(load_layers([]))]
    return "\n\n".join(["Settings and their defaults:", *lines])


SETTINGS_HELP = _settings_help()


def end_with_folder(status: int, folder: Path | None) -> NoReturn:
    """Print the folder that a verb made, and exit."""
    if folder is not None:  # a rank that a launcher started leaves it to rank 0
        print(folder)
    sys.exit(status)
