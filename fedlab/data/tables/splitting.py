"""A test part of a table in which each client and each class keeps its share."""

from __future__ import annotations

import numpy as np
import numpy.typing as npt

from fedlab import seeding
from fedlab.data.holdout import without_last_of_class

IntArray = npt.NDArray[np.int64]


def stratified(groups: IntArray, classes: IntArray | None, fraction: float, seed: int) -> IntArray:
    """Return the rows of the test part, ascending.

    Within each group every class gives ``fraction`` of its rows, up to one row: rows are shuffled,
    sorted by class, and taken at equal distances. A group of one row, and a class of which there is
    one row in all, stay in training; of every other class one row does at least.

    Args:
        groups: (rows,) the client of each row.
        classes: (rows,) the class of each row, or None where numbers are learned.
        fraction: Part of the rows that is tested on.
        seed: Decides which rows.
    """
    kinds = np.zeros(len(groups), dtype=np.int64) if classes is None else classes
    alone = np.bincount(kinds, minlength=1)[kinds] == 1
    chosen = []
    for group in np.unique(groups).tolist():
        rows = np.flatnonzero((groups == group) & ~alone)
        draw = seeding.numpy_generator(seed, "test set", group)
        rows = draw.permutation(rows)
        rows = rows[np.argsort(kinds[rows], kind="stable")]
        begin = float(draw.random())
        marks = np.floor(np.arange(len(rows) + 1) * fraction + begin)
        picked = rows[np.diff(marks) >= 1]
        if len(rows) > 1 and len(picked) == 0:
            picked = rows[:1]
        chosen.append(picked if len(picked) < (groups == group).sum() else picked[1:])
    test = np.sort(np.concatenate(chosen)).astype(np.int64)
    return test if classes is None else without_last_of_class(test, kinds)
