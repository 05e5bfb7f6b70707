"""scikit-learn's handwritten digits."""

from __future__ import annotations

import torch
from pydantic import Field

from fedlab.data.dataset import Dataset, DataSettings, Examples, Task
from fedlab.data.holdout import hold_out
from fedlab.registry import datasets


@datasets.register("digits")
class Digits:
    """1,797 handwritten digits, 8×8 grey, that come with scikit-learn."""

    class Settings(DataSettings):
        """Keys of the digits data set."""

        name: str = "digits"
        test_fraction: float = Field(
            0.2, gt=0, lt=1, description="fraction held out as the server's test set, stratified"
        )

    def __init__(self, settings: Settings) -> None:
        self.settings = settings

    def load(self, seed: int) -> Dataset:
        """Return uint8 pictures (N, 1, 8, 8); the files' 16 grey levels become 0..255."""
        from sklearn.datasets import load_digits

        bunch = load_digits()
        inputs = torch.from_numpy(bunch.images * (255 / 16)).round().to(torch.uint8).unsqueeze(1)
        targets = torch.from_numpy(bunch.target).long()
        rows = hold_out(len(inputs), self.settings.test_fraction, seed, bunch.target)
        train, test = (
            Examples(inputs[part], targets[part]) for part in map(torch.from_numpy, rows)
        )
        labels = tuple(str(digit) for digit in range(10))
        return Dataset(Task("classification", "image", (1, 8, 8), 10, labels), train, test)
