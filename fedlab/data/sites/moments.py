"""Means and deviations of all sites' numbers, from sums that each site sends of its own.

A site sends for each column how many values there are, their mean, and the sum of squared
distances from it. Those of two sites a and b make those of both (Chan, Golub and LeVeque, 1979):

    n = n_a + n_b,  d = m_b − m_a
    m = m_a + d n_b / n
    s = s_a + s_b + d² n_a n_b / n

which no cancellation spoils, as it does with plain sums of squares.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from functools import reduce

import numpy as np
import torch

from fedlab.data.scaling import is_constant
from fedlab.data.table_encoding import FloatArray


@dataclass(frozen=True)
class Moments:
    """Counts, means and sums of squared distances of some columns.

    Attributes:
        count: Of each column: values that are not missing.
        mean: Of each column; 0 where there is none.
        squares: Of each column: the sum of squared distances from its mean.
    """

    count: tuple[float, ...]
    mean: tuple[float, ...]
    squares: tuple[float, ...]

    @classmethod
    def of(cls, raw: FloatArray) -> Moments:
        """Return the moments of a site's rows, (rows, columns); NaN where a value is missing."""
        present = ~np.isnan(raw)
        count = present.sum(axis=0).astype(np.float64)
        mean = np.where(present, raw, 0.0).sum(axis=0) / np.maximum(count, 1.0)
        squares = np.square(np.where(present, raw - mean, 0.0)).sum(axis=0)
        return cls(*(tuple(part.tolist()) for part in (count, mean, squares)))

    def __add__(self, other: Moments) -> Moments:
        (a, m, s), (b, o, t) = self._arrays(), other._arrays()
        count = a + b
        distance, divisor = o - m, np.maximum(count, 1.0)
        mean = m + distance * b / divisor
        squares = s + t + np.square(distance) * a * b / divisor
        return Moments(*(tuple(part.tolist()) for part in (count, mean, squares)))

    def _arrays(self) -> tuple[FloatArray, FloatArray, FloatArray]:
        return np.array(self.count), np.array(self.mean), np.array(self.squares)

    @property
    def scaling(self) -> tuple[tuple[float, ...], tuple[float, ...]]:
        """Return offset and scale of each column; one that is constant is not divided."""
        count, mean, squares = (torch.tensor(part) for part in self._arrays())
        variance = squares / count.clamp(min=1.0)
        constant = is_constant(variance, mean, count)
        scale = torch.where(constant, 1.0, variance.sqrt())
        return tuple(mean.tolist()), tuple(scale.tolist())


def together(parts: Sequence[Moments]) -> Moments:
    """Return the moments of all sites, added in the order of the sites."""
    return reduce(Moments.__add__, parts)
