"""Columns of words that look like numbers or dates are told."""

import pytest

from fedlab.data.tables.resembling import resembled


@pytest.mark.parametrize(
    ("pattern", "kind"),
    [
        ("${},250", "numbers"),
        ("{} %", "numbers"),
        ("{} kg", "numbers"),
        ("{} 000", "numbers"),
        ("{}'000.5", "numbers"),
        ("EUR {}", "numbers"),
        ("1/{}/2024", "dates"),
        ("2024/01/{} 08:30", "dates"),
    ],
)
def test_numbers_with_a_unit_and_dates_with_slashes_are_recognised(pattern, kind):
    found = resembled([pattern.format(number) for number in range(1, 30)])
    assert f"'{pattern.format(1)}' look like {kind}" in found


@pytest.mark.parametrize("pattern", ["c{}", "P00{}", "10.0.0.{}", "{}-B", "12:{}", "room {}"])
def test_names_with_numbers_in_them_are_words(pattern):
    assert resembled([pattern.format(number) for number in range(1, 30)]) == ""


def test_a_few_values_and_mixed_ones_are_words():
    assert resembled(["10 kg", "20 kg"] * 20) == ""
    assert resembled([f"{number} kg" for number in range(20)] + ["none"]) == ""
