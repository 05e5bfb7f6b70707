"""A test set where a data set comes without one."""

from __future__ import annotations

import numpy as np

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
