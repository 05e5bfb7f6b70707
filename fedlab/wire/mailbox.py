"""Shared memory in which the workers of one machine leave their sums for the engine.

Ray takes more than a millisecond to hand over a sum of a few megabytes; copied into memory that
both processes hold already, it takes a tenth of that. Where there is no such memory, or a sum does
not fit, Ray carries it.
"""

from __future__ import annotations

import os
import tempfile
from contextlib import suppress
from dataclasses import dataclass
from functools import lru_cache
from pathlib import Path
from typing import Any

import numpy as np

from fedlab.wire.sums import Name, WeightedSum

SHARED_MEMORY = Path("/dev/shm")
MOST_BYTES = 1 << 28
"""Of a mailbox; sums of large models are not what takes the time."""
PREFIX = "fedlab-"
ALIGNMENT = 64
Place = tuple[int, tuple[int, ...], str]
"""Where an array lies in a slot, its shape, its type."""


@dataclass(frozen=True)
class Slot:
    """Where one block's sum goes: ``size`` bytes from ``start`` in the file at ``path``."""

    path: str
    start: int
    size: int

    def array(self, place: Place) -> np.ndarray[Any, Any]:
        """Return the array at a place in this slot.

        Raises:
            OSError: If the mailbox is not on this machine.
        """
        offset, shape, kind = place
        return np.ndarray(shape, kind, _opened(self.path), self.start + offset)


@lru_cache(maxsize=4)
def _opened(path: str) -> np.memmap[Any, np.dtype[np.uint8]]:
    return np.memmap(path, np.uint8, "r+")


@dataclass
class LeftSum:
    """A sum whose arrays lie in a slot."""

    total: WeightedSum
    slot: Slot
    places: dict[Name, Place]

    def collect(self) -> WeightedSum:
        """Return the sum, its arrays in the slot until the slot is used again."""
        for name, place in self.places.items():
            array = self.slot.array(place)
            array.flags.writeable = False
            self.total.arrays[name] = array
        return self.total


def leave(total: WeightedSum, slot: Slot) -> LeftSum | None:
    """Move a sum's arrays into a slot; return nothing, and leave it whole, if they do not fit."""
    places: dict[Name, Place] = {}
    end = 0
    for name, array in total.arrays.items():
        places[name] = (end, array.shape, array.dtype.str)
        end += -(-array.nbytes // ALIGNMENT) * ALIGNMENT
    if end > slot.size:
        return None
    try:
        for name, array in total.arrays.items():
            slot.array(places[name])[...] = array
    except OSError:
        return None
    total.arrays = {}
    return LeftSum(total, slot, places)


class Mailbox:
    """The slots of one engine, remade when a round needs more or larger ones."""

    def __init__(self) -> None:
        self._path: Path | None = None
        self._slots: list[Slot] = []

    def slots(self, count: int, size: int) -> list[Slot] | list[None]:
        """Return ``count`` slots of ``size`` bytes or more, or Nones where that cannot be had."""
        if len(self._slots) >= count and self._slots[0].size >= size:
            return self._slots[:count]
        self.close()
        try:
            self._path = _new_file(count * size)
        except OSError:
            return [None] * count
        self._slots = [Slot(str(self._path), number * size, size) for number in range(count)]
        return list(self._slots)

    def close(self) -> None:
        """Remove the shared memory."""
        if self._path is not None:
            self._path.unlink(missing_ok=True)
        self._path, self._slots = None, []


def remove_those_of(process: int) -> None:
    """Remove the shared memory of a process that has ended."""
    for path in SHARED_MEMORY.glob(f"{PREFIX}{process}-*"):
        with suppress(OSError):
            path.unlink()


def _new_file(size: int) -> Path:
    """Return a new file in shared memory; those of processes that were killed are removed.

    Raises:
        OSError: If there is no shared memory, or too little.
    """
    for path in SHARED_MEMORY.glob(f"{PREFIX}*"):
        process = path.name.removeprefix(PREFIX).partition("-")[0]
        if process.isdigit() and not Path(f"/proc/{process}").exists():
            remove_those_of(int(process))
    free = os.statvfs(SHARED_MEMORY)
    if size > min(MOST_BYTES, free.f_bavail * free.f_frsize // 2):
        raise OSError("too little shared memory")
    file, made = tempfile.mkstemp(prefix=f"{PREFIX}{os.getpid()}-", dir=SHARED_MEMORY)
    os.ftruncate(file, size)
    os.close(file)
    return Path(made)
