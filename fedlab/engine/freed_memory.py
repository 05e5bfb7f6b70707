"""Telling the C library to keep what is freed, for the next allocation.

Every block of clients takes and frees the same few megabytes. glibc gives them back to the system
each time they lie at the end of its heap, and the page faults of getting them again took up to a
quarter of a worker's time.
"""

from __future__ import annotations

import ctypes
import sys

TRIM_THRESHOLD, MMAP_THRESHOLD = -1, -3
"""glibc's numbers for ``mallopt``."""
KEPT_BYTES = 1 << 28
LARGEST_KEPT_BLOCK = 1 << 25
"""The most that glibc allows; larger ones, of large models, go back to the system."""


def keep_freed_memory() -> None:
    """Let this process keep freed memory, where its C library is glibc."""
    if not sys.platform.startswith("linux"):
        return
    mallopt = getattr(ctypes.CDLL(None), "mallopt", None)
    if mallopt is not None:
        mallopt(TRIM_THRESHOLD, KEPT_BYTES)
        mallopt(MMAP_THRESHOLD, LARGEST_KEPT_BLOCK)
