"""The sweep file: W&B's grammar, and every mistake with its line and its fix."""

from pathlib import Path

import pytest

from lit_transformer.config.errors import ConfigError, UserError
from lit_transformer.sweep.distributions import Beta, CategoricalWithProbabilities, IntUniform, QLogNormal, Uniform
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
        (GOOD + "run_cap: 0\n", ["run_cap", ":4", "got      0", "an integer, 1 or more"]),
        (GOOD + "run_cap: many\n", ["run_cap", ":4", "'many'"]),
        (GOOD.replace("grid", "grdi"), ["method", ":1", "'grdi'", "grid, random, bayes", "did you mean grid"]),
        (GOOD.replace("grid", "custom"), ["method", "'custom'", "write grid"]),
        (GOOD + "job: x\n", ["job", ":4", "W&B Launch", "write program: train.py"]),
        (GOOD + "program: 3\n", ["program", ":4", "a text"]),
        (GOOD + "name: ''\n", ["name", ":4", "a text"]),
        (GOOD + "early_terminate: 3\n", ["early_terminate", ":4", "write early_terminate: {type: hyperband"]),
        (GOOD + "early_terminate: {min_iter: 3}\n", ["early_terminate.type", "no type", "write type: hyperband"]),
        (
            GOOD + "early_terminate: {type: hyperbnad, min_iter: 3}\n",
            ["early_terminate.type", "did you mean hyperband"],
        ),
        (GOOD + "early_terminate: {type: hyperband}\n", ["none of them", "max_iter: 27 and s: 2"]),
        (GOOD + "early_terminate: {type: hyperband, max_iter: 9}\n", ["got      max_iter", "max_iter with s"]),
        (
            GOOD + "early_terminate: {type: hyperband, max_iter: 2, s: 1}\n",
            ["max_iter 2 and eta 3", "there is no band"],
        ),
        (GOOD + "early_terminate: {type: hyperband, min_iter: 0}\n", ["early_terminate.min_iter", "1 or more"]),
        (GOOD + "early_terminate: {type: hyperband, min_iter: 1, eta: 1}\n", ["early_terminate.eta", "above 1"]),
        (
            GOOD + "early_terminate:\n  type: hyperband\n  min_iter: 1\n  strict: yes\n",
            ["early_terminate.strict", ":7"],
        ),
        (
            GOOD + "early_terminate: {type: hyperband, min_itr: 1}\n",
            ["an unknown key min_itr", "did you mean min_iter"],
        ),
        (GOOD + "command: lit-transformer trial\n", ["command", 'write command: ["lit-transformer", "trial"]']),
        (GOOD + "command: []\n", ["command", "a list of words"]),
        (GOOD + "command: [python, '${arg}']\n", ["command", ":4", "'${arg}'", "did you mean ${args}"]),
        (GOOD + "command: [python, '${HOME}']\n", ["command", "${envvar:HOME}"]),
        (GOOD + "command: ['${program}']\n", ["command", "${program} and no program", "write program: train.py"]),
        (GOOD + "command: [[python]]\n", ["command", "words"]),
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
        (GOOD + "  seed: {min: 3}\n", ["without max", "give max"]),
        (GOOD + "  seed: {min: 3, max: 1}\n", ["min 3, max 1", "swap"]),
        (GOOD + "  seed: {min: 3, max: 3}\n", ["min 3, max 3", "write seed: {value: 3}"]),
        (GOOD + "  seed: {min: true, max: 3}\n", ["seed.min", "got      true", "a number"]),
        (GOOD + "  seed: {min: 0, max: 1000000}\n", ["int_uniform with more", "100000 values"]),
        (
            GOOD + "  seed: {min: 0, max: 3, q: 2}\n",
            ["an unknown key q for int_uniform", "write distribution: q_uniform"],
        ),
        (GOOD + "  1seed: {value: 3}\n", ["'1seed'", "a letter or _ first"]),
        (GOOD + "  model: {parameters: {}}\n", ["model.parameters", "an empty mapping"]),
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
        (GOOD + "metric: {name: val/loss, target: low}\n", ["metric.target", "'low'", "a number"]),
        (GOOD + "metric: {name: val/loss, impute: wrost}\n", ["metric.impute", "did you mean worst"]),
        (GOOD + "metric: {name: val/loss, impute_while_running: 1}\n", ["metric.impute_while_running", "worst, best"]),
        (GOOD + "metric:\n  name: val/loss\n  gaol: maximize\n", ["metric.gaol", ":6", "did you mean goal"]),
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
        "method: byaes\nfoo: 1\nmetric: {name: 3}\nparameters:\n"
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


RANDOM = GOOD.replace("grid", "random")


@pytest.mark.parametrize(
    ("parameter", "words"),
    [
        ("lr: {distribution: normal, sigma: 0}", ["lr.sigma", "a number above 0", "write lr: {value: 0}"]),
        ("lr: {distribution: beta, a: 0}", ["lr.a", "a number above 0"]),
        ("lr: {distribution: q_normal, q: -1}", ["lr.q", "got      -1"]),
        ("lr: {distribution: normal, mu: .nan}", ["lr.mu", "nan", "a number"]),
        ("lr: {distribution: log_uniform_values, min: 0, max: 1}", ["lr.min", "above 0 for log_uniform_values"]),
        ("lr: {distribution: log_uniform, min: 10, max: 1000}", ["exponents of e", "did you mean log_uniform_values"]),
        ("lr: {distribution: uniform, min: 1}", ["uniform without max"]),
        ("lr: {distribution: int_uniform, min: 0.5, max: 2}", ["integers for int_uniform"]),
        ("lr: {mu: 0, sigma: 1}", ["neither value nor values, but mu, sigma", "distribution: normal"]),
        ("lr: {values: [1, 2], probabilities: [0.5]}", ["lr.probabilities", "1 of them", "a list of 2"]),
        ("lr: {values: [1, 2], probabilities: [0.5, 0.6]}", ["add up to 1.1", "[0.4545, 0.5455]"]),
        ("lr: {values: [1, 2], probabilities: [-0.5, 1.5]}", ["-0.5", "not negative"]),
        ("lr: {values: [1, 1], probabilities: [0.5, 0.5]}", ["1 twice"]),
        ("lr: {values: [1, 2], probabilities: [0.5, x]}", ["lr.probabilities", "'x'", "a number"]),
        ("lr: {values: [1], distribution: categorical, probabilities: [1]}", ["categorical_w_probabilities"]),
        ("lr: {distribution: bta}", ["lr.distribution", "'bta'", "did you mean beta"]),
    ],
)
def test_mistakes_in_distributions(tmp_path: Path, parameter: str, words: list[str]) -> None:
    with pytest.raises(ConfigError) as error:
        read(tmp_path, f"{RANDOM}  {parameter}\n")
    (problem,) = error.value.problems
    assert problem.origin.endswith("sweep.yaml:4")
    for word in words:
        assert word in str(problem)


def test_every_key_of_the_grammar(tmp_path: Path) -> None:
    text = (
        RANDOM
        + """run_cap: 20
name: heads
description: about heads
project: p
entity: e
metric: {name: val/loss, goal: maximize, target: 0.9, impute: latest, impute_while_running: best}
early_terminate: {type: hyperband, max_iter: 27, s: 2, eta: 2.5, strict: false}
controller: {type: cloud}
kind: sweep
program: train.py
command: ["${env}", "${interpreter}", "${program}", "--out", 3, "${args}", "x${envvar:HOME}y", "${envvar:HOME}"]
"""
    )
    sweep = read(tmp_path, text)
    metric, stop = sweep.metric, sweep.early_terminate
    assert (sweep.method, sweep.run_cap, sweep.name, sweep.description) == ("random", 20, "heads", "about heads")
    assert (sweep.project, sweep.entity, sweep.program) == ("p", "e", "train.py")
    assert (metric.goal, metric.target, metric.impute, metric.impute_while_running) == (
        "maximize",
        0.9,
        "latest",
        "best",
    )
    assert stop is not None
    assert (stop.min_iter, stop.max_iter, stop.s, stop.eta, stop.strict) == (None, 27, 2, 2.5, False)
    assert sweep.command == ("${env}", "${interpreter}", "${program}", "--out", "3", "${args}", "x${envvar:HOME}y",
                             "${envvar:HOME}")  # fmt: skip
    assert not sweep.ours


def test_what_is_left_out(tmp_path: Path) -> None:
    sweep = read(tmp_path, GOOD + "early_terminate: {type: hyperband, min_iter: 3}\nmetric: {name: val/loss}\n")
    assert sweep.early_terminate is not None
    assert (sweep.early_terminate.eta, sweep.early_terminate.strict, sweep.early_terminate.max_iter) == (3, True, None)
    assert (sweep.metric.impute, sweep.metric.impute_while_running, sweep.metric.target) == ("worst", None, None)
    assert (sweep.run_cap, sweep.command, sweep.ours) == (None, None, True)


@pytest.mark.parametrize("env", ["'${env}', ", ""])
def test_our_own_command_in_either_form(tmp_path: Path, env: str) -> None:
    text = GOOD + f"program: lit-transformer\ncommand: [{env}lit-transformer, trial, '${{args_json_file}}']\n"
    assert read(tmp_path, text).ours


def test_a_program_needs_no_experiment(tmp_path: Path) -> None:
    text = "method: grid\nprogram: train.py\nparameters: {lr: {values: [1, 2]}}\n"
    assert not read(tmp_path, text).ours


def test_distributions_by_name_and_by_type(tmp_path: Path) -> None:
    text = (
        RANDOM
        + """  a: {min: 1, max: 3}
  b: {min: 1, max: 3.0}
  c: {min: 1.5, max: 3}
  d: {values: [1, 2], probabilities: [0.25, 0.75]}
  e: {distribution: q_log_normal, mu: 1}
  f: {parameters: {g: {parameters: {h: {distribution: beta, b: 2}}}}}
"""
    )
    found = {item.key: item for item in read(tmp_path, text).parameters}
    assert found["a"].distribution == IntUniform(min=1, max=3)
    assert found["a"].values == (1, 2, 3)
    assert found["b"].distribution == Uniform(min=1, max=3.0)
    assert found["c"].distribution == Uniform(min=1.5, max=3)
    assert found["d"].distribution == CategoricalWithProbabilities(values=[1, 2], probabilities=[0.25, 0.75])
    assert found["e"].distribution == QLogNormal(mu=1, sigma=1.0, q=1.0)
    assert found["f.g.h"].distribution == Beta(a=1.0, b=2)
    assert found["f.g.h"].place == ("f", "g", "h")
    assert found["b"].values == found["f.g.h"].values == ()


def test_log_uniform_is_said_to_take_exponents(tmp_path: Path) -> None:
    text = RANDOM + "  optimizer.lr: {distribution: log_uniform, min: 0.001, max: 0.1}\n"
    (note,) = read(tmp_path, text).notes
    for word in ("sweep.yaml:4", "optimizer.lr", "from 1 to 1.11", "log_uniform_values"):
        assert word in note
    assert read(tmp_path, text.replace("log_uniform", "log_uniform_values")).notes == ()


def test_a_missing_file_and_a_folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    with pytest.raises(UserError, match="did you mean demo"):
        find_sweep("dmeo")
    with pytest.raises(UserError, match=r"one of: .*demo(.|\n)*did you mean demo\?"):
        find_sweep("sweeps/dem.yaml")  # a path that is wrong is answered like a name
    with pytest.raises(UserError, match="is a directory"):
        find_sweep(str(tmp_path))
    monkeypatch.chdir(tmp_path)
    assert find_sweep("demo").name == "demo.yaml"
