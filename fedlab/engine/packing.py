"""Flower's records: what is in them, without copies, and as JSON and arrays for files."""

from __future__ import annotations

import io
import json
import math
import os
from collections.abc import Callable, Iterable, Mapping
from pathlib import Path
from typing import Any, TypeVar

import numpy as np
from flwr.app import Array, ArrayRecord, ConfigRecord, MetricRecord, RecordDict

Arrays = dict[str, np.ndarray[Any, Any]]
NUMPY = "numpy.ndarray"
"""What Flower calls arrays whose bytes are those of a NumPy file."""
LONGEST_HEADER = 1 << 12
"""Bytes within which the header of a NumPy file ends, of arrays of few dimensions."""
_LETTERS = {"f": "F", "i": "I", "u": "U"}
_RECORDS = {c.__name__: c for c in (ArrayRecord, ConfigRecord, MetricRecord, RecordDict)}
_Kind = TypeVar("_Kind", ArrayRecord, ConfigRecord, MetricRecord)


def records_of(content: RecordDict, kind: type[_Kind]) -> dict[str, _Kind]:
    """Return the records of one kind in a message's content, by their keys.

    Flower's own ``content.array_records`` is a cycle of references that holds the whole content,
    weights and all, until garbage is collected.
    """
    return {key: record for key, record in content.items() if isinstance(record, kind)}


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


def pack(value: Any, arrays: Arrays, prefix: str = "a") -> Any:
    """Return a value as JSON, its arrays moved to ``arrays``.

    Args:
        value: Numbers, strings, arrays, records of Flower's, lists and dictionaries of these.
        arrays: Takes the arrays; ``{"array": key}`` stands where one belongs.
        prefix: What the keys of arrays begin with.
    """
    if isinstance(value, np.ndarray):
        key = f"{prefix}{len(arrays)}"
        # np.ascontiguousarray would make a vector of an array without dimensions.
        arrays[key] = np.asarray(value, order="C")
        return {"array": key}
    if isinstance(value, np.generic):
        return value.item()
    if isinstance(value, Array):
        return {"flower-array": pack(value.numpy(), arrays, prefix)}
    if isinstance(value, ArrayRecord | ConfigRecord | MetricRecord | RecordDict):
        return {
            "record": type(value).__name__,
            "items": {k: pack(v, arrays, prefix) for k, v in value.items()},
        }
    if isinstance(value, dict):
        return {"dict": {key: pack(part, arrays, prefix) for key, part in value.items()}}
    if isinstance(value, list | tuple):
        return [pack(part, arrays, prefix) for part in value]
    return value


def unpack(value: Any, array_of: Callable[[str], np.ndarray[Any, Any]]) -> Any:
    """Return what :func:`pack` packed.

    Args:
        value: The JSON.
        array_of: Returns the array under a key.
    """
    if isinstance(value, list):
        return [unpack(part, array_of) for part in value]
    if not isinstance(value, dict):
        return value
    if "array" in value:
        return array_of(value["array"])
    if "flower-array" in value:
        return Array(unpack(value["flower-array"], array_of))
    if "record" in value:
        items = {k: unpack(v, array_of) for k, v in value["items"].items()}
        return _RECORDS[value["record"]](items)
    return {key: unpack(part, array_of) for key, part in value["dict"].items()}


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


def write_arrays(path: Path, arrays: Arrays, about: Mapping[str, str] | None = None) -> None:
    """Write a safetensors file at once or not at all, and let the disk have it.

    The arrays are written as they lie in memory: of a large model no copy is made.

    Args:
        path: The file.
        arrays: What it holds, by name.
        about: Strings that go with them (the format's ``__metadata__``).

    Raises:
        OSError: If it cannot be written; then nothing is left of it.
        TypeError: If an array's type is none of the format's.
    """
    header: dict[str, Any] = {"__metadata__": dict(about)} if about is not None else {}
    end = 0
    for name, array in arrays.items():
        start, end = end, end + array.nbytes
        header[name] = {
            "dtype": _type_code(array.dtype),
            "shape": array.shape,
            "data_offsets": (start, end),
        }
    text = json.dumps(header).encode()
    text += b" " * (-len(text) % 8)
    temporary = path.with_name(f".{path.name}.part")
    try:
        with temporary.open("wb") as file:
            file.write(len(text).to_bytes(8, "little") + text)
            for array in arrays.values():
                file.write(np.ascontiguousarray(array).reshape(-1).view(np.uint8).data)
            file.flush()
            os.fsync(file.fileno())
        os.replace(temporary, path)
    finally:
        temporary.unlink(missing_ok=True)


def _type_code(kind: np.dtype[Any]) -> str:
    if kind == np.bool_:
        return "BOOL"
    if kind.kind not in _LETTERS or kind.byteorder == ">":
        raise TypeError(f"arrays of type {kind} cannot be written")
    return f"{_LETTERS[kind.kind]}{8 * kind.itemsize}"
