"""Means over seeds with intervals, against SciPy's own."""

import math

import numpy as np
import pytest
from scipy import stats

from fedlab.results.intervals import estimate, paired_difference

VALUES = [0.81, 0.79, 0.86, 0.80, 0.83]


def test_an_interval_is_students() -> None:
    found = estimate(VALUES)
    low, high = stats.t.interval(0.95, 4, loc=np.mean(VALUES), scale=stats.sem(VALUES))
    assert (found.low, found.high) == (pytest.approx(low), pytest.approx(high))
    assert found.std == pytest.approx(np.std(VALUES, ddof=1))


def test_one_value_has_no_interval_and_none_is_refused() -> None:
    found = estimate([0.5])
    assert found.mean == 0.5
    assert math.isnan(found.half_width)
    assert found.as_json()["low"] is None
    with pytest.raises(ValueError, match="no values"):
        estimate([])


def test_what_seeds_share_cancels_in_a_paired_difference() -> None:
    first = dict(enumerate(VALUES))
    second = {seed: value - 0.02 - 0.001 * (seed % 2) for seed, value in first.items()}
    found = paired_difference(first, second)
    assert found is not None
    low, high = stats.ttest_rel(VALUES, list(second.values())).confidence_interval(0.95)
    assert (found.low, found.high) == (pytest.approx(low), pytest.approx(high))
    assert found.half_width < 0.1 * estimate(VALUES).half_width


def test_only_seeds_of_both_are_paired() -> None:
    found = paired_difference({1: 1.0, 2: 3.0, 5: 9.0}, {2: 1.0, 5: 8.0, 7: 0.0})
    assert found is not None
    assert (found.count, found.mean) == (2, 1.5)
    assert paired_difference({1: 1.0}, {2: 1.0}) is None
