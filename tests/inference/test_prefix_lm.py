"""A run of the objective prefix_lm is asked with the mask that it was trained with: the prompt is the prefix."""

import json

import numpy as np
import pytest
import torch

from lit_transformer.inference.attend import attend
from lit_transformer.nn.attention_recording import record_attention
from tests.inference.conftest import Runs
from tests.inference.runs import Made, Shell

PROMPT = "model head of a layer attends to the"
LONG = " ".join(["the block learns from a mask"] * 7)


def after(made: Made, ids: list[int], prefix: int) -> torch.Tensor:
    """Log-probabilities of the next token, the first tokens of `ids` seen whole."""
    return made.log_probabilities(ids, prefix_length=prefix)[-1]  # type: ignore[arg-type]


@pytest.mark.parametrize("prompt", [PROMPT, LONG])
@pytest.mark.parametrize("cache", ["--cache", "--no-cache"])
def test_generate(runs: Runs, ask: Shell, prompt: str, cache: str) -> None:
    made = runs("gpt prefix")
    context, ids = made.run.context_length, made.ids(prompt)
    prompted = len(ids)
    assert (prompted > context) == (prompt == LONG)
    for _ in range(40):
        start = max(0, len(ids) - context)
        ids.append(int(after(made, ids[start:], max(prompted - start, 0)).argmax()))
    command = ("--temperature", 0, "--max-new-tokens", 40, cache, "--json")
    text = json.loads(ask("generate", made.path, "--prompt", prompt, *command)[1])["text"]
    assert text == f"{prompt} {made.run.tokenizer.decode(ids[prompted:])}"


def likelihood(made: Made, prompt: str, answer: str, *, whole: bool) -> float:
    before, ids = made.ids(prompt), made.ids(answer)
    how = {"prefix_length": len(before)} if whole else {}
    values = made.log_probabilities([*before, *ids][:-1], **how)  # type: ignore[arg-type]
    return sum(values[len(before) - 1 + place, token].item() for place, token in enumerate(ids))


def shares(made: Made, prompt: str, answers: list[str], *, whole: bool) -> list[float]:
    scores = [likelihood(made, prompt, answer, whole=whole) for answer in answers]
    return torch.tensor(scores).softmax(dim=-1).tolist()


def test_classify(runs: Runs, ask: Shell) -> None:
    made, labels = runs("gpt prefix"), ["the", "token", "mask of"]
    texts = ["model head", "the token attends to a mask of the layer", "a block"]
    command = ("classify", made.path, *texts, "--template", "{text} learns", "--labels", ", ".join(labels), "--json")
    for text, shown in zip(texts, json.loads(ask(*command)[1]), strict=True):
        found = [*shown["probabilities"].values()]
        assert found == pytest.approx(shares(made, f"{text} learns", labels, whole=True), abs=1e-5)
        assert found != pytest.approx(shares(made, f"{text} learns", labels, whole=False), abs=1e-4)


def test_choose(runs: Runs, ask: Shell) -> None:
    made, choices = runs("gpt prefix"), ["learns the", "head of a model", "mask"]
    found = [*json.loads(ask("choose", made.path, PROMPT, *choices, "--json")[1])["probabilities"].values()]
    assert found == pytest.approx(shares(made, PROMPT, choices, whole=True), abs=1e-5)
    assert found != pytest.approx(shares(made, PROMPT, choices, whole=False), abs=1e-4)


def test_attend(runs: Runs) -> None:
    made = runs("gpt prefix")
    found = attend(made.path, PROMPT)
    ids = torch.tensor([made.ids(PROMPT)])
    with torch.no_grad(), record_attention(made.task) as recorded:
        made.task(ids, prefix_length=torch.tensor([ids.shape[1]]))
    np.testing.assert_allclose(found.weights["decoder/0"], recorded["network.blocks.0.attention"][0])
    assert (found.weights["decoder/0"] > 0).all()  # later tokens are seen too
