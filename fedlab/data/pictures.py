"""Picture files as examples: small sets in memory, larger ones in the picture cache."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import torch

from fedlab.data.dataset import Examples, IntArray
from fedlab.data.decoding import InMemory, decode_all
from fedlab.data.mapped import MappedExamples, RowFile
from fedlab.data.picture_cache import NoRoom, cached_pictures

FEW = 500
SMALL = 32 << 20
"""Fewer files, of fewer bytes once decoded, are decoded each time."""
MOST_IN_MEMORY = 1 << 30
"""Bytes of decoded pictures that are kept in memory where the cache cannot be written."""


@dataclass(frozen=True)
class Pictures:
    """Decoded pictures.

    Attributes:
        stored: (N, C, H, W) uint8 rows, one a file, in memory or in a file.
        kept: (M,) the numbers of the files that could be read.
        faults: A sentence for each of the others.
        frames: The numbers of files with several frames or pages.
        notes: What the user should know.
    """

    stored: torch.Tensor | RowFile
    kept: IntArray
    faults: list[str]
    frames: tuple[int, ...]
    notes: tuple[str, ...] = ()

    def examples(
        self, targets: torch.Tensor, groups: IntArray | None, names: tuple[str, ...]
    ) -> Examples:
        """Return the pictures that could be read, with their targets and groups."""
        if isinstance(self.stored, RowFile):
            return MappedExamples(self.stored, self.kept, targets, groups, names)
        whole = len(self.kept) == len(self.stored)
        inputs = self.stored if whole else self.stored[torch.from_numpy(self.kept)]
        return Examples(inputs, targets, groups, names)


def read_pictures(files: Sequence[Path], shape: tuple[int, int, int]) -> Pictures:
    """Return the pictures of these files.

    Args:
        files: The files.
        shape: (C, H, W), as :func:`fedlab.data.formats.picture.read_picture` takes it.

    Raises:
        NoRoom: If they are too many for memory, and the cache has no room for them.
    """
    size = len(files) * int(np.prod(shape))
    notes: tuple[str, ...] = ()
    if len(files) >= FEW or size >= SMALL:
        try:
            found = cached_pictures(files, shape)
        except NoRoom as error:
            if size > MOST_IN_MEMORY:
                raise
            notes = (f"pictures are decoded anew each time: {error}",)
        else:
            return _pictures(found.file, len(files), found.faults, found.frames)
    target = InMemory(len(files), shape)
    decoded = decode_all(files, shape, target)
    return _pictures(target.rows, len(files), decoded.faults, decoded.frames, notes)


def _pictures(
    stored: torch.Tensor | RowFile,
    count: int,
    faults: dict[int, str],
    frames: tuple[int, ...],
    notes: tuple[str, ...] = (),
) -> Pictures:
    kept = np.array([n for n in range(count) if n not in faults], np.int64)
    readable = tuple(number for number in frames if number not in faults)
    return Pictures(stored, kept, [faults[n] for n in sorted(faults)], readable, notes)
