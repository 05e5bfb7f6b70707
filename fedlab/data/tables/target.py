"""The column of a table that is learned: classes, or numbers."""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping
from typing import Literal, NamedTuple

import numpy as np
import numpy.typing as npt

from fedlab.data.names import class_name
from fedlab.data.tables.columns import column_numbers, in_order
from fedlab.data.tables.fields import plain_number
from fedlab.data.tables.reading import Frame
from fedlab.data.tables.resembling import resembled
from fedlab.errors import FedlabError, shortened, unknown

FloatArray = npt.NDArray[np.float64]
TargetKind = Literal["auto", "classification", "regression"]
MOST_CLASSES = 20
"""Whole numbers with up to this many different values are taken for classes."""
MOST_NAMED = 8


class Target(NamedTuple):
    """What each row is to be learned as.

    Attributes:
        labels: The classes' names; nothing where numbers are learned.
        values: (rows,) the number of each row's class, or the number that is learned.
        note: What the user should know of that choice.
    """

    labels: tuple[str, ...]
    values: FloatArray
    note: str


def read_target(
    frame: Frame, column: str, kind: TargetKind = "auto", positive: str | None = None
) -> Target:
    """Return what is learned.

    Words are classes. Numbers are classes where they are whole and at most ``MOST_CLASSES``
    different ones, unless ``kind`` says otherwise.

    Args:
        frame: The table; no row lacks its target.
        column: The target's name.
        kind: What the user says that it is.
        positive: The class that comes last, so that binary metrics are about it.

    Raises:
        FedlabError: If a regression's target is no number somewhere, if there is only one class,
            or nearly every row is a class of its own.
    """
    values = column_numbers(frame, column)
    are_numbers = not np.isnan(values).any()
    few = len(np.unique(values)) <= MOST_CLASSES and bool((values == np.round(values)).all())
    if kind == "regression" or (kind == "auto" and are_numbers and not few):
        return _numbers(frame, column)
    return _classes(frame, column, positive, learned=kind == "auto" and are_numbers)


def target_numbers(frame: Frame, column: str) -> FloatArray:
    """Return a regression's targets, (rows,).

    Raises:
        FedlabError: If a field is no number.
    """
    values = column_numbers(frame, column)
    stray = np.flatnonzero(np.isnan(values))
    if len(stray):
        row = int(stray[0])
        word = shortened(frame.columns[column][row])
        raise FedlabError(
            f"{frame.place(row, column)}: '{word}' is not a number, and numbers are learned"
        )
    return values


def target_labels(frame: Frame, column: str) -> list[str]:
    """Return the name of each row's class, (rows,); whole numbers are written without a point."""
    values = column_numbers(frame, column)
    if np.isnan(values).any():
        return [class_name(text) for text in frame.columns[column]]
    return [plain_number(value) for value in values.tolist()]


def target_classes(frame: Frame, column: str, labels: Mapping[str, int]) -> FloatArray:
    """Return the number of each row's class, (rows,).

    Raises:
        FedlabError: If a row is of a class that ``labels`` does not hold.
    """
    found = target_labels(frame, column)
    for row, label in enumerate(found):
        if label not in labels:
            raise FedlabError(f"{frame.place(row, column)}: {unknown('class', label, labels)}")
    return np.array([labels[label] for label in found], dtype=np.float64)


def _numbers(frame: Frame, column: str) -> Target:
    values = target_numbers(frame, column)
    low, high = plain_number(float(values.min())), plain_number(float(values.max()))
    if low == high:
        raise FedlabError(
            f"data.target: column '{column}' of {frame.file} holds {low} in every row; there is "
            "nothing to learn"
        )
    return Target((), values, f"the target '{column}' holds numbers from {low} to {high}")


def _classes(frame: Frame, column: str, positive: str | None, learned: bool) -> Target:
    found = target_labels(frame, column)
    counts = Counter(found)
    if len(counts) > MOST_CLASSES and 2 * len(counts) > len(found):
        looks = resembled(frame.columns[column])
        if looks:
            raise FedlabError(
                f"data.target: column '{column}' of {frame.file} holds words, not numbers: values "
                f"{looks}"
            )
        raise FedlabError(
            f"data.target: column '{column}' of {frame.file} has {len(counts)} different values in "
            f"{len(found)} rows, which are no classes; name another column, or set "
            "data.target_kind = 'regression' where they are numbers"
        )
    if len(counts) == 1:
        raise FedlabError(
            f"data.target: all rows of {frame.file} are of one class, '{found[0]}' in column "
            f"'{column}'; at least two are needed"
        )
    labels = sorted(counts, key=in_order)
    if positive is not None:
        wanted = class_name(positive)
        if wanted not in counts:
            raise FedlabError(f"data.positive: {unknown('class', wanted, counts)}")
        labels = [*(label for label in labels if label != wanted), wanted]
    told = ", ".join(f"'{shortened(label)}' ({counts[label]})" for label in labels[:MOST_NAMED])
    more = f" and {len(labels) - MOST_NAMED} more" if len(labels) > MOST_NAMED else ""
    note = f"the target '{column}' has {len(labels)} classes: {told}{more}"
    if learned and len(labels) > 2:
        note += "; data.target_kind = 'regression' learns them as numbers"
    numbers = {label: number for number, label in enumerate(labels)}
    return Target(tuple(labels), np.array([numbers[name] for name in found], dtype=float), note)
