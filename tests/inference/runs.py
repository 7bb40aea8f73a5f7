"""Small runs on made-up data, trained in this process, and the shell that asks them."""

import io
import random
import shutil
import sys
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

import pytest
import torch
import yaml

from lit_transformer.cli import main
from lit_transformer.config.layers import shell_layer
from lit_transformer.config.load import load_layers
from lit_transformer.inference.generate import Generation
from lit_transformer.inference.load import load_task
from lit_transformer.inference.text_run import TextRun, open_text_run
from lit_transformer.inference.translate import Translating
from lit_transformer.records.atomic import read_json
from lit_transformer.records.checkpoints import CheckpointFolder
from lit_transformer.records.run_folder import RunFolder
from lit_transformer.tasks.base import Task, inputs_of
from lit_transformer.training.fit import freeze
from lit_transformer.training.prepare import prepare
from lit_transformer.training.registry import build_parts, open_prepared

WORDS = {"red": "rot", "blue": "blau", "cat": "katze", "dog": "hund", "and": "und", "small": "klein", "house": "haus"}
HERE = ["data.batch_size=16", "trainer.threads=1", "trainer.accelerator=cpu", "tracking.wandb=off",
        "schedule.warmup_steps=1", "model.dropout=0"]  # fmt: skip
SHAPE = ["model.num_layers=1", "model.num_heads=2", "model.d_model=16", *HERE]
WHOLE_WORDS = ["data.tokenizer.kind=words", "data.tokenizer.vocab_size=null", "data.tokenizer.min_frequency=1"]
TABLE = ["data.source=tsv", "data.source_key='1'", "data.target_key='2'", "data.text_key='1'"]


def pairs(count: int = 300, seed: int = 0) -> list[tuple[str, str]]:
    """Texts of one to seven words, and each word in its place in the other language."""
    pick = random.Random(seed)
    rows = [pick.choices(list(WORDS), k=pick.randint(1, 7)) for _ in range(count)]
    return [(" ".join(row), " ".join(WORDS[word] for word in row)) for row in rows]


def films(count: int = 200, seed: int = 0) -> list[tuple[str, str, str]]:
    """Texts, a second text to each, and whether they praise."""
    pick = random.Random(seed)
    rows = []
    for _ in range(count):
        label = pick.choice(("bad", "good"))
        words = {"bad": ("dull", "sad", "long"), "good": ("fine", "warm", "fresh")}[label]
        text = " ".join(pick.choice((*words, "film", "a", "the")) for _ in range(pick.randint(1, 6)))
        rows.append((f"{text} {pick.choice(words)}", " ".join(pick.choices(("they", "say", "so"), k=3)), label))
    return rows


def items(count: int = 200, seed: int = 0) -> list[tuple[str, str, str, int]]:
    """Contexts, two choices, of which the right one names the same animal, and its number."""
    pick = random.Random(seed)
    rows = []
    for _ in range(count):
        right, wrong = pick.sample(("cat", "dog", "cow", "hen"), 2)
        label = pick.randint(0, 1)
        both = (f"the {right}", f"a small {wrong}")
        rows.append((f"see the {right}" + " now" * pick.randint(0, 3), *(both if not label else both[::-1]), label))
    return rows


def table(path: Path, rows: list[tuple[object, ...]]) -> Path:
    path.write_text("".join("\t".join(map(str, row)) + "\n" for row in rows), encoding="utf-8")
    return path


def make_run(folder: Path, settings: list[str], *, steps: int = 60, shape: list[str] = SHAPE) -> Path:
    """A run's folder whose best checkpoint is a network trained for a few steps."""
    loaded = load_layers([shell_layer([*shape, *settings])])
    run, config = freeze(loaded, prepare(loaded.config), folder)
    torch.manual_seed(0)
    torch.set_num_threads(1)  # layers this small do not gain by more
    parts = build_parts(config, open_prepared(config, read_json(run.prepared_file)))
    task = parts.task.train()
    optimizer = torch.optim.Adam(task.network.parameters(), lr=1e-2)
    for _, batch in zip(range(steps), parts.data.train_dataloader(), strict=False):
        sums = task.training_sums(inputs_of(batch))
        optimizer.zero_grad()
        (sums["loss"] / sums["count"]).backward()
        optimizer.step()
    checkpoint = {"state_dict": task.state_dict(), "global_step": steps}
    save = CheckpointFolder(run.checkpoints).save
    save("best.ckpt", lambda file: torch.save(checkpoint, file), step=steps, resumable=False, facts={})
    return run.path


@dataclass(frozen=True)
class Made:
    """A run, its task, and the way into its vocabulary."""

    path: Path
    task: Task
    run: TextRun

    def ids(self, text: str) -> list[int]:
        return self.run.tokenizer.encode(text, add_special_tokens=False).ids

    def id(self, token: str) -> int:
        return self.run.tokenizer.token_to_id(token)

    @torch.no_grad()
    def log_probabilities(self, *inputs: list, **how: list) -> torch.Tensor:
        """At every position of one row."""
        tensors = [torch.tensor([row]) for row in inputs]
        logits = self.task(*tensors, **{name: torch.tensor([value]) for name, value in how.items()})
        return logits[0].log_softmax(dim=-1)


def opened(path: Path) -> Made:
    return Made(path, load_task(path), open_text_run(path))


def generation(**given: object) -> Generation:
    """Settings for tests: 40 tokens, drawn."""
    usual = {"max_new_tokens": 40, "temperature": 0.8, "top_k": None, "top_p": None, "seed": 0, "use_cache": True}
    return Generation(**{**usual, **given})  # type: ignore[arg-type]


def translating(**given: object) -> Translating:
    """Settings for tests: the run's own way of decoding."""
    usual = {"n_best": 1, "temperature": 0.0, "seed": 0}
    left = dict.fromkeys(("beam_size", "length_penalty", "max_length", "top_k", "top_p"))
    return Translating(**{**left, **usual, **given})  # type: ignore[arg-type]


Shell = Callable[..., tuple[int, str, str]]


@pytest.fixture
def ask(monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]) -> Shell:
    """A verb in this process: its exit status, standard output and standard error; --device auto is the CPU.

    So its answers can be compared with what a test computes, on a machine with a GPU too.
    """
    monkeypatch.setattr("lit_transformer.inference.load.accelerator", lambda: "cpu")

    def shell(*arguments: object, stdin: str | bytes = b"") -> tuple[int, str, str]:
        given = stdin.encode() if isinstance(stdin, str) else stdin
        capsys.readouterr()  # what the making of runs said
        monkeypatch.setattr(sys, "argv", ["lit-transformer", *map(str, arguments)])
        monkeypatch.setattr(sys, "stdin", io.TextIOWrapper(io.BytesIO(given)))
        with pytest.raises(SystemExit) as caught:
            main()
        return (caught.value.code or 0, *capsys.readouterr())

    return shell


def copied(path: Path, to: Path, **changes: str) -> Path:
    """The run in another folder, with other settings in its config.yaml: `data.too_long` as data__too_long."""
    shutil.copytree(path, to)
    run = RunFolder(to)
    config = run.read_config()
    for key, value in changes.items():
        section, _, name = key.partition("__")
        config[section][name] = value  # type: ignore[index]
    run.config_file.write_text(yaml.safe_dump(config))
    return to
