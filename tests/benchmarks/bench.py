"""`make bench`: every speed that is promised, measured; ratios against a peer in one process, alternating."""

import sys

import checkpointing
import demo
import gpt_huggingface
import loop_overhead
import startup
from figures import Figure, report


def peers() -> list[Figure]:
    """Training tokens/s beside transformers' GPT-2."""
    return [
        Figure(f"GPT over transformers' GPT-2, {name}", row["ratio"], "x", row["required"], at_most=False,
               note=f"{row['ours']:,.0f} and {row['theirs']:,.0f} tokens/s")
        for name, row in gpt_huggingface.measure().items()
    ]  # fmt: skip


PARTS = {
    "startup": startup.measure,
    "demo": demo.measure,
    "loop": loop_overhead.measure,
    "checkpoints": checkpointing.measure,
    "peers": peers,
}
"""In the order of what disturbs least."""


def main() -> int:
    """Measure everything, or the parts that are named; the figures of the others stay as they were measured last."""
    wanted = sys.argv[1:] or list(PARTS)
    figures = [figure for name in wanted for figure in PARTS[name]()]
    return report(figures, "bench-cpu", keep=wanted != list(PARTS))


if __name__ == "__main__":
    sys.exit(main())
