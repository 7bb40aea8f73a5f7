"""What a sweep's folder asks of its workers, wherever they run: to stop, and how to treat failing cells."""

import platform
import secrets
import time

from lit_transformer.records.atomic import read_json, write_json
from lit_transformer.records.sweep_folder import SweepFolder

LOOK_SECONDS = 1.0
"""Between looks at the file: the folder may lie on a file server."""


class StopRequest:
    """Whether `sweep stop` was called since this object was made; an older request is answered and concerns nobody."""

    def __init__(self, folder: SweepFolder) -> None:
        self._folder = folder
        self._known = self._newest()
        self._looked = time.monotonic()
        self._asked = False

    def asked(self) -> bool:
        """Looks at most once a second; stays true."""
        now = time.monotonic()
        if not self._asked and now - self._looked > LOOK_SECONDS:
            self._looked = now
            self._asked = self._newest() != self._known
        return self._asked

    def _newest(self) -> object:
        return read_json(self._folder.stop_file).get("id")


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
