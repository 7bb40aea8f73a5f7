"""Records what W&B's own `sweeps` package answers; run once, by hand, and never by the tests.

    python -m venv VENV && VENV/bin/pip install sweeps==0.2.0
    VENV/bin/python tests/sweep/oracle/record.py

It writes `ppf.json.gz`, `grid.json.gz` and `hyperband.json.gz` beside itself, 10,000 random specifications in all, from
fixed seeds. The tests read them and need no `sweeps` package. Each file is one JSON object, {"note", "cases"}.

ppf        cases: {"parameter": as in a sweep file, "type": the distribution's name, "u": [...], "values": [...]}.
           NaN, Infinity and -Infinity stand as Python's json writes them.
grid       cases: {"parameters": as in a sweep file, "cells": [{...}, ...]}: W&B's run configurations, nested, in order.
hyperband  cases: {"early_terminate": as in a sweep file, "goal", "runs": [{"state", "history": [...]}], "main",
           "release"}.
           A history is what a run logged of the metric; null, NaN and text are values that W&B passes over. `main` and
           `release` are answers: {"bands": [...], "thresholds": [...], "stop": [indices into runs]}; a threshold of
           null is infinite (no run came so far), and bands above 1,000 are left out, for no history is so long.
           `release` is version 0.2.0, which does not know `strict` and looks at the value after a band's. `main` is the
           rule of the repository's main branch: `strict`, true where it is left out (its schema says so), compares the
           value at the band instead of the lowest so far. It is made from the release by the replacements in MAIN.
"""

import gzip
import inspect
import json
import math
import random
import warnings
from pathlib import Path

warnings.filterwarnings("ignore")
from sweeps.params import HyperParameter  # noqa: E402

import sweeps  # noqa: E402
from sweeps import hyperband_stopping  # noqa: E402

HERE = Path(__file__).parent
SPECS = {"ppf": 5000, "grid": 2500, "hyperband": 2500}
MAIN = [
    ("h[band] for h in all_run_histories if len(h) > band", "h[band - 1] for h in all_run_histories if len(h) >= band"),
    ("if band < len(history):", "if band <= len(history):"),
    ("min(history) > closest_threshold", "(history[closest_band - 1] if STRICT else min(history)) > closest_threshold"),
]  # fmt: skip


def write(name: str, note: str, cases: list) -> None:
    text = json.dumps({"note": note, "cases": cases}, separators=(",", ":"))
    with (HERE / f"{name}.json.gz").open("wb") as file, gzip.GzipFile("", "wb", 9, file, mtime=0) as packed:
        packed.write(text.encode())
    print(name, len(cases), (HERE / f"{name}.json.gz").stat().st_size)


def record_ppf() -> None:
    pick, cases = random.Random(1), []
    while len(cases) < SPECS["ppf"]:
        name = NAMES[len(cases) % len(NAMES)]
        parameter = random_parameter(pick, name)
        known = HyperParameter("x", parameter)
        us = [round(pick.random(), pick.choice([2, 6])) for _ in range(3)]
        us = [min(max(u, 1e-6), 1 - 1e-6) for u in us] + ([1.0] if pick.random() < 0.3 else [])
        if name.endswith("normal") and isinstance(parameter.get("q"), int):
            us = [u for u in us if u < 1]  # numpy makes an integer of infinity: the least there is
        values = [plain(known.ppf(u)) for u in us]
        cases.append({"parameter": parameter, "type": name, "u": us, "values": values})
    write("ppf", "sweeps 0.2.0: HyperParameter(x, parameter).ppf(u)", cases)


NAMES = ["constant", "categorical", "categorical_w_probabilities", "int_uniform", "uniform", "q_uniform", "log_uniform",
         "log_uniform_values", "q_log_uniform", "q_log_uniform_values", "inv_log_uniform", "inv_log_uniform_values",
         "normal", "q_normal", "log_normal", "q_log_normal", "beta", "q_beta"]  # fmt: skip
INFERRED = ("constant", "categorical", "categorical_w_probabilities", "int_uniform", "uniform")


def random_parameter(pick: random.Random, name: str) -> dict:
    named = {"distribution": name} if name not in INFERRED or pick.random() < 0.5 else {}
    if name == "constant":
        return {"value": random_value(pick), **named}
    if name.startswith("categorical"):
        values = distinct(pick, pick.randint(1, 6))
        if name == "categorical":
            return {"values": values, **named}
        shares = [pick.choice([0, 1, 1, 2, 3, 5]) for _ in values]
        total = sum(shares) or 1
        shares = shares if sum(shares) else [1, *shares[1:]]
        return {"values": values, "probabilities": [share / total for share in shares], **named}
    found: dict = dict(named)
    if name.endswith("normal"):
        found |= maybe(pick, mu=round(pick.uniform(-3, 3), 2), sigma=round(pick.uniform(0.1, 2), 2))
    elif name.endswith("beta"):
        found |= maybe(pick, a=round(pick.uniform(0.2, 6), 2), b=pick.randint(1, 5))
    elif name == "int_uniform":
        low = pick.randint(-10, 60)
        found |= {"min": low, "max": low + pick.randint(1, 200)}
    elif name.endswith("_values"):
        low = 10 ** round(pick.uniform(-6, 2), 2)
        found |= {"min": low, "max": low * pick.choice([2, 10, 1000])}
    elif "log_uniform" in name:
        low = pick.choice([round(pick.uniform(-12, 2), 2), pick.randint(-12, 2)])
        found |= {"min": low, "max": low + pick.choice([1, 2.5, 8])}
    else:
        whole = pick.random() < 0.3 and (name != "uniform" or bool(named))
        low = pick.randint(-5, 5) if whole else round(pick.uniform(-5, 5), 3) + 1e-4
        found |= {"min": low, "max": low + (pick.randint(1, 40) if whole else round(pick.uniform(0.5, 40), 2))}
    if name.startswith("q_"):
        found |= maybe(pick, q=pick.choice([1, 2, 8, 16, 0.5, 0.25, 0.1, 0.01, 3.0]))
    return found


def maybe(pick: random.Random, **values: object) -> dict:
    return {key: value for key, value in values.items() if pick.random() < 0.8}


def random_value(pick: random.Random) -> object:
    kinds = [pick.randint(-3, 99), round(pick.uniform(-2, 2), 3), pick.choice("abcde") * pick.randint(1, 4), None, True,
             False, [1, "x"], {"k": pick.randint(0, 3)}]  # fmt: skip
    return pick.choice(kinds)


def distinct(pick: random.Random, count: int) -> list:
    found: dict[str, object] = {}
    while len(found) < count:
        value = random_value(pick)
        # W&B's grid takes 1, 1.0 and true for what they are; they are no duplicates, but two of them read alike
        found.setdefault(json.dumps(float(value) if isinstance(value, int | float) else value), value)
    return list(found.values())


def plain(value: object) -> object:
    return value.item() if hasattr(value, "item") else value


def record_grid() -> None:
    pick, cases = random.Random(2), []
    while len(cases) < SPECS["grid"]:
        parameters = random_parameters(pick, 0)
        if len({*dotted(parameters)}) < len([*dotted(parameters)]):
            continue  # a.b and, under a, b: two parameters for W&B, one setting twice for us
        runs = sweeps.next_runs({"method": "grid", "parameters": parameters}, [], n=61)
        if runs[-1] is not None:  # more than 60 cells
            continue
        cells = [{key: item["value"] for key, item in run.config.items()} for run in runs[:-1]]
        cases.append({"parameters": parameters, "cells": cells})
    write("grid", "sweeps 0.2.0: next_runs of a grid until there is none", cases)


def dotted(parameters: dict, prefix: str = "") -> list:
    found: list = []
    for key, item in parameters.items():
        inner = item.get("parameters")
        found += [f"{prefix}{key}"] if inner is None else dotted(inner, f"{prefix}{key}.")
    return found


def random_parameters(pick: random.Random, depth: int) -> dict:
    names = ["a", "b", "a.b", "a-b", "a_b", "B", "lr", "model", "model.d", "z"]
    found = {}
    for name in pick.sample(names, pick.randint(1, 4 - depth)):
        kind = pick.choice(["constant", "categorical", "categorical", "int_uniform", "q_uniform", "nested"])
        if kind == "nested" and depth < 3:
            found[name] = {"parameters": random_parameters(pick, depth + 1)}
        elif kind == "int_uniform":
            low = pick.randint(-3, 3)
            found[name] = {"min": low, "max": low + pick.randint(1, 2)}
        elif kind == "q_uniform":
            low, q = pick.choice([0, 1, 0.1, -0.5, 0.3]), pick.choice([1, 2, 0.1, 0.25, 0.3])
            high = low + q * pick.choice([1, 2, 2.5, 3])
            found[name] = {"distribution": "q_uniform", "min": low, "max": high, "q": q}
        elif kind == "categorical":
            found[name] = {"values": distinct(pick, pick.randint(1, 3))}
        else:
            found[name] = {"value": random_value(pick)}
    return found


def record_hyperband() -> None:
    pick, cases = random.Random(3), []
    source = inspect.getsource(hyperband_stopping.hyperband_stop_runs)
    for old, new in MAIN:
        assert source.count(old) == 1, old
        source = source.replace(old, new)
    space = dict(vars(hyperband_stopping))
    exec(source, space)
    while len(cases) < SPECS["hyperband"]:
        stopping = random_early_terminate(pick)
        config = {"method": "random", "metric": {"name": "m", "goal": pick.choice(["minimize", "maximize"])},
                  "parameters": {"a": {"values": [1]}}, "early_terminate": stopping}  # fmt: skip
        runs = [random_run(pick) for _ in range(pick.randint(1, 9))]
        case = {"early_terminate": stopping, "goal": config["metric"]["goal"], "runs": runs}
        space["STRICT"] = stopping.get("strict", True)
        try:
            case["main"] = stops(space["hyperband_stop_runs"], runs, config)
            case["release"] = stops(hyperband_stopping.hyperband_stop_runs, runs, config)
        except ValueError as error:
            if "Bands must be" not in str(error):
                raise
            case["main"] = case["release"] = {"bands": [], "thresholds": [], "stop": [], "error": "no bands"}
        cases.append(case)
    write("hyperband", "who is stopped at this moment; see record.py", cases)


def random_early_terminate(pick: random.Random) -> dict:
    found: dict = {"type": "hyperband"}
    if pick.random() < 0.5:
        found |= {"max_iter": pick.choice([3, 5, 9, 12, 16, 27]), "s": pick.randint(1, 4)}
        found |= {"min_iter": 2} if pick.random() < 0.1 else {}
    else:
        found["min_iter"] = pick.randint(1, 4)
    found |= {"eta": pick.choice([2, 3, 4, 1.5, 2.7])} if pick.random() < 0.7 else {}
    return found | ({"strict": pick.random() < 0.5} if pick.random() < 0.7 else {})


def random_run(pick: random.Random) -> dict:
    level = pick.uniform(0, 3)
    history: list = [round(level + 3 / (i + 1) + pick.gauss(0, 0.4), 2) for i in range(pick.randint(0, 20))]
    for index in range(len(history)):
        if pick.random() < 0.03:
            history[index] = pick.choice([None, math.nan, "NaN"])
    state = pick.choice(["running", "running", "running", "finished", "crashed", "failed", "killed"])
    return {"state": state, "history": history}


def stops(rule, runs: list[dict], config: dict) -> dict:
    # by its alias: under pydantic 2 the package ignores `history`, without a word
    made = [
        sweeps.SweepRun(name=str(index), state=run["state"], sampledHistory=[{"m": value} for value in run["history"]])
        for index, run in enumerate(runs)
    ]
    probe = sweeps.SweepRun(name="probe", state="running")  # tells the bands, whoever else runs
    stopped = rule([*made, probe], config)
    info = probe.early_terminate_info
    known = [(band, bound) for band, bound in zip(info["bands"], info["thresholds"], strict=True) if band <= 1000]
    thresholds = [None if math.isinf(bound) else bound for _, bound in known]
    return {"bands": [band for band, _ in known], "thresholds": thresholds, "stop": [int(run.name) for run in stopped]}


if __name__ == "__main__":
    record_hyperband()
    record_ppf()
    record_grid()
