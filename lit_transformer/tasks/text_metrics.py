"""Metrics of generated text as sums, so that batches and ranks add up before the one division."""

from collections import Counter
from collections.abc import Mapping, Sequence
from typing import Any

from sacrebleu.metrics.bleu import BLEU
from sacrebleu.metrics.chrf import CHRF

METRICS = {"bleu": BLEU(), "chrf": CHRF()}
"""Both in sacrebleu's default settings, whose signatures `signatures` tells."""

STATISTICS = {"bleu": 10, "chrf": 18}
"""Numbers from which sacrebleu makes each metric, and which add up over texts."""


def signatures() -> dict[str, str]:
    """Name of a metric -> sacrebleu's signature, without which a number cannot be compared (Post 2018)."""
    for metric in METRICS.values():
        metric.corpus_score(["a"], [["a"]])  # the signature is complete once references were seen
    return {name: str(metric.get_signature()) for name, metric in METRICS.items()}


def text_sums(texts: Sequence[str], references: Sequence[str]) -> dict[str, float]:
    """Sums over some texts: sacrebleu's sufficient statistics, exact matches, words' F1 (SQuAD's) and the count."""
    sums: dict[str, float] = {"texts": len(texts), "exact": 0.0, "f1": 0.0}
    sums |= {f"{name}_{index}": 0.0 for name, count in STATISTICS.items() for index in range(count)}
    for text, reference in zip(texts, references, strict=True):
        sums["exact"] += text.strip() == reference.strip()
        sums["f1"] += words_f1(text, reference)
    for name, metric in METRICS.items():
        for row in metric._extract_corpus_statistics(list(texts), [list(references)]) if texts else []:
            for index, value in enumerate(row):
                sums[f"{name}_{index}"] += value
    return sums


def text_predictions(texts: Sequence[str], references: Sequence[str]) -> list[dict[str, Any]]:
    """Each text with its reference and its part in every metric: sacrebleu's statistics, else a value and a count."""
    parts = {
        name: metric._extract_corpus_statistics(list(texts), [list(references)]) if texts else []
        for name, metric in METRICS.items()
    }
    return [
        {
            "hypothesis": text,
            "reference": reference,
            "statistics": {
                **{name: [int(value) for value in rows[index]] for name, rows in parts.items()},
                "exact_match": [int(text.strip() == reference.strip()), 1],
                "f1": [words_f1(text, reference), 1],
            },
        }
        for index, (text, reference) in enumerate(zip(texts, references, strict=True))
    ]


def words_f1(text: str, reference: str) -> float:
    """Harmonic mean of precision and recall over words (Rajpurkar et al. 2016, section 6.1, without its clean-up)."""
    found, wanted = text.lower().split(), reference.lower().split()
    common = sum((Counter(found) & Counter(wanted)).values())
    return 2 * common / (len(found) + len(wanted)) if common else float(not found and not wanted)


def text_metrics(sums: Mapping[str, float]) -> dict[str, float]:
    """BLEU and chrF (0 to 100), exact match and words' F1 (shares) from sums; nothing where no text was decoded."""
    if not sums.get("texts"):
        return {}
    found = {"exact_match": sums["exact"] / sums["texts"], "f1": sums["f1"] / sums["texts"]}
    for name, metric in METRICS.items():
        statistics = [round(sums[f"{name}_{index}"]) for index in range(STATISTICS[name])]
        found[name] = float(metric._compute_score_from_stats(statistics).score)
    return found
