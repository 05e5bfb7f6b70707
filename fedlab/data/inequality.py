"""How unequally something is shared out, of clients' data and of what they reach."""

from __future__ import annotations

import numpy as np
import numpy.typing as npt


def gini(values: npt.ArrayLike) -> float:
    """Return the Gini coefficient: 0 if all are equal, (n - 1)/n if one has all.

    It is the mean absolute difference between two values over twice their mean, from the sorted
    values: Σ (2i - n - 1) x_i / (n Σ x_i), i from 1. Of nothing but zeros it is 0.

    Raises:
        ValueError: If there are no values, or a negative one.
    """
    ordered = np.sort(np.asarray(values, dtype=np.float64).ravel())
    if len(ordered) == 0 or ordered[0] < 0:
        raise ValueError("the Gini coefficient is of one or more values, none of them negative")
    if ordered[-1] == 0:
        return 0.0
    # It is the same at any scale; at this one, sums do not overflow.
    ordered = ordered / ordered[-1]
    ranks = 2 * np.arange(1, len(ordered) + 1) - len(ordered) - 1
    return float((ranks * ordered).sum() / (len(ordered) * ordered.sum()))
