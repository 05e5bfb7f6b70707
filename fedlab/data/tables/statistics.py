"""Statistics of a table as sums that clients add up, so that no row leaves its client.

Two exchanges: counts, sums and how often each value occurs; then, with the mean known to all, the
sums of squares about it. Their totals give the mean, deviation and most frequent value of all
clients' rows together, as scikit-learn's StandardScaler and SimpleImputer would find them on the
pooled rows (deviation: the population's, missing values not counted).
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from fedlab.data.table_encoding import UNSEEN, Fitted, FloatArray, Missing, TableColumn

BoolArray = npt.NDArray[np.bool_]


@dataclass(frozen=True)
class Sums:
    """What one client says of its rows, or several added up.

    Attributes:
        count: (slots,) values that are not missing.
        total: (slots,) their sums.
        occurrences: For each slot how often each value occurs; nothing where nobody asks.
    """

    count: FloatArray
    total: FloatArray
    occurrences: tuple[dict[float, int], ...]

    @staticmethod
    def of(raw: FloatArray, counted: Sequence[bool]) -> Sums:
        """Return the sums of a client's rows.

        Args:
            raw: (rows, slots); NaN where a value is missing.
            counted: (slots,) whether values are counted one by one.
        """
        occurrences = []
        for slot, wanted in enumerate(counted):
            present = raw[~np.isnan(raw[:, slot]), slot] if wanted else raw[:0, slot]
            values, counts = np.unique(present, return_counts=True)
            occurrences.append(dict(zip(values.tolist(), counts.tolist(), strict=True)))
        present = ~np.isnan(raw)
        count = present.sum(axis=0).astype(np.float64)
        return Sums(count, np.where(present, raw, 0.0).sum(axis=0), tuple(occurrences))

    def __add__(self, other: Sums) -> Sums:
        occurrences = []
        for mine, theirs in zip(self.occurrences, other.occurrences, strict=True):
            values = sorted(mine.keys() | theirs.keys())
            occurrences.append({v: mine.get(v, 0) + theirs.get(v, 0) for v in values})
        return Sums(self.count + other.count, self.total + other.total, tuple(occurrences))

    @property
    def mean(self) -> FloatArray:
        """Return the mean of each slot, 0 where it has no value, (slots,)."""
        return self.total / np.maximum(self.count, 1.0)


def squares_about(raw: FloatArray, mean: FloatArray) -> FloatArray:
    """Return the sum of squared distances of a client's values from ``mean``, (slots,)."""
    squares: FloatArray = np.nansum(np.square(raw - mean), axis=0)
    return squares


def fit(
    clients: Sequence[FloatArray],
    columns: Sequence[TableColumn],
    missing: Missing,
    otherwise: Fitted | None = None,
) -> Fitted:
    """Return what all clients' rows say together.

    A slot that is constant is not divided.

    Args:
        clients: (rows, slots) each; NaN where a value is missing.
        columns: What the slots are.
        missing: What stands in for a missing value.
        otherwise: What holds for a slot without any value; default: fill 0, offset 0, scale 1.
    """
    is_category = np.repeat(
        [column.kind == "category" for column in columns], [column.slots for column in columns]
    )
    counted = is_category | (missing == "most-frequent")
    sums = Sums.of(clients[0], counted.tolist())
    for raw in clients[1:]:
        sums += Sums.of(raw, counted.tolist())
    mean = sums.mean
    squares = sum((squares_about(raw, mean) for raw in clients), np.zeros(len(mean)))
    variance = squares / np.maximum(sums.count, 1.0)
    offset = np.where(is_category, 0.0, mean)
    divided = np.logical_not(is_category | _is_constant(variance, mean, sums.count))
    scale = np.where(divided, np.sqrt(variance), 1.0)
    fill = [
        _most_frequent(found, known) if wanted else value
        for found, wanted, known, value in zip(
            sums.occurrences, counted, is_category, offset.tolist(), strict=True
        )
    ]
    if otherwise is None:
        return Fitted(tuple(fill), tuple(offset.tolist()), tuple(scale.tolist()))
    empty = sums.count == 0
    return Fitted(
        *(
            tuple(np.where(empty, there, here).tolist())
            for here, there in (
                (fill, otherwise.fill),
                (offset, otherwise.offset),
                (scale, otherwise.scale),
            )
        )
    )


def _most_frequent(occurrences: dict[float, int], is_category: bool) -> float:
    """Return the value that occurs most often, the smallest of several such; 0 without any.

    The place that rare categories share is none.
    """
    values = [value for value in occurrences if not (is_category and value == UNSEEN)]
    return max(values, key=lambda value: (occurrences[value], -value), default=0.0)


def _is_constant(variance: FloatArray, mean: FloatArray, count: FloatArray) -> BoolArray:
    """Return where all values are one but for rounding, by scikit-learn's bound on that."""
    rounding = count * np.finfo(np.float64).eps
    constant: BoolArray = variance <= rounding * variance + np.square(rounding * mean)
    return constant
