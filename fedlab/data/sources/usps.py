"""USPS: digits from envelopes, in torchvision's files or in one HDF5 file."""

from __future__ import annotations

import os
from pathlib import Path

import h5py
import numpy as np
import torch
from pydantic import Field

from fedlab.data.dataset import Dataset, DataSettings, Examples, Task
from fedlab.data.names import shown
from fedlab.data.sources.torchvision_pictures import TorchvisionPictures, examples_of
from fedlab.errors import AssetMissing, FedlabError
from fedlab.registry import datasets
from fedlab.settings import FilePath

FILE = "usps.h5"
SIDE = 16
LABELS = tuple(str(digit) for digit in range(10))


@datasets.register("usps")
class Usps(TorchvisionPictures):
    """USPS: 7,291 + 2,007 handwritten digits from envelopes, 16×16 grey (Hull 1994).

    It is read from ``usps.h5`` (groups ``train`` and ``test``, each with ``data`` (N, 256) from 0
    to 1 and ``target`` (N,)) where ``data.path`` or ``FEDLAB_DATA`` has it, else from the files
    that torchvision downloads.
    """

    class Settings(DataSettings):
        """Keys of USPS."""

        name: str = "usps"
        path: FilePath | None = Field(
            None, description="the file usps.h5; default: in FEDLAB_DATA, else torchvision's files"
        )

    def __init__(self, settings: Settings) -> None:
        super().__init__(settings)
        self._path = settings.path

    def load(self, seed: int) -> Dataset:
        """Return uint8 pictures (N, 1, 16, 16) with the data set's own test part.

        Raises:
            FedlabError: If there are no files, or they hold something else.
        """
        file = found_file(self._path)
        if file is None:
            try:
                return super().load(seed)
            except AssetMissing as missing:
                raise AssetMissing(
                    f"{missing}; or put usps.h5 into FEDLAB_DATA, or name it in data.path"
                ) from missing
        train, test = read_file(file)
        return Dataset(Task("classification", "image", (1, SIDE, SIDE), 10, LABELS), train, test)

    def read(self, root: Path, train: bool) -> tuple[Examples, tuple[str, ...]]:
        """Return one part of torchvision's files."""
        from torchvision.datasets import USPS

        part = USPS(root, train=train)
        return examples_of(part.data[:, None], part.targets), LABELS


def found_file(path: str | None) -> Path | None:
    """Return the HDF5 file, or None where neither a path nor ``FEDLAB_DATA`` has one.

    Raises:
        FedlabError: If there is none at the path.
    """
    if path is not None:
        if not Path(path).is_file():
            raise FedlabError(
                f"data.path: {shown(path)} is no file; name usps.h5, which holds the groups train "
                "and test, or leave the key out"
            )
        return Path(path)
    chosen = os.environ.get("FEDLAB_DATA")
    places = [Path(chosen) / FILE, Path(chosen) / "usps" / FILE] if chosen else []
    return next((place for place in places if place.is_file()), None)


def read_file(path: Path) -> tuple[Examples, Examples]:
    """Return the training and the test part of the HDF5 file.

    Raises:
        FedlabError: If it is no such file.
    """
    try:
        with h5py.File(path) as file:
            parts = [
                (np.asarray(file[part]["data"]), np.asarray(file[part]["target"]))
                for part in ("train", "test")
            ]
    except (OSError, KeyError, TypeError, ValueError) as error:
        reason = str(error).split("\n", maxsplit=1)[0]
        raise FedlabError(
            f"data.path: {shown(path)} cannot be read as usps.h5, which holds train/data, "
            f"train/target, test/data and test/target: {reason}"
        ) from error
    train, test = (_examples(path, *part) for part in parts)
    return train, test


def _examples(path: Path, data: np.ndarray, target: np.ndarray) -> Examples:
    fits = data.ndim == 2 and data.shape[1] == SIDE * SIDE and target.shape == data.shape[:1]
    if not fits or data.min() < 0 or data.max() > 1 or target.min() < 0 or target.max() > 9:
        raise FedlabError(
            f"data.path: {shown(path)} holds data of shape {data.shape} and targets of shape "
            f"{target.shape}; of usps.h5 they are (N, 256) from 0 to 1, and (N,) from 0 to 9"
        )
    pictures = torch.from_numpy(data.reshape(-1, 1, SIDE, SIDE) * 255).round().to(torch.uint8)
    return Examples(pictures, torch.from_numpy(target).long())
