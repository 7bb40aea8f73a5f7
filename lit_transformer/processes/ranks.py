"""The ranks of one trial: their environment, their common end."""

import signal
import socket
import time
from collections.abc import Collection, Iterable, Mapping
from dataclasses import dataclass, field

from lit_transformer.processes.fork_server import Child

GRACE_SECONDS = 5.0
"""How long the other ranks may live after one has failed: they would wait for it for ever."""
SERVER_DIED = 255
"""What multiprocessing gives as a child's exit status when the fork server is gone and nobody can know it."""


def rank_environments(devices: int) -> list[dict[str, str]]:
    """torchrun's variables for `devices` ranks on this machine; one empty mapping for a single rank."""
    if devices == 1:
        return [{}]
    common = {
        "WORLD_SIZE": str(devices),
        "LOCAL_WORLD_SIZE": str(devices),
        "GROUP_RANK": "0",
        "MASTER_ADDR": "127.0.0.1",
        "MASTER_PORT": str(free_port()),
    }
    return [{"RANK": str(rank), "LOCAL_RANK": str(rank), **common} for rank in range(devices)]


def free_port() -> int:
    """A port that nobody listens on now; each trial takes its own, since two on one port never meet."""
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return int(probe.getsockname()[1])


@dataclass
class RankGroup:
    """The children that train one run together."""

    children: list[Child]
    failed_ranks: tuple[int, ...] = field(default=(), init=False)
    """The ranks that failed first; those that fail or are killed for want of them are not among them."""
    reason: str = field(default="", init=False)
    """Once the group has ended: which ranks failed, how, and what became of the others; empty when all ended well."""
    _failed: Mapping[int, int] = field(default_factory=dict, init=False)
    _failed_at: float = field(default=0.0, init=False)
    _status: int | None = field(default=None, init=False)
    _swept: set[int] = field(default_factory=set, init=False)

    @property
    def pids(self) -> list[int]:
        return [child.pid for child in self.children]

    def poll(self) -> int | None:
        """The exit status of the rank that failed first, 0 when all ended well, None while the group runs.

        When one rank fails, the others are killed after a grace time. Of several found at once a killed one counts:
        the others fail for want of it. SERVER_DIED when the fork server was killed: its children are killed too.
        """
        if self._status is not None:
            return self._status
        states = [child.poll() for child in self.children]
        self._sweep(rank for rank, state in enumerate(states) if state is not None)
        if any(states) and not self._failed:
            failed = {rank: state for rank, state in enumerate(states) if state}
            killed = {rank: state for rank, state in failed.items() if state < 0}
            self._failed = killed or failed
            self.failed_ranks = tuple(self._failed)
            self._failed_at = time.monotonic()
        if None in states and (not self._failed or time.monotonic() - self._failed_at < GRACE_SECONDS):
            return None
        self.kill()
        self.reason = self._describe()
        self._status = min(self._failed.values(), default=0)
        return self._status

    def wait(self, interval: float = 0.02) -> int:
        """Wait for the end of the group and give its exit status."""
        while (status := self.poll()) is None:
            time.sleep(interval)
        return status

    def signal(self, number: int) -> None:
        """Send a signal to every rank."""
        for child in self.children:
            child.signal(number)

    def kill(self) -> None:
        """Kill every rank and its loader workers."""
        self._sweep(range(len(self.children)))

    def _sweep(self, ranks: Iterable[int]) -> None:
        """Kill the groups of these ranks, once: loader workers outlive their rank by seconds and hold the run's lock.

        Once only, and as soon as a rank has ended: later its number may be another process's.
        """
        for rank in ranks:
            if rank not in self._swept:
                self._swept.add(rank)
                self.children[rank].kill()

    def _describe(self) -> str:
        if not self._failed:
            return ""
        if set(self._failed.values()) == {SERVER_DIED}:
            orphans = [rank for rank, child in enumerate(self.children) if child.poll() == SERVER_DIED]
            return f"the fork server was killed; {_were(orphans)} ended with it"
        of = f" of {len(self.children)}" if len(self.children) > 1 else ""
        parts = [f"{_ranks(ranks)}{of} {_ended(state, ranks)}" for state, ranks in _by_state(self._failed)]
        later = {rank: child.poll() or 0 for rank, child in enumerate(self.children) if rank not in self._failed}
        them = "it" if len(self._failed) == 1 else "them"
        for state, ranks in _by_state(later):
            if state == -signal.SIGKILL:
                parts.append(f"{_were(ranks)} ended with {them}")
            elif state:
                parts.append(f"{_ranks(ranks)} {_ended(state, ranks)} after {them}")
        return "; ".join(parts)


def _by_state(states: Mapping[int, int]) -> list[tuple[int, list[int]]]:
    """Each state with the ranks that are in it, killed ones first."""
    return [(state, [rank for rank, own in states.items() if own == state]) for state in sorted(set(states.values()))]


def _ranks(ranks: Collection[int]) -> str:
    return f"rank{'s' if len(ranks) > 1 else ''} {', '.join(map(str, ranks))}"


def _were(ranks: Collection[int]) -> str:
    return f"{_ranks(ranks)} {'were' if len(ranks) > 1 else 'was'}"


def _ended(state: int, ranks: Collection[int]) -> str:
    """How ranks ended, as the rest of a sentence about them."""
    if state > 0:
        return f"ended with exit status {state}"
    try:
        name = signal.Signals(-state).name
    except ValueError:
        name = f"signal {-state}"
    return f"{'were' if len(ranks) > 1 else 'was'} ended by {name}"
