"""What the targets of texts are: classes, or numbers that are regressed."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import torch

from fedlab.data.dataset import IntArray, Scaling
from fedlab.data.formats.table import finite
from fedlab.data.names import class_name
from fedlab.data.scaling import standardise
from fedlab.data.texts.rows import TextRows
from fedlab.data.texts.settings import TargetKind
from fedlab.errors import FedlabError, shortened

MOST_CLASSES = 20
"""Different whole numbers that are taken for classes, however few examples each has."""
A_CLASS = 10
"""Examples that each number has on average, where more of them are taken for classes."""
MOSTLY = 0.95
"""A column with this share of decimals is one of numbers; what else it holds is a mistake."""


@dataclass(frozen=True)
class Targets:
    """The targets of all texts.

    Attributes:
        classes: The names of the classes, sorted; () for numbers.
        values: (N,) int64 classes or float64 numbers.
        notes: What was understood, where it was not said.
    """

    classes: tuple[str, ...]
    values: torch.Tensor
    notes: tuple[str, ...] = ()

    def strata(self) -> IntArray:
        """Return (N,) what a test set holds equal shares of: classes, or quarters of numbers."""
        if self.classes:
            return self.values.numpy()
        numbers = self.values.numpy()
        return np.searchsorted(np.quantile(numbers, [0.25, 0.5, 0.75]), numbers).astype(np.int64)


def targets_of(rows: TextRows, kind: TargetKind, where: str) -> Targets:
    """Return the targets of texts.

    Args:
        rows: The texts.
        kind: ``data.targets``.
        where: How messages call the data: the key and the file.

    Raises:
        FedlabError: If there is a single class or number, or a score is no number.
    """
    reason = ""
    if kind == "infer" and rows.is_table:
        reason = _why_numbers(rows)
    if kind == "numbers" or reason:
        return _numbers(rows, where, reason)
    classes, numbers = np.unique(rows.labels, return_inverse=True)
    if len(classes) < 2:
        raise FedlabError(
            f"{where} holds texts of a single class, '{shortened(str(classes[0]))}'; two or more "
            "are needed"
        )
    names = tuple(str(name) for name in classes)
    return Targets(names, torch.from_numpy(numbers.astype(np.int64)))


def scaled(
    values: torch.Tensor, parts: Sequence[IntArray], name: str
) -> tuple[list[torch.Tensor], Scaling]:
    """Return the numbers of each part, (N, 1) float32 scaled by the first part, and the scaling."""
    pieces = [values[torch.from_numpy(part)].unsqueeze(1) for part in parts]
    return standardise(pieces, [name])


def _why_numbers(rows: TextRows) -> str:
    """Return why a column's values are scores rather than classes, or an empty string."""
    numbers = [finite(label) for label in rows.labels]
    known = [number for number in numbers if number is not None]
    if len(known) < MOSTLY * len(numbers) or not known:
        return ""
    distinct = len(set(known))
    decimals = any(number != round(number) for number in known)
    if decimals and (distinct > 2 or len(known) < len(numbers)):
        return "numbers with decimals"
    if distinct > MOST_CLASSES and len(known) < A_CLASS * distinct:
        return f"{distinct} different numbers"
    return ""


def _numbers(rows: TextRows, where: str, reason: str) -> Targets:
    values = []
    for label, place in zip(rows.labels, rows.places, strict=True):
        number = finite(class_name(label))
        if number is None:
            hint = ", or set data.targets = 'classes'" if reason else ""
            raise FedlabError(
                f"{place}: '{shortened(label)}' is not a number, as the scores that are learned "
                f"are; correct it{hint}, or let data.missing list it"
            )
        values.append(number)
    least, most = min(values), max(values)
    if least == most:
        raise FedlabError(f"{where}: all scores are {least:g}; there is nothing to learn")
    notes = []
    if reason:
        column = rows.columns[1] if rows.columns else "label"
        notes.append(
            f"data.targets: column '{column}' holds {reason} ({least:g} to {most:g}), and a number "
            "is predicted; 'classes' takes each of them for a class"
        )
    return Targets((), torch.tensor(values, dtype=torch.float64), tuple(notes))
