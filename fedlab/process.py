"""This process: its heap, its garbage collector, its torch threads.

Every block of clients takes and frees the same few megabytes. glibc gives them back to the system
each time they lie at the end of its heap, and the page faults of getting them again took up to a
quarter of a worker's time.
"""

from __future__ import annotations

import ctypes
import gc
import os
import signal
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

TRIM_THRESHOLD, MMAP_THRESHOLD = -1, -3
"""glibc's numbers for ``mallopt``."""
KEPT_BYTES = 1 << 28
LARGEST_KEPT_BLOCK = 1 << 25
"""The most that glibc allows; larger ones, of large models, go back to the system."""
OBJECTS_BEFORE_COLLECTION = 50_000
"""Imports make hundreds of thousands of objects that stay; looking among them for garbage after
every 700, as Python does, is a seventh of the time that they take."""
ENDING = frozenset({signal.SIGINT, signal.SIGTERM, signal.SIGHUP})
"""The signals that end a process from outside: Ctrl-C, a supervisor, a terminal that is closed."""
AFTER_SIGNAL = 128
"""The exit code of a program that a signal has ended is this and the signal's number."""
LIMITS = ("/sys/fs/cgroup/memory.max", "/sys/fs/cgroup/memory/memory.limit_in_bytes")
"""Files that say what a container's processes may have."""
OFTEN = (700, 10, 10)
"""Objects and collections between two collections of the garbage collector's generations."""


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


def machine_memory() -> int | None:
    """Return the bytes that this machine's processes may have, or None where it does not say."""
    try:
        found = [os.sysconf("SC_PHYS_PAGES") * os.sysconf("SC_PAGE_SIZE")]
    except (AttributeError, ValueError, OSError):
        return None
    for limit in LIMITS:
        try:
            found.append(int(Path(limit).read_text()))
        except (OSError, ValueError):  # no such limit, or "max"
            continue
    return min(found)


def available_memory() -> int | None:
    """Return how many bytes programs may still take on this machine, where the system says so."""
    try:
        lines = Path("/proc/meminfo").read_text().splitlines()
        kilobytes = next(line.split()[1] for line in lines if line.startswith("MemAvailable:"))
    except (OSError, StopIteration):
        return None
    return int(kilobytes) * 1024


def _glibc(name: str) -> Any:
    return getattr(ctypes.CDLL(None), name, None) if sys.platform.startswith("linux") else None


def collect_less_often() -> None:
    """Let the garbage collector run less often, in a process that is about to import much."""
    gc.set_threshold(OBJECTS_BEFORE_COLLECTION)


def freeze_heap() -> None:
    """Leave what is in memory now out of garbage collection from here on."""
    gc.collect()
    gc.freeze()


@contextmanager
def frozen_heap() -> Iterator[None]:
    """Leave what is already in memory out of garbage collection inside the block.

    Flower's ArrayRecords force a full collection for every reply that a strategy takes apart, and
    each would go through all that torch, Ray and the rest have loaded: up to a second a reply.
    What is left to look at is little, and is looked at often: a record in a cycle holds weights.
    """
    before = gc.get_threshold()
    gc.freeze()
    gc.set_threshold(*OFTEN)
    try:
        yield
    finally:
        gc.set_threshold(*before)
        gc.unfreeze()


def set_torch_threads(count: int) -> None:
    """Set the number of torch threads of this process."""
    import torch

    torch.set_num_threads(count)


@contextmanager
def torch_threads(count: int) -> Iterator[None]:
    """Compute with this many torch threads inside the block: the same bits everywhere."""
    import torch

    before = torch.get_num_threads()
    torch.set_num_threads(count)
    try:
        yield
    finally:
        torch.set_num_threads(before)
