"""`generate` goes on with a prompt as the network itself would, and says what of a long one it does not see."""

import json
from pathlib import Path

from tests.inference.conftest import Runs
from tests.inference.runs import Made, Shell, copied


def greedy(made: Made, prompt: str, count: int) -> list[int]:
    """The likeliest tokens after the prompt, one by one, each from the last that the context holds."""
    ids = made.ids(prompt)
    for _ in range(count):
        ids.append(int(made.log_probabilities(ids[-made.run.context_length :])[-1].argmax()))
    return ids[-count:]


def test_it_writes_the_likeliest_tokens(runs: Runs, ask: Shell) -> None:
    made = runs("gpt")
    status, out, err = ask("generate", made.path, "--prompt", "the head", "--temperature", 0, "--max-new-tokens", 30)
    written = made.run.tokenizer.decode(greedy(made, "the head", 30))
    assert (status, out, err) == (0, f"the head{written}\n", "")


def test_words_are_parted_from_the_prompt(runs: Runs, ask: Shell) -> None:
    made = runs("gpt words")
    words = made.run.tokenizer.decode(greedy(made, "the head", 3))
    for prompt in ("the head", "the head "):
        out = ask("generate", made.path, "--prompt", prompt, "--temperature", 0, "--max-new-tokens", 3, "--json")[1]
        assert json.loads(out) == {"prompt": prompt, "text": f"the head {words}"}


def test_a_prompt_longer_than_the_context_is_told(runs: Runs, ask: Shell) -> None:
    made = runs("gpt")
    command = ("--temperature", 0, "--max-new-tokens", 5)
    prompt = "head of the model learns from a token"
    assert len(prompt) > 32
    status, out, err = ask("generate", made.path, "--prompt", prompt, *command)
    assert status == 0
    assert err == f"the prompt has {len(prompt)} tokens: the network sees the last 32 (model.context_length)\n"
    last, short, silent = ask("generate", made.path, "--prompt", prompt[-32:], *command)
    assert (last, silent) == (0, "")
    assert out.removeprefix(prompt) == short.removeprefix(prompt[-32:])


def test_with_too_long_refuse_such_a_prompt_is_refused(runs: Runs, ask: Shell, tmp_path: Path) -> None:
    strict = copied(runs("gpt").path, tmp_path / "strict", data__too_long="refuse")
    command = ("--temperature", 0, "--max-new-tokens", 5)
    status, out, err = ask("generate", strict, "--prompt", "a" * 33, *command)
    assert (status, out) == (2, "") and "Traceback" not in err
    assert err == (
        f"the prompt is longer than the context\n  got      33 tokens: '{'a' * 33}'\n"
        "  allowed  32 (model.context_length; the run has data.too_long=refuse)\n  fix      give the end of it alone\n"
    )
    status, out, err = ask("generate", strict, "--prompt", "a" * 32, *command)  # what is written may go on past it
    assert (status, err) == (0, "") and len(out) == 32 + 5 + 1


def test_a_gpt_that_classifies_as_text_writes_too(runs: Runs, ask: Shell) -> None:
    made = runs("gpt text")
    out = ask("generate", made.path, "--prompt", "a warm film is", "--temperature", 0)[1]
    assert out.startswith("a warm film is ") and "<eot>" not in out
    assert ask("generate", made.path, "--prompt", "", "--temperature", 0, "--max-new-tokens", 2)[0] == 0
