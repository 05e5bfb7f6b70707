"""How a number is spread over clients: mean, spread, the worst tenth, fairness."""

from __future__ import annotations

import math
from collections.abc import Sequence

import numpy as np
import numpy.typing as npt

from fedlab.data.inequality import gini

__all__ = ["describe", "gini", "jain_index"]

FloatArray = npt.NDArray[np.float64]
Values = Sequence[float] | FloatArray


def describe(values: Values, higher_is_better: bool) -> dict[str, float]:
    """Return mean, std, worst_decile, min, max, jain_index and gini of one number over clients.

    ``std`` is the population's (divided by n); ``worst_decile`` is the mean of the worst tenth,
    at least one value: the lowest where higher is better, else the highest. The two indices of
    fairness are left out where a value is negative or none at all.

    Raises:
        ValueError: If there are no values.
    """
    ordered = np.sort(_vector(values))
    if len(ordered) == 0:
        raise ValueError("there are no values to describe")
    tenth = max(1, math.ceil(len(ordered) / 10))
    worst = ordered[:tenth] if higher_is_better else ordered[-tenth:]
    fairness = {}
    if np.isfinite(ordered).all() and ordered[0] >= 0:
        fairness = {"jain_index": jain_index(ordered), "gini": gini(ordered)}
    return {
        "mean": float(ordered.mean()),
        "std": float(ordered.std()),
        "worst_decile": float(worst.mean()),
        "min": float(ordered[0]),
        "max": float(ordered[-1]),
        **fairness,
    }


def jain_index(values: Values) -> float:
    """Return Jain's fairness index (Σx)² / (n Σx²): 1 if all are equal, 1/n if one has all.

    Source: Jain, Chiu and Hawe, "A quantitative measure of fairness and discrimination", 1984.

    Raises:
        ValueError: If there are no values, or a negative one.
    """
    shares = _shares(values)
    total = np.square(shares).sum()
    return float(shares.sum() ** 2 / (len(shares) * total)) if total else 1.0


def _vector(values: Values) -> FloatArray:
    return np.asarray(values, dtype=np.float64).ravel()


def _shares(values: Values) -> FloatArray:
    shares = _vector(values)
    if len(shares) == 0 or (shares < 0).any():
        raise ValueError("fairness is measured on one or more values, none of them negative")
    # Both indices are the same at any scale; at this one, squares neither vanish nor overflow.
    return shares / shares.max() if shares.max() else shares
