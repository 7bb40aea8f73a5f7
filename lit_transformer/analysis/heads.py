"""`analyze RUN`: what each head of a trained network is worth, and where it looks."""

import math
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from lit_transformer.analysis.attention_statistics import Look, attention_statistics
from lit_transformer.analysis.importance import gradient_scores, removal_scores
from lit_transformer.analysis.progress import progress
from lit_transformer.analysis.pruning import RANDOM_ORDERS, Curve, pruning_curves, steps
from lit_transformer.analysis.subject import Head, Subject, check_batches, open_subject
from lit_transformer.config.errors import UserError
from lit_transformer.inference.attend import in_words
from lit_transformer.records.analysis import ANALYSIS_VERSION, MEASURES, head_arrays_file, heads_file
from lit_transformer.records.atomic import write_atomic, write_json
from lit_transformer.records.checkpoints import CheckpointFolder


@dataclass(frozen=True)
class HeadAnalysis:
    """What was found out about the heads of a run."""

    subject: Subject
    metrics: dict[str, float]
    """With all heads, on the batches that were looked at."""
    gradient: dict[Head, float]
    removal: dict[Head, float]
    looks: dict[Head, Look]
    curves: list[Curve]

    def to_json(self) -> dict[str, object]:
        """The document of heads.json."""
        subject = self.subject
        number = {head: index for index, head in enumerate(subject.heads)}
        best = CheckpointFolder(subject.run.checkpoints).best(lambda line: None)
        return {
            "version": ANALYSIS_VERSION,
            "model": in_words(subject.task.config.model),
            "checkpoint": {"step": best.entry.step, "sha256": best.entry.sha256} if best else None,
            "batches": len(subject.batches),
            "batches_there": subject.batches_there,
            "metrics": self.metrics,
            "heads": [{**head._asdict(), **self._of(head)} for head in subject.heads],
            "curves": [
                {
                    "by": curve.by,
                    "order": [number[head] for head in curve.order],
                    "removed": curve.removed,
                    "metrics": {name: [point[name] for point in curve.metrics] for name in self.metrics},
                }
                for curve in self.curves
            ],
        }

    def arrays(self) -> dict[str, NDArray[np.float64]]:
        """`decoder/gradient` and so on -> (layers, heads); NaN where there is no distance."""
        found: dict[str, NDArray[np.float64]] = {}
        for attention in dict.fromkeys(head.attention for head in self.subject.heads):
            heads = [head for head in self.subject.heads if head.attention == attention]
            layers = 1 + max(head.layer for head in heads)
            for measure in MEASURES:
                values = [self._of(head)[measure] for head in heads]
                plain = [math.nan if value is None else value for value in values]
                found[f"{attention}/{measure}"] = np.array(plain).reshape(layers, -1)
        return found

    def _of(self, head: Head) -> dict[str, float | None]:
        look = self.looks[head]
        values = (self.gradient[head], self.removal[head], look.entropy, look.distance)
        return dict(zip(MEASURES, values, strict=True))

    def write(self, document: dict[str, object]) -> Path:
        """Write heads.npz, and `document`, which is `to_json`, as heads.json: each whole or not at all; the latter."""
        run, arrays = self.subject.run.path, self.arrays()
        write_atomic(head_arrays_file(run), lambda file: np.savez(file, allow_pickle=False, **arrays))
        write_json(heads_file(run), document)
        return heads_file(run)


def analyze_heads(path: Path, *, batches: int, device: str) -> HeadAnalysis:
    """Measure the heads of a run on the first `batches` of its validation split.

    Raises UserError as `open_subject`, and where the loss is no number.
    """
    check_batches(batches)
    subject = open_subject(path, batches=batches, device=device)
    orders = 2 + RANDOM_ORDERS
    evaluations = 1 + len(subject.heads) + orders * len(steps(len(subject.heads)))
    with progress("looking at heads", (evaluations + 3) * len(subject.batches)) as subject.advance:
        metrics = subject.metrics()
        check_finite(path, metrics)
        scores: Mapping[str, dict[Head, float]] = {
            "gradient": gradient_scores(subject),
            "removal": removal_scores(subject),
        }
        looks = attention_statistics(subject)
        curves = pruning_curves(subject, scores)
    return HeadAnalysis(subject, metrics, scores["gradient"], scores["removal"], looks, curves)


def check_finite(path: Path, metrics: Mapping[str, float]) -> None:
    """Raises UserError where the loss is no number."""
    if not math.isfinite(metrics["val/loss"]):
        raise UserError(
            f"{path}: its network computes no finite loss on the validation split\n"
            f"  got      val/loss {metrics['val/loss']}\n  fix      analyze a run that did not diverge"
        )
