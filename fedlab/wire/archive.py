"""Records and arrays as JSON and safetensors files."""

from __future__ import annotations

import json
import os
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

import numpy as np
from flwr.app import Array, ArrayRecord, ConfigRecord, MetricRecord, RecordDict

from fedlab.files import replacing

Arrays = dict[str, np.ndarray[Any, Any]]
_LETTERS = {"f": "F", "i": "I", "u": "U"}
_RECORDS = {c.__name__: c for c in (ArrayRecord, ConfigRecord, MetricRecord, RecordDict)}


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
    with replacing(path) as draft, draft.open("wb") as file:
        file.write(len(text).to_bytes(8, "little") + text)
        for array in arrays.values():
            file.write(np.ascontiguousarray(array).reshape(-1).view(np.uint8).data)
        file.flush()
        os.fsync(file.fileno())


def _type_code(kind: np.dtype[Any]) -> str:
    if kind == np.bool_:
        return "BOOL"
    if kind.kind not in _LETTERS or kind.byteorder == ">":
        raise TypeError(f"arrays of type {kind} cannot be written")
    return f"{_LETTERS[kind.kind]}{8 * kind.itemsize}"
