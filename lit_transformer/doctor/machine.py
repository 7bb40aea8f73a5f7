"""Cores, memory, GPUs, limits and variables, found without torch."""

import os
import platform
import resource
from collections.abc import Iterator
from pathlib import Path

import psutil

from lit_transformer.config.suggest import did_you_mean
from lit_transformer.data.cache import CACHE_VARIABLE
from lit_transformer.data.locate import DATA_VARIABLE
from lit_transformer.doctor.check import GIB, Check, State, gib
from lit_transformer.processes.gpus import VISIBLE, listed_gpus, visible_gpus
from lit_transformer.processes.hardware import BF16_CAPABILITY, cores, cpu_quota, group_values, processor
from lit_transformer.processes.trial import DRIFT_VARIABLE

PREFIX = "LIT_TRANSFORMER_"
VARIABLES = (CACHE_VARIABLE, DATA_VARIABLE, DRIFT_VARIABLE)

RUN_BYTES = 1.5 * GIB
"""Memory that a run takes at least: torch, Lightning, the W&B writer and the server that holds them."""

MANY_FILES = 1024
"""Open files that loader workers and a sweep's pipes are sure to fit in."""
FEW_FILES = 256


def machine() -> Iterator[Check]:
    """CPU, memory, GPUs, open files, environment variables."""
    quota = cpu_quota()
    limited = f", limited to {quota:g} by the control group" if quota is not None else ""
    found = f"{processor()}, {cores()} of {os.cpu_count()} cores usable{limited}; {platform.system()}"
    yield Check(name="CPU", state="ok", found=f"{found} {platform.machine()}")
    memory = psutil.virtual_memory()
    yield memory_check(memory.total, memory.available, memory_limit())
    yield from gpus()
    yield open_files(resource.getrlimit(resource.RLIMIT_NOFILE)[0])
    yield variables()


def memory_limit() -> int | None:
    """Bytes that this process's control groups allow; None without a limit."""
    return min((int(text) for text in group_values("memory.max") if text.strip() != "max"), default=None)


def memory_check(total: int, available: int, limit: int | None) -> Check:
    """Whether a run fits into memory; all in bytes."""
    free = available if limit is None else min(available, limit)
    found = f"{gib(total)}, {gib(available)} of it free" + (f"; limited to {gib(limit)}" if limit else "")
    if free >= RUN_BYTES:
        return Check(name="memory", state="ok", found=found)
    fix = f"end other programs, or allow this one more: a run takes {gib(RUN_BYTES)} at least"
    return Check(name="memory", state="problem", found=found, fix=fix)


def gpus() -> Iterator[Check]:
    """A line for each NVIDIA GPU that nvidia-smi lists."""
    listed, used = listed_gpus(), visible_gpus()
    if not listed:
        yield Check(name="GPU", state="ok", found="no NVIDIA GPU is listed")
        return
    for gpu in listed:
        facts = [gpu.name or "no name", gib(gpu.memory) if gpu.memory else "memory not known"]
        if gpu.capability:
            fit = "bf16" if gpu.capability >= BF16_CAPABILITY else "no bf16: use trainer.precision=16-mixed"
            facts += [f"compute capability {gpu.capability[0]}.{gpu.capability[1]}", fit]
        if gpu.driver:
            facts.append(f"driver {gpu.driver}")
        if gpu.uuid not in [other.uuid for other in used]:
            facts.append(f"hidden by {VISIBLE}={os.environ.get(VISIBLE, '')}")
        yield Check(name=f"GPU {gpu.id}", state="ok", found=", ".join(facts))


def open_files(limit: int) -> Check:
    """Whether this process may open enough files."""
    if limit in (resource.RLIM_INFINITY, -1) or limit >= MANY_FILES:
        return Check(name="open files", state="ok", found="no limit" if limit < 0 else f"{limit} at most")
    state: State = "problem" if limit < FEW_FILES else "warning"
    fix = f"ulimit -n {4 * MANY_FILES}"
    return Check(name="open files", state=state, found=f"{limit} at most; a sweep may need {MANY_FILES}", fix=fix)


def variables() -> Check:
    """The project's environment variables; one that nothing reads is a slip."""
    given = {name: value for name, value in sorted(os.environ.items()) if name.startswith(PREFIX)}
    found = ", ".join(f"{name}={value}" for name, value in given.items()) or f"no {PREFIX}* is set"
    for name in given:
        if name not in VARIABLES:
            near = did_you_mean(name, VARIABLES)
            fix = f"did you mean {near}?" if near else f"unset it; known are {', '.join(VARIABLES)}"
            return Check(name="variables", state="warning", found=f"{found}: nothing reads {name}", fix=fix)
    data = given.get(DATA_VARIABLE)
    if data and not Path(data).expanduser().is_dir():
        fix = f"set {DATA_VARIABLE} to a folder, or unset it"
        return Check(name="variables", state="warning", found=f"{found}: there is no such folder", fix=fix)
    return Check(name="variables", state="ok", found=found)
