"""Runs the checks one after another and shows each as it comes."""

import json
import sys
from collections.abc import Callable, Iterable, Iterator
from contextlib import AbstractContextManager, nullcontext
from functools import partial
from pathlib import Path

from rich.console import Console

from lit_transformer.doctor.check import Check
from lit_transformer.doctor.disks import disks
from lit_transformer.doctor.machine import machine
from lit_transformer.doctor.networks import networks
from lit_transformer.doctor.services import fork_server, slurm, wandb
from lit_transformer.doctor.versions import versions


def doctor(output: Path, *, as_json: bool) -> int:
    """Print every check, or one JSON document; exit status 1 where one is a problem."""
    checks: list[Check] = []
    for check in _checks(output):
        checks.append(check)
        if not as_json:
            print(check, flush=True)
    ok = all(check.state != "problem" for check in checks)
    if as_json:
        print(json.dumps({"ok": ok, "checks": [vars(check) for check in checks]}, indent=2, ensure_ascii=False))
    return 0 if ok else 1


def _checks(output: Path) -> Iterator[Check]:
    groups: dict[str, Callable[[], Iterable[Check]]] = {
        "versions": versions,
        "this machine": machine,
        "disks": partial(disks, output),
        "SLURM": slurm,
        "W&B": wandb,
        "torch, and how fast it calculates": networks,
        "fork server": fork_server,
    }
    for label, group in groups.items():
        checks = iter(group())
        try:
            while True:
                with _status(label):
                    check = next(checks, None)
                if check is None:
                    break
                yield check
        except Exception as error:  # a machine odd enough to break a check is a finding too
            found = f"this check failed: {type(error).__name__}: {error}"
            yield Check(name=label, state="problem", found=found, fix="report it with this line; the others still hold")


def _status(label: str) -> AbstractContextManager[object]:
    """A spinner on a terminal's standard error while a check takes its time."""
    return Console(stderr=True).status(f"checking {label}") if sys.stderr.isatty() else nullcontext()
