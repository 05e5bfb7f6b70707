"""What the columns of a table hold, and which of them a network can learn from."""

from __future__ import annotations

import re
from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import replace
from typing import NamedTuple

import numpy as np
import numpy.typing as npt

from fedlab.data.names import class_name, listed
from fedlab.data.table_encoding import UNSEEN, FloatArray, Kind, Missing, TableColumn
from fedlab.data.tables.fields import dates, numbers
from fedlab.data.tables.reading import Frame, missing_in
from fedlab.data.tables.resembling import resembled
from fedlab.errors import FedlabError, nearest, shortened

BoolArray = npt.NDArray[np.bool_]
MOSTLY = 0.8
"""A column with this share of numbers is one of numbers; what else it holds is a mistake."""
FEWEST_ROWS = 20
"""In fewer rows nothing is taken for an identifier: values differ by chance."""
_WHOLE = re.compile(r"([+-]?\d+)\.0+")
_ID = re.compile(r"(^|[ _.-])(id|uuid|guid|key|index|number|nr|no)$|[a-z]ID$|^Unnamed", re.I)


class Found(NamedTuple):
    """What a column was found to hold.

    Attributes:
        kind: What its values are.
        missing: How many rows have none.
        distinct: How many different values there are.
        left_out: Why it is no input, or nothing where it is one.
        resembles: What the values of a category look like, where that is no word.
    """

    kind: Kind
    missing: int
    distinct: int
    left_out: str = ""
    resembles: str = ""


def kind_of(frame: Frame, column: str, absent: BoolArray, asked: Kind | None = None) -> Kind:
    """Return what a column holds.

    Args:
        frame: The table.
        column: The column's name.
        absent: (rows,) where it has no value.
        asked: What the user says that it holds.

    Raises:
        FedlabError: If a field is not of that kind; its file, line and column are named.
    """
    fields = frame.columns[column]
    present = np.flatnonzero(~absent)
    if asked == "category" or (asked is None and len(present) == 0):
        return "category"
    are_numbers = ~np.isnan(column_numbers(frame, column))[present]
    are_dates = np.zeros(len(present), dtype=bool)
    if asked == "date" or (asked is None and not are_numbers.any()):
        are_dates = ~np.isnan(dates(fields)[present, 0])
    wanted: Kind = asked or ("date" if are_dates.mean() > MOSTLY else "number")
    fits = are_dates if wanted == "date" else are_numbers
    if fits.all():
        return wanted
    if asked is None and fits.mean() <= MOSTLY:
        return "category"
    row = int(present[np.flatnonzero(~fits)[0]])
    word, more = shortened(fields[row]), int((~fits).sum()) - 1
    others = f" ({more} more in this column)" if more else ""
    what = "a date such as 2024-12-31" if wanted == "date" else "a number"
    usual = "" if asked else f", and {100 * fits.mean():.3g} % of the column's values are"
    hint = ""
    if frame.parts[0].where.startswith("data."):
        hint = (
            "; correct it, let data.missing_words list it, or set data.columns = "
            f"{{ '{column}' = 'category' }}"
        )
    raise FedlabError(f"{frame.place(row, column)}: '{word}' is not {what}{usual}{others}{hint}")


def column_numbers(frame: Frame, column: str) -> FloatArray:
    """Return a column's numbers, (rows,), NaN where a field is none; each file in its own way."""
    fields, start, found = frame.columns[column], 0, []
    for part in frame.parts:
        stop = start + len(part.lines)
        found.append(numbers(fields[start:stop], part.separator))
        start = stop
    return np.concatenate(found)


def examine(frame: Frame, column: str, absent: BoolArray, asked: Kind | None = None) -> Found:
    """Return what a column holds, and whether it can be learned from.

    A column of one value, and one that names each row (an identifier), cannot; the latter is an
    input all the same where the user says what it holds.

    Raises:
        FedlabError: See :func:`kind_of`.
    """
    kind = kind_of(frame, column, absent, asked)
    fields = frame.columns[column]
    present = np.flatnonzero(~absent)
    distinct = len({fields[row] for row in present})
    found = Found(kind, int(absent.sum()), distinct)
    if asked is None and kind == "category":
        found = found._replace(resembles=resembled([fields[row] for row in present]))
    if distinct == 0:
        return found._replace(left_out="it is empty")
    if distinct == 1 and not (absent.any() and len(present) > 1):
        return found._replace(left_out=f"all its values are '{shortened(fields[present[0]])}'")
    if asked is not None or len(present) < FEWEST_ROWS or distinct < len(present):
        return found
    if kind == "category":
        return found._replace(left_out="it has another value in each row, as an identifier has")
    if kind == "number" and _counts_rows(column_numbers(frame, column)[present], column):
        return found._replace(left_out="it numbers the rows, as an identifier does")
    return found


def _counts_rows(values: FloatArray, column: str) -> bool:
    """Return whether distinct numbers are whole and in sequence, or are called an identifier."""
    whole = bool((values == np.round(values)).all())
    in_sequence = bool((np.diff(values) == 1).all())
    return whole and (in_sequence or _ID.search(column) is not None)


def column_of(
    frame: Frame, name: str, kind: Kind, absent: BoolArray, missing: Missing, most_values: int
) -> TableColumn:
    """Return how a column is encoded.

    Args:
        frame: The training rows.
        name: The column.
        kind: What it holds.
        absent: (rows,) where it has no value.
        missing: What is done about that.
        most_values: How many values of a category have features; the rarest ones have none.
    """
    indicator = missing == "indicator" and bool(absent.any())
    if kind != "category":
        return TableColumn(name, kind, (), indicator)
    fields = frame.columns[name]
    # Clients send how often each of their categories occurs; the union of those is what is known.
    counts = Counter(category_name(fields[row]) for row in np.flatnonzero(~absent))
    kept = sorted(counts, key=lambda value: (-counts[value], value))[:most_values]
    return TableColumn(name, kind, tuple(sorted(kept, key=in_order)), indicator)


def category_name(text: str) -> str:
    """Return a category as it counts: whole numbers without a point, as "1.0" beside "1".

    Programs write the whole numbers of a column with gaps as fractions.
    """
    name = class_name(text)
    return _WHOLE.sub(r"\1", name) if _WHOLE.fullmatch(name) else name


def in_order(value: str) -> tuple[float, str]:
    """Return the key that sorts numbers by size, and words after them."""
    try:
        return float(value), value
    except ValueError:
        return np.inf, value


def check_columns(frame: Frame, columns: Sequence[TableColumn]) -> None:
    """Check that a table has all columns that are inputs.

    Raises:
        FedlabError: If it lacks one.
    """
    for column in columns:
        if column.name not in frame.columns:
            raise FedlabError(
                f"{frame.parts[0].where} has no column '{column.name}', which is an input."
                f"{nearest(column.name, frame.columns)}"
            )


def raw_of(
    frame: Frame, columns: Sequence[TableColumn], missing_words: Sequence[str]
) -> FloatArray:
    """Return the slots of all columns, (rows, slots), NaN where a value is missing.

    Raises:
        FedlabError: If a column is missing, or a field of a column of numbers or dates is none;
            file, line and column are named.
    """
    check_columns(frame, columns)
    is_missing = missing_in(missing_words)
    slots: list[FloatArray] = []
    for column in columns:
        fields = frame.columns[column.name]
        absent = is_missing(fields)
        if column.kind == "category":
            places = {value: float(place) for place, value in enumerate(column.values)}
            found = np.array([places.get(category_name(text), UNSEEN) for text in fields])[:, None]
        else:
            kind_of(frame, column.name, absent, column.kind)
            found = (
                dates(fields)
                if column.kind == "date"
                else column_numbers(frame, column.name)[:, None]
            )
        found[absent] = np.nan
        slots.append(found)
    return np.concatenate(slots, axis=1) if slots else np.empty((len(frame), 0))


def with_plain_numbers(frame: Frame, columns: Sequence[TableColumn]) -> Frame:
    """Return the table with numbers as Python writes them.

    What a comma or a point means is said by all fields of a column; a row that is taken out of
    such a table is read as it was within it.
    """
    written = dict(frame.columns)
    for column in columns:
        if column.kind == "number" and column.name in written:
            values = column_numbers(frame, column.name).tolist()
            fields = zip(values, written[column.name], strict=True)
            written[column.name] = [text if np.isnan(v) else repr(v) for v, text in fields]
    return replace(frame, columns=written)


def notes_on_words(kinds: Mapping[str, Found]) -> list[str]:
    """Return a sentence for each column that was taken for words and looks like something else."""
    return [
        f"column '{name}' is taken for words: values {found.resembles}"
        for name, found in kinds.items()
        if found.resembles
    ]


def summary(kinds: Mapping[str, Found]) -> list[str]:
    """Return a phrase for each kind of input: how many columns, and which."""
    told = []
    for kind, plural in (("number", "numbers"), ("category", "categories"), ("date", "dates")):
        names = [name for name, found in kinds.items() if found.kind == kind and not found.left_out]
        if names:
            told.append(f"{plural} {listed(names, 12)}")
    return told
