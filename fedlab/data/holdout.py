"""A test set where a data set comes without one."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np

from fedlab import seeding
from fedlab.data.dataset import IntArray
from fedlab.errors import FedlabError


def hold_out(
    count: int,
    fraction: float,
    seed: int,
    classes: IntArray | None = None,
    names: Sequence[str] = (),
) -> tuple[IntArray, IntArray]:
    """Return the row numbers of the training and test parts, each ascending.

    Args:
        count: Number of examples.
        fraction: Part of them that is tested on.
        seed: Decides which.
        classes: (count,) classes whose shares both parts keep (stratified), if given.
        names: Names of the classes, for messages.

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
            f"set with examples of every class in both parts{_rarest(classes, names)}"
        ) from error
    return np.sort(train), np.sort(test)


def _rarest(classes: IntArray | None, names: Sequence[str]) -> str:
    """Return which class has a single example, if one has."""
    if classes is None or not names:
        return ""
    alone = [name for name, n in zip(names, np.bincount(classes), strict=True) if n == 1]
    return f"; the class '{alone[0]}' has one example" if alone else ""
