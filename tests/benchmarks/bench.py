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


def main() -> int:
    """Measure everything, in the order of what disturbs least."""
    figures = [*startup.measure(), *demo.measure(), *loop_overhead.measure(), *checkpointing.measure(), *peers()]
    return report(figures, "bench-cpu")


if __name__ == "__main__":
    sys.exit(main())
