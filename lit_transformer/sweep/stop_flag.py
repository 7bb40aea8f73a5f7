"""Whether a worker was asked to stop: by a signal, or with its whole sweep."""

import signal
from types import FrameType

from lit_transformer.sweep.requests import StopRequest

DRIVER_STOPS = signal.SIGINT
"""From a driver that stops its workers with itself; a worker's session is its own, so no terminal sends it."""


class StopFlag:
    """Set by SIGTERM, SIGINT or SIGUSR1, and by `sweep stop`."""

    def __init__(self, request: StopRequest) -> None:
        self._request = request
        self.signalled = False
        self.with_driver = False
        """Whether the driver stops too: nobody takes this worker's place."""
        for number in (signal.SIGTERM, signal.SIGINT, signal.SIGUSR1):
            signal.signal(number, self._handle)

    @property
    def asked(self) -> bool:
        return self.signalled or self.requested

    @property
    def requested(self) -> bool:
        """Whether the whole sweep is to stop."""
        return self._request.asked()

    def _handle(self, number: int, frame: FrameType | None) -> None:
        self.signalled = True
        self.with_driver = self.with_driver or number == DRIVER_STOPS
