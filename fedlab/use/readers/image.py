"""Pictures, as a viewer shows them."""

from __future__ import annotations

from collections.abc import Collection
from pathlib import Path

import torch

from fedlab.data.formats.picture import picture_suffixes, read_picture
from fedlab.registry import readers
from fedlab.use.file_reader import FileReader


@readers.register("image")
class Pictures(FileReader):
    """Picture files and folders of them."""

    what = "pictures"

    def suffixes(self) -> Collection[str]:
        """Return the suffixes of picture files."""
        return picture_suffixes()

    def load(self, path: Path) -> torch.Tensor:
        """Return a picture, (C, H, W) uint8, in the size of the run's data set."""
        return read_picture(path, self.task.input_shape)
