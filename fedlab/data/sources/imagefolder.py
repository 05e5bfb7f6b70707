"""A user's own pictures, one folder per class."""

from __future__ import annotations

from pathlib import Path
from typing import Literal

import torch
from pydantic import Field

from fedlab.data.dataset import Dataset, DataSettings, Examples, Task
from fedlab.data.formats.picture import read_picture
from fedlab.data.holdout import hold_out
from fedlab.errors import FedlabError
from fedlab.registry import datasets

_SUFFIXES = {".png", ".jpg", ".jpeg", ".bmp", ".gif", ".tif", ".tiff", ".webp"}


@datasets.register("imagefolder")
class ImageFolder:
    """A folder of your own pictures: path/<class>/*.jpg, or path/train/... and path/test/...."""

    class Settings(DataSettings):
        """Keys of the imagefolder data set."""

        name: str = "imagefolder"
        path: str = Field(description="folder with one subfolder per class, or with train and test")
        image_size: int = Field(
            64, ge=4, le=1024, description="pictures are scaled and cropped to this square, once"
        )
        channels: Literal[1, 3] = Field(3, description="3 colour, 1 grey")
        test_fraction: float = Field(
            0.2, gt=0, lt=1, description="fraction held out if there is no folder 'test'"
        )

    def __init__(self, settings: Settings) -> None:
        self.settings = settings

    def load(self, seed: int) -> Dataset:
        """Return uint8 pictures (N, channels, image_size, image_size).

        Raises:
            FedlabError: If a folder is missing or holds no pictures, or a picture cannot be read.
        """
        root = Path(self.settings.path).expanduser()
        separate = (root / "train").is_dir() and (root / "test").is_dir()
        train_root = root / "train" if separate else root
        classes = _classes(train_root)
        train = self._read(train_root, classes)
        if separate:
            _check_same_classes(_classes(root / "test"), classes, root)
            test = self._read(root / "test", classes)
        else:
            rows = hold_out(len(train), self.settings.test_fraction, seed, train.targets.numpy())
            train, test = train.take(rows[0]), train.take(rows[1])
        task = Task("classification", "image", self._shape, len(classes), classes)
        return Dataset(task, train, test)

    @property
    def _shape(self) -> tuple[int, int, int]:
        return (self.settings.channels, self.settings.image_size, self.settings.image_size)

    def _read(self, root: Path, classes: tuple[str, ...]) -> Examples:
        files, targets = [], []
        for number, name in enumerate(classes):
            if not (root / name).is_dir():
                continue
            found = _pictures(root / name)
            if not found:
                raise FedlabError(f"data.path: {root / name} holds no pictures")
            files += found
            targets += [number] * len(found)
        inputs = torch.empty((len(files), *self._shape), dtype=torch.uint8)
        for row, file in enumerate(files):
            inputs[row] = read_picture(file, self._shape)
        return Examples(inputs, torch.tensor(targets, dtype=torch.int64))


def _classes(root: Path) -> tuple[str, ...]:
    """Return the names of the class folders, sorted."""
    if not root.is_dir():
        raise FedlabError(f"data.path: there is no folder {root}")
    names = sorted(
        entry.name for entry in root.iterdir() if entry.is_dir() and not entry.name.startswith(".")
    )
    if len(names) < 2:
        raise FedlabError(
            f"data.path: {root} needs at least two folders, one for each class; it has {len(names)}"
        )
    return tuple(names)


def _check_same_classes(found: tuple[str, ...], classes: tuple[str, ...], root: Path) -> None:
    strange = sorted(set(found) - set(classes))
    if strange:
        raise FedlabError(
            f"data.path: {root / 'test' / strange[0]} is a class without pictures in "
            f"{root / 'train'}"
        )


def _pictures(folder: Path) -> list[Path]:
    return sorted(path for path in folder.rglob("*") if path.suffix.lower() in _SUFFIXES)
