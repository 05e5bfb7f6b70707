"""Between messages and local tasks: what a message asks of a client, and what it sends back."""

from __future__ import annotations

from collections import OrderedDict
from collections.abc import Mapping
from typing import Any

import numpy as np
import torch
from flwr.app import Array, ArrayRecord, ConfigRecord, RecordDict

from fedlab.arrays import in_shared_memory
from fedlab.engine.worker.worker import Worker
from fedlab.errors import FedlabError
from fedlab.models.layout import Layout
from fedlab.training.task import Arrays, Assignment, Update
from fedlab.wire.protocol import CLIENT_STATE, KEPT_WITH, LAYOUT, PHASE, ROUND
from fedlab.wire.records import LentArray, config_of, records_of, without_copying


def sent_vectors(update: Update, key: str) -> Arrays:
    """Return an update's vectors by the keys of their records, the weights under ``key``.

    Where update processors have worked on them, they are as they travel.
    """
    encoded = update.encoded
    weights = {key: update.weights} if encoded is None else {key: encoded.values, **encoded.others}
    return weights | update.arrays


def sent_arrays(update: Update, key: str) -> dict[str, np.ndarray[Any, Any]]:
    """Return the same as arrays, of an update on the CPU."""
    return {name: vector.numpy() for name, vector in sent_vectors(update, key).items()}


def assignment(
    worker: Worker, decode: Decoder, client: int, content: RecordDict, state: RecordDict
) -> Assignment:
    """Return what a message's content asks of a client, decoded.

    Its first ArrayRecord holds the weights; every further one holds a vector under its own key.

    Raises:
        FedlabError: If it carries no weights, or weights of another model.
    """
    config = config_of(content)
    vectors = {key: decode(record) for key, record in records_of(content, ArrayRecord).items()}
    wire = vectors.pop(weights_key(content))
    _check_layout(worker.layout_of(client), config.get(LAYOUT), wire.numel())
    return Assignment(
        client=client,
        round=int(config.get(ROUND, 0)),
        wire=wire,
        arrays=vectors,
        config=config,
        state=kept_state(state),
    )


def kept_state(state: RecordDict) -> Arrays:
    """Return what a client kept, by name."""
    if not len(state):
        return {}
    kept: Any = records_of(state, ArrayRecord).get(CLIENT_STATE, {})
    return {name: torch.from_numpy(array.numpy()) for name, array in kept.items()}


def weights_key(content: RecordDict) -> str:
    """Return the key of a message's first ArrayRecord."""
    key = next(iter(records_of(content, ArrayRecord)), None)
    if key is None:
        raise FedlabError("the message carries no weights")
    return key


def _check_layout(layout: Layout, theirs: Any, size: int) -> None:
    if theirs is not None and theirs != layout.fingerprint:
        raise FedlabError(
            f"the server's model layout is {theirs}; this client's is {layout.fingerprint}"
        )
    if size != layout.wire_size:
        raise FedlabError(f"the message carries {size} weights; this model has {layout.wire_size}")


class Decoder:
    """Turns records into vectors, each record object once.

    All clients of a round share the record of the global weights on one worker, and so its tensor,
    which nobody writes to. The last few records are kept, of large models the last one; what is
    only lent costs nothing to read again, and is not kept.
    """

    def __init__(self, capacity: int = 8, most_bytes: int = 1 << 28) -> None:
        self._capacity = capacity
        self._most_bytes = most_bytes
        self._bytes = 0
        self._vectors: OrderedDict[int, tuple[ArrayRecord, torch.Tensor]] = OrderedDict()

    def __call__(self, record: ArrayRecord) -> torch.Tensor:
        """Return the flat float32 vector that the record carries."""
        known = self._vectors.get(id(record))
        if known is not None:
            return known[1]
        array = next(iter(record.values()))
        vector = in_shared_memory(np.ascontiguousarray(without_copying(array), np.float32))
        if isinstance(array, LentArray):
            return vector
        self._vectors[id(record)] = (record, vector)
        self._bytes += vector.nbytes
        while len(self._vectors) > 1 and self._is_full():
            _, (_, oldest) = self._vectors.popitem(last=False)
            self._bytes -= oldest.nbytes
        return vector

    def _is_full(self) -> bool:
        return len(self._vectors) > self._capacity or self._bytes > self._most_bytes


def forget_other_phase(state: RecordDict, config: Mapping[str, Any]) -> None:
    """Drop what a client kept in a phase in which other weights travelled, in place.

    For nodes that hold their clients' states; engines that hold these forget them themselves.
    """
    if PHASE not in config:
        return
    layout = str(config.get(LAYOUT, ""))
    record: Any = state.get(KEPT_WITH)
    if record is None or record[LAYOUT] != layout:
        state.clear()
        state[KEPT_WITH] = ConfigRecord({LAYOUT: layout})


def keep(state: RecordDict, new: Arrays) -> None:
    """Write a client's new state into its old one; a client without any costs no memory."""
    if new:
        state[CLIENT_STATE] = ArrayRecord({name: Array(t.numpy()) for name, t in new.items()})
    elif len(state) and CLIENT_STATE in state:
        del state[CLIENT_STATE]
