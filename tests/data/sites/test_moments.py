"""Moments of sites, added up, are those of all their rows together."""

import numpy as np
import pytest

from fedlab.data.sites.moments import Moments, together


def test_moments_of_parts_are_those_of_the_whole() -> None:
    draw = np.random.default_rng(0)
    whole = draw.normal(1e6, 0.1, (101, 3))
    whole[draw.random(whole.shape) < 0.2] = np.nan
    parts = np.split(whole, [7, 8, 60])
    offset, scale = together([Moments.of(part) for part in parts]).scaling
    np.testing.assert_allclose(offset, np.nanmean(whole, axis=0), rtol=1e-12)
    np.testing.assert_allclose(scale, np.nanstd(whole, axis=0), rtol=1e-6)


def test_a_site_without_a_value_changes_nothing() -> None:
    some = Moments.of(np.array([[1.0], [3.0]]))
    none = Moments.of(np.array([[np.nan]]))
    assert together([some, none]) == some == together([none, some])


def test_a_constant_column_is_not_divided() -> None:
    parts = [Moments.of(np.full((4, 1), 0.1)), Moments.of(np.full((9, 1), 0.1))]
    offset, scale = together(parts).scaling
    assert offset[0] == pytest.approx(0.1)
    assert scale == (1.0,)
