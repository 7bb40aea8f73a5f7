"""`tests/benchmarks/gpu.py` without a GPU: every part runs, each failure is a row, and whoever measures is alone."""

import argparse
import importlib.util
import json
import subprocess
import sys
import time
from pathlib import Path

import pytest

from lit_transformer.data.locate import data_root

ROOT = Path(__file__).resolve().parents[1]
SCRIPT = ROOT / "tests" / "benchmarks" / "gpu.py"


@pytest.fixture(scope="module")
def gpu():
    spec = importlib.util.spec_from_file_location("gpu", SCRIPT)
    module = importlib.util.module_from_spec(spec)
    sys.modules["gpu"] = module  # dataclasses look their module up
    spec.loader.exec_module(module)
    yield module
    del sys.modules["gpu"]


class Words:
    """The bench with a few lines of Python in place of each part."""

    def __init__(self, gpu, path, code, **options):
        given = {"device": "cpu", "tiny": True, "least": 0.1, "at_once": 3, "slower": 1.0, **options}
        self.bench = gpu.Bench(argparse.Namespace(**given), gpu.Report(path / "found.json"), time.monotonic() + 60)
        self.bench.command = lambda name, most: [sys.executable, "-u", "-c", code.get(name, code.get("")), name]

    def run(self, *names):
        self.bench.run(names)
        return {row["part"]: row for row in json.loads(self.bench.report.path.read_text())["rows"]}


TURN = """
import json, pathlib, sys, time
while not pathlib.Path({ticks!r}).exists():
    time.sleep(0.01)
print(json.dumps({{"wants": "turn"}}))
sys.stdin.readline()
begun = time.time()
time.sleep(0.3)
print(json.dumps({{"row": {{"begun": begun, "ended": time.time()}}}}))
print(json.dumps({{"over": "turn"}}))
print("and a line of a library's")
"""
BUSY = """
import pathlib, time
with open({ticks!r}, "a") as file:
    while pathlib.Path({found!r}).read_text().count("ended") < 2:
        print(time.time(), file=file, flush=True)
        time.sleep(0.02)
"""


def test_whoever_measures_is_alone(gpu, tmp_path):
    """Turns do not overlap, and a part that does not measure stands still meanwhile."""
    names = {"ticks": str(tmp_path / "ticks"), "found": str(tmp_path / "found.json")}
    words = Words(gpu, tmp_path, {"": TURN.format(**names), "t5": BUSY.format(**names)})
    words.bench.report.tell("ceilings")  # which makes the file
    rows = words.run("gpt2", "bert_512", "t5")
    turns = sorted((row["begun"], row["ended"]) for name, row in rows.items() if "begun" in row)
    assert len(turns) == 2 and turns[0][1] <= turns[1][0]
    times = [float(line) for line in (tmp_path / "ticks").read_text().split()]
    for begun, ended in turns:  # it was stopped some time before
        assert not [moment for moment in times if begun - gpu.SETTLES / 2 < moment < ended]
        assert any(moment < begun for moment in times)


FAILS = """
import json, sys
print(json.dumps({"row": {"ours": 2.0, "flops_per_second": 50.0}}))
print(json.dumps({"failed": "Broken: on purpose", "memory": sys.argv[1] == "t5"}))
sys.exit(1)
"""


def test_a_failure_is_a_row_that_keeps_what_was_measured(gpu, tmp_path):
    first = 'import json; print(json.dumps({"row": {"matmul_flops_per_second": 100.0}, "machine": {"gpu": "X"}}))'
    words = Words(gpu, tmp_path, {"": FAILS, "ceilings": first, "glm": "import sys; sys.exit(3)", "unet": "pass"})
    rows = words.run("ceilings", "gpt2", "glm", "unet", "fork")
    assert rows["gpt2"]["ours"] == 2 and rows["gpt2"]["of_matmul_ceiling"] == 0.5
    assert rows["gpt2"]["failed"] == rows["fork"]["failed"] == "Broken: on purpose"
    assert rows["glm"]["failed"] == "ended with exit status 3"
    assert "failed" not in rows["unet"] and "failed" not in rows["ceilings"]
    assert json.loads(words.bench.report.path.read_text())["machine"] == {"gpu": "X"}


def test_a_network_without_memory_is_tried_again_alone(gpu, tmp_path):
    counted = tmp_path / "tries"
    code = f"""
import json, sys
tries = open({str(counted)!r}, "a+"); tries.write("x"); tries.seek(0)
once = tries.read() == "x"
print(json.dumps({{"failed": "no room", "memory": True}} if once else {{"row": {{"ours": 1.0}}}}))
"""
    row = Words(gpu, tmp_path, {"": code}).run("t5")["t5"]
    assert counted.read_text() == "xx" and row["ours"] == 1 and not row["failed"]


def test_a_part_ends_with_its_time_and_none_begins_without(gpu, tmp_path, monkeypatch):
    monkeypatch.setitem(gpu.MOST, "fork", 1.0)
    words = Words(gpu, tmp_path, {"": "import time; time.sleep(60)"}, least=0.5)
    assert words.run("fork")["fork"]["failed"].startswith("cut off after ")
    words.bench.end = time.monotonic() + 0.2
    assert words.run("resume")["resume"]["failed"].startswith("not begun")


def test_what_cannot_be_is_refused_before_anything_runs(gpu):
    mistakes = [(["gtp2"], "no part is called gtp2; there are ceilings, gpt2"),
                (["--device", "cpu", "--tiny"], "say --output FILE")]  # fmt: skip
    if not any(Path(name).exists() for name in gpu.DRIVERS):
        mistakes.append(([], "this machine has no GPU; --device cpu --tiny"))
    for words, said in mistakes:
        done = subprocess.run([sys.executable, str(SCRIPT), *words], capture_output=True, text=True, check=False)
        assert done.returncode == 2 and said in done.stderr, done.stderr


@pytest.mark.slow
@pytest.mark.long
@pytest.mark.timeout(1800)
def test_every_part_runs_at_toy_sizes(gpu, tmp_path):
    """All but CUDA itself: networks, peers, turns, sweeps, the fork server, a kill and a resume, both experiments."""
    here = [name for name in gpu.PARTS if name not in gpu.LONG]
    if (data_root() / "multi30k").is_dir() and (data_root() / "tinyshakespeare").is_dir():
        here += gpu.LONG
    output = tmp_path / "found.json"
    how = {"device": "cpu", "budget": 1700, "at-once": 2, "slower": 10, "output": output}
    words = [*here, "--tiny", *(f"--{name}={value}" for name, value in how.items())]
    done = subprocess.run([sys.executable, str(SCRIPT), *words], capture_output=True, text=True, check=False)
    assert output.exists(), done.stderr
    rows = {row["part"]: row for row in json.loads(output.read_text())["rows"]}
    assert done.returncode == 0, (rows, done.stderr[-3000:])
    assert list(rows) and set(rows) == set(here)
    for name in gpu.STEPS:
        row = rows[name]
        assert row["ratio"] > 0 and row["theirs"] > 0 and row["flops_per_step"] > 0, row
        assert row["dropout"] or abs(row["first_losses"][0] - row["first_losses"][1]) < 1.0, "not the same work"
    assert rows["sweep"]["trials_per_minute_2"] > 0
    assert rows["fork"]["server_has_the_gpu_open"] is False
    assert rows["resume"]["exact"] is True
