"""Examples whose inputs lie in a file and are read when they are looked at, some at a time.

A hundred thousand pictures of 224 × 224 take 15 GB. Rows are read into memory of their own (one
system call for each run of neighbouring rows), rather than through a mapping of the whole file:
what is mapped and has been touched counts as memory of the process, and a file that is cut off
ends the process without a word.
"""

from __future__ import annotations

import os
from dataclasses import dataclass
from functools import lru_cache
from typing import Any

import numpy as np
import torch
from xxhash import xxh3_128

from fedlab.arrays import in_shared_memory
from fedlab.data.dataset import Examples, IntArray, Selection
from fedlab.errors import EngineFault, FedlabError


@dataclass(frozen=True)
class RowFile:
    """A file of uint8 rows of one shape, without a header.

    Attributes:
        path: The file.
        shape: (N, ...) of all its rows.
        digest: Of what it holds, and how it was made.
    """

    path: str
    shape: tuple[int, ...]
    digest: str

    @property
    def row_bytes(self) -> int:
        """Return the bytes of a row."""
        return int(np.prod(self.shape[1:]))

    def read(self, rows: IntArray) -> torch.Tensor:
        """Return these rows, (n, ...).

        Raises:
            FedlabError: If the file is gone or cut off.
        """
        values = np.empty((len(rows), *self.shape[1:]), np.uint8)
        target = values.reshape(-1).data
        breaks = np.flatnonzero(np.diff(rows) != 1) + 1
        for run in np.split(np.arange(len(rows)), breaks) if len(rows) else []:
            start, stop = int(run[0]) * self.row_bytes, (int(run[-1]) + 1) * self.row_bytes
            self._fill(target[start:stop], int(rows[run[0]]) * self.row_bytes)
        return torch.from_numpy(values)

    def _fill(self, target: memoryview, offset: int) -> None:
        done = 0
        while done < len(target):
            count = os.preadv(_descriptor(self.path), [target[done:]], offset + done)
            if not count:
                raise EngineFault(f"{self.path} is cut off; remove it, and it is made anew")
            done += count

    def mapped(self, start: int, stop: int) -> torch.Tensor:
        """Return rows ``start`` to ``stop`` as a mapping of the file, which nobody writes to."""
        rows = np.memmap(self.path, np.uint8, "r", start * self.row_bytes, self._shape(start, stop))
        return in_shared_memory(rows)

    def _shape(self, start: int, stop: int) -> tuple[int, ...]:
        return (stop - start, *self.shape[1:])


@lru_cache(maxsize=64)
def _descriptor(path: str) -> int:
    """Return this process's descriptor of a file, which stays open: so it may be removed."""
    try:
        return os.open(path, os.O_RDONLY | os.O_CLOEXEC)
    except OSError as error:
        raise FedlabError(
            f"{path} cannot be read: {error.strerror}; it was made of your pictures when the data "
            "were loaded, and is made anew when they are loaded again"
        ) from error


class MappedExamples(Examples):
    """Examples whose inputs are rows of a file; targets and groups are in memory.

    Args:
        file: Holds the inputs.
        rows: (N,) the row of each example.
        targets: (N, ...).
        groups: (N,) as :class:`Examples` has them.
        group_names: Likewise.
    """

    file: RowFile
    rows: IntArray

    def __init__(
        self,
        file: RowFile,
        rows: IntArray,
        targets: torch.Tensor,
        groups: IntArray | None = None,
        group_names: tuple[str, ...] = (),
    ) -> None:
        self.__dict__.update(
            file=file, rows=rows, targets=targets, groups=groups, group_names=group_names
        )

    def __len__(self) -> int:
        return len(self.rows)

    @property
    def inputs(self) -> torch.Tensor:
        """Return all inputs: a mapping where they are neighbours in the file, else a copy."""
        rows = self.rows
        if len(rows) and (np.diff(rows) == 1).all():
            return self.file.mapped(int(rows[0]), int(rows[-1]) + 1)
        return self.file.read(rows)

    @property
    def digest(self) -> bytes:
        """Return a digest of the inputs: of what the file holds, and which rows these are."""
        return xxh3_128(self.file.digest.encode() + self.rows.tobytes()).digest()

    @property
    def shared(self) -> list[torch.Tensor]:
        """Return the targets; rows of inputs are read anew for everyone."""
        return [self.targets]

    def inputs_at(self, rows: torch.Tensor | slice) -> torch.Tensor:
        """Return the inputs of these rows, read from the file."""
        chosen = self.rows[rows] if isinstance(rows, slice) else self.rows[rows.cpu().numpy()]
        return self.file.read(chosen)

    def take(self, rows: IntArray | torch.Tensor) -> Examples:
        """Return the examples of these rows, in this order; their inputs stay in the file."""
        index = torch.as_tensor(rows)
        groups = None if self.groups is None else self.groups[index.numpy()]
        chosen = self.rows[index.numpy()]
        return MappedExamples(self.file, chosen, self.targets[index], groups, self.group_names)

    def select(self, rows: IntArray) -> Examples:
        """Return the examples of these rows, read only if they are looked at."""
        return Selection(self, rows)

    def in_memory(self) -> Examples:
        """Return these examples with all inputs in memory."""
        return self.with_inputs(self.file.read(self.rows))

    def with_targets(self, targets: torch.Tensor) -> Examples:
        """Return these examples with other targets; their inputs stay in the file."""
        return MappedExamples(self.file, self.rows, targets, self.groups, self.group_names)

    def without_groups(self) -> Examples:
        """Return these examples as nobody's in particular."""
        return MappedExamples(self.file, self.rows, self.targets)

    def __reduce__(self) -> tuple[Any, ...]:
        arrays = (self.rows, self.targets.numpy(), self.groups, self.group_names)
        return _unpickled, (self.file, *arrays)


def _unpickled(
    file: RowFile,
    rows: IntArray,
    targets: np.ndarray[Any, Any],
    groups: IntArray | None,
    names: tuple[str, ...],
) -> MappedExamples:
    """Return examples whose arrays were pickled, which Ray shares between processes."""
    return MappedExamples(file, rows, in_shared_memory(targets), groups, names)
