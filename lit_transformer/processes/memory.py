"""How this process gives memory back to the system: not at all, where it will need it again in the next step."""

import ctypes
import os

TRIM_THRESHOLD, MMAP_THRESHOLD = -1, -3
"""mallopt's names of what to free memory for, and of what to map apart (glibc's malloc.h)."""
LARGEST = 2**31 - 1
"""The largest number that mallopt takes, in bytes."""
LARGEST_MAPPED = 32 * 2**20
"""The largest that older ones take for what to map apart."""


def keep_freed_memory() -> bool:
    """Let the C library keep what tensors free, for the next step's; False where it has no such setting.

    By default glibc gives large blocks back at once, and each step takes them again page by page: a tenth of the time
    of a convolutional network on a CPU. The process' memory stays at its peak instead. A user's MALLOC_TRIM_THRESHOLD_
    or MALLOC_MMAP_THRESHOLD_ stands.
    """
    if "MALLOC_TRIM_THRESHOLD_" in os.environ or "MALLOC_MMAP_THRESHOLD_" in os.environ:
        return False
    try:
        mallopt = ctypes.CDLL(None).mallopt
    except (OSError, AttributeError):  # macOS, musl
        return False
    apart = mallopt(MMAP_THRESHOLD, LARGEST) or mallopt(MMAP_THRESHOLD, LARGEST_MAPPED)
    return bool(apart) and bool(mallopt(TRIM_THRESHOLD, LARGEST))
