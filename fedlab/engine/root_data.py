"""Training on the server's own examples, the root data, as a client would."""

from __future__ import annotations

from typing import Any

import numpy as np
from flwr.app import Array, ArrayRecord, ConfigRecord, Message, MessageType, RecordDict

from fedlab.engine.base import Engine
from fedlab.errors import FedlabError
from fedlab.wire.protocol import ARRAYS, CONFIG, ROUND, WEIGHTS, node_of


def train_on_root(
    engine: Engine, server_round: int, weights: np.ndarray[Any, Any]
) -> np.ndarray[Any, Any]:
    """Return the weights that the client algorithm reaches on the server's own examples.

    Args:
        engine: Where clients run; one of its processes trains.
        server_round: The round, from 1.
        weights: (wire_size,) the weights to begin with.

    Raises:
        FedlabError: If the engine's nodes are all clients, or training fails.
    """
    if not engine.traits.holds_root:
        raise FedlabError(
            "strategy.name: training on the server's own data needs an engine of fedlab's, 'ray' "
            "or 'inline'; Flower's nodes are all clients"
        )
    arrays = ArrayRecord({WEIGHTS: Array(np.asarray(weights, np.float32))})
    config = ConfigRecord({ROUND: server_round})
    content = RecordDict({ARRAYS: arrays, CONFIG: config})
    message = Message(content, node_of(len(engine.federation)), MessageType.TRAIN)
    done = engine.exchange([message])
    if not done.replies:
        cause = done.failures[0].reason if done.failures else "no answer"
        raise FedlabError(f"round {server_round}: training on the root data failed: {cause}")
    record = done.replies[0].content.array_records[ARRAYS]
    return np.asarray(next(iter(record.values())).numpy())
