"""How values of metrics are written."""

from __future__ import annotations

import pytest

from fedlab.metrics.names import MetricName

PRICE = MetricName("rmse", "root mean squared error", False)


@pytest.mark.parametrize(
    ("value", "text", "difference"),
    [
        (21_334.4, "21,330", "21,300"),
        (9_999.6, "10,000", "10,000"),
        (-1_234.0, "-1,234", "1,230"),
        (123.44, "123.4", "123"),
        (0.00001234, "1.234e-05", "1.23e-05"),
        (3e13, "3e+13", "3e+13"),
        (float("inf"), "∞", "inf"),
    ],
)
def test_a_number_is_written_as_people_write_it(value: float, text: str, difference: str) -> None:
    assert PRICE.text(value) == text
    assert PRICE.difference(value) == difference
