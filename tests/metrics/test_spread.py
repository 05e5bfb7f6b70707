from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from fedlab.metrics.spread import describe, gini, jain_index

SHARES = st.lists(st.floats(0, 1e6, allow_nan=False), min_size=1, max_size=50)


def test_worst_decile_is_the_mean_of_the_worst_tenth() -> None:
    values = list(range(30))
    assert describe(values, higher_is_better=True)["worst_decile"] == 1
    assert describe(values, higher_is_better=False)["worst_decile"] == 28


def test_worst_decile_of_few_values_is_the_worst_one() -> None:
    assert describe([0.3, 0.9, 0.5], higher_is_better=True)["worst_decile"] == 0.3


@given(st.lists(st.floats(-1e6, 1e6), min_size=1, max_size=50))
def test_describe_agrees_with_numpy(values: list[float]) -> None:
    found = describe(values, higher_is_better=True)
    assert found["mean"] == pytest.approx(np.mean(values), abs=1e-6)
    assert found["std"] == pytest.approx(np.std(values), abs=1e-6)
    assert (found["min"], found["max"]) == (min(values), max(values))


def test_describe_has_fairness_indices_unless_negative() -> None:
    found = describe([0, 0, 0, 5], higher_is_better=True)
    assert found["jain_index"] == pytest.approx(0.25)
    assert found["gini"] == pytest.approx(0.75)
    assert "gini" not in describe([-1, 2], higher_is_better=False)
    assert "jain_index" not in describe([np.nan, 2], higher_is_better=False)


def test_no_values_is_an_error() -> None:
    with pytest.raises(ValueError, match="no values"):
        describe([], higher_is_better=True)


@given(SHARES)
def test_fairness_indices_keep_their_bounds(values: list[float]) -> None:
    assert 1 / len(values) - 1e-9 <= jain_index(values) <= 1 + 1e-9
    assert -1e-9 <= gini(values) <= 1 - 1 / len(values) + 1e-9


def test_fairness_at_the_extremes() -> None:
    assert jain_index([2, 2, 2, 2]) == 1
    assert gini([2, 2, 2, 2]) == 0
    assert jain_index([0, 0, 0, 5]) == pytest.approx(0.25)
    assert gini([0, 0, 0, 5]) == pytest.approx(0.75)


def test_gini_is_half_the_relative_mean_absolute_difference() -> None:
    values = np.array([1.0, 4.0, 2.5, 9.0])
    difference = np.abs(values[:, None] - values).mean()
    assert gini(values) == pytest.approx(difference / 2 / values.mean())


def test_negative_shares_are_an_error() -> None:
    with pytest.raises(ValueError, match="negative"):
        jain_index([1, -1])
