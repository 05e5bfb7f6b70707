"""Columns of words that a person would call numbers or dates, so that a user can be told."""

from __future__ import annotations

import re
from collections.abc import Sequence

from fedlab.errors import shortened

FEWEST = 10
"""A column with fewer different values may well be one of categories: "10 kg" beside "20 kg"."""
_DATE = re.compile(r"\d{1,4}[/-]\d{1,2}[/-]\d{1,4}([ T]\d{1,2}:\d{2}.*)?")
_NUMBER = re.compile(
    r"(?P<before>[$€£¥₹]|[A-Z]{3} )?\s*"
    r"[+\-\u2212]?(\d{1,3}([.,'\u2019\s]\d{3})+|\d+)([.,]\d+)?"
    r"(?P<after>\s?[%‰$€£¥₹°]?\w{0,4})"
)


def resembled(fields: Sequence[str]) -> str:
    """Return what the fields of a column of categories look like, and what would be read as such.

    Nothing where they look like words, or are few different ones.

    Example:
        >>> resembled(["1/5/2024"])
        ''
    """
    values = list(dict.fromkeys(fields))
    if len(values) < FEWEST:
        return ""
    example = shortened(values[0])
    if all(_DATE.fullmatch(value) for value in values):
        return f"such as '{example}' look like dates, which are read as 2024-12-31 or 31.12.2024"
    found = [_NUMBER.fullmatch(value) for value in values]
    around = {(one["before"], one["after"].strip()) for one in found if one is not None}
    if all(found) and len(around) == 1:
        return f"such as '{example}' look like numbers, which are read as 1234.5, without a unit"
    return ""
