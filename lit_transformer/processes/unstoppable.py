"""Preloaded by a fork server whose children end by their pipe alone: they and the server ignore signals to stop.

A launcher and SLURM send SIGTERM and SIGUSR1 to every process of a job; a server or a W&B writer that died of one would
lose the last rows of a run that is stopping in good order.
"""

import signal

for _number in (signal.SIGTERM, signal.SIGINT, signal.SIGUSR1):
    signal.signal(_number, signal.SIG_IGN)
