"""`make bench`: every system beside its peer in one process, by turns; memory, growth, data, sweeps and start-up."""

import argparse
import sys
import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from functools import partial
from pathlib import Path

import beam_huggingface
import checkpointing
import dashboard_scale
import dashboard_training
import data_rate
import demo
import growth
import loop_overhead
import peaks
import report_page
import startup
import sweep_flat
import sweep_rate
import sweep_scale
import verbs
from alternating import LEAST, with_threads
from apart import apart
from case import Case, Pace, measure
from figures import FOLDER, Figure, read_rows, report
from page import write_page
from rich.console import Console
from rich.progress import BarColumn, Progress, TaskID, TextColumn, TimeElapsedColumn, TimeRemainingColumn
from systems import bert, encoder_decoder, glm, gpt, litgpt_gpt, segmenter, t5, tutorial

NAME = "bench-cpu"
SCRATCH = Path("runs/bench")
"""Where the page lies, and the JSON of a run that is too short to be believed."""

Done = Callable[[], None]


@dataclass(frozen=True)
class Part:
    """Some figures."""

    about: str
    measure: Callable[[Done, Pace], list[Figure]]
    steps: int = 1
    """How often `done` is called."""
    seconds: float = 60.0
    """What it takes about on two cores, for the bar."""
    extra: bool = False
    """Whether it takes minutes by nature and is left to `make bench-all`."""


def beside(*systems: Callable[[], Iterator[Case]]) -> Callable[[Done, Pace], list[Figure]]:
    """Figures of systems' cases."""

    def figures(done: Done, pace: Pace) -> list[Figure]:
        found = []
        for case in (case for system in systems for case in system()):
            found += apart(partial(with_threads, partial(measure, case, pace)))
            done()
        return found

    return figures


def count(*systems: Callable[[], Iterator[Case]]) -> int:
    """Cases of systems."""
    return sum(1 for system in systems for _ in system())


def whole(measure_all: Callable[[], list[Figure]]) -> Callable[[Done, Pace], list[Figure]]:
    """Figures of what is measured in one go, at its own pace."""

    return lambda done, pace: apart(measure_all)


def compiled() -> Iterator[Case]:
    """GPT and BERT, compiled on both sides."""
    for dropout, required in ((0.0, 1.05), (0.1, 1.2)):
        yield gpt.training(gpt.SHAPES[1], dropout, compiled=True, required=required)
    for dropout, required in ((0.0, 1.6), (0.1, 1.4)):
        yield bert.training(bert.SHAPES[1], dropout, compiled=True, required=required)


def segmenters(done: Done, pace: Pace) -> list[Figure]:
    """Beside its peer, and what metrics cost."""
    found = beside(segmenter.cases)(done, pace)
    return [*found, Figure("metrics of masks, of a training step", apart(segmenter.metrics_cost), "%", 2.0)]


def memory(done: Done, pace: Pace) -> list[Figure]:
    """Peaks of every system's training step."""
    found = []
    for case in peaks.cases():
        found.append(apart(partial(with_threads, partial(peaks.measure, case))))
        done()
    return found


def litgpt(done: Done, pace: Pace) -> list[Figure]:
    """Beside litgpt, where it is installed."""
    if litgpt_gpt.installed():
        return beside(litgpt_gpt.cases)(done, pace)
    print("litgpt is not installed: uv pip install --no-deps -r tests/benchmarks/litgpt.txt", file=sys.stderr)
    return []


def beams() -> list[Figure]:
    """Beam search at published sizes."""
    return [
        Figure(f"beam search over transformers' generate, {name}", row["ratio"], "x", row.get("required"),
               at_most=False, note=f"{row['ours']:,.4g} and {row['theirs']:,.4g} sentences/s")
        for name, row in beam_huggingface.measure().items()
    ]  # fmt: skip


def system(name: str, module: Callable[[], Iterator[Case]], seconds: float) -> Part:
    """A part that is one system beside one peer."""
    return Part(f"{name}: training, evaluation, inference", beside(module), count(module), seconds)


PARTS = {
    "startup": Part("the shell's answers, claim to first step", whole(startup.measure), seconds=30),
    "verbs": Part("each verb's first output", lambda done, pace: verbs.figures(done), 17, seconds=120),
    "gpt": system("GPT beside transformers", gpt.cases, 75),
    "litgpt": Part("GPT beside litgpt: training, evaluation, generation", litgpt, count(litgpt_gpt.cases), 40),
    "bert": system("BERT beside transformers", bert.cases, 60),
    "t5": system("T5 beside transformers", t5.cases, 75),
    "encoder_decoder": system("encoder-decoder beside Marian", encoder_decoder.cases, 90),
    "tutorial": system("encoder-decoder beside torch.nn.Transformer", tutorial.cases, 60),
    "glm": system("GLM beside GPT-2 with its mask", glm.cases, 75),
    "segmenter": Part("segmenter beside segmentation_models_pytorch", segmenters, count(segmenter.cases), 60),
    "growth": Part("a GPT's time with context, layers, vocabulary", growth.figures, growth.count(), 60),
    "memory": Part("peak memory of a step at a vocabulary of 50k", memory, len(peaks.cases()), 45),
    "data": Part("tokenizing and loading beside datasets", lambda done, pace: apart(
        partial(data_rate.figures, pace)), 1, 20),
    "sweep_rate": Part("trials a minute: 20 of ours, 4 alone", whole(lambda: sweep_rate.measure(20, 4)), 1, 45),
    "compiled": Part("GPT and BERT, compiled", beside(compiled), count(compiled), 240, extra=True),
    "beam": Part("beam search at published sizes", whole(beams), 1, 90, extra=True),
    "demo": Part("the sweep of `make demo`", whole(demo.measure), 1, 110, extra=True),
    "sweep_scale": Part("a grid of 2,000 cells", whole(sweep_scale.measure), 1, 60, extra=True),
    "sweep_flat": Part("early and late cells of 2,000", whole(sweep_flat.measure), 1, 90, extra=True),
    "sweep_rate_200": Part("trials a minute: 200, as promised", whole(sweep_rate.measure), 1, 200, extra=True),
    "report": Part("the report of a large sweep", whole(report_page.measure), 1, 60, extra=True),
    "loop": Part("Lightning's loop over a bare one", whole(loop_overhead.measure), 1, 240, extra=True),
    "checkpoints": Part("what checkpoints cost", whole(checkpointing.measure), 1, 120, extra=True),
    "dashboard": Part("the dashboard over many runs", whole(dashboard_scale.measure), 1, 180, extra=True),
    "watched": Part("training beside an open page", whole(dashboard_training.measure), 1, 180, extra=True),
}  # fmt: skip
"""In the order of what disturbs least; without names those that are not extra, 15 minutes on two quiet cores."""


def options() -> argparse.Namespace:
    """The command line."""
    listed = "\n".join(f"  {name:<16}{part.about}{' (extra)' if part.extra else ''}" for name, part in PARTS.items())
    parser = argparse.ArgumentParser(
        description=f"{__doc__}\n\nparts:\n{listed}\n\nThe extra ones take minutes by nature: name them, or --all.",
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    parser.add_argument("parts", nargs="*", metavar="PART", help="these alone; the figures of the others stay")
    parser.add_argument("--all", action="store_true", help="the extra parts too")
    parser.add_argument("--budget", type=float, default=1.0, help="factor on the seconds of each case")
    parser.add_argument("--rounds", type=int, default=LEAST, help="rounds of each case at least")
    found = parser.parse_args()
    unknown = [name for name in found.parts if name not in PARTS]
    if unknown:
        parser.error(f"no part {', '.join(unknown)}; there are {', '.join(PARTS)}")
    return found


def advance(progress: Progress, bar: TaskID, seconds: float) -> None:
    """One step of a part."""
    progress.advance(bar, seconds)
    progress.refresh()


def main() -> int:
    """0 where every bound is kept, else 1; a part's figures are written once it is measured."""
    given = options()
    wanted = given.parts or [name for name, part in PARTS.items() if given.all or not part.extra]
    pace = Pace(budget=given.budget, least=given.rounds)
    folder = FOLDER if pace.budget >= 1 and pace.least >= LEAST else SCRATCH
    console, status, took = Console(stderr=True), 0, {}
    columns = (TextColumn("{task.description}"), BarColumn(), TimeElapsedColumn(), TextColumn("left"),
               TimeRemainingColumn(elapsed_when_finished=True))  # fmt: skip
    # Drawn after each step and not by a thread, which must not be there when a measurement forks.
    with Progress(*columns, console=console, speed_estimate_period=600, auto_refresh=False) as progress:
        bar = progress.add_task("", total=sum(PARTS[name].seconds for name in wanted))
        for name in wanted:
            part, begun = PARTS[name], time.perf_counter()
            progress.update(bar, description=part.about, refresh=True)
            step = partial(advance, progress, bar, part.seconds / part.steps)
            figures = part.measure(step, pace)
            progress.update(bar, completed=sum(PARTS[other].seconds for other in (*took, name)), refresh=True)
            status |= report(figures, NAME, part=name, folder=folder)
            took[name] = time.perf_counter() - begun
    rows = read_rows(folder / f"{NAME}.json")
    write_page(rows, SCRATCH / f"{NAME}.html")
    print(f"seconds: {', '.join(f'{name} {seconds:.0f}' for name, seconds in took.items())}")
    print(f"{sum(took.values()) / 60:.1f} minutes in all; {folder / f'{NAME}.json'}, {SCRATCH / f'{NAME}.html'}")
    return status


if __name__ == "__main__":
    sys.exit(main())
