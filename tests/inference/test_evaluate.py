"""`evaluate` tells with which settings of sacrebleu its BLEU and chrF were computed."""

import json

import pytest

from lit_transformer.inference.evaluate import evaluate
from lit_transformer.tasks.text_metrics import signatures
from tests.inference.conftest import Runs
from tests.inference.runs import Shell


@pytest.mark.parametrize(("name", "signed"), [("translation", ["bleu", "chrf"]), ("answers", ["bleu"]), ("gpt", [])])
def test_signatures_go_with_the_metrics_that_have_them(runs: Runs, ask: Shell, name: str, signed: list[str]) -> None:
    made = runs(name)
    metrics = evaluate(made.path, "test")
    expected = {f"test/{metric}": signatures()[metric] for metric in signed}
    status, out, err = ask("evaluate", made.path)
    assert status == 0
    assert out.splitlines() == [f"{metric} {value:.6g}" for metric, value in metrics.items()]
    told = [line for line in err.splitlines() if not line.startswith("wrote ")]
    assert told == [f"{metric} is sacrebleu's {signature}" for metric, signature in expected.items()]
    shown = json.loads(ask("evaluate", made.path, "--json")[1])
    assert shown == pytest.approx(metrics) if not signed else shown.pop("signatures") == expected
    assert shown == pytest.approx(metrics)
    assert all("version:" in signature for signature in expected.values())
