"""The idx format of MNIST and its kin: big-endian arrays with a header.

Layout (LeCun, "The MNIST database"): two zero bytes, the type, the number of dimensions, a 32-bit
size for each dimension, then the values, the last dimension fastest.
"""

from __future__ import annotations

import math
import zlib
from typing import IO

import torch

from fedlab.errors import FedlabError

_UNSIGNED_BYTE = 8


def read_idx(file: IO[bytes], where: str) -> torch.Tensor:
    """Return the uint8 array in an idx file, in the shape that its header states.

    Args:
        file: Open for reading, decompressed.
        where: How error messages call it.

    Raises:
        FedlabError: If the file cannot be read, is not idx of bytes, or is cut short.
    """
    try:
        content = file.read()
    except (OSError, EOFError, zlib.error) as error:
        raise FedlabError(f"{where} cannot be read: {error}") from error
    if len(content) < 4 or content[:2] != b"\0\0" or content[2] != _UNSIGNED_BYTE:
        raise FedlabError(f"{where} is not an idx file of bytes")
    start = 4 + 4 * content[3]
    shape = [int.from_bytes(content[at : at + 4], "big") for at in range(4, start, 4)]
    if len(content) != start + math.prod(shape):
        raise FedlabError(
            f"{where} is damaged: its header promises {math.prod(shape)} bytes of values, and "
            f"{max(0, len(content) - start)} are there"
        )
    return torch.frombuffer(bytearray(content), dtype=torch.uint8, offset=start).view(shape)
