"""Speed on one GPU, in one command of 8 minutes at most: `python tests/benchmarks/gpu.py [PART ...]`.

Parts: ceilings; gpt2, bert_512, bert_128, t5, encoder_decoder, glm, unet (training steps, bf16, compiled, fused AdamW,
beside a peer); fork (the fork server with CUDA); resume (a kill -9 and a resume on CUDA); sweep (trials a minute with
1, 2, 4 and 8 on the GPU); then, in what time is left, shakespeare and multi30k. Each is a process of its own, so
that this one never touches CUDA, and no failure ends another part. Networks compile at the same time; whoever measures
has the GPU alone meanwhile, since the others are stopped. Every figure is in the JSON as soon as it is known.
`--device cpu --tiny` runs all of it at toy sizes anywhere.
"""

import argparse
import json
import os
import signal
import subprocess
import sys
import threading
import time
from collections.abc import Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import suppress
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

HERE = Path(__file__).parent
ROOT = HERE.parents[1]
STEPS = ("gpt2", "bert_512", "bert_128", "t5", "encoder_decoder", "glm", "unet")
TRIALS = ("fork", "resume", "sweep")
LONG = ("shakespeare", "multi30k")
PARTS = ("ceilings", *STEPS, *TRIALS, *LONG)
AT_ONCE = 4
"""Networks that compile at the same time: what one GPU has memory for."""
MOST = {"ceilings": 60.0, **dict.fromkeys(STEPS, 300.0), "sweep": 200.0, "fork": 60.0, "resume": 90.0}
"""Seconds that a part may take."""
DRIVERS = ("/dev/nvidiactl", "/dev/dxg", "/dev/kfd")
"""What a machine with a GPU has one of; asking CUDA itself would open it in this process."""
SETTLES = 0.5
"""Seconds in which the GPU ends what stopped processes had asked of it."""


@dataclass
class Report:
    """What is known so far, in a file that is whole at any time."""

    path: Path
    machine: dict[str, Any] = field(default_factory=dict)
    rows: dict[str, dict[str, Any]] = field(default_factory=dict)
    _lock: threading.Lock = field(default_factory=threading.Lock)

    def tell(self, name: str, **what: Any) -> None:
        """Add to a part's row, and write everything."""
        with self._lock:
            self.rows.setdefault(name, {"part": name}).update(what)
            ceiling = self.rows.get("ceilings", {}).get("matmul_flops_per_second")
            for row in self.rows.values():
                if ceiling and "flops_per_second" in row:
                    row["of_matmul_ceiling"] = row["flops_per_second"] / ceiling
            self.path.parent.mkdir(parents=True, exist_ok=True)
            beside = self.path.with_suffix(".part")
            beside.write_text(json.dumps({"machine": self.machine, "rows": list(self.rows.values())}, indent=2) + "\n")
            beside.replace(self.path)
        shown = {key: f"{value:.4g}" if isinstance(value, float) else value for key, value in what.items()}
        print(f"{name}: " + ", ".join(f"{key} {value}" for key, value in shown.items()), file=sys.stderr, flush=True)


class Turns:
    """One child at a time has the device; the others are stopped meanwhile, and none starts."""

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self._children: set[subprocess.Popen[str]] = set()

    def start(self, command: Sequence[str]) -> subprocess.Popen[str]:
        """A child in a session of its own, once nobody measures."""
        environment = {**os.environ, "PYTHONPATH": str(ROOT), "WANDB_MODE": "offline"}
        with self._lock:
            child = subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True,
                                     start_new_session=True, env=environment)  # fmt: skip
            self._children.add(child)
        # a process of its own that outlives it would keep its output open
        threading.Thread(target=lambda: (child.wait(), end_group(child)), daemon=True).start()
        return child

    def give(self, child: subprocess.Popen[str], until_over: Any) -> None:
        """Let a child measure until `until_over` returns."""
        assert child.stdin is not None
        with self._lock:
            others = [other for other in self._children if other is not child and other.poll() is None]
            try:
                for other in others:
                    other.send_signal(signal.SIGSTOP)  # the process alone: its compilers work on, on the CPU
                time.sleep(SETTLES if others else 0.0)
                child.stdin.write("go\n")
                child.stdin.flush()
                until_over()
            except BrokenPipeError:
                pass  # it has ended, which its output says
            finally:
                for other in others:
                    other.send_signal(signal.SIGCONT)

    def kill(self) -> None:
        """End every child now."""
        for child in tuple(self._children):
            end_group(child)

    def end(self, child: subprocess.Popen[str]) -> int:
        """Wait for a child's end, and leave none of its own behind."""
        status = child.wait()
        with self._lock:
            self._children.discard(child)
        end_group(child)
        return status


def end_group(child: subprocess.Popen[str]) -> None:
    """Kill a child with all that it started."""
    with suppress(ProcessLookupError, PermissionError):
        os.killpg(child.pid, signal.SIGKILL)


@dataclass
class Bench:
    """One run of this command."""

    options: argparse.Namespace
    report: Report
    end: float
    """When it must be over, by time.monotonic()."""
    turns: Turns = field(default_factory=Turns)
    again: list[str] = field(default_factory=list)
    """Parts that found no memory while others held some."""

    def left(self) -> float:
        """Seconds."""
        return self.end - time.monotonic()

    def part(self, name: str) -> None:
        """Run a part in a child and tell what it says; its end, however it comes, is told too."""
        most = min(self.options.slower * MOST[name] if name in MOST else self.left(), self.left())
        if most < self.options.least:
            self.report.tell(name, failed=f"not begun: {self.left():.0f} s were left")
            return
        child = self.turns.start(self.command(name, most))
        cut = threading.Timer(most, end_group, [child])
        cut.start()
        begun = time.monotonic()
        told = False
        try:
            told = self.listen(name, child)
        finally:
            cut.cancel()
            status = self.turns.end(child)
        took = time.monotonic() - begun
        if took >= most:
            self.report.tell(name, failed=f"cut off after {took:.0f} s")
        elif status and not told:
            self.report.tell(name, failed=f"ended with exit status {status}")
        self.report.tell(name, part_seconds=round(took, 1))

    def listen(self, name: str, child: subprocess.Popen[str]) -> bool:
        """Take a child's lines until it has no more to say; whether it said why it failed."""
        assert child.stdout is not None
        told = False
        for line in child.stdout:
            what = self.heard(line)
            if "row" in what:
                self.report.machine |= what.get("machine", {})
                self.report.tell(what.get("name", name), **what["row"])
            elif "failed" in what:
                told = True
                self.report.tell(name, failed=what["failed"])
                if what.get("memory"):
                    self.again.append(name)
            elif "wants" in what:
                self.turns.give(child, lambda: self.until_over(name, child))
        return told

    def until_over(self, name: str, child: subprocess.Popen[str]) -> None:
        """Take a child's lines while it has the turn."""
        assert child.stdout is not None
        for line in iter(child.stdout.readline, ""):
            what = self.heard(line)
            if "row" in what:
                self.report.tell(what.get("name", name), **what["row"])
            if "over" in what:
                return

    def heard(self, line: str) -> dict[str, Any]:
        """What a line says; anything that is not ours is printed."""
        try:
            found = json.loads(line)
        except ValueError:
            found = None
        if isinstance(found, dict):
            return found
        print(line, end="", file=sys.stderr)
        return {}

    def command(self, name: str, most: float) -> list[str]:
        """What runs a part that has so many seconds."""
        how = ["--device", self.options.device, *(["--tiny"] if self.options.tiny else [])]
        if name in ("ceilings", *STEPS):
            return [sys.executable, str(HERE / "gpu_step.py"), name, *how]
        return [sys.executable, str(HERE / "gpu_trials.py"), name, *how, "--seconds", str(most - 5)]

    def run(self, names: Sequence[str]) -> None:
        """All parts: one by one, but for networks, of which a few compile at once."""
        for name in (name for name in names if name == "ceilings"):
            self.part(name)
        with ThreadPoolExecutor(self.options.at_once) as pool:
            list(pool.map(self.part, [name for name in names if name in STEPS]))
        again, self.again = self.again, []
        for name in again:
            self.report.tell(name, failed="")
            self.part(name)
        for name in (name for name in names if name in TRIALS + LONG):
            self.part(name)


def main() -> int:
    """Exit status 0 where every part that was asked for gave its figures."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("parts", nargs="*", metavar="PART", help=f"any of {', '.join(PARTS)}; default: all")
    parser.add_argument("--device", default="cuda", help="cuda, or cpu to see that all runs")
    parser.add_argument("--tiny", action="store_true", help="toy sizes")
    parser.add_argument("--budget", type=float, default=480.0, help="seconds in all")
    parser.add_argument("--least", type=float, default=15.0, help="seconds that a part needs to be begun")
    parser.add_argument("--at-once", type=int, default=AT_ONCE, help="networks that compile at the same time")
    parser.add_argument("--slower", type=float, default=1.0, help="how many times as long a part may take as on a GPU")
    parser.add_argument("--output", type=Path, help="the JSON; default: figures/bench-gpu.json beside this file")
    options = parser.parse_args()
    unknown = [name for name in options.parts if name not in PARTS]
    if unknown:
        parser.error(f"no part is called {', '.join(unknown)}; there are {', '.join(PARTS)}")
    if options.device == "cuda" and not any(Path(name).exists() for name in DRIVERS):
        parser.error("this machine has no GPU; --device cpu --tiny --output FILE runs everything at toy sizes")
    if options.tiny and options.output is None:
        parser.error("--tiny measures nothing worth keeping: say --output FILE")
    report = Report(options.output or HERE / "figures" / "bench-gpu.json", {"device": options.device})
    names = [name for name in PARTS if name in (options.parts or PARTS)]
    bench = Bench(options, report, time.monotonic() + options.budget)
    for number in (signal.SIGINT, signal.SIGTERM):
        signal.signal(number, lambda got, frame: (bench.turns.kill(), os._exit(128 + got)))  # the file is whole
    bench.run(names)
    print(report.path)
    return int(any(name not in report.rows or report.rows[name].get("failed") for name in names))


if __name__ == "__main__":
    sys.exit(main())
