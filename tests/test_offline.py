"""The whole demo, and a search, with the network cut off, and no outside connection even tried."""

import re
import shutil
import subprocess
import sys
from pathlib import Path

import pytest

from lit_transformer.records.run_folder import find_runs

ROOT = Path(__file__).resolve().parents[1]


def test_the_demo_needs_no_network_and_asks_for_none(tmp_path):
    missing = [tool for tool in ("unshare", "ip", "strace") if shutil.which(tool) is None]
    if missing:
        pytest.skip(f"needs {', '.join(missing)} (Debian: util-linux, iproute2, strace)")
    if subprocess.run(["unshare", "-rn", "true"], capture_output=True, check=False).returncode:
        pytest.skip("needs user namespaces, which this machine forbids")
    cli = f"{sys.executable} -m lit_transformer.cli"
    script = (
        "ip link set lo up; "  # gloo and wandb's own process talk over loopback
        f"{cli} sweep run sweeps/demo.yaml --output {tmp_path} trainer.max_steps=20 trainer.limit_val_batches=5 && "
        f"{cli} compare {tmp_path}/sweeps/demo && "
        f"{cli} sweep run sweeps/gpt_lr_bayes.yaml --count 2 --output {tmp_path} trainer.max_steps=10 "
        "trainer.val_every=5 trainer.limit_val_batches=2 && "
        f"{cli} sweep status {tmp_path}/sweeps/gpt_lr_bayes && {cli} sweep watch {tmp_path}/sweeps/gpt_lr_bayes && "
        f"{cli} sweep push --help"
    )
    trace = tmp_path / "connections.txt"
    command = [
        "unshare",
        "-rn",
        "strace",
        "-f",
        "--seccomp-bpf",
        "-e",
        "trace=connect,sendto",
        "-o",
        str(trace),
        "sh",
        "-c",
    ]
    done = subprocess.run([*command, script], cwd=ROOT, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr
    runs = find_runs(tmp_path / "sweeps" / "demo")
    assert [run.status() for run in runs] == ["complete"] * 9
    assert all(list(run.path.glob("wandb/offline-run-*/run-*.wandb")) for run in runs)
    assert "sa_family=AF_" in trace.read_text(), "the trace saw nothing"
    tried = re.findall(r".*sa_family=AF_INET6?,.*", trace.read_text())
    outside = [line for line in tried if not re.search(r'"127\.|"::1"|"::ffff:127\.', line)]
    assert not outside, outside[:5]
    assert (tmp_path / "sweeps" / "demo" / "report.html").exists()
    searched = [run.status() for run in find_runs(tmp_path / "sweeps" / "gpt_lr_bayes")]
    assert len(searched) == 2 and {*searched} <= {"complete", "pruned"}
    assert "2 of 2 cells done" in done.stderr
