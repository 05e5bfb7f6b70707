"""A user's own pictures, one folder per class."""

from __future__ import annotations

from pathlib import Path
from typing import Literal

import numpy as np
import torch
from pydantic import Field

from fedlab.data.dataset import Dataset, DataSettings, Examples, Task, without_effect
from fedlab.data.folders import OwnFolder
from fedlab.data.formats.picture import has_frames, picture_suffixes, read_picture
from fedlab.data.holdout import hold_out
from fedlab.data.names import shown
from fedlab.data.parts import find_parts, read_parts
from fedlab.data.unreadable import OnError, on_error_field, settle
from fedlab.errors import FedlabError
from fedlab.registry import datasets
from fedlab.settings import FilePath

_KEY = "data.path"


@datasets.register("imagefolder")
class ImageFolder:
    """A folder of your own pictures: path/<class>/*.jpg, or path/train/... and path/test/...."""

    class Settings(DataSettings):
        """Keys of the imagefolder data set."""

        name: str = "imagefolder"
        path: FilePath = Field(
            description="folder with one subfolder per class, or with the parts train and test "
            "(or val), each with one subfolder per class"
        )
        image_size: int = Field(
            64, ge=4, le=1024, description="pictures are scaled and cropped to this square, once"
        )
        channels: Literal[1, 3] = Field(3, description="3 colour, 1 grey")
        test_fraction: float = Field(
            0.2, gt=0, lt=1, description="fraction held out if there is no part 'test' or 'val'"
        )
        on_error: OnError = on_error_field()

    def __init__(self, settings: Settings) -> None:
        self.settings = settings

    def load(self, seed: int) -> Dataset:
        """Return uint8 pictures (N, channels, image_size, image_size).

        Raises:
            FedlabError: If a folder is missing or holds no pictures, or a picture cannot be read.
        """
        own = OwnFolder(Path(self.settings.path).expanduser(), picture_suffixes(), _KEY)
        parts = find_parts(own)
        files = read_parts(own, parts, "pictures")
        train, notes = self._read(*files.train, files.classes)
        if files.test is not None:
            test, further = self._read(*files.test, files.classes)
            reason = "the folder has a part of its own that is held out"
            notes += further + without_effect(self.settings, ["test_fraction"], reason)
        else:
            fraction, targets = self.settings.test_fraction, train.targets.numpy()
            rows = hold_out(len(train), fraction, seed, targets, files.classes)
            train, test = train.take(rows[0]), train.take(rows[1])
        task = Task("classification", "image", self._shape, len(files.classes), files.classes)
        notes = (*parts.notes, *own.notes(files.classes), *notes)
        return Dataset(task, train, test, notes=notes)

    @property
    def _shape(self) -> tuple[int, int, int]:
        return (self.settings.channels, self.settings.image_size, self.settings.image_size)

    def _read(
        self, files: list[Path], labels: list[str], classes: tuple[str, ...]
    ) -> tuple[Examples, tuple[str, ...]]:
        """Return the pictures, and what the user should know of them."""
        inputs = torch.empty((len(files), *self._shape), dtype=torch.uint8)
        kept: list[int] = []
        faults: list[str] = []
        for number, file in enumerate(files):
            try:
                inputs[len(kept)] = read_picture(file, self._shape)
            except FedlabError as error:
                faults.append(str(error))
            else:
                kept.append(number)
        notes = settle(faults, len(files), _KEY, self.settings.on_error)
        numbers = {name: number for number, name in enumerate(classes)}
        targets = torch.tensor([numbers[labels[row]] for row in kept], dtype=torch.int64)
        read = Examples(inputs[: len(kept)], targets)
        _check_none_is_empty(read, labels, classes)
        return read, (*notes, *_frames([files[row] for row in kept]))


def _check_none_is_empty(read: Examples, labels: list[str], classes: tuple[str, ...]) -> None:
    """Refuse a class of which every picture was left out.

    Raises:
        FedlabError: If there is one.
    """
    counts = np.bincount(read.targets.numpy(), minlength=len(classes))
    for name, count in zip(classes, counts, strict=True):
        if not count and name in labels:
            raise FedlabError(f"{_KEY}: no picture of the class '{name}' can be read")


def _frames(files: list[Path]) -> tuple[str, ...]:
    """Return a note on the files that hold several frames or pages, if there are any."""
    found = [file for file in files if has_frames(file)]
    if not found:
        return ()
    which = f"{shown(found[0])}{' and others' if len(found) > 1 else ''}"
    return (
        f"{_KEY}: of several frames or pages the first is taken, in {len(found)} "
        f"file{'s' if len(found) > 1 else ''}: {which}",
    )
