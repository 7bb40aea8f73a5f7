"""Ranks that somebody else started: by torchrun, or as the tasks of one srun step."""

import os
import re
import socket
import subprocess
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Literal

from lit_transformer.config.errors import UserError
from lit_transformer.processes.hardware import cores

FIRST_PORT, PORTS = 12000, 20000
"""Where the ranks of a step meet: below the ports that the kernel gives to outgoing connections."""
PORTS_PER_JOB = 101
"""Steps of one job before its ports reach those of the next job."""


@dataclass(frozen=True, kw_only=True)
class Launch:
    """This process's place among the ranks of one run."""

    kind: Literal["torchrun", "srun"]
    rank: int
    world_size: int
    local_rank: int
    local_world_size: int
    node_rank: int
    num_nodes: int
    address: str
    """Where rank 0 answers: a host's name or address."""
    port: int
    threads: int | None = None
    """CPU threads that the launcher gave to each rank; None where it says nothing."""

    def environment(self) -> dict[str, str]:
        """torchrun's variables for this rank."""
        return {
            "RANK": str(self.rank),
            "WORLD_SIZE": str(self.world_size),
            "LOCAL_RANK": str(self.local_rank),
            "LOCAL_WORLD_SIZE": str(self.local_world_size),
            "GROUP_RANK": str(self.node_rank),
            "MASTER_ADDR": self.address,
            "MASTER_PORT": str(self.port),
        }


def launched(environ: Mapping[str, str] = os.environ) -> Launch | None:
    """How this process was started, None when by neither torchrun nor srun, or as srun's only task.

    Raises UserError where the variables do not agree. Never for children of the fork server: they have RANK too.
    """
    if "TORCHELASTIC_RUN_ID" in environ:
        return _torchrun(environ)
    # a batch script has the other variables of its job, but is no step
    if "SLURM_STEP_ID" in environ and _number(environ, "SLURM_STEP_NUM_TASKS") > 1:
        return _srun(environ)
    return None


def first_host(nodes: str) -> str:
    """The first host of SLURM's list: n1 of `n[1-4,7]`, r1n01 of `r[1-2]n[01-04],login`."""
    first = re.match(r"(?:[^,\[]|\[[^\]]*\])*", nodes)
    assert first is not None  # it matches the empty text
    return re.sub(r"\[([^\],-]*)[^\]]*\]", r"\1", first.group())


def _torchrun(environ: Mapping[str, str]) -> Launch:
    rank, world_size = _number(environ, "RANK"), _number(environ, "WORLD_SIZE")
    local_world_size, node_rank = _number(environ, "LOCAL_WORLD_SIZE"), _number(environ, "GROUP_RANK")
    local_rank = _number(environ, "LOCAL_RANK")
    num_nodes = world_size // local_world_size
    if num_nodes * local_world_size != world_size or node_rank * local_world_size + local_rank != rank:
        raise UserError(
            f"torchrun --nproc-per-node: got {local_world_size} ranks on this node of {world_size} in all\n"
            "  allowed  as many on every node\n"
            "  fix      give each torchrun the same --nproc-per-node"
        )
    return Launch(
        kind="torchrun",
        rank=rank,
        world_size=world_size,
        local_rank=local_rank,
        local_world_size=local_world_size,
        node_rank=node_rank,
        num_nodes=num_nodes,
        address=_text(environ, "MASTER_ADDR"),
        port=_number(environ, "MASTER_PORT"),
    )


def _srun(environ: Mapping[str, str]) -> Launch:
    layout = _text(environ, "SLURM_STEP_TASKS_PER_NODE")
    per_node = _tasks_per_node(layout)
    counts = {name: _number(environ, name) for name in ("SLURM_STEP_NUM_TASKS", "SLURM_NTASKS") if name in environ}
    if len(set(per_node)) > 1:
        raise UserError(
            f"srun: got {layout} tasks on its {len(per_node)} nodes\n"
            "  allowed  as many on every node\n"
            "  fix      srun --nodes=N --ntasks-per-node=M"
        )
    if set(counts.values()) != {sum(per_node)}:
        got = ", ".join(f"{name}={count}" for name, count in counts.items())
        raise UserError(
            f"srun: got {got} and {len(per_node)} nodes x {per_node[0]} tasks = {sum(per_node)} ranks "
            "(SLURM_STEP_TASKS_PER_NODE)\n"
            "  allowed  the same number of ranks in each\n"
            "  fix      unset what overwrites SLURM's variables inside the step, and start one rank with each task"
        )
    node_rank, local_rank, tasks = _number(environ, "SLURM_NODEID"), _number(environ, "SLURM_LOCALID"), per_node[0]
    job, step = _number(environ, "SLURM_JOB_ID"), _number(environ, "SLURM_STEP_ID")
    return Launch(
        kind="srun",
        # not SLURM_PROCID: `srun --distribution=cyclic` deals it out over the nodes, Lightning counts node by node
        rank=node_rank * tasks + local_rank,
        world_size=sum(per_node),
        local_rank=local_rank,
        local_world_size=tasks,
        node_rank=node_rank,
        num_nodes=len(per_node),
        address=_reachable(first_host(_text(environ, "SLURM_STEP_NODELIST"))),
        port=FIRST_PORT + (job * PORTS_PER_JOB + step) % PORTS,
        threads=_threads(environ, tasks),
    )


def _tasks_per_node(text: str) -> list[int]:
    """SLURM's `2(x3),1` as [2, 2, 2, 1]."""
    counts: list[int] = []
    for part in text.split(","):
        found = re.fullmatch(r"(\d+)(?:\(x(\d+)\))?", part)
        if found is None:
            raise _misread("SLURM_STEP_TASKS_PER_NODE", repr(text), "counts such as 2(x3),1")
        counts += [int(found[1])] * int(found[2] or 1)
    return counts


def _threads(environ: Mapping[str, str], tasks: int) -> int | None:
    """Threads of a task: what was asked for each, else its share of the step's CPUs on this node."""
    if environ.get("SLURM_CPUS_PER_TASK"):
        share = _number(environ, "SLURM_CPUS_PER_TASK")
    elif environ.get("SLURM_CPUS_ON_NODE"):
        share = _number(environ, "SLURM_CPUS_ON_NODE") // tasks
    else:
        return None
    return max(1, min(share, cores()))  # cores() alone: this task's where SLURM binds it, the machine's where not


def _reachable(host: str) -> str:
    """`host`, or the address that SLURM has for it where its name resolves nowhere: ranks would wait for ever."""
    try:
        socket.getaddrinfo(host, None)
        return host
    except OSError:
        pass
    try:
        asked = ["scontrol", "show", "node", host, "--oneliner"]
        shown = subprocess.run(asked, capture_output=True, text=True, timeout=60, check=False).stdout
    except (OSError, subprocess.TimeoutExpired):
        shown = ""
    address = re.search(r"\bNodeAddr=(\S+)", shown)
    if address is None or address[1] == host:
        raise UserError(
            f"SLURM_STEP_NODELIST: got {host} as its first host, which {socket.gethostname()} cannot resolve\n"
            "  allowed  hosts that every node finds by name, or by the NodeAddr that scontrol knows\n"
            f"  fix      add {host} to /etc/hosts or the name service of the nodes"
        )
    return address[1]


def _text(environ: Mapping[str, str], name: str) -> str:
    try:
        return environ[name]
    except KeyError:
        raise _misread(name, "nothing", "what torchrun or srun gives to every rank") from None


def _number(environ: Mapping[str, str], name: str) -> int:
    text = _text(environ, name)
    try:
        return int(text)
    except ValueError:
        raise _misread(name, repr(text), "a whole number") from None


def _misread(name: str, got: str, allowed: str) -> UserError:
    return UserError(
        f"{name}: got {got}\n"
        f"  allowed  {allowed}\n"
        "  fix      leave the launcher's variables as they are; to train without it, unset TORCHELASTIC_RUN_ID and "
        "SLURM_STEP_ID"
    )
