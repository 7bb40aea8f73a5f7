"""What `analyze` prints."""

from typing import Any

from rich.table import Table
from rich.text import Text

from lit_transformer.analysis.few_heads import Match
from lit_transformer.analysis.heads import HeadAnalysis
from lit_transformer.compare.analysis_files import cell_label
from lit_transformer.compare.analysis_section import UNDETERMINED, VERDICTS, law_of
from lit_transformer.compare.plain import label, printable
from lit_transformer.compare.statistics import mean_sd
from lit_transformer.compare.style import mean_text, short, si


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
        half, none = (
            mean_sd(curve.metrics[index]["val/loss"] for curve in curves)[0] for index in (middle, len(removed) - 1)
        )
        order = f"mean of {len(curves)} random orders" if by == "random" else f"least {by} first"
        lines.append(f"{removed[middle]} of {removed[-1]} heads removed, {order}: val/loss {half:.4f}; all: {none:.4f}")
    return lines


def few_heads_table(matches: list[Match]) -> Table:
    """Each number of heads: trained so, and pruned to it."""
    table = Table(
        caption="pruned to as many heads in all, the least important by gradient first, and not trained on after it; "
        "difference = pruned - trained, its interval over seeds at 95 %",
        caption_justify="left",
        header_style="bold",
    )
    for key in matches[0].cell:
        table.add_column(Text(printable(short(key))))
    for name in ("heads", "trained: val/loss", "pruned from", "pruned: val/loss", "difference"):
        table.add_column(name, justify="right", no_wrap=True)
    table.add_column("verdict")
    for match in matches:
        told: dict[str, Any] = match.to_json()
        trained, pruned = (mean_text("val/loss", *mean_sd(values)[:2]) for values in (match.trained, match.pruned))
        ends = f" ({told['low']:+.3f} to {told['high']:+.3f})" if told["verdict"] != "one seed" else ""
        cell = [Text(printable(label(value))) for value in match.cell.values()]
        numbers = (str(match.heads), trained, str(match.largest), pruned, f"{told['difference']:+.3f}{ends}")
        table.add_row(*cell, *numbers, VERDICTS[told["verdict"]])
    return table


def scaling_lines(scaling: dict[str, Any]) -> list[str]:
    """The law with its coefficients and intervals, and how far off it is where it has not looked."""
    law, sizes = law_of(scaling["terms"])
    lines = [f"{scaling['metric']} = {law} ({sizes}; {len(scaling['cells'])} cells)"]
    for name, value in scaling["coefficients"].items():
        lines.append(f"  {name:<6} {value['value']:.4g}  (95 %: {value['low']:.4g} to {value['high']:.4g})")
    for name in scaling["at_bound"]:
        lines.append(f"  {name} {UNDETERMINED}")
    held = scaling["held_out"]
    where = printable(cell_label(held["cell"]))
    lines.append(
        f"held out: {where} ({si(held['parameters'])} parameters): predicted {held['predicted']:.4f}, "
        f"measured {held['loss']:.4f}, error {held['error']:+.4f} ({100 * held['relative_error']:+.2f} %), "
        f"from {held['cells_seen']} other cells"
    )
    return lines
