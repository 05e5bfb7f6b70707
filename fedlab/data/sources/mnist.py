"""MNIST and Fashion-MNIST, in idx files."""

from __future__ import annotations

from pathlib import Path
from typing import ClassVar

from fedlab import assets
from fedlab.data.dataset import Dataset, DataSettings, Examples, Task
from fedlab.data.formats.idx import read_idx
from fedlab.errors import FedlabError
from fedlab.registry import datasets


class IdxPictures:
    """Grey pictures in four idx files: training and test, pictures and labels.

    Attributes:
        labels: Names of the classes.
    """

    labels: ClassVar[tuple[str, ...]]

    class Settings(DataSettings):
        """This data set has no keys of its own."""

    def __init__(self, settings: Settings) -> None:
        self.settings = settings

    def load(self, seed: int) -> Dataset:
        """Return uint8 pictures (N, 1, H, W) with the data set's own test part."""
        folder = assets.ensure(self.settings.name)
        train, test = (self._read(folder, stem) for stem in ("train", "t10k"))
        shape = tuple(train.inputs.shape[1:])
        task = Task("classification", "image", shape, len(self.labels), self.labels)
        return Dataset(task, train, test)

    def _read(self, folder: Path, stem: str) -> Examples:
        names = (f"{stem}-images-idx3-ubyte", f"{stem}-labels-idx1-ubyte")
        arrays = []
        for name in names:
            with assets.open_file(folder, name) as file:
                arrays.append(read_idx(file, str(folder / name)))
        pictures, labels = arrays
        if pictures.ndim != 3 or labels.shape != pictures.shape[:1]:
            raise FedlabError(f"{folder}: {names[0]} and {names[1]} do not belong together")
        if labels.max() >= len(self.labels):
            raise FedlabError(
                f"{folder / names[1]} has labels beyond the {len(self.labels)} classes"
            )
        return Examples(pictures.unsqueeze(1), labels.long())


@datasets.register("mnist")
class Mnist(IdxPictures):
    """MNIST: 60,000 + 10,000 handwritten digits, 28×28 grey."""

    labels = tuple(str(digit) for digit in range(10))


@datasets.register("fashion-mnist")
class FashionMnist(IdxPictures):
    """Fashion-MNIST: 60,000 + 10,000 pictures of clothes, 28×28 grey, 10 classes."""

    labels = (
        "T-shirt",
        "trousers",
        "pullover",
        "dress",
        "coat",
        "sandal",
        "shirt",
        "sneaker",
        "bag",
        "ankle boot",
    )
