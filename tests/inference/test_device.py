"""--device: what a machine has not is refused, and all that a verb makes goes to the device that it is given."""

import json
from typing import Any

import pytest
import torch

from lit_transformer.inference import evaluate, load, text_run
from lit_transformer.inference.given_rows import Scorer
from lit_transformer.inference.load import find_device
from lit_transformer.processes import hardware
from tests.inference.conftest import Runs
from tests.inference.elsewhere import DEVICE, SecondDevice
from tests.inference.runs import Shell

FILMS = ["a warm film", "the dull sad film", "long long", ""]
BY_TEMPLATE = ["model head", "a", "--template", "{text} learns", "--labels", "the, of a"]
CASES: list[tuple[str, str, list[object]]] = [
    ("generate", "gpt", ["--prompt", "the head", "--temperature", 0, "--max-new-tokens", 40]),
    ("generate", "gpt", ["--prompt", "the head", "--top-k", 5, "--max-new-tokens", 9, "--no-cache"]),
    ("generate", "gpt prefix", ["--prompt", "the head of a", "--temperature", 0, "--max-new-tokens", 40]),
    ("translate", "translation", ["red cat and dog", "blue", "", "small house"]),
    ("translate", "translation", ["red cat and dog", "blue", "--beam-size", 3, "--n-best", 2]),
    ("translate", "answers", ["red cat and dog", "blue", "--temperature", 1, "--n-best", 3]),
    *(("fill", kind, ["the [MASK] learns a [MASK]"]) for kind in ("bert", "t5", "glm")),
    *(("classify", name, FILMS) for name in ("bert classes", "gpt classes", "gpt text", "t5 text")),
    ("classify", "pairs", ["a warm film\tthey say so"]),
    ("classify", "gpt words", BY_TEMPLATE),
    ("classify", "gpt prefix", BY_TEMPLATE),
    *(
        ("choose", name, ["see the dog", "the cat", "a small dog"])
        for name in ("choices", "bert choices", "choices text")
    ),
    *(("evaluate", name, []) for name in ("gpt prefix", "t5", "translation", "bert classes", "choices text")),
]
DRAWN = [case for case in CASES if "--top-k" in case[2] or ("--n-best" in case[2] and "--temperature" in case[2])]


def same(found: Any, expected: Any, tolerance: float) -> bool:
    """Whether two JSON documents say the same, numbers up to rounding."""
    if isinstance(expected, dict):
        return list(found) == list(expected) and all(same(found[key], expected[key], tolerance) for key in expected)
    if isinstance(expected, list):
        return len(found) == len(expected) and all(map(lambda a, b: same(a, b, tolerance), found, expected))
    return bool(found == (pytest.approx(expected, rel=tolerance) if isinstance(expected, float) else expected))


@pytest.mark.parametrize(("verb", "name", "arguments"), CASES)
def test_nothing_is_left_on_another_device(
    runs: Runs, ask: Shell, monkeypatch: pytest.MonkeyPatch, verb: str, name: str, arguments: list[object]
) -> None:
    command = (verb, runs(name).path, *arguments, "--json")
    status, expected, _ = ask(*command, "--device", "cpu")
    assert status == 0 and ask(*command)[1] == expected  # auto is the CPU here
    for module in (evaluate, text_run):
        monkeypatch.setattr(module, "find_device", {"second": DEVICE}.__getitem__)
    generators: list[object] = []

    def generator(device: object = "cpu", made: Any = torch.Generator) -> torch.Generator:
        generators.append(device)
        return made()

    monkeypatch.setattr(torch, "Generator", generator)
    with SecondDevice():
        status, out, err = ask(*command, "--device", "second")
    assert status == 0, err
    assert same(json.loads(out), json.loads(expected), 1e-4), (out, expected)
    draws = verb == "generate" or (verb, name, arguments) in DRAWN
    assert verb == "evaluate" or generators == [DEVICE] * draws  # a loader of batches has one too


@pytest.mark.parametrize("name", ["choices", "choices text"])
def test_scores_come_back(runs: Runs, monkeypatch: pytest.MonkeyPatch, name: str) -> None:
    row, path = {"context": "see the dog", "choice1": "the cat", "choice2": "a small dog"}, runs(name).path
    monkeypatch.setattr(text_run, "find_device", {"second": DEVICE}.__getitem__)
    with SecondDevice():
        run = text_run.open_text_run(path, device="second")
        scores, _ = Scorer(run=run, config=run.config).scores([row], ["here"])
    assert run.device.type == DEVICE.type and scores.device.type == "cpu"


@pytest.mark.skipif(not torch.cuda.is_available(), reason="needs a GPU")
@pytest.mark.parametrize(("verb", "name", "arguments"), [case for case in CASES if case not in DRAWN])
def test_a_gpu_answers_as_the_cpu(runs: Runs, ask: Shell, verb: str, name: str, arguments: list[object]) -> None:
    command = (verb, runs(name).path, *arguments, "--json")
    found, expected = (json.loads(ask(*command, "--device", device)[1]) for device in ("cuda", "cpu"))
    assert same(found, expected, 1e-3), (found, expected)


def test_a_device_has_a_name(monkeypatch: pytest.MonkeyPatch) -> None:
    assert load.accelerator is hardware.accelerator  # that of trainer.accelerator=auto
    monkeypatch.setattr(torch.cuda, "device_count", lambda: 2)
    monkeypatch.setattr(torch.backends.mps, "is_available", lambda: True)
    for wanted in ("cpu", "cuda", "mps"):
        monkeypatch.setattr(load, "accelerator", lambda wanted=wanted: wanted)
        assert find_device("auto") == find_device(wanted) == torch.device(wanted)
    assert find_device("cuda:1") == torch.device("cuda:1")
    with pytest.raises(load.UserError) as caught:
        find_device("cuda:2")
    assert str(caught.value) == (
        "--device\n  got      cuda:2\n"
        f"  allowed  auto, or what this machine has for torch {torch.__version__}: cpu, cuda:0, cuda:1, mps\n"
        "  fix      --device cpu works everywhere"
    )


@pytest.mark.parametrize("verb", sorted({case[0] for case in CASES}))
def test_a_device_that_is_not_here_is_refused(
    runs: Runs, ask: Shell, monkeypatch: pytest.MonkeyPatch, verb: str
) -> None:
    name, arguments = next(case[1:] for case in CASES if case[0] == verb)
    monkeypatch.setattr(torch.cuda, "device_count", lambda: 0)
    monkeypatch.setattr(torch.backends.mps, "is_available", lambda: False)
    for wrong in ("cuda", "cuda:0", "cuda:x", "mps", "gpu", "", "meta", "cpu:0"):
        status, out, err = ask(verb, runs(name).path, *arguments, "--device", wrong)
        assert (status, out) == (2, "") and "Traceback" not in err
        assert err.startswith(f"--device\n  got      {wrong}\n  allowed  auto, or what this machine has for torch ")
        assert ": cpu\n" in err
    monkeypatch.setattr(load, "accelerator", lambda: "cuda")
    assert "--device\n  got      auto, here cuda\n" in ask(verb, runs(name).path, *arguments)[2]
