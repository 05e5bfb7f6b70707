"""Weighted sums of what clients sent: a worker adds up its block, the engine adds up the blocks.

Sums are taken in double precision and in a fixed order, so that any number of workers gives the
same bits.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from typing import Any

import numpy as np
import torch
from flwr.app import Array, ArrayRecord, MetricRecord, RecordDict

from fedlab.errors import FedlabError
from fedlab.wire.protocol import EXAMPLES, WEIGHT
from fedlab.wire.records import array_in_pieces, records_of

PIECE = 1 << 20
"""Values that are worked on at once: sums of large models need no second copy."""
Name = tuple[str, str]
"""A record's key in the message, and an entry's key in the record."""
Vector = np.ndarray[Any, Any]


class WeightedSum:
    """Σ nᵢ xᵢ over clients i, for every array and every number x that they sent.

    nᵢ is the client's weight in a mean: its number of examples, or 1.

    A sum of one client keeps the client's arrays as they are, which halves what travels of a large
    model.

    Attributes:
        examples: Σ nᵢ.
        arrays: Σ nᵢ xᵢ of each array; of a single client its xᵢ.
    """

    def __init__(self) -> None:
        self.examples = 0.0
        self.arrays: dict[Name, Vector] = {}
        self._numbers: dict[Name, float] = {}
        self._types: dict[Name, np.dtype[Any]] = {}
        self._is_one_client = False

    def add(
        self, examples: float, arrays: Mapping[Name, Vector], numbers: Mapping[Name, float]
    ) -> None:
        """Add what a client sent.

        Args:
            examples: nᵢ.
            arrays: The arrays that it sent; they must not change afterwards.
            numbers: The numbers that it sent, without nᵢ.

        Raises:
            FedlabError: If it sent other arrays than those before it.
        """
        one = WeightedSum()
        one.examples = examples
        one.arrays = dict(arrays)
        one._types = {name: array.dtype for name, array in arrays.items()}
        one._numbers = {name: examples * value for name, value in numbers.items()}
        one._is_one_client = True
        self.merge(one)

    def merge(self, other: WeightedSum) -> None:
        """Add another sum; it is not used afterwards.

        Raises:
            FedlabError: If it is of other arrays.
        """
        if not self.arrays and not self._numbers:
            self.__dict__.update(other.__dict__)
            return
        self._check(other)
        self._make_ready()
        for name, array in other.arrays.items():
            if other._is_one_client:
                self._add_weighted(name, array, other.examples)
            else:
                self.arrays[name] += array
        for number, value in other._numbers.items():
            self._numbers[number] += value
        self.examples += other.examples

    @property
    def number_names(self) -> Iterable[Name]:
        """Return the names of the numbers that were added up."""
        return self._numbers

    def collected(self) -> WeightedSum:
        """Return the sum in main memory, where it is."""
        return self

    def _add_weighted(self, name: Name, array: Vector, weight: float) -> None:
        """Add an array times a weight."""
        flat, total = array.reshape(-1), self.arrays[name].reshape(-1)
        for start in range(0, flat.size, PIECE):
            _add_product(total[start : start + PIECE], flat[start : start + PIECE], weight)

    def _make_ready(self) -> None:
        """Hold sums of our own: one client's arrays, and those in shared memory, are left alone."""
        if self._is_one_client:
            weight = self.examples
            self.arrays = {
                n: np.multiply(a, weight, out=np.empty(a.shape), dtype=np.float64)
                for n, a in self.arrays.items()
            }
            self._is_one_client = False
        for name, array in self.arrays.items():
            if not array.flags.writeable:
                self.arrays[name] = array.copy()

    def _check(self, other: WeightedSum) -> None:
        mine = {name: array.shape for name, array in self.arrays.items()}
        theirs = {name: array.shape for name, array in other.arrays.items()}
        if mine != theirs or self._numbers.keys() != other._numbers.keys():
            raise FedlabError(
                f"a client sent {_described(theirs, other._numbers)}, and the clients before it "
                f"{_described(mine, self._numbers)}"
            )

    def mean(self) -> RecordDict:
        """Return Σ nᵢ xᵢ / Σ nᵢ as a reply's content, with Σ nᵢ as its number of examples."""
        records: dict[str, dict[str, Array]] = {}
        for (key, name), array in self.arrays.items():
            mean = Array(array) if self._is_one_client else self._mean_of((key, name))
            records.setdefault(key, {})[name] = mean
        metrics: dict[str, dict[str, float]] = {}
        for (key, name), value in self._numbers.items():
            metrics.setdefault(key, {})[name] = value / self.examples
        first = next(iter(metrics), "metrics")
        metrics[first] = {EXAMPLES: self.examples, **metrics.get(first, {})}
        content = RecordDict({key: ArrayRecord(record) for key, record in records.items()})
        for key, numbers in metrics.items():
            content[key] = MetricRecord(dict(numbers))
        return content

    def _mean_of(self, name: Name) -> Array:
        flat, kind = self.arrays[name].reshape(-1), self._types[name]
        pieces = (
            (flat[start : start + PIECE] / self.examples).astype(kind)
            for start in range(0, flat.size, PIECE)
        )
        return array_in_pieces(kind, self.arrays[name].shape, pieces)


def _add_product(total: Vector, values: Vector, weight: float) -> None:
    """Add ``values`` times ``weight`` to ``total``; which way it goes depends on the type alone."""
    if values.dtype not in (np.float32, np.float64):
        total += np.multiply(values, weight, dtype=np.float64)
        return
    # One pass over the memory, where NumPy takes two.
    own = values if values.flags.writeable else values.copy()
    torch.from_numpy(total).add_(torch.from_numpy(own), alpha=weight)


def contribution(
    content: RecordDict,
) -> tuple[float, dict[Name, Vector], dict[Name, float]]:
    """Return what a reply adds to a sum: its weight, its arrays, its numbers."""
    weight, numbers = weight_and_numbers(content)
    arrays = {
        (key, name): array.numpy()
        for key, record in records_of(content, ArrayRecord).items()
        for name, array in record.items()
    }
    return weight, arrays, numbers


def weight_and_numbers(content: RecordDict) -> tuple[float, dict[Name, float]]:
    """Return a reply's weight in a mean, and its other numbers."""
    numbers = {
        (key, name): float(value)  # type: ignore[arg-type]
        for key, record in records_of(content, MetricRecord).items()
        for name, value in record.items()
    }
    examples = sum(numbers.pop(name) for name in list(numbers) if name[1] == EXAMPLES)
    weights = [numbers.pop(name) for name in list(numbers) if name[1] == WEIGHT]
    return (weights[0] if weights else examples), numbers


def _described(shapes: Mapping[Name, tuple[int, ...]], numbers: Mapping[Name, float]) -> str:
    arrays = ", ".join(f"{key}/{name} {shape}" for (key, name), shape in shapes.items())
    return f"[{arrays}; {', '.join(name for _, name in numbers)}]"
