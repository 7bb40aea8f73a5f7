"""The verb that asks a trained run about images; cli.py adds it to the others."""

import json
from pathlib import Path
from typing import Annotated, Optional

import typer

from lit_transformer.cli_options import Device, Json

Run = Annotated[Path, typer.Argument(help="A run's folder, such as runs/segmenter_tiny/<run-id> or a cell of a sweep.")]


def segment(
    run: Run,
    images: Annotated[list[str], typer.Argument(metavar="IMAGE...", help="Images, folders of images, or globs.")],
    output: Annotated[Path, typer.Option("--output", help="The folder of the masks and overlays.")] = Path("masks"),
    probabilities: Annotated[
        bool, typer.Option("--probabilities", help="Also write NAME.npy, (classes, height, width).")
    ] = False,
    window: Annotated[
        Optional[int],
        typer.Option(help="Larger images are seen in windows of this side, in pixels; default: 1024, or more."),
    ] = None,
    device: Device = "auto",
    as_json: Json = False,
) -> None:
    """Give each pixel of images a class: writes NAME.png, a mask with its palette, and NAME-overlay.png.

    Prints the masks, or with --json the share of each class. Masks have the size of their images.

    Example: lit-transformer segment runs/segmenter_tiny/<run-id> photos/ --output masks
    """
    from lit_transformer.inference.segment import Segmenting, find_images, tell_done

    found = find_images(images)
    done = []
    for result in Segmenting(run, output, probabilities=probabilities, window=window, device=device).run(found):
        done.append(result)
        if not as_json:
            print(result.mask, flush=True)
    if as_json:
        print(json.dumps([result.to_json() for result in done], indent=2, ensure_ascii=False))
    tell_done(len(done), output)
