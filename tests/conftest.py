"""What all tests share."""

import os
import random
import signal
from collections.abc import Iterator
from pathlib import Path
from typing import TYPE_CHECKING

import pytest

if TYPE_CHECKING:
    from playwright.sync_api import Browser

ALLOWED_SKIPS = ("needs the shared data", "needs a GPU")
"""In CI nothing else may skip: a proof that was not made is a failure."""

os.environ.setdefault("WANDB_MODE", "offline")
os.environ.setdefault("WANDB_ERROR_REPORTING", "false")
if signal.getsignal(signal.SIGINT) is signal.SIG_IGN:  # as in the background of a script; children would ignore it too
    signal.signal(signal.SIGINT, signal.default_int_handler)


LONGEST = (
    "training/test_kills", "training/test_signals", "training/test_resume.", "test_readme", "sweep/test_chaos",
    "training/test_every_task", "training/test_hangs", "training/test_drift", "training/test_non_finite",
    "training/test_mean_of_checkpoints", "training/test_wandb",
    "inference/test_verbs", "test_offline", "test_experiments",
)  # fmt: skip
"""Files that start first: a long one at the end would leave the other core idle."""


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    items.sort(key=lambda item: next((i for i, name in enumerate(LONGEST) if name in str(item.path)), len(LONGEST)))


@pytest.hookimpl(wrapper=True)
def pytest_runtest_makereport(item: pytest.Item, call: pytest.CallInfo[None]) -> Iterator[None]:
    report = yield
    if report.skipped and os.environ.get("CI") and isinstance(report.longrepr, tuple):
        reason = report.longrepr[2].removeprefix("Skipped: ")
        if not reason.startswith(ALLOWED_SKIPS):
            report.outcome, report.longrepr = "failed", f"skipped in CI, where it may not: {reason}"
    return report


@pytest.fixture(scope="session", autouse=True)
def _one_thread() -> None:
    """Two workers with two threads each wait for one another: a test of small networks takes five times as long."""
    import torch

    torch.set_num_threads(1)


@pytest.fixture(scope="session")
def tiny_text(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """About 12 kB of made-up prose that a small model learns a little of in a few steps."""
    words = ("head", "layer", "model", "learns", "the", "a", "token", "mask", "of", "from", "attends", "to", "block")
    pick = random.Random(0)
    text = "".join(f"{' '.join(pick.choices(words, k=pick.randint(4, 9)))}.\n" for _ in range(400))
    path = tmp_path_factory.mktemp("text") / "tiny.txt"
    path.write_text(text)
    return path


@pytest.fixture(scope="session")
def tiny_settings(tiny_text: Path) -> list[str]:
    """Settings over the defaults: a GPT that takes a second to train on `tiny_text`."""
    return [
        "model.num_layers=1", "model.num_heads=2", "model.d_model=16", "model.context_length=16", "data.source=text",
        f"data.path={tiny_text}", "data.tokenizer.kind=characters", "data.batch_size=8", "trainer.max_steps=12",
        "trainer.val_every=5", "tracking.log_every=4", "schedule.warmup_steps=2", "trainer.threads=1",
        "trainer.accelerator=cpu",
    ]  # fmt: skip


@pytest.fixture(scope="session")
def tiny_experiment(tmp_path_factory: pytest.TempPathFactory, tiny_settings: list[str]) -> Path:
    """The same settings as an experiment's file."""
    path = tmp_path_factory.mktemp("experiments") / "tiny.yaml"
    path.write_text("".join("{}: {}\n".format(*setting.split("=", 1)) for setting in tiny_settings))
    return path


@pytest.fixture(scope="session", autouse=True)
def _own_cache(tmp_path_factory: pytest.TempPathFactory) -> Iterator[None]:
    """Prepared data of the tests lie in a folder of their own."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("LIT_TRANSFORMER_CACHE", str(tmp_path_factory.mktemp("cache")))
        yield


@pytest.fixture(scope="module")
def browser() -> "Iterator[Browser]":
    """Chromium for one file's tests, which run on one worker, one file after the other: two at once cannot be."""
    from tests.browser import chromium

    for found in chromium():
        if found is None:
            pytest.skip("needs Chromium, to see the page as a person does (Debian: apt-get install chromium)")
        yield found
