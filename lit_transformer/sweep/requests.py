"""What a sweep's folder asks of its workers, wherever they run: to stop, and how to treat failing cells."""

import platform
import secrets
import time

from lit_transformer.records.atomic import read_json, write_json
from lit_transformer.records.sweep_folder import SweepFolder

LOOK_SECONDS = 1.0
"""Between looks at the file: the folder may lie on a file server."""


class StopRequest:
    """Whether `sweep stop` was called since then; an older request is answered and concerns nobody."""

    def __init__(self, folder: SweepFolder, since: str | None = None) -> None:
        """`since` is the newest request that does not count; None is the newest one now."""
        self._folder = folder
        self.since = newest_request(folder) if since is None else since
        self._looked = time.monotonic()
        self._asked = False

    def asked(self, *, at_once: bool = False) -> bool:
        """Looks at most once a second unless `at_once`; stays true."""
        now = time.monotonic()
        if not self._asked and (at_once or now - self._looked > LOOK_SECONDS):
            self._looked = now
            self._asked = newest_request(self._folder) not in (self.since, "")
        return self._asked


def newest_request(folder: SweepFolder) -> str:
    """The newest request to stop; empty where there was none."""
    return str(read_json(folder.stop_file).get("id") or "")


def ask_to_stop(folder: SweepFolder) -> None:
    """Leave a request that every worker sees within seconds; raises OSError."""
    request = {"id": secrets.token_hex(8), "asked_from": platform.node(), "time": time.time()}
    write_json(folder.stop_file, request)


def set_retries(folder: SweepFolder, retries: int) -> None:
    """Say how often a failed cell is run again, to every worker of the sweep; raises OSError."""
    if read_retries(folder) != retries:
        write_json(folder.policy_file, {"retries": retries})


def read_retries(folder: SweepFolder) -> int:
    """How often a failed cell is run again; 0 where nobody said."""
    value = read_json(folder.policy_file).get("retries")
    return value if isinstance(value, int) else 0
