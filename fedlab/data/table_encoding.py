"""How the columns of a table became numbers for a network, so that new rows become such alike.

A column has one or more *slots*, the raw numbers that it is read as: a number itself, the place of
a category among its values, or the parts of a date. Its *features* are what a network takes.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal

import numpy as np
import numpy.typing as npt

Kind = Literal["number", "category", "date"]
Missing = Literal["indicator", "mean", "most-frequent", "drop", "refuse"]
FloatArray = npt.NDArray[np.float64]
DATE_PARTS = ("day", "month", "weekday", "hour")
"""What a date becomes: days since 1970-01-01, month, day of the week from 1, hour with fraction."""
UNSEEN = -1.0
"""The slot of a category that no training row has; all of its features are 0."""


@dataclass(frozen=True)
class TableColumn:
    """A column that is an input.

    Attributes:
        name: Its name in the header.
        kind: What it holds.
        values: A category's values, in the order of their features.
        indicator: Whether a last feature is 1 where the value is missing, else 0.
    """

    name: str
    kind: Kind
    values: tuple[str, ...] = ()
    indicator: bool = False

    @property
    def slots(self) -> int:
        """Return how many raw numbers it is read as."""
        return len(DATE_PARTS) if self.kind == "date" else 1

    @property
    def width(self) -> int:
        """Return how many features it has."""
        own = len(self.values) if self.kind == "category" else self.slots
        return own + self.indicator

    @property
    def features(self) -> tuple[str, ...]:
        """Return the names of its features."""
        own = {
            "number": (self.name,),
            "category": tuple(f"{self.name} = {value}" for value in self.values),
            "date": tuple(f"{self.name} ({part})" for part in DATE_PARTS),
        }[self.kind]
        return (*own, f"{self.name} is missing") if self.indicator else own


@dataclass(frozen=True)
class Fitted:
    """What training rows say of every slot.

    Attributes:
        fill: (slots,) what stands in for a missing value; for a category the place of its value.
        offset, scale: (slots,) feature = (raw − offset) / scale; 0 and 1 for categories.
        mean, deviation: (features,) stored = (feature − mean) / deviation, where features are
            scaled one-hot, too; else ().
    """

    fill: tuple[float, ...]
    offset: tuple[float, ...]
    scale: tuple[float, ...]
    mean: tuple[float, ...] = ()
    deviation: tuple[float, ...] = ()


@dataclass(frozen=True)
class TableEncoding:
    """How rows of a table became stored inputs.

    Attributes:
        columns: The columns that are inputs, in order.
        fitted: What all clients together say of their slots.
        target: The column that is learned.
        missing: What is done about missing values.
        missing_words: What stands for one, in any case.
        clients_by: The column that says by whose statistics a row is encoded; nothing where all
            rows are encoded by those of all clients together.
        clients: The names of clients with statistics of their own.
        by_client: Those statistics.
        text_encoding: The encoding of the text file, or "auto".
    """

    columns: tuple[TableColumn, ...]
    fitted: Fitted
    target: str
    missing: Missing = "indicator"
    missing_words: tuple[str, ...] = ()
    clients_by: str = ""
    clients: tuple[str, ...] = ()
    by_client: tuple[Fitted, ...] = ()
    text_encoding: str = "auto"

    @property
    def widths(self) -> tuple[int, ...]:
        """Return how many features each column has."""
        return tuple(column.width for column in self.columns)

    @property
    def features(self) -> tuple[str, ...]:
        """Return the names of all features."""
        return tuple(name for column in self.columns for name in column.features)

    def encode(
        self, raw: FloatArray, clients: npt.NDArray[np.int64] | None = None
    ) -> npt.NDArray[np.float32]:
        """Return the features of rows, (rows, features).

        Args:
            raw: (rows, slots); NaN where a value is missing.
            clients: (rows,) the number among ``clients`` of each row, or −1 for a row that is
                encoded by the statistics of all clients together; None for all rows so.
        """
        chosen = np.full(len(raw), -1) if clients is None else clients
        statistics = [self.fitted, *self.by_client]
        fill, offset, scale = (
            np.array([getattr(fitted, name) for fitted in statistics])[chosen + 1]
            for name in ("fill", "offset", "scale")
        )
        absent = np.isnan(raw)
        known = (np.where(absent, fill, raw) - offset) / scale
        found, slot = [], 0
        for column in self.columns:
            taken = slice(slot, slot + column.slots)
            gone = np.asarray(absent[:, taken].any(axis=1))
            found.append(_features(column, known[:, taken], gone))
            slot = taken.stop
        features = np.concatenate(found, axis=1)
        if self.fitted.mean:
            mean, deviation = (
                np.array([getattr(fitted, name) for fitted in statistics])[chosen + 1]
                for name in ("mean", "deviation")
            )
            features = (features - mean) / deviation
        return features.astype(np.float32)


def _features(column: TableColumn, known: FloatArray, gone: npt.NDArray[np.bool_]) -> FloatArray:
    """Return one column's features, (rows, width), of its slots (rows, slots)."""
    if column.kind == "category":
        known = (known == np.arange(len(column.values))).astype(np.float64)
        if column.indicator:
            # A missing category is one of its own.
            known[gone] = 0.0
    return np.concatenate([known, gone[:, None]], axis=1) if column.indicator else known
