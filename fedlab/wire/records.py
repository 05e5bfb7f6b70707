"""Flower's records: what is in them, without copies, and as JSON and arrays for files."""

from __future__ import annotations

import io
import math
from collections.abc import Iterable
from typing import Any, TypeVar

import numpy as np
from flwr.app import Array, ArrayRecord, ConfigRecord, MetricRecord, RecordDict

NUMPY = "numpy.ndarray"
"""What Flower calls arrays whose bytes are those of a NumPy file."""
LONGEST_HEADER = 1 << 12
"""Bytes within which the header of a NumPy file ends, of arrays of few dimensions."""
_Kind = TypeVar("_Kind", ArrayRecord, ConfigRecord, MetricRecord)


def records_of(content: RecordDict, kind: type[_Kind]) -> dict[str, _Kind]:
    """Return the records of one kind in a message's content, by their keys.

    Flower's own ``content.array_records`` is a cycle of references that holds the whole content,
    weights and all, until garbage is collected.
    """
    return {key: record for key, record in content.items() if isinstance(record, kind)}


def config_of(content: RecordDict) -> dict[str, Any]:
    """Return all values in a message's content, by their keys."""
    configs = records_of(content, ConfigRecord).values()
    return {key: value for record in configs for key, value in record.items()}


class LentArray(Array):
    """A message's array over memory of somebody else's, such as Ray's object store.

    Flower's own holds bytes; here they are made only for who asks for them.

    Attributes:
        values: The array, read-only.
    """

    values: np.ndarray[Any, Any]

    def __init__(self, values: np.ndarray[Any, Any]) -> None:
        kind, shape = str(values.dtype), tuple(values.shape)
        self.__dict__.update(dtype=kind, shape=shape, stype=NUMPY, values=values)

    def __getattr__(self, name: str) -> Any:
        if name != "data":
            raise AttributeError(name)
        return Array(self.__dict__["values"]).data

    def numpy(self) -> np.ndarray[Any, Any]:
        """Return a copy of the values, which may be changed."""
        return self.values.copy()

    def __reduce__(self) -> tuple[Any, ...]:
        return Array, (self.__dict__["values"],)


def without_copying(array: Array) -> np.ndarray[Any, Any]:
    """Return the values of a message's array, read-only, where they lie.

    Flower's own way goes through two copies; of a large model each is hundreds of megabytes.
    """
    if isinstance(array, LentArray):
        return array.values
    start = io.BytesIO(array.data[:LONGEST_HEADER])
    try:
        if np.lib.format.read_magic(start) != (1, 0):
            return array.numpy()
        shape, is_fortran, kind = np.lib.format.read_array_header_1_0(start)
    except ValueError:
        return array.numpy()
    if is_fortran:
        return array.numpy()
    return np.frombuffer(array.data, kind, math.prod(shape), start.tell()).reshape(shape)


def array_in_pieces(
    kind: np.dtype[Any], shape: tuple[int, ...], pieces: Iterable[np.ndarray[Any, Any]]
) -> Array:
    """Return a message's array from its values in pieces, which are never held as a whole.

    Args:
        kind: The type of its values.
        shape: Its shape.
        pieces: One after the other, all its values in C order.
    """
    buffer = io.BytesIO()
    header = {"descr": np.lib.format.dtype_to_descr(kind), "fortran_order": False, "shape": shape}
    np.lib.format.write_array_header_1_0(buffer, header)
    for piece in pieces:
        buffer.write(np.ascontiguousarray(piece, kind).reshape(-1).view(np.uint8).data)
    return Array(str(kind), shape, NUMPY, buffer.getvalue())


def array_bytes(content: RecordDict) -> int:
    """Return the bytes of all arrays in a message's content."""
    records = records_of(content, ArrayRecord)
    return sum(len(array.data) for record in records.values() for array in record.values())
