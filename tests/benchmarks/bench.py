"""`make bench`: every speed that is promised, measured; ratios against a peer in one process, alternating."""

import sys
from collections.abc import Callable, Mapping

import beam_huggingface
import bert_huggingface
import checkpointing
import dashboard_scale
import dashboard_training
import demo
import glm_gpt
import gpt_huggingface
import loop_overhead
import report_page
import segmenter_smp
import seq2seq_huggingface
import startup
import sweep_rate
import sweep_scale
from figures import Figure, report


def against(
    measure: Callable[[], Mapping[str, Mapping[str, float]]], name: str, unit: str = "tokens/s"
) -> Callable[[], list[Figure]]:
    """Figures of a benchmark beside a peer: ours over theirs."""

    def figures() -> list[Figure]:
        return [
            Figure(f"{name}, {case}", row["ratio"], "x", row.get("required"), at_most=False,
                   note=f"{row['ours']:,.4g} and {row['theirs']:,.4g} {unit}")
            for case, row in measure().items()
        ]  # fmt: skip

    return figures


def segmenter() -> list[Figure]:
    """The segmenter beside segmentation_models_pytorch, with the FLOPs of both, and what metrics cost."""
    cost = Figure("metrics of masks, of a training step", segmenter_smp.metrics_cost(), "%", 2.0)
    rows = segmenter_smp.measure().items()
    return [
        *(
            Figure(f"segmenter over segmentation_models_pytorch's Unet, {case}", row["ratio"], "x", row["required"],
                   at_most=False, note=f"{row['ours']:.3g} and {row['theirs']:.3g} images/s; {row['flops_ours']:,} and "
                   f"{row['flops_theirs']:,} FLOPs a pixel; {row['base_channels']} channels")
            for case, row in rows
        ),
        cost,
    ]  # fmt: skip


PARTS = {
    "startup": startup.measure,
    "demo": demo.measure,
    "sweep_scale": sweep_scale.measure,
    "sweep_rate": sweep_rate.measure,
    "report": report_page.measure,
    "loop": loop_overhead.measure,
    "checkpoints": checkpointing.measure,
    "peers": against(gpt_huggingface.measure, "GPT over transformers' GPT-2"),
    "bert": against(bert_huggingface.measure, "BERT over transformers' BertForMaskedLM"),
    "seq2seq": against(seq2seq_huggingface.measure, "encoder-decoder over transformers' own"),
    "glm": against(glm_gpt.measure, "GLM over our GPT"),
    "beam": against(beam_huggingface.measure, "beam search over transformers' generate", "sentences/s"),
    "segmenter": segmenter,
    "dashboard": dashboard_scale.measure,
    "watched": dashboard_training.measure,
}
"""In the order of what disturbs least."""


def main() -> int:
    """Measure everything, or the parts that are named; the figures of the others stay as they were measured last."""
    wanted = sys.argv[1:] or list(PARTS)
    figures = [figure for name in wanted for figure in PARTS[name]()]
    return report(figures, "bench-cpu", keep=wanted != list(PARTS))


if __name__ == "__main__":
    sys.exit(main())
