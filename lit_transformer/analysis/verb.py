"""What `lit-transformer analyze RUN|SWEEP` does."""

import json
import sys
from pathlib import Path

from rich.console import Console
from rich.table import Table

from lit_transformer.analysis.heads import HeadAnalysis, analyze_heads
from lit_transformer.records.atomic import finite

PIPED_WIDTH = 200
"""Columns of a table that goes into a pipe or file, where no terminal says how wide it may be."""


def analyze(path: Path, *, batches: int, device: str, as_json: bool) -> None:
    """Print what the heads of a run do, and write it into the run's folder; raises UserError."""
    found = analyze_heads(path, batches=batches, device=device)
    file = found.write()
    if as_json:
        print(json.dumps(finite(found.to_json()), indent=2, ensure_ascii=False))
    else:
        console = Console(width=None if sys.stdout.isatty() else PIPED_WIDTH)
        console.print(heads_table(found))
        print("\n".join(pruning_lines(found)))
    print(f"wrote {file}", file=sys.stderr)


def heads_table(found: HeadAnalysis) -> Table:
    """The heads, the one whose removal costs most first."""
    subject = found.subject
    caption = (
        f"val/loss {found.metrics['val/loss']:.4f} with all heads, on {len(subject.batches)} of "
        f"{subject.batches_there} validation batches; all in nats but the distance, which is in tokens"
    )
    table = Table(caption=caption, caption_justify="left", header_style="bold")
    table.add_column("attention")
    for name in ("layer", "head", "loss without it", "gradient score", "entropy", "distance"):
        table.add_column(name, justify="right", no_wrap=True)
    for head in sorted(subject.heads, key=lambda head: -found.removal[head]):
        look = found.looks[head]
        numbers = (f"{found.removal[head]:+.4f}", f"{found.gradient[head]:.4f}", f"{look.entropy:.3f}")
        apart = "" if look.distance is None else f"{look.distance:.1f}"
        table.add_row(head.attention, str(head.layer), str(head.head), *numbers, apart)
    return table


def pruning_lines(found: HeadAnalysis) -> list[str]:
    """The loss with half of the heads and with none, in each order; those of random orders as their mean."""
    lines = []
    for by in dict.fromkeys(curve.by for curve in found.curves):
        curves = [curve for curve in found.curves if curve.by == by]
        removed = curves[0].removed
        middle = min(range(len(removed)), key=lambda index: abs(2 * removed[index] - removed[-1]))
        losses = [
            sum(curve.metrics[index]["val/loss"] for curve in curves) / len(curves)
            for index in (middle, len(removed) - 1)
        ]
        order = f"mean of {len(curves)} random orders" if by == "random" else f"least {by} first"
        lines.append(
            f"{removed[middle]} of {removed[-1]} heads removed, {order}: val/loss {losses[0]:.4f}; all: {losses[1]:.4f}"
        )
    return lines
