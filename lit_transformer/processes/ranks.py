"""The ranks of one trial: their environment, their common end."""

import socket
import time
from dataclasses import dataclass, field

from lit_transformer.processes.fork_server import Child

GRACE_SECONDS = 5.0
"""How long the other ranks may live after one has failed: they would wait for it for ever."""


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
    _failed_at: float | None = field(default=None, init=False)
    _failure: int = field(default=0, init=False)

    @property
    def pids(self) -> list[int]:
        return [child.pid for child in self.children]

    def poll(self) -> int | None:
        """The exit status of the rank that failed first, 0 when all ended well, None while the group runs.

        When one rank fails, the others are killed after a grace time. Of several found at once a killed one counts:
        the others fail for want of it.
        """
        states = [child.poll() for child in self.children]
        failed = [state for state in states if state]
        if not failed:
            return 0 if all(state == 0 for state in states) else None
        self._failure = self._failure or min(failed)
        self._failed_at = self._failed_at or time.monotonic()
        if None in states:
            if time.monotonic() - self._failed_at < GRACE_SECONDS:
                return None
            self.kill()
        return self._failure

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
        for child in self.children:
            child.kill()
