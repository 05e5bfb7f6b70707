"""Numbers and dates as programs and people write them."""

import numpy as np
import pytest

from fedlab.data.tables.fields import dates, numbers, plain_number


@pytest.mark.parametrize(
    ("fields", "separator", "expected"),
    [
        (["1", "-2.5", "3e4"], ",", [1, -2.5, 3e4]),
        (["1,5", "2", "-0,25"], ";", [1.5, 2, -0.25]),
        (["1.234,5", "0,5"], ";", [1234.5, 0.5]),
        (["1,234", "12"], ";", [1.234, 12]),
        (["1,234", "1,234,567.5"], ",", [1234, 1234567.5]),
        (["1,234", "0,5"], "\t", [1.234, 0.5]),
        (["1.200", "950,50", "12"], ";", [1200, 950.5, 12]),
        (["1.200", "0.5", "950,50"], ";", [1.2, 0.5, 950.5]),
        (["1.234.567", "950.000", "7"], ";", [1234567, 950000, 7]),
        (["1.200", "0.950"], ";", [1.2, 0.95]),
        (["0,125", "0,375"], "\t", [0.125, 0.375]),
        (["true", "False", "TRUE"], ",", [1, 0, 1]),
    ],
)
def test_numbers_are_read_as_their_file_writes_them(fields, separator, expected):
    assert numbers(fields, separator).tolist() == expected


@pytest.mark.parametrize(
    "field", ["", "abc", "12O", "1_000", "1e400", "nan", "inf", "1,2,3", "0x1"]
)
def test_what_is_no_finite_number_is_none(field):
    assert np.isnan(numbers([field], ",")).all()


def test_a_stray_word_with_a_comma_does_not_change_how_other_numbers_are_read():
    assert numbers(["1,234", "5,678", "x,1"], ",")[:2].tolist() == [1234, 5678]


def test_a_date_becomes_days_month_weekday_and_hour():
    found = dates(["1970-01-02", "2024-12-31T18:30", "31.12.2024", "2024-12-31T20:30:00+02:00"])
    assert found[0].tolist() == [1, 1, 5, 0]
    assert found[1].tolist() == pytest.approx([20088 + 18.5 / 24, 12, 2, 18.5])
    assert found[2].tolist() == [20088, 12, 2, 0]
    assert found[3].tolist() == pytest.approx(found[1].tolist())


@pytest.mark.parametrize("field", ["12/31/2024", "2024", "20241231", "yesterday", "32.12.2024", ""])
def test_what_is_no_plain_date_is_none(field):
    assert np.isnan(dates([field])).all()


def test_numbers_that_name_classes_are_short():
    assert [plain_number(value) for value in (3.0, -1.0, 0.5)] == ["3", "-1", "0.5"]
