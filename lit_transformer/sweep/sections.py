"""The sections of a sweep file beside its parameters: the metric, early_terminate, the command."""

import re
from dataclasses import dataclass
from typing import Literal, get_args

from lit_transformer.config.suggest import did_you_mean
from lit_transformer.config.yaml_lines import Located
from lit_transformer.sweep.reading import Reader

DEFAULT_METRIC = "val/loss"
Impute = Literal["worst", "best", "latest"]
METRIC = ("name", "goal", "target", "impute", "impute_while_running")
EARLY_TERMINATE = ("type", "min_iter", "max_iter", "s", "eta", "strict")
MACROS = ("env", "interpreter", "program", "args", "args_no_hyphens", "args_no_boolean_flags", "args_no_equals",
          "args_json", "args_json_file", "args_append_hydra", "args_override_hydra", "envvar:NAME")  # fmt: skip
"""What `${...}` may name in a command: those of W&B's agent."""
ENVIRONMENT_VARIABLE = re.compile(r"\$\{envvar:([A-Z0-9_]*)\}")
TRIAL = ("lit-transformer", "trial", "${args_json_file}")
"""The command of a sweep over our own experiments; `${env}` may stand before it."""


@dataclass(frozen=True, kw_only=True)
class Metric:
    """What a sweep's cells are compared by."""

    name: str = DEFAULT_METRIC
    goal: str = "minimize"
    origin: str = "default"
    target: float | None = None
    """A value after which no cell is begun any more, as soon as one has reached it."""
    impute: Impute = "worst"
    """What bayes takes a failed cell's value for: the worst of all, or the cell's own best or latest."""
    impute_while_running: Impute | None = None
    """The same for a cell that runs; None leaves it out."""


@dataclass(frozen=True, kw_only=True)
class EarlyTerminate:
    """W&B's hyperband: a band is a count of logged values of the metric, at which all but 1/eta of the runs end.

    With `max_iter` (then `s` is given too) the bands lie at max_iter / eta, ... / eta ** s; else at min_iter, min_iter
    * eta, ...
    """

    min_iter: int | None = None
    max_iter: int | None = None
    s: int | None = None
    eta: float = 3.0
    strict: bool = True
    """Compare the value at the band, as W&B's newest code does unless told otherwise; else the best so far."""
    origin: str = "default"


def read_metric(item: Located | None, reader: Reader) -> Metric:
    """The metric; W&B's defaults where it leaves something out."""
    if item is None:
        return Metric()
    keys = reader.section("metric", item, METRIC, f"write metric: {{name: {item.plain()}, goal: minimize}}")
    if keys is None:
        return Metric()
    if "name" not in keys:
        reader.wrong("metric.name", item, "a metric, such as val/loss", got="no name")
    name = reader.text("metric.name", keys.get("name"), "a metric, such as val/loss")
    imputes = get_args(Impute)
    running = keys.get("impute_while_running")
    if running is not None and running.value is False:
        running = None
    while_running = reader.choice("metric.impute_while_running", running, [*imputes, "false"], "false")
    impute = reader.choice("metric.impute", keys.get("impute"), imputes, "worst")
    return Metric(
        name=name or DEFAULT_METRIC,
        goal=reader.choice("metric.goal", keys.get("goal"), ("minimize", "maximize"), "minimize"),
        origin=reader.at(keys.get("name", item)),
        target=reader.number("metric.target", keys.get("target")),
        impute=next(word for word in imputes if word == impute),
        impute_while_running=next((word for word in imputes if word == while_running), None),
    )


def read_early_terminate(item: Located | None, reader: Reader) -> EarlyTerminate | None:
    """When cells are stopped early; None where they are not."""
    if item is None:
        return None
    key, example = "early_terminate", "write early_terminate: {type: hyperband, min_iter: 3}"
    keys = reader.section(key, item, EARLY_TERMINATE, example)
    if keys is None:
        return None
    before = len(reader.problems)
    if "type" not in keys:
        reader.wrong(f"{key}.type", item, "hyperband", got="no type", fix="write type: hyperband")
    reader.choice(f"{key}.type", keys.get("type"), ("hyperband",), "hyperband")
    eta = reader.number(f"{key}.eta", keys.get("eta"), above=1)
    found = EarlyTerminate(
        min_iter=reader.whole(f"{key}.min_iter", keys.get("min_iter"), least=1),
        max_iter=reader.whole(f"{key}.max_iter", keys.get("max_iter"), least=1),
        s=reader.whole(f"{key}.s", keys.get("s"), least=1),
        eta=EarlyTerminate.eta if eta is None else eta,
        strict=reader.flag(f"{key}.strict", keys.get("strict"), default=EarlyTerminate.strict),
        origin=reader.at(item),
    )
    if len(reader.problems) > before:
        return None
    if (found.max_iter is None) != (found.s is None) or (found.max_iter is None and found.min_iter is None):
        given = ", ".join(word for word in ("min_iter", "max_iter", "s") if word in keys) or "none of them"
        fix = "write min_iter: 3, or max_iter: 27 and s: 2"
        reader.wrong(key, item, "min_iter, or max_iter with s", got=given, fix=fix)
    elif found.max_iter is not None and found.max_iter / found.eta < 1:
        got = f"max_iter {found.max_iter} and eta {found.eta:g}"
        reader.wrong(
            f"{key}.max_iter",
            item,
            "a max_iter of eta or more, else there is no band",
            got=got,
            fix="a larger max_iter",
        )
    return found


def read_command(item: Located | None, program: str | None, reader: Reader) -> tuple[str, ...] | None:
    """The words that start a cell; None where the file has no command."""
    if item is None:
        return None
    if not isinstance(item.value, list) or not item.value:
        given = item.plain()
        words = ", ".join(f'"{word}"' for word in given.split()) if isinstance(given, str) else '"${env}", ...'
        reader.wrong("command", item, "a list of words", fix=f"write command: [{words}]")
        return None
    for inner in item.value:
        _check_word(inner, program, reader)
    return tuple(str(inner.plain()) for inner in item.value)


def _check_word(item: Located, program: str | None, reader: Reader) -> None:
    if isinstance(item.value, dict | list) or item.value is None:
        reader.wrong("command", item, "words", fix="quote it: a macro with quotes is a word")
        return
    word = ENVIRONMENT_VARIABLE.sub("", str(item.value))
    if not word.startswith("${") or not word.endswith("}"):
        return
    macro = word[2:-1]
    if macro not in MACROS:
        guess = did_you_mean(macro, MACROS)
        fix = f"${{envvar:{macro}}} is an environment variable"
        allowed = " ".join(f"${{{name}}}" for name in MACROS)
        reader.wrong("command", item, allowed, fix=f"did you mean ${{{guess}}}?" if guess else fix)
    elif macro == "program" and program is None:
        reader.wrong(
            "command",
            item,
            "${program} beside program:",
            got="${program} and no program",
            fix="write program: train.py",
        )


def is_ours(command: tuple[str, ...] | None, program: str | None) -> bool:
    """Whether a sweep trains our experiments: its command is `lit-transformer trial`, or it names nothing to run."""
    if command is None:
        return program is None
    return command[command[0] == "${env}" :] == TRIAL
