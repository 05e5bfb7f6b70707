"""Fields of a table as numbers and dates, in the ways that programs and people write them."""

from __future__ import annotations

import re
from collections.abc import Sequence
from datetime import UTC, datetime

import numpy as np
import numpy.typing as npt

from fedlab.data.formats.table import LARGEST

FloatArray = npt.NDArray[np.float64]
_WORDS = {"true": 1.0, "false": 0.0}
_THOUSANDS = re.compile(r"[+-]?[1-9]\d{0,2}(,\d{3})+(\.\d+)?")
_POINTS = re.compile(r"[+-]?[1-9]\d{0,2}(\.\d{3})+")
_DECIMAL_COMMA = re.compile(r"[+-]?(\d+|\d{1,3}(\.\d{3})+)?,\d+(e[+-]?\d+)?", re.IGNORECASE)
_GERMAN = re.compile(r"(\d{1,2})\.(\d{1,2})\.(\d{4})( \d{1,2}:\d{2}(:\d{2})?)?")
_ISO = re.compile(r"\d{4}-\d{2}-\d{2}.*")


def numbers(fields: Sequence[str], separator: str) -> FloatArray:
    """Return the number in each field, NaN where there is none that float32 holds, (fields,).

    A comma stands before decimals where fields are separated by semicolons, or where no reading
    as thousands fits all fields of the column; else it separates thousands. Beside such decimals,
    as in a column with "1.234.567", a point separates thousands where that fits all fields.

    Args:
        fields: A column.
        separator: What stands between the fields of the file.

    Example:
        >>> numbers(["1,5", "2"], ";").tolist()
        [1.5, 2.0]
    """
    found = np.array([_number(text) for text in fields], dtype=np.float64)
    others = [row for row in np.flatnonzero(np.isnan(found)).tolist() if fields[row]]
    thousands = [row for row in others if _THOUSANDS.fullmatch(fields[row])]
    decimals = [row for row in others if _DECIMAL_COMMA.fullmatch(fields[row])]
    if thousands and separator != ";" and set(decimals) <= set(thousands):
        for row in thousands:
            found[row] = _number(fields[row].replace(",", ""))
        return found
    for row in decimals:
        found[row] = _number(fields[row].replace(".", "").replace(",", "."))
    if decimals or any(_POINTS.fullmatch(fields[row]) for row in others):
        pointed = [row for row, text in enumerate(fields) if "." in text and "," not in text]
        if all(_POINTS.fullmatch(fields[row]) for row in pointed):
            for row in pointed:
                found[row] = _number(fields[row].replace(".", ""))
    return found


def _number(text: str) -> float:
    """Return the number that a field holds, or NaN; Python's "1_000" is none."""
    try:
        number = float(text)
    except ValueError:
        return _WORDS.get(text.lower(), np.nan)
    return number if abs(number) <= LARGEST and "_" not in text else np.nan


def dates(fields: Sequence[str]) -> FloatArray:
    """Return the date in each field as its ``DATE_PARTS``, NaN where there is none, (fields, 4).

    Dates are as ISO 8601 writes them, with or without a time, or as 31.12.2024; slashes are not
    read, because nothing says whether the month comes first.
    """
    return np.array([_parts(text) for text in fields], dtype=np.float64).reshape(-1, 4)


def _parts(text: str) -> tuple[float, float, float, float]:
    moment = _moment(text)
    if moment is None:
        return (np.nan,) * 4
    if moment.tzinfo is not None:
        moment = moment.astimezone(UTC).replace(tzinfo=None)
    hour = moment.hour + moment.minute / 60 + moment.second / 3600
    days = (moment - datetime(1970, 1, 1)).total_seconds() / 86400
    return days, float(moment.month), float(moment.isoweekday()), hour


def _moment(text: str) -> datetime | None:
    german = _GERMAN.fullmatch(text)
    if german is not None:
        day, month, year, time = german.group(1, 2, 3, 4)
        text = f"{year}-{month:0>2}-{day:0>2}{f' {time.strip():0>5}' if time else ''}"
    if not _ISO.fullmatch(text):
        return None
    try:
        return datetime.fromisoformat(text)
    except ValueError:
        return None


def plain_number(value: float) -> str:
    """Return a number as a name: whole ones without a decimal point.

    Example:
        >>> plain_number(3.0)
        '3'
    """
    return str(int(value)) if float(value).is_integer() and abs(value) < 1e15 else repr(value)
