"""How many workers share a device, by the memory that the first of them has taken.

It decides about time alone: blocks of clients, and so all results, depend on the cohort.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

AUTO = "auto"
SHARE_FOR_WORKERS = 0.9
"""Of the memory that is free: the rest is for what later clients may take more than the first."""


def is_measured(settings: Any) -> bool:
    """Return whether the memory of the first clients decides how many workers there are."""
    asked = settings.workers is not None or settings.gpus_per_worker
    return settings.workers_per_device == AUTO and not asked


def workers_that_fit(measured: Sequence[tuple[int, int]], cores: int, blocks: int) -> int:
    """Return how many workers there may be on all devices together.

    Args:
        measured: For the one worker of each device the most bytes that it has taken, and those that
            are free beside it.
        cores: How many cores the machine has, of which each worker keeps one busy.
        blocks: How many blocks of clients there are to be done, of which each worker does one.
    """
    devices = len(measured)
    taken, free = max(taken for taken, _ in measured), min(free for _, free in measured)
    beside = int(SHARE_FOR_WORKERS * free / max(taken, 1))
    most = min(cores // devices, -(-blocks // devices))
    return devices * max(1, min(1 + beside, most))
