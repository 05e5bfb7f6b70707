"""Telling the C library what to do with memory that is freed: keep it, or give it back.

Every block of clients takes and frees the same few megabytes. glibc gives them back to the system
each time they lie at the end of its heap, and the page faults of getting them again took up to a
quarter of a worker's time.
"""

from __future__ import annotations

import ctypes
import sys
from typing import Any

TRIM_THRESHOLD, MMAP_THRESHOLD = -1, -3
"""glibc's numbers for ``mallopt``."""
KEPT_BYTES = 1 << 28
LARGEST_KEPT_BLOCK = 1 << 25
"""The most that glibc allows; larger ones, of large models, go back to the system."""


def keep_freed_memory() -> None:
    """Let this process keep freed memory, where its C library is glibc."""
    mallopt = _glibc("mallopt")
    if mallopt is not None:
        mallopt(TRIM_THRESHOLD, KEPT_BYTES)
        mallopt(MMAP_THRESHOLD, LARGEST_KEPT_BLOCK)


def give_back_freed_memory() -> None:
    """Give back what has been freed so far: what was taken once, and will not be taken again."""
    trim = _glibc("malloc_trim")
    if trim is not None:
        trim(0)


def _glibc(name: str) -> Any:
    return getattr(ctypes.CDLL(None), name, None) if sys.platform.startswith("linux") else None
