"""Each verb says what it needs when it is given another kind of run; none of them shows a traceback."""

import pytest

from tests.inference.conftest import Runs
from tests.inference.runs import Shell

ARGUMENTS = {
    "translate": ["red"],
    "fill": ["the [MASK]"],
    "classify": ["a film", "--template", "{text}", "--labels", "a, b"],
    "choose": ["a", "b", "c"],
    "generate": ["--prompt", "the"],
}
NEEDS = {
    "translate": "a run of the task translation or text_to_text",
    "fill": "a run of the task language_model with model.kind bert, t5 or glm",
    "classify": "a run of the task classification, or a GPT with --template and --labels",
    "choose": "a run of the task multiple_choice, or a GPT",
    "generate": "a GPT without a head: task language_model, or objective.name=text",
}
ANSWERS = {
    "translation": "translate",
    "answers": "translate",
    "gpt": "generate classify choose",
    "bert": "fill",
    "t5": "fill",
    "glm": "fill",
    "bert classes": "classify",
    "gpt classes": "classify",
    "gpt text": "generate classify choose",
    "t5 text": "classify",
    "choices": "choose",
    "choices text": "generate classify choose",
}
"""Run -> the verbs that it answers."""


@pytest.mark.parametrize("name", ANSWERS)
def test_a_wrong_run_is_one_screen_that_names_what_is_needed(runs: Runs, ask: Shell, name: str) -> None:
    made, answered = runs(name), ANSWERS[name].split()
    for verb, arguments in ARGUMENTS.items():
        status, out, err = ask(verb, made.path, *arguments)
        if verb in answered and name not in ("bert classes", "gpt classes"):
            assert status == 0 and out, err
        elif verb in answered:
            assert status == 2 and "a run with a head of its own" in err
        else:
            assert (status, out) == (2, "")
            assert err.startswith(f"{verb} cannot use {made.path}\n  got      task {made.run.config.task}, ")
            assert f"\n  allowed  {NEEDS[verb]}\n" in err and "Traceback" not in err
            assert err.splitlines()[-1].startswith("  fix      ask it with ")
            assert all(word in err.splitlines()[-1] for word in answered)
