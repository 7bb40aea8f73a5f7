"""The sweep file: W&B's grammar, and every mistake with its line and its fix."""

from pathlib import Path

import pytest

from lit_transformer.config.errors import ConfigError, UserError
from lit_transformer.sweep.file import find_sweep, read_sweep

GOOD = """method: grid
parameters:
  experiment: {value: gpt_tiny}
"""


def read(tmp_path: Path, text: str):  # type: ignore[no-untyped-def]
    path = tmp_path / "sweep.yaml"
    path.write_text(text, encoding="utf-8")
    return read_sweep(path)


def test_nested_and_dotted_parameters_are_the_same(tmp_path: Path) -> None:
    text = (
        GOOD
        + """  model.num_heads: {values: [1, 2]}
  model: {parameters: {num_layers: {min: 1, max: 3}, dropout: {distribution: q_uniform, min: 0, max: 0.2, q: 0.1}}}
  optimizer: {parameters: {lr: {value: 0.1}}}
  seed: {distribution: int_uniform, min: 0, max: 1}
"""
    )
    sweep = read(tmp_path, text)
    assert {item.key: (item.values, item.swept) for item in sweep.parameters} == {
        "experiment": (("gpt_tiny",), False),
        "model.num_heads": ((1, 2), True),
        "model.num_layers": ((1, 2, 3), True),
        "model.dropout": ((0.0, 0.1), True),
        "optimizer.lr": ((0.1,), False),
        "seed": ((0, 1), True),
    }
    assert [item.key for item in sweep.parameters] == sorted(item.key for item in sweep.parameters)
    assert sweep.name == "sweep"
    assert (sweep.metric.name, sweep.metric.goal) == ("val/loss", "minimize")


def test_keys_of_wandbs_own_agent_are_harmless(tmp_path: Path) -> None:
    more = "name: heads\ndescription: x\nproject: p\nentity: e\nprogram: train.py\ncommand: ['${env}', python]\n"
    assert read(tmp_path, GOOD + more).name == "heads"


@pytest.mark.parametrize(
    ("text", "words"),
    [
        (GOOD + "metrics: {name: val/loss}\n", ["metrics", "sweep.yaml:4", "did you mean metric"]),
        (GOOD + "early_terminate: {type: hyperband, min_iter: 3}\n", ["early_terminate", ":4", "not there yet"]),
        (GOOD + "run_cap: 3\n", ["run_cap", "not there yet"]),
        (GOOD.replace("grid", "random"), ["method", ":1", "random sweeps are not there yet"]),
        (GOOD.replace("grid", "bayes"), ["method", "bayes sweeps are not there yet"]),
        (GOOD.replace("grid", "grdi"), ["method", "'grdi'", "write method: grid"]),
        ("parameters: {experiment: {value: gpt_tiny}}\n", ["no method"]),
        ("method: grid\n", ["no parameters"]),
        ("method: grid\nparameters: {seed: {values: [1]}}\n", ["no experiment", "write experiment: {value: gpt_tiny}"]),
        (GOOD + "  seed: {values: []}\n", ["seed.values", ":4", "an empty list"]),
        (GOOD + "  seed: {values: [1, 2, 1]}\n", ["seed.values", "1 twice", "--seeds"]),
        (GOOD + "  seed: {values: [1, 1.0]}\n", ["seed.values", "1"]),
        (GOOD + "  seed: {value: 1, max: 2}\n", ["seed.max", "an unknown key max"]),
        (GOOD + "  seed: {valeus: [1]}\n", ["seed", "valeus: did you mean values"]),
        (GOOD + "  seed: 3\n", ["seed", "got      3", "write seed: {value: 3}"]),
        (GOOD + "  seed: [1, 2]\n", ["write seed: {values: [1, 2]}"]),
        (GOOD + "  seed: {values: 3}\n", ["seed.values", "a list"]),
        (GOOD + "  seed: {min: 3}\n", ["without max"]),
        (GOOD + "  seed: {min: 3, max: 1}\n", ["min 3, max 1", "swap"]),
        (GOOD + "  seed: {distribution: int_uniform, min: 0.5, max: 2}\n", ["integers"]),
        (GOOD + "  optimizer.lr: {min: 0.1, max: 0.5}\n", ["uniform in a grid", "list the values"]),
        (
            GOOD + "  optimizer.lr: {distribution: log_uniform_values, min: 0.1, max: 1}\n",
            ["log_uniform_values in a grid"],
        ),
        (GOOD + "  optimizer.lr: {distribution: q_unifrom, min: 0, max: 1}\n", ["did you mean q_uniform"]),
        (GOOD + "  optimizer.lr: {distribution: q_uniform, min: 0, max: 1, q: 0}\n", ["optimizer.lr.q", "above 0"]),
        (GOOD + "  seed: {values: [1], probabilities: [1]}\n", ["categorical_w_probabilities in a grid"]),
        (GOOD + "  seed: {value: 1}\n  seed: {value: 2}\n", ["seed stands twice"]),
        (GOOD + "  optimizer.lr: {value: 1}\n  optimizer: {parameters: {lr: {value: 2}}}\n", ["the key twice", ":5"]),
        (GOOD + "  optimizer: {parameters: {lr: {value: 2}}, lr: 3}\n", ["optimizer.lr", "lr beside parameters"]),
        (GOOD + "metric: val/loss\n", ["metric", "write metric: {name: val/loss"]),
        (GOOD + "metric: {goal: minimize}\n", ["metric.name"]),
        (GOOD + "metric: {name: val/loss, goal: min}\n", ["metric.goal", "minimize, maximize"]),
        (GOOD + "metric: {name: val/loss, target: 1}\n", ["metric.target", "bayes"]),
        ("- 1\n", ["a mapping"]),
        ("method: [\n", ["sweep.yaml:", "not YAML"]),
    ],
)
def test_mistakes(tmp_path: Path, text: str, words: list[str]) -> None:
    with pytest.raises(UserError) as error:
        read(tmp_path, text)
    for word in words:
        assert word in str(error.value)


def test_all_mistakes_at_once(tmp_path: Path) -> None:
    text = (
        "method: bayes\nfoo: 1\nmetric: {name: 3}\nparameters:\n"
        "  seed: {values: []}\n  model: {parameters: {d: {value: 1, q: 2}}}\n"
    )
    with pytest.raises(ConfigError) as error:
        read(tmp_path, text)
    assert {problem.key for problem in error.value.problems} == {
        "method",
        "foo",
        "metric.name",
        "seed.values",
        "model.d.q",
    }
    assert [problem.origin.rsplit(":", 1)[1] for problem in error.value.problems] == ["2", "1", "3", "5", "6"]


def test_a_missing_file_and_a_folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    with pytest.raises(UserError, match="did you mean demo"):
        find_sweep("dmeo")
    with pytest.raises(UserError, match="is a directory"):
        find_sweep(str(tmp_path))
    monkeypatch.chdir(tmp_path)
    assert find_sweep("demo").name == "demo.yaml"
