"""`make results`: the trained scores of README's results table; name some of them to train those alone."""

import json
import statistics
import subprocess
import sys
import time
from collections.abc import Mapping, Sequence
from pathlib import Path

import naive_bayes
from figures import Figure, report

from lit_transformer.config.load import load_experiment
from lit_transformer.config.show import to_plain
from lit_transformer.data.locate import data_root
from lit_transformer.records.run_folder import RunFolder

CLI = [sys.executable, "-m", "lit_transformer.cli"]
SEEDS = 3
LIKE_NOVELS = ("model.num_layers=4", "model.positions=rope", "model.norm_position=pre",
               "data.tokenizer.kind=wordpiece", "data.tokenizer.vocab_size=8000",
               "data.tokenizer.min_frequency=2")  # fmt: skip
"""bert_gutenberg's network and kind of tokenizer."""
DECIDED = ("threads", "accelerator", "wandb")
"""Settings that change no figure."""


def fit(*words: str) -> tuple[RunFolder, float]:
    """A trained run, and the seconds that `fit` took in all."""
    start = time.perf_counter()
    done = subprocess.run([*CLI, "fit", *words], check=True, stdout=subprocess.PIPE, text=True)
    return RunFolder(Path(done.stdout.strip())), time.perf_counter() - start


def trained(experiment: str) -> RunFolder:
    """The newest complete run of an experiment as its file is now, trained where there is none."""
    config = to_plain(load_experiment(experiment).config)
    for path in sorted(Path("runs", experiment).glob("*"), reverse=True):
        run = RunFolder(path)
        if run.status() == "complete" and _asked(run.read_config(), config):
            return run
    return fit(experiment)[0]


def _asked(found: Mapping[str, object], wanted: Mapping[str, object]) -> bool:
    """Whether a frozen configuration is the one that is asked for, but for what was decided for its machine."""
    for key, value in wanted.items():
        if isinstance(value, Mapping):
            inside = found.get(key)
            if not isinstance(inside, Mapping) or not _asked(inside, value):
                return False
        elif value is not None and key not in DECIDED and found.get(key) != value:
            return False
    return True


def tested(run: RunFolder) -> dict[str, float]:
    """What `evaluate` measures on the test split."""
    done = subprocess.run([*CLI, "evaluate", str(run.path), "--json"], check=True, stdout=subprocess.PIPE, text=True)
    return json.loads(done.stdout)


def spread(values: Sequence[float], form: str = ".4f") -> str:
    """The values of the seeds and their deviation."""
    shown = ", ".join(format(value, form) for value in values)
    return f"seeds {shown}; sd {statistics.stdev(values):{form}}"


def shakespeare() -> list[Figure]:
    """Validation loss of the character GPT on the whole last tenth of tinyshakespeare, mean of three seeds."""
    losses = []
    for seed in range(SEEDS):
        metrics = fit("gpt_shakespeare_cpu", f"seed={seed}")[0].read_result()["metrics"]
        assert isinstance(metrics, dict)
        losses.append(metrics["val/loss"])
    name = "gpt_shakespeare_cpu: val/loss, mean of 3 seeds"
    return [Figure(name, statistics.mean(losses), "nats", 1.80, note=spread(losses))]


def numbers() -> list[Figure]:
    """Held-out numbers that the built-in translation gets exactly right."""
    run, seconds = fit("translation_tiny")
    found = tested(run)
    return [
        Figure("translation_tiny: test/exact_match", 100 * found["test/exact_match"], "%", 99.0, at_most=False),
        Figure("translation_tiny: fit, all in all", seconds, "s", 180.0),
    ]


def multi30k() -> list[Figure]:
    """BLEU of the cut-down Multi30k translation on test2016."""
    run, seconds = fit("translation_multi30k_cpu")
    found = tested(run)
    note = f"beam 5; chrF {found['test/chrf']:.1f}"
    return [
        Figure("translation_multi30k_cpu: test/bleu", found["test/bleu"], "BLEU", 20.0, at_most=False, note=note),
        Figure("translation_multi30k_cpu: fit, all in all", seconds / 60, "min", 30.0),
    ]


def baseline() -> list[Figure]:
    """Naive Bayes on SST-2."""
    files = (data_root() / "sst2" / "train.tsv", data_root() / "sst2" / "test.tsv")
    return [
        Figure(f"SST-2: test accuracy of Naive Bayes, {what}", 100 * naive_bayes.accuracy(*files, orders=orders), "%")
        for orders, what in ((1, "words"), (2, "words and pairs"))
    ]


def _accuracies(experiment: str, *settings: str) -> list[float]:
    runs = [fit(experiment, f"seed={seed}", *settings)[0] for seed in range(SEEDS)]
    return [100 * tested(run)["test/accuracy"] for run in runs]


def sst2() -> list[Figure]:
    """SST-2 by a BERT: as well as it can from scratch, and with the network of bert_gutenberg, fresh and pretrained."""
    files = (data_root() / "sst2" / "train.tsv", data_root() / "sst2" / "test.tsv")
    bound = 100 * naive_bayes.accuracy(*files, orders=2)
    novels = trained("bert_gutenberg")
    best, fresh = _accuracies("sst2_bert"), _accuracies("sst2_bert", *LIKE_NOVELS, "model.dropout=0.3")
    tuned = _accuracies("sst2_bert", f"model.init_from={novels.path}", "model.dropout=0.3")
    gain = statistics.mean(tuned) - statistics.mean(fresh)
    return [
        Figure("sst2_bert from scratch: test accuracy", statistics.mean(best), "%", bound, at_most=False,
               note=spread(best, ".2f")),
        Figure("bert_gutenberg's network from scratch on SST-2: test accuracy", statistics.mean(fresh), "%",
               note=spread(fresh, ".2f")),
        Figure("sst2_bert from bert_gutenberg: test accuracy", statistics.mean(tuned), "%", note=spread(tuned, ".2f")),
        Figure("sst2_bert: gain of pretraining, the same network", gain, "points", 1.0, at_most=False),
    ]  # fmt: skip


def _segmenter(experiment: str, metric: str, least: float, minutes: float) -> list[Figure]:
    run, seconds = fit(experiment)
    found = tested(run)
    return [
        Figure(f"{experiment}: {metric}", found[metric], "", least, at_most=False),
        Figure(f"{experiment}: fit, all in all", seconds / 60, "min", minutes),
    ]


def shapes() -> list[Figure]:
    """Built-in shapes: four classes, and one by the plain network."""
    return [
        *_segmenter("segmenter_tiny", "test/mean_iou", 0.90, 2),
        *_segmenter("segmenter_plain_tiny", "test/iou/shape", 0.95, 2),
    ]


def camvid() -> list[Figure]:
    """CamVid at half size: macro mean IoU of 11 classes on the test split, void ignored."""
    return _segmenter("segment_camvid", "test/mean_iou", 0.40, 30)


PARTS = {"shakespeare": shakespeare, "numbers": numbers, "baseline": baseline, "multi30k": multi30k, "sst2": sst2,
         "shapes": shapes, "camvid": camvid}  # fmt: skip


def main() -> int:
    """Train everything, or the parts that are named; the figures of the others stay as they were measured last."""
    wanted = sys.argv[1:] or list(PARTS)
    status = 0
    for name in wanted:
        status |= report(PARTS[name](), "results-cpu", keep=True)
    return status


if __name__ == "__main__":
    sys.exit(main())
