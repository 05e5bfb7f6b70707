"""A test set where a data set comes without one, and scaling by what the training part shows."""

from __future__ import annotations

import numpy as np
import torch

from fedlab import seeding
from fedlab.data.dataset import IntArray
from fedlab.errors import FedlabError


def hold_out(
    count: int, fraction: float, seed: int, classes: IntArray | None = None
) -> tuple[IntArray, IntArray]:
    """Return the row numbers of the training and test parts, each ascending.

    Args:
        count: Number of examples.
        fraction: Part of them that is tested on.
        seed: Decides which.
        classes: (count,) classes whose shares both parts keep (stratified), if given.

    Raises:
        FedlabError: If the examples are too few for that.
    """
    from sklearn.model_selection import train_test_split

    try:
        train, test = train_test_split(
            np.arange(count),
            test_size=fraction,
            stratify=classes,
            random_state=seeding.derive(seed, "test set") % 2**32,
        )
    except ValueError as error:
        raise FedlabError(
            f"data.test_fraction: {fraction:g} of {count} examples cannot be held out for the test "
            "set with examples of every class in both parts"
        ) from error
    return np.sort(train), np.sort(test)


def standardise(train: torch.Tensor, test: torch.Tensor) -> tuple[torch.Tensor, torch.Tensor]:
    """Return both parts with mean 0 and standard deviation 1 of each feature in the first.

    Args:
        train: (N, ..., F) numbers; NaN stands for missing and becomes the mean.
        test: Likewise; scaled by the training part's statistics.
    """
    flat = train.reshape(-1, train.shape[-1]).double()
    mean = flat.nanmean(0)
    deviation = (flat - mean).square().nanmean(0).sqrt()
    deviation[deviation == 0] = 1.0
    scaled = [
        ((part.double() - mean) / deviation).nan_to_num(0.0).float() for part in (train, test)
    ]
    return scaled[0], scaled[1]
