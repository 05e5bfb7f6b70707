"""Several tensors as one vector of bytes, in an order that compresses well."""

from __future__ import annotations

import json
from collections.abc import Mapping

import numpy as np
import torch

HEADER = 4
"""Bytes that say how long the description at the front is."""


def packed(values: torch.Tensor, others: Mapping[str, torch.Tensor]) -> torch.Tensor:
    """Return (bytes,) uint8: a vector and named tensors, with what is needed to read them again.

    The bytes of a tensor stand by their place in a number, the first of each, then the second …:
    those with signs and exponents are much alike, and those of small whole numbers mostly zero.

    Args:
        values: (m,) of any type that NumPy has.
        others: Further vectors, by name.
    """
    arrays = [("", values.numpy()), *((name, t.numpy()) for name, t in others.items())]
    about = json.dumps([[name, a.dtype.str, a.size] for name, a in arrays]).encode()
    planes = [
        np.ascontiguousarray(np.ascontiguousarray(a).view(np.uint8).reshape(-1, a.itemsize).T)
        for _, a in arrays
    ]
    head = np.frombuffer(len(about).to_bytes(HEADER, "little") + about, np.uint8)
    return torch.from_numpy(np.concatenate([head, *(plane.reshape(-1) for plane in planes)]))


def unpacked(content: torch.Tensor) -> tuple[torch.Tensor, dict[str, torch.Tensor]]:
    """Return what :func:`packed` was given, to the bit.

    Raises:
        ValueError: If it is not what :func:`packed` returns.
    """
    raw = content.numpy()
    start = HEADER + int.from_bytes(raw[:HEADER].tobytes(), "little")
    found: dict[str, torch.Tensor] = {}
    for name, kind, size in json.loads(raw[HEADER:start].tobytes()):
        dtype = np.dtype(kind)
        stop = start + dtype.itemsize * size
        planes = raw[start:stop].reshape(dtype.itemsize, size)
        found[name] = torch.from_numpy(np.ascontiguousarray(planes.T).reshape(-1).view(dtype))
        start = stop
    return found.pop(""), found
