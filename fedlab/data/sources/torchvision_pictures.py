"""Data sets of pictures that torchvision reads: EMNIST, CIFAR-10 and -100, SVHN."""

from __future__ import annotations

from abc import ABC, abstractmethod
from pathlib import Path
from typing import Any, Literal

import numpy as np
import torch
from pydantic import Field

from fedlab import assets
from fedlab.data.dataset import Dataset, DataSettings, Examples, Task
from fedlab.errors import FedlabError
from fedlab.registry import datasets


class TorchvisionPictures(ABC):
    """Pictures from the local files of a torchvision data set class."""

    class Settings(DataSettings):
        """This data set has no keys of its own."""

    def __init__(self, settings: DataSettings) -> None:
        self.settings = settings

    def load(self, seed: int) -> Dataset:
        """Return uint8 pictures (N, C, H, W) with the data set's own test part."""
        root = assets.ensure(self.settings.name)
        try:
            train, labels = self.read(root, train=True)
            test, _ = self.read(root, train=False)
        except (OSError, RuntimeError, ValueError, EOFError) as error:
            reason = str(error).split("\n", maxsplit=1)[0]
            raise FedlabError(
                f"data set '{self.settings.name}': the files in {root} cannot be read: {reason}"
            ) from error
        shape = tuple(train.inputs.shape[1:])
        return Dataset(Task("classification", "image", shape, len(labels), labels), train, test)

    @abstractmethod
    def read(self, root: Path, train: bool) -> tuple[Examples, tuple[str, ...]]:
        """Return one part of the data set and the names of its classes."""


def examples_of(pictures: Any, targets: Any) -> Examples:
    """Return examples from uint8 pictures (N, C, H, W) and their classes, as arrays or lists."""
    inputs = torch.as_tensor(np.ascontiguousarray(pictures))
    return Examples(inputs, torch.as_tensor(np.asarray(targets)).long())


@datasets.register("emnist")
class Emnist(TorchvisionPictures):
    """EMNIST: handwritten letters and digits, 28×28 grey, in six splits."""

    class Settings(DataSettings):
        """Keys of EMNIST."""

        name: str = "emnist"
        split: Literal["byclass", "bymerge", "balanced", "letters", "digits", "mnist"] = Field(
            "balanced", description="the split, with its classes (Cohen et al. 2017)"
        )

    def __init__(self, settings: Settings) -> None:
        super().__init__(settings)
        self.split = settings.split

    def read(self, root: Path, train: bool) -> tuple[Examples, tuple[str, ...]]:
        """Return one part, its pictures upright (the files store them transposed)."""
        from torchvision.datasets import EMNIST

        part = EMNIST(root, split=self.split, train=train)
        # "letters" counts its classes from 1 and lists a placeholder for class 0.
        first = 1 if self.split == "letters" else 0
        pictures = part.data.transpose(1, 2).unsqueeze(1).numpy()
        return examples_of(pictures, part.targets.numpy() - first), tuple(part.classes[first:])


@datasets.register("cifar10")
class Cifar10(TorchvisionPictures):
    """CIFAR-10: 50,000 + 10,000 colour pictures, 32×32, 10 classes."""

    def read(self, root: Path, train: bool) -> tuple[Examples, tuple[str, ...]]:
        """Return one part."""
        from torchvision.datasets import CIFAR10

        part = CIFAR10(root, train=train)
        return examples_of(part.data.transpose(0, 3, 1, 2), part.targets), tuple(part.classes)


@datasets.register("cifar100")
class Cifar100(TorchvisionPictures):
    """CIFAR-100: 50,000 + 10,000 colour pictures, 32×32, 100 classes."""

    def read(self, root: Path, train: bool) -> tuple[Examples, tuple[str, ...]]:
        """Return one part."""
        from torchvision.datasets import CIFAR100

        part = CIFAR100(root, train=train)
        return examples_of(part.data.transpose(0, 3, 1, 2), part.targets), tuple(part.classes)


@datasets.register("svhn")
class Svhn(TorchvisionPictures):
    """SVHN: 73,257 + 26,032 street-view house numbers, 32×32 colour, 10 digits."""

    def read(self, root: Path, train: bool) -> tuple[Examples, tuple[str, ...]]:
        """Return one part."""
        from torchvision.datasets import SVHN

        part = SVHN(root, split="train" if train else "test")
        return examples_of(part.data, part.labels), tuple(str(digit) for digit in range(10))
