"""Updates of length 0, by which Flower's clipping (1.41) divides."""

from __future__ import annotations

import numpy as np
from flwr.app import Array, ArrayRecord, RecordDict

LEAST = 1e-15
"""A change that float32 distinguishes from 0 even when it is squared."""


def set_apart(sent: ArrayRecord, content: RecordDict) -> None:
    """Move weights that are what was sent by the least that counts, in their first value.

    A client may well not move: its learning rate has come down to 0, or it rides for free. Such an
    update is within any clipping norm; this only gives it a length.

    Args:
        sent: The weights that the client received, as one vector.
        content: Its reply, changed in place.
    """
    (name, record), (array,) = next(iter(content.array_records.items())), sent.values()
    (key,) = record.keys()
    weights, received = record[key].numpy(), array.numpy()
    if weights.size == 0 or not np.array_equal(weights, received):
        return
    moved = weights.copy()
    moved[0] += max(LEAST, abs(np.spacing(moved[0])))
    content[name] = ArrayRecord({key: Array(moved)})
