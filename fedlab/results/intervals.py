"""Means over seeds with 95 % intervals, and paired differences between settings."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from functools import cache
from statistics import fmean, stdev

CONFIDENCE = 0.95


@dataclass(frozen=True)
class Estimate:
    """What some values say of the mean that they are drawn around.

    Attributes:
        count: How many values there are.
        mean: Their mean.
        std: Their standard deviation (of a sample: divided by count − 1); NaN for one value.
        half_width: Half of the 95 % interval of the mean by Student's t distribution with
            count − 1 degrees of freedom (Student 1908); NaN for one value.
    """

    count: int
    mean: float
    std: float
    half_width: float

    @property
    def low(self) -> float:
        """Return where the interval begins."""
        return self.mean - self.half_width

    @property
    def high(self) -> float:
        """Return where the interval ends."""
        return self.mean + self.half_width

    def as_json(self) -> dict[str, float | int | None]:
        """Return it for JSON, which knows no NaN."""
        interval = {"low": self.low, "high": self.high}
        numbers = {"mean": self.mean, "std": self.std, **interval}
        return {"count": self.count, **{k: _finite(v) for k, v in numbers.items()}}


def estimate(values: Sequence[float]) -> Estimate:
    """Return the mean of values with its interval.

    Example:
        >>> found = estimate([0.80, 0.82, 0.84])
        >>> round(found.mean, 3), round(found.std, 3), round(found.half_width, 3)
        (0.82, 0.02, 0.05)

    Raises:
        ValueError: If there are none.
    """
    if not values:
        raise ValueError("there are no values to estimate a mean from")
    count, mean = len(values), fmean(values)
    if count < 2 or not all(map(math.isfinite, values)):
        return Estimate(count, mean, math.nan, math.nan)
    std = stdev(values)
    return Estimate(count, mean, std, _student(count - 1) * std / math.sqrt(count))


def paired_difference(first: Mapping[int, float], second: Mapping[int, float]) -> Estimate | None:
    """Return the mean of ``first`` − ``second`` over the seeds that both have; None without any.

    With the same seed both settings split the data alike, call the same clients and draw the same
    batches: what they share cancels, so that the interval is narrower than that of two means.

    Args:
        first: A setting's values by seed.
        second: Another's.
    """
    seeds = sorted(first.keys() & second.keys())
    if not seeds:
        return None
    return estimate([first[seed] - second[seed] for seed in seeds])


@cache
def _student(freedom: int) -> float:
    """Return the quantile of Student's t distribution that bounds a two-sided interval."""
    from scipy.stats import t

    return float(t.ppf(0.5 + CONFIDENCE / 2, freedom))


def _finite(value: float) -> float | None:
    return value if math.isfinite(value) else None
