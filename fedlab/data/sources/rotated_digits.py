"""scikit-learn's handwritten digits, rotated: groups of clients with different rotations."""

from __future__ import annotations

from typing import Any

import numpy as np
import torch
from pydantic import Field

from fedlab import seeding
from fedlab.data.dataset import Dataset, Examples
from fedlab.data.sources.digits import Digits
from fedlab.registry import datasets


@datasets.register("rotated-digits")
class RotatedDigits(Digits):
    """The digits rotated by quarter turns, one angle per natural client: for clustering.

    Every picture belongs to one natural client at random, and is rotated by that client's angle: i
    mod ``angles`` quarter turns for client i. Test pictures are rotated at random. This is the
    rotated MNIST of Ghosh et al. 2020 on digits that need no download, with each picture used once.
    """

    class Settings(Digits.Settings):
        """Keys of the rotated digits."""

        name: str = "rotated-digits"
        angles: int = Field(4, ge=1, le=4, description="different quarter turns: 0, 90, …")
        natural_clients: int = Field(
            20, ge=1, le=500, description="number of clients, which take the angles in turn"
        )

    def __init__(self, settings: Settings) -> None:
        super().__init__(settings)
        self._turned: Any = settings

    def load(self, seed: int) -> Dataset:
        """Return the digits with rotated pictures and natural clients."""
        dataset = super().load(seed)
        count, angles = self._turned.natural_clients, self._turned.angles
        draw = seeding.numpy_generator(seed, "rotated digits")
        groups = draw.permutation(np.arange(len(dataset.train)) % count)
        train, test = dataset.train, dataset.test
        inputs = _turned(train.inputs, groups % angles)
        names = tuple(f"{number}, {90 * (number % angles)}°" for number in range(count))
        turns = draw.permutation(np.arange(len(test)) % angles)
        return Dataset(
            dataset.task,
            Examples(inputs, train.targets, groups, names),
            Examples(_turned(test.inputs, turns), test.targets),
        )


def _turned(inputs: torch.Tensor, turns: np.ndarray[Any, Any]) -> torch.Tensor:
    """Return pictures (N, C, H, W), each rotated by its number of quarter turns."""
    turned = inputs.clone()
    for number in np.unique(turns):
        rows = torch.from_numpy(turns == number)
        turned[rows] = torch.rot90(inputs[rows], int(number), (2, 3))
    return turned
