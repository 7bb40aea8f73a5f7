"""Options that several verbs have."""

from typing import Annotated

import typer

Json = Annotated[bool, typer.Option("--json", help="Print one JSON document.")]
Device = Annotated[
    str, typer.Option(help="auto, cpu, cuda, cuda:N or mps; auto is what trainer.accelerator=auto would train on.")
]
